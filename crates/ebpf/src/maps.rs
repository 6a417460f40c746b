//! The maps. Sizes marked "at load" are replaced by the loader; names are those of `abi::maps`.

use abi::backend::Backend;
use abi::control::{Control, Settings};
use abi::counters::{BackendCounters, Report};
use abi::directory::BucketV4;
use abi::flow::{FlowKeyV4, FlowV4};
use abi::limits::{MAX_INTERFACES, MAX_SERVICES};
use abi::reason::Reason;
use abi::service::Service;
use abi::slot::Slot;
use aya_ebpf::btf_maps::{Array, DevMapHash, HashMap, LruHashMap, PerCpuArray};
use aya_ebpf::macros::btf_map;

/// `BPF_F_MMAPABLE`: user space writes entries in place, without system calls.
const MMAPABLE: usize = 1 << 10;
const AT_LOAD: usize = 1;

#[btf_map]
pub(crate) static CONTROL: Array<Control, 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static DIRECTORY_V4: Array<BucketV4, AT_LOAD, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static SERVICES: Array<Service, { MAX_SERVICES as usize }> = Array::new();
#[btf_map]
pub(crate) static SLOTS: Array<Slot, AT_LOAD, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static BACKENDS: Array<Backend, AT_LOAD> = Array::new();
#[btf_map]
pub(crate) static ESTABLISHED_V4: HashMap<FlowKeyV4, FlowV4, AT_LOAD> = HashMap::new();
#[btf_map]
pub(crate) static HALF_OPEN_V4: LruHashMap<FlowKeyV4, FlowV4, AT_LOAD> = LruHashMap::new();
#[btf_map(name = "BACKEND_COUNTS")]
pub(crate) static BACKEND_COUNTERS: PerCpuArray<BackendCounters, AT_LOAD> = PerCpuArray::new();
#[btf_map(name = "REASON_COUNTS")]
pub(crate) static REASON_COUNTERS: PerCpuArray<u64, { Reason::COUNT }> = PerCpuArray::new();
/// Where a new flow is put together: on the stack its fields would not be aligned.
#[btf_map]
pub(crate) static SCRATCH: PerCpuArray<FlowV4, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static INTERFACES: DevMapHash<{ MAX_INTERFACES as usize }> = DevMapHash::new();
#[btf_map]
pub(crate) static REPORT: Array<Report, 1> = Array::new();

/// In `.rodata`; the loader writes the real values before the verifier sees them.
#[unsafe(no_mangle)]
pub(crate) static SETTINGS: Settings = Settings {
    flow_seed: 0,
    report: 0,
    any_port: 0,
    first_port: 0,
    port_count: 0,
};
