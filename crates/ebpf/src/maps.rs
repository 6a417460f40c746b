//! The maps. Sizes marked "at load" are replaced by the loader; names are those of `abi::maps`.

use abi::control::{Settings, feature};
use abi::counters::{BackendCounters, Report};
use abi::exception::Exception;
use abi::flow::{FlowKeyV4, FlowKeyV6, FlowV4, FlowV6, FragmentPorts};
use abi::layout::{Layout, PLACEHOLDER_WORDS};
use abi::limits::{MAX_FRAGMENTS, MAX_INTERFACES, MAX_PREFIXES, MAX_QUIC_SERVERS};
use abi::pace::{self, Pace};
use abi::quic::ServerKey;
use abi::reason::Reason;
use aya_ebpf::btf_maps::{Array, DevMapHash, HashMap, LpmTrie, LruHashMap, PerCpuArray};
use aya_ebpf::macros::btf_map;

use crate::route::FibParameters;

/// `BPF_F_MMAPABLE`: user space writes entries in place, without system calls.
const MMAPABLE: usize = 1 << 10;
const AT_LOAD: usize = 1;

/// What packets are led by ([`abi::layout`]); its length is replaced by the loader.
#[btf_map]
pub(crate) static LEAD: Array<[u64; PLACEHOLDER_WORDS as usize], 1, MMAPABLE> = Array::new();
#[btf_map]
pub(crate) static PREFIXES_V4: LpmTrie<[u32; 3], u32, { MAX_PREFIXES as usize }> = LpmTrie::new();
#[btf_map]
pub(crate) static PREFIXES_V6: LpmTrie<[u32; 5], u32, { MAX_PREFIXES as usize }> = LpmTrie::new();
#[btf_map]
pub(crate) static EXCEPTIONS_V4: HashMap<FlowKeyV4, Exception, AT_LOAD> = HashMap::new();
#[btf_map]
pub(crate) static EXCEPTIONS_V6: HashMap<FlowKeyV6, Exception, AT_LOAD> = HashMap::new();
#[btf_map]
pub(crate) static PACES: PerCpuArray<Pace, { pace::COUNT as usize }> = PerCpuArray::new();
#[btf_map]
pub(crate) static FRAGMENTS_V4: LruHashMap<FlowKeyV4, FragmentPorts, { MAX_FRAGMENTS as usize }> =
    LruHashMap::new();
#[btf_map]
pub(crate) static FRAGMENTS_V6: LruHashMap<FlowKeyV6, FragmentPorts, { MAX_FRAGMENTS as usize }> =
    LruHashMap::new();
#[btf_map]
pub(crate) static QUIC_SERVERS: HashMap<ServerKey, u32, { MAX_QUIC_SERVERS as usize }> =
    HashMap::new();
#[btf_map]
pub(crate) static ESTABLISHED_V4: HashMap<FlowKeyV4, FlowV4, AT_LOAD> = HashMap::new();
#[btf_map]
pub(crate) static ESTABLISHED_V6: HashMap<FlowKeyV6, FlowV6, AT_LOAD> = HashMap::new();
#[btf_map]
pub(crate) static HALF_OPEN_V4: LruHashMap<FlowKeyV4, FlowV4, AT_LOAD> = LruHashMap::new();
#[btf_map]
pub(crate) static HALF_OPEN_V6: LruHashMap<FlowKeyV6, FlowV6, AT_LOAD> = LruHashMap::new();
#[btf_map(name = "BACKEND_COUNTS")]
pub(crate) static BACKEND_COUNTERS: PerCpuArray<BackendCounters, AT_LOAD> = PerCpuArray::new();
#[btf_map(name = "REASON_COUNTS")]
pub(crate) static REASON_COUNTERS: PerCpuArray<u64, { Reason::COUNT }> = PerCpuArray::new();
/// Where a new flow is put together: on the stack its fields would not be aligned.
#[btf_map]
pub(crate) static SCRATCH_V4: PerCpuArray<FlowV4, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static SCRATCH_V6: PerCpuArray<FlowV6, 1> = PerCpuArray::new();
/// The same for a question to the host's routes.
#[btf_map]
pub(crate) static FIB_SCRATCH: PerCpuArray<FibParameters, 1> = PerCpuArray::new();
#[btf_map]
pub(crate) static INTERFACES: DevMapHash<{ MAX_INTERFACES as usize }> = DevMapHash::new();
#[btf_map]
pub(crate) static REPORT: Array<Report, 1> = Array::new();

/// In `.rodata`; the loader writes the real values before the verifier sees them. These are what
/// other tools load: everything on.
#[unsafe(no_mangle)]
pub(crate) static SETTINGS: Settings = Settings {
    flow_seed: 0,
    report: 0,
    any_port: 1,
    first_port: 0,
    port_count: 1,
    features: feature::ALL,
    outer_ttl: 0,
    exceptions_per_window: 1,
    icmp_errors_per_window: 1,
    rejections_per_window: 1,
    kept_ports: 0,
};

/// In `.rodata`, too.
#[unsafe(no_mangle)]
pub(crate) static LAYOUT: Layout = Layout::new(1, 1, 1, 1);
