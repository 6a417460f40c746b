//! Access to the maps.

use abi::backend::Backend;
use abi::control::{Control, Settings};
use abi::directory::BucketV4;
use abi::flow::{FlowKeyV4, FlowV4};
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

/// Everything a packet can look up or change besides itself.
pub trait Tables {
    /// Settings fixed at load time.
    fn settings(&self) -> Settings;
    /// Words that user space flips at run time.
    fn control(&self) -> Control;
    /// Time in jiffies, low 32 bits.
    fn now(&self) -> u32;
    /// A bucket of the IPv4 service directory.
    fn bucket_v4(&self, index: u32) -> Option<&BucketV4>;
    /// A service.
    fn service(&self, index: u32) -> Option<&Service>;
    /// A slot of the arena.
    fn slot(&self, index: u32) -> Option<Slot>;
    /// A backend.
    fn backend(&self, index: u32) -> Option<&Backend>;

    /// Looks a flow up and hands it to `visit`, which may change it.
    ///
    /// In the kernel the entry can be deleted and reused by another CPU meanwhile: `visit`
    /// copies what it needs first and writes only single fields that heal themselves.
    fn flow<R>(
        &self,
        table: FlowTable,
        key: &FlowKeyV4,
        visit: impl FnOnce(&mut FlowV4) -> R,
    ) -> Option<R>;
    /// Enters a flow if its key is free.
    fn insert_flow(
        &self,
        table: FlowTable,
        key: &FlowKeyV4,
        flow: &FlowV4,
    ) -> Result<(), InsertError>;
    /// Enters the half-open flow of `key` among the established ones, if its key is free there.
    /// Without copying it through the caller: the kernel's stack has 512 bytes.
    fn establish_flow(&self, key: &FlowKeyV4) -> Result<(), EstablishError>;
    /// Forgets a flow; nothing happens if there is none.
    fn remove_flow(&self, table: FlowTable, key: &FlowKeyV4);

    /// Counts a packet by its reason.
    fn count_reason(&self, reason: Reason);
    /// Counts a packet to a backend.
    fn count_forwarded(&self, backend: u32, bytes: u64, new_flow: bool);
    /// Counts a packet from a backend.
    fn count_replied(&self, backend: u32, bytes: u64);
}
