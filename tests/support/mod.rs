//! What the tests with network namespaces and real sockets share.
//!
//! - `binary`: the program under test, and commands run to their end.
//! - `capture`: captures by tcpdump, and their checksums.
//! - `groups`: control groups for a service manager.
//! - `held`: connections that are held while something happens.
//! - `overlay`: this machine to change at will, without changing it.
//! - `packet_socket`: frames that no protocol stack would send.
//! - `service`: services as the configuration file has them.
//! - `stream`: numbered datagrams, and who got which of them.
//! - `ask`: clients that ask a service and get every answer.
//! - `scene`: a lab with servers and a load balancer in it.
//! - `tunnel`: what the modes with an outer header need of the lab.
//! - `http`: a client that learns whom the server sees.
//! - `page`: pages of HTTP servers.
//! - `link`: interfaces as `ip` sees them.
//! - `service_user`: the privileges that the unit gives, and nothing more.
//! - `unit`: a systemd unit of `deploy/`.
//! - `wait`: polling with a deadline.
//! - `flood`: SYNs from addresses that are not the sender's.
//! - `folder`: a directory that goes with its guard.

mod ask;
mod binary;
mod capture;
mod flood;
mod folder;
mod groups;
mod held;
mod http;
mod link;
mod overlay;
mod packet_socket;
mod page;
mod scene;
mod service;
mod service_user;
mod stream;
mod tunnel;
mod unit;
mod wait;

pub use ask::{datagrams, fresh_datagrams, fresh_requests, requests, transfer};
pub use binary::{Finished, evenkeel, finish};
pub use capture::{Capture, Verified, verify};
pub use flood::SynFlood;
pub use folder::Folder;
pub use groups::Groups;
pub use held::{assert_used, hold, used};
pub use http::{Answer, Connection};
pub use link::{ip, path_mtu, xdp_programs};
pub use overlay::Overlay;
pub use packet_socket::PacketSocket;
pub use page::page;
pub use scene::{PORT, Scene, dropped, reason, tag};
pub use service::{Family, Service};
pub use service_user::{Places, ServiceUser, USER};
pub use stream::{Stream, StreamReport};
pub use testkit::skip::skipped;
pub use unit::Unit;
pub use wait::{PATIENCE, eventually};
