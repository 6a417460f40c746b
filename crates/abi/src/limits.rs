//! A limit on everything.

/// Services of an instance.
pub const MAX_SERVICES: u32 = 16_384;
/// Backends of an instance, over all services. [`crate::slot::Slot`] has room for 2^28.
pub const MAX_BACKENDS: u32 = 262_144;
/// log2 of the slots of the longest ring.
pub const MAX_RING_LOG2: u8 = 20;
/// Slots of all rings of an instance together (the arena).
pub const MAX_SLOTS: u32 = 1 << 26;
/// log2 of the buckets in one copy of the service directory. Two keys for each service (its own
/// and its address's) are spread so thin that no bucket of four overflows: with n keys in m
/// buckets about n * (n / m)^4 / 120 would.
pub const MAX_DIRECTORY_LOG2: u8 = 18;
/// Interfaces of an instance.
pub const MAX_INTERFACES: u32 = 64;
/// Source ports tried for a new `nat` flow before it is given up.
pub const PORT_CANDIDATES: u32 = 24;
/// IPv6 extension headers that are walked over before the transport header.
pub const MAX_EXTENSIONS: u32 = 4;
/// First fragments remembered, for each family. The oldest give way.
pub const MAX_FRAGMENTS: u32 = 8_192;
/// Prefix services, for each family.
pub const MAX_PREFIXES: u32 = 4_096;
/// QUIC server ids, over all services.
pub const MAX_QUIC_SERVERS: u32 = 65_536;
/// Addresses in each set of `evenkeel decap`.
pub const MAX_DECAP_ADDRESSES: u32 = 4_096;
