//! Names of the maps, at most 15 bytes each (`BPF_OBJ_NAME_LEN`).

/// ARRAY, mmapable, one entry: [`crate::control::Control`].
pub const CONTROL: &str = "CONTROL";
/// ARRAY, mmapable: two copies of [`crate::directory::BucketV4`]s, one of them active.
pub const DIRECTORY_V4: &str = "DIRECTORY_V4";
/// ARRAY: [`crate::service::Service`] by service index.
pub const SERVICES: &str = "SERVICES";
/// ARRAY, mmapable: the arena of [`crate::slot::Slot`]s that all rings lie in.
pub const SLOTS: &str = "SLOTS";
/// ARRAY: [`crate::backend::Backend`] by backend index.
pub const BACKENDS: &str = "BACKENDS";
/// HASH: established flows, [`crate::flow::FlowKeyV4`] to [`crate::flow::FlowV4`].
pub const ESTABLISHED_V4: &str = "ESTABLISHED_V4";
/// LRU_HASH: half-open flows, with the same key and value.
pub const HALF_OPEN_V4: &str = "HALF_OPEN_V4";
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
