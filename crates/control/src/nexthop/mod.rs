//! Next hops: where packets for an address leave this host, and to which MAC.
//!
//! Everything comes from the kernel over rtnetlink, in the network namespace of the calling
//! thread: `kernel` asks and translates into `facts`, `table` is the state and the rules (pure),
//! `watch` is the task that keeps the table in step with the kernel, `interface` looks at single
//! interfaces.
//!
//! XDP bypasses the stack, so nothing of ours confirms the kernel's neighbour entries: `watch`
//! asks the kernel to (`NTF_USE`), which makes it resolve and confirm as if it had packets to
//! send. Nothing is left behind in the kernel but ordinary neighbour entries.

mod changes;
mod facts;
mod interface;
mod kernel;
mod resolution;
mod table;
mod watch;

#[cfg(test)]
mod namespace_tests;

pub(crate) use changes::Changes;
pub use interface::{AttachedXdp, Interface, InterfaceError, XdpMode, interface, interfaces};
pub use resolution::{Reason, Resolution, Target, targets};
pub use watch::{NextHopError, NextHops};
