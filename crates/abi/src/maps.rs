//! Names of the maps, at most 15 bytes each (`BPF_OBJ_NAME_LEN`).

/// ARRAY, one entry, which no program reads: what the other maps are ([`crate::meta::Meta`]).
pub const META: &str = "META";
/// ARRAY, mmapable, one entry: what packets are led by, laid out as [`crate::layout`] says.
pub const LEAD: &str = "LEAD";
/// `.rodata` symbol of [`crate::layout::Layout`].
pub const LAYOUT: &str = "LAYOUT";
/// HASH: established flows, [`crate::flow::FlowKeyV4`] to [`crate::flow::FlowV4`].
pub const ESTABLISHED_V4: &str = "ESTABLISHED_V4";
/// LRU_HASH: half-open flows, with the same key and value.
pub const HALF_OPEN_V4: &str = "HALF_OPEN_V4";
/// The same for IPv6: [`crate::flow::FlowKeyV6`] to [`crate::flow::FlowV6`].
pub const ESTABLISHED_V6: &str = "ESTABLISHED_V6";
/// The same for IPv6.
pub const HALF_OPEN_V6: &str = "HALF_OPEN_V6";
/// HASH: [`crate::flow::FlowKeyV4`] to [`crate::exception::Exception`].
pub const EXCEPTIONS_V4: &str = "EXCEPTIONS_V4";
/// HASH: [`crate::flow::FlowKeyV6`] to [`crate::exception::Exception`].
pub const EXCEPTIONS_V6: &str = "EXCEPTIONS_V6";
/// PERCPU_ARRAY: [`crate::pace::Pace`] by its index there.
pub const PACES: &str = "PACES";
/// LRU_HASH: first fragments, [`crate::flow::FlowKey::fragment`] to a [`crate::flow::FragmentPorts`].
pub const FRAGMENTS_V4: &str = "FRAGMENTS_V4";
/// The same for IPv6.
pub const FRAGMENTS_V6: &str = "FRAGMENTS_V6";
/// LPM_TRIE: [`crate::prefix::PrefixKeyV4`] to a service's index (u32).
pub const PREFIXES_V4: &str = "PREFIXES_V4";
/// LPM_TRIE: [`crate::prefix::PrefixKeyV6`] to a service's index (u32).
pub const PREFIXES_V6: &str = "PREFIXES_V6";
/// HASH: [`crate::quic::ServerKey`] to a backend's index (u32).
pub const QUIC_SERVERS: &str = "QUIC_SERVERS";
/// HASH of `evenkeel decap`: [`crate::decap::AddressKey`]s that outer packets are addressed to.
pub const DECAP_LOCALS: &str = "DECAP_LOCALS";
/// LPM_TRIE of `evenkeel decap`: [`crate::decap::PrefixKey`]s that outer packets may come from.
pub const DECAP_SENDERS: &str = "DECAP_SENDERS";
/// LPM_TRIE of `evenkeel decap`: [`crate::decap::PrefixKey`]s that inner packets are addressed to.
pub const DECAP_VIPS: &str = "DECAP_VIPS";
/// PERCPU_ARRAY of `evenkeel decap`: packets by [`crate::decap::DecapReason`] number.
pub const DECAP_COUNTERS: &str = "DECAP_COUNTS";
/// `.rodata` symbol of [`crate::decap::DecapSettings`].
pub const DECAP_SETTINGS: &str = "DECAP_SETTINGS";
/// PERCPU_ARRAY: [`crate::counters::BackendCounters`] by backend index.
pub const BACKEND_COUNTERS: &str = "BACKEND_COUNTS";
/// PERCPU_ARRAY: packets by [`crate::reason::Reason`] number.
pub const REASON_COUNTERS: &str = "REASON_COUNTS";
/// DEVMAP_HASH: interfaces the instance may send through, by interface index.
pub const INTERFACES: &str = "INTERFACES";
/// ARRAY, one entry: [`crate::counters::Report`] of the last packet, if [`crate::control::Settings::report`] is on.
pub const REPORT: &str = "REPORT";
/// `.rodata` symbol of [`crate::control::Settings`].
pub const SETTINGS: &str = "SETTINGS";
