//! Bounds of what a configuration may ask for.

use std::time::Duration;

use abi::limits;

/// Services of one instance.
pub const MAX_SERVICES: usize = limits::MAX_SERVICES as usize;
/// Backends of one instance, summed over its services.
pub const MAX_BACKENDS: usize = limits::MAX_BACKENDS as usize;
/// Interfaces of one instance.
pub const MAX_INTERFACES: usize = limits::MAX_INTERFACES as usize;
/// Slots of the smallest ring that can be asked for.
pub const MIN_RING_SLOTS: u32 = 64;
/// Slots of the largest ring.
pub const MAX_RING_SLOTS: u32 = 1 << limits::MAX_RING_LOG2;
/// Weight of one backend.
pub const MAX_WEIGHT: u32 = 65_535;
/// Flows of one table: 16 Mi entries are about 3.7 GB for both directions.
pub const MAX_FLOWS: u32 = 16_777_216;
/// Lowest port of the NAT range: those below are for the host's own servers.
pub const MIN_NAT_PORT: u16 = 1_024;
/// Longest of the timeouts, 30 days.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(30 * 86_400);
/// Longest time that a changed slot enters flows, a day.
pub const MAX_TRANSITION_WINDOW: Duration = Duration::from_secs(86_400);
/// Rate of entries, ICMP errors and refusals on one CPU; no CPU does as many.
pub const MAX_RATE: u32 = 10_000_000;
/// Services of a prefix, for each address family.
pub const MAX_PREFIXES: usize = limits::MAX_PREFIXES as usize;
/// Backends with a QUIC server id, over all services.
pub const MAX_QUIC_SERVERS: usize = limits::MAX_QUIC_SERVERS as usize;
/// The largest config rotation; seven marks connection IDs that are not routable.
pub(super) const MAX_QUIC_CONFIG: u8 = 6;
/// Size of a configuration file; 10,000 services of 6 backends take about 3 MB.
pub const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Seed of flow hash and rings unless configured: instances with equal configurations then agree
/// on every flow's backend without further ado. The bytes spell "evenkeel".
pub const DEFAULT_SEED: u64 = 0x6576_656e_6b65_656c;
