//! Access to the maps.

use abi::backend::Backend;
use abi::control::Settings;
use abi::directory::Active;
use abi::exception::Exception;
use abi::family::{Family, V4, V6};
use abi::flow::FragmentPorts;
use abi::pace::Pace;
use abi::quic::ServerKey;
use abi::reason::Reason;
use abi::service::Service;
use abi::slot::Slot;

/// Which table of `nat` flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowTable {
    /// Handshake complete (UDP: answered). Never evicts.
    Established,
    /// Everything else. The oldest give way to new ones.
    HalfOpen,
}

/// Why an entry was not inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertError {
    /// The key is there already.
    Exists,
    /// The table has no room.
    Full,
}

/// Why a half-open flow was not entered among the established ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EstablishError {
    /// There is no half-open flow with this key.
    Missing,
    /// See there.
    Insert(InsertError),
}

/// Everything a packet can look up or change besides itself, whatever its address family.
pub trait Tables {
    /// Settings fixed at load time.
    fn settings(&self) -> Settings;
    /// Always 0 ([`abi::control::Control::zero`]).
    fn zero(&self) -> usize;
    /// Time in jiffies, low 32 bits.
    fn now(&self) -> u32;
    /// A service.
    fn service(&self, index: u32) -> Option<&Service>;
    /// A slot of the arena.
    fn slot(&self, index: u32) -> Option<Slot>;
    /// A backend.
    fn backend(&self, index: u32) -> Option<&Backend>;
    /// The backend with this server id.
    fn quic_server(&self, key: &ServerKey) -> Option<u32>;
    /// A pace of this CPU.
    fn pace<R>(&self, index: u32, visit: impl FnOnce(&mut Pace) -> R) -> Option<R>;

    /// Counts a packet by its reason.
    fn count_reason(&self, reason: Reason);
    /// Counts a packet to a backend.
    fn count_forwarded(&self, backend: u32, bytes: u64, new_flow: bool);
    /// Counts a packet from a backend.
    fn count_replied(&self, backend: u32, bytes: u64);
}

/// What has keys of one address family.
pub trait FamilyTables<F: Family> {
    /// The active copy of the service directory.
    fn directory(&self) -> Active;
    /// A bucket of the service directory.
    fn bucket(&self, index: u32) -> Option<&F::Bucket>;
    /// The service with the longest prefix that matches.
    fn prefix(&self, key: &F::PrefixKey) -> Option<u32>;

    /// Looks a flow up and hands it to `visit`, which may change it.
    ///
    /// In the kernel the entry can be deleted and reused by another CPU meanwhile: `visit`
    /// copies what it needs first and writes only single fields that heal themselves.
    fn flow<R>(
        &self,
        table: FlowTable,
        key: &F::FlowKey,
        visit: impl FnOnce(&mut F::Flow) -> R,
    ) -> Option<R>;
    /// Enters a flow if its key is free.
    fn insert_flow(
        &self,
        table: FlowTable,
        key: &F::FlowKey,
        flow: &F::Flow,
    ) -> Result<(), InsertError>;
    /// Enters the half-open flow of `key` among the established ones, if its key is free there.
    /// Without copying it through the caller: the kernel's stack has 512 bytes.
    fn establish_flow(&self, key: &F::FlowKey) -> Result<(), EstablishError>;
    /// Forgets a flow; nothing happens if there is none.
    fn remove_flow(&self, table: FlowTable, key: &F::FlowKey);

    /// Looks an entry of the exception table up; the same holds for `visit`.
    fn exception<R>(&self, key: &F::FlowKey, visit: impl FnOnce(&mut Exception) -> R) -> Option<R>;
    /// Enters a flow in the exception table, in place of an entry it may have there. `None` if
    /// there is no room.
    fn enter_exception(&self, key: &F::FlowKey, exception: &Exception) -> Option<()>;

    /// The ports that the first fragment of this packet had.
    fn fragment(&self, key: &F::FlowKey) -> Option<FragmentPorts>;
    /// Remembers the ports of a first fragment.
    fn remember_fragment(&self, key: &F::FlowKey, ports: FragmentPorts);
}

/// Everything.
pub trait AllTables: Tables + FamilyTables<V4> + FamilyTables<V6> {}
impl<T: Tables + FamilyTables<V4> + FamilyTables<V6>> AllTables for T {}
