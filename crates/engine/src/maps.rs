//! What the live state needs of the maps that it fills. [`crate::dataplane::DataPlane`] has them in
//! the kernel; tests have them in memory.

use abi::backend::Backend;
use abi::exception::Exception;
use abi::family::Family;
use abi::limits::{MAX_BACKENDS, MAX_DIRECTORY_LOG2, MAX_SERVICES, MAX_SLOTS};
use abi::quic::ServerKey;
use abi::service::Service;
use abi::slot::Slot;

use crate::EngineError;
use crate::directory::Directory;

/// Which table of `nat` flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowTable {
    /// Handshake complete.
    Established,
    /// The others.
    HalfOpen,
}

/// How much fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Services.
    pub services: u32,
    /// Backends.
    pub backends: u32,
    /// Slots of all rings.
    pub slots: u32,
    /// Buckets in one copy of the IPv4 directory.
    pub buckets_v4: u32,
    /// Buckets in one copy of the IPv6 directory.
    pub buckets_v6: u32,
}

impl Room {
    /// As much as maps can ever have.
    pub const MOST: Self = Self {
        services: MAX_SERVICES,
        backends: MAX_BACKENDS,
        slots: MAX_SLOTS,
        buckets_v4: 1 << MAX_DIRECTORY_LOG2,
        buckets_v6: 1 << MAX_DIRECTORY_LOG2,
    };
}

/// Maps that can be written while packets flow.
pub trait Maps {
    /// How much fits.
    fn room(&self) -> Room;
    /// jiffies, low 32 bits.
    fn now(&mut self) -> Result<u32, EngineError>;

    /// A slot of the arena.
    fn slot(&self, index: u32) -> Slot;
    /// Writes slots from `first` on, each in one piece.
    fn write_slots(&mut self, first: u32, slots: &[Slot]);
    /// Writes a service.
    fn write_service(&mut self, index: u32, service: &Service) -> Result<(), EngineError>;
    /// Writes a backend.
    fn write_backend(&mut self, index: u32, backend: &Backend) -> Result<(), EngineError>;
    /// Sets a backend's counters to zero.
    fn clear_counters(&mut self, backend: u32) -> Result<(), EngineError>;
    /// Fills the inactive copy of a family's directory and makes it the active one.
    fn write_directory<F: Family>(&mut self, directory: &Directory<F>) -> Result<(), EngineError>;
    /// Lets a prefix lead to a service, or, with `None`, to nothing.
    fn write_prefix<F: Family>(
        &mut self,
        key: &F::PrefixKey,
        service: Option<u32>,
    ) -> Result<(), EngineError>;
    /// Lets a server id lead to a backend, or, with `None`, to nothing.
    fn write_quic_server(
        &mut self,
        key: &ServerKey,
        backend: Option<u32>,
    ) -> Result<(), EngineError>;

    /// How often a flow was not entered in the exception table, on all CPUs; wraps.
    fn refusals(&self) -> Result<u64, EngineError>;
    /// Calls `visit` with every entry of the exception table.
    fn for_each_exception<F: Family>(
        &self,
        visit: &mut dyn FnMut(&F::FlowKey, &Exception),
    ) -> Result<(), EngineError>;
    /// An entry of the exception table.
    fn exception<F: Family>(&self, key: &F::FlowKey) -> Result<Option<Exception>, EngineError>;
    /// Removes an entry of the exception table; says whether it was there.
    fn remove_exception<F: Family>(&mut self, key: &F::FlowKey) -> Result<bool, EngineError>;

    /// Calls `visit` with every entry of a table of `nat` flows.
    fn for_each_flow<F: Family>(
        &self,
        table: FlowTable,
        visit: &mut dyn FnMut(&F::FlowKey, &F::Flow),
    ) -> Result<(), EngineError>;
    /// An entry of a table of `nat` flows.
    fn flow<F: Family>(
        &self,
        table: FlowTable,
        key: &F::FlowKey,
    ) -> Result<Option<F::Flow>, EngineError>;
    /// Removes an entry of a table of `nat` flows; says whether it was there.
    fn remove_flow<F: Family>(
        &mut self,
        table: FlowTable,
        key: &F::FlowKey,
    ) -> Result<bool, EngineError>;
}
