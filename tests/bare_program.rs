//! The real program with any contents of its maps, loaded without the engine: what is compared with
//! the native data path must not depend on what the engine makes of a configuration.

use std::collections::BTreeMap;

use abi::NO_INDEX;
use abi::control::Control;
use abi::counters::{BackendCounters, Report};
use abi::family::{Family, V4, V6};
use abi::layout::{self, Layout};
use abi::maps;
use abi::prefix::PrefixKey as _;
use abi::reason::{Action, Reason};
use abi::slot::Slot;
use aya::maps::{Array, HashMap, MapData, PerCpuArray};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader, Pod};
use datapath::FlowTable;
use engine::dataplane::action;
use engine::object;
use nix::sched::{CloneFlags, unshare};
use testkit::content::Content;
use testkit::fixture::{FlowCounts, SHORTEST_TEST_RUN, Subject};
use testkit::outcome::Outcome;
use testkit::tables::Capacities;
use testkit::world::INTERFACE;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Room for what the program may add in front of a frame.
const HEADROOM: usize = 256;

/// The program in the kernel.
#[derive(Debug)]
pub struct BareProgram {
    ebpf: Ebpf,
}

/// A family's maps.
pub trait FamilyMaps: Family {
    /// Name of a flow table.
    fn flows(table: FlowTable) -> &'static str;
    /// Name of the exception table.
    const EXCEPTIONS: &'static str;
    /// Name of the table of first fragments.
    const FRAGMENTS: &'static str;
}

impl FamilyMaps for V4 {
    fn flows(table: FlowTable) -> &'static str {
        match table {
            FlowTable::Established => maps::ESTABLISHED_V4,
            FlowTable::HalfOpen => maps::HALF_OPEN_V4,
        }
    }
    const EXCEPTIONS: &'static str = maps::EXCEPTIONS_V4;
    const FRAGMENTS: &'static str = maps::FRAGMENTS_V4;
}

impl FamilyMaps for V6 {
    fn flows(table: FlowTable) -> &'static str {
        match table {
            FlowTable::Established => maps::ESTABLISHED_V6,
            FlowTable::HalfOpen => maps::HALF_OPEN_V6,
        }
    }
    const EXCEPTIONS: &'static str = maps::EXCEPTIONS_V6;
    const FRAGMENTS: &'static str = maps::FRAGMENTS_V6;
}

/// Which kinds of prefixes there are.
fn prefixes(content: &Content) -> u64 {
    let v4 = content.prefixes_v4.iter().map(|(key, _)| key.presence());
    let v6 = content.prefixes_v6.iter().map(|(key, _)| key.presence());
    v4.chain(v6).fold(0, |all, one| all | one)
}

/// Length of the map's entry: aya wants a type for it.
const LEAD_LENGTH: usize = 1 << 23;

/// As many slots as fill it.
fn layout_of(content: &Content) -> Layout {
    let count = |length: usize| length.max(1) as u64;
    let sized = |slots| {
        Layout::new(
            count(content.directory.buckets.len()),
            count(content.directory_v6.buckets.len()),
            count(content.backends.len()),
            slots,
        )
    };
    let room = (LEAD_LENGTH as u64 - sized(0).length()) / size_of::<Slot>() as u64;
    assert!(
        room >= content.slots.len() as u64,
        "LEAD_LENGTH is too small"
    );
    sized(room)
}

impl BareProgram {
    /// Loads it with these contents. The calling thread goes into a network namespace of its own,
    /// in which the host's routes lead nowhere.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[must_use]
    pub fn load(content: &Content, capacities: &Capacities) -> Self {
        unshare(CloneFlags::CLONE_NEWNET).expect("needs root");
        let entries = |count: usize| count.max(1) as u32;
        let layout = layout_of(content);
        let object = object::sized(object::XDP, &layout).expect("an object with a size to set");
        let mut ebpf = EbpfLoader::new()
            .override_global(maps::SETTINGS, content.settings.as_bytes(), true)
            .override_global(maps::LAYOUT, layout.as_bytes(), true)
            .map_max_entries(maps::BACKEND_COUNTERS, entries(content.backends.len()))
            .map_max_entries(maps::ESTABLISHED_V4, entries(capacities.established))
            .map_max_entries(maps::ESTABLISHED_V6, entries(capacities.established))
            .map_max_entries(maps::HALF_OPEN_V4, entries(capacities.half_open))
            .map_max_entries(maps::HALF_OPEN_V6, entries(capacities.half_open))
            .map_max_entries(maps::EXCEPTIONS_V4, entries(capacities.exceptions))
            .map_max_entries(maps::EXCEPTIONS_V6, entries(capacities.exceptions))
            .load(&object)
            .unwrap_or_else(|error| panic!("needs root and a kernel with XDP: {error:?}"));
        let program: &mut Xdp = xdp(&mut ebpf);
        program
            .load()
            .unwrap_or_else(|error| panic!("the verifier accepts it: {error:?}"));
        let mut this = Self { ebpf };
        this.write(content);
        this
    }

    fn write(&mut self, content: &Content) {
        let control = Control {
            directory_v4: content.directory.active(),
            directory_v6: content.directory_v6.active(),
            prefixes: prefixes(content),
            zero: 0,
        };
        let layout = layout_of(content);
        let mut lead = vec![0; LEAD_LENGTH];
        let mut put = |at: u64, values: &[u8]| {
            lead[at as usize..][..values.len()].copy_from_slice(values);
        };
        put(layout::CONTROL, control.as_bytes());
        put(layout::SERVICES, content.services.as_bytes());
        put(layout::DIRECTORY_V4, content.directory.buckets.as_bytes());
        let buckets = content.directory_v6.buckets.as_bytes();
        put(layout.directory_v6_at, buckets);
        put(layout.backends_at, content.backends.as_bytes());
        put(layout.slots_at, content.slots.as_bytes());
        self.write_lead(&lead);
        self.write_hash::<_, 16>(maps::QUIC_SERVERS, &content.quic_servers);
        self.write_prefixes::<_, 12>(maps::PREFIXES_V4, &content.prefixes_v4);
        self.write_prefixes::<_, 20>(maps::PREFIXES_V6, &content.prefixes_v6);
    }

    fn write_lead(&mut self, bytes: &[u8]) {
        let map = self.ebpf.map_mut(maps::LEAD).expect("the map is there");
        let mut array: Array<_, [u8; LEAD_LENGTH]> = map.try_into().expect("an array");
        let bytes: &[u8; LEAD_LENGTH] = bytes.try_into().expect("its length");
        array.set(0, bytes, 0).expect("the entry can be written");
    }

    fn write_hash<K: IntoBytes + Immutable, const N: usize>(
        &mut self,
        name: &str,
        entries: &[(K, u32)],
    ) {
        let map = self.ebpf.map_mut(name).expect("the map is there");
        let mut hash: HashMap<_, [u8; N], u32> = map.try_into().expect("a hash");
        for (key, value) in entries {
            hash.insert(bytes::<N>(key), value, 0)
                .expect("an entry can be written");
        }
    }

    fn write_prefixes<K: IntoBytes + Immutable, const N: usize>(
        &mut self,
        name: &str,
        entries: &[(K, u32)],
    ) where
        [u8; N]: Pod,
    {
        use aya::maps::lpm_trie::{Key, LpmTrie};
        let map = self.ebpf.map_mut(name).expect("the map is there");
        let mut trie: LpmTrie<_, [u8; N], u32> = map.try_into().expect("a trie");
        for (key, value) in entries {
            let (length, data) = key.as_bytes().split_at(4);
            let length = u32::from_ne_bytes(length.try_into().expect("four bytes"));
            let data: [u8; N] = data.try_into().expect("the rest of the key");
            trie.insert(&Key::new(length, data), value, 0)
                .expect("an entry can be written");
        }
    }

    /// All entries of a flow table.
    #[must_use]
    pub fn flows<F: FamilyMaps>(&self, table: FlowTable) -> BTreeMap<F::FlowKey, F::Flow>
    where
        F::Flow: FromBytes,
    {
        match F::IS_V6 {
            false => self.entries::<_, _, 16, 64>(F::flows(table)),
            true => self.entries::<_, _, 40, 88>(F::flows(table)),
        }
    }

    /// All entries of an exception table.
    #[must_use]
    pub fn exceptions<F: FamilyMaps>(&self) -> BTreeMap<F::FlowKey, abi::exception::Exception> {
        match F::IS_V6 {
            false => self.entries::<_, _, 16, 24>(F::EXCEPTIONS),
            true => self.entries::<_, _, 40, 24>(F::EXCEPTIONS),
        }
    }

    fn entries<K: FromBytes + Ord, V: FromBytes, const N: usize, const M: usize>(
        &self,
        name: &str,
    ) -> BTreeMap<K, V> {
        let map = self.ebpf.map(name).expect("the map is there");
        let hash: HashMap<_, [u8; N], [u8; M]> = map.try_into().expect("a hash");
        let entry = |entry: Result<([u8; N], [u8; M]), _>| {
            let (key, value) = entry.expect("an entry can be read");
            let key = K::read_from_bytes(&key).expect("the key's length");
            (key, V::read_from_bytes(&value).expect("the value's length"))
        };
        hash.iter().map(entry).collect()
    }

    /// Packets by reason, on all CPUs.
    #[must_use]
    pub fn reason_counts(&self) -> Vec<u64> {
        let map = self
            .ebpf
            .map(maps::REASON_COUNTERS)
            .expect("the map is there");
        let counts: PerCpuArray<&MapData, u64> = map.try_into().expect("an array for each CPU");
        let count = |index| counts.get(&index, 0).expect("a counter").iter().sum();
        (0..Reason::COUNT as u32).map(count).collect()
    }

    /// A backend's counters, on all CPUs.
    #[must_use]
    pub fn backend_counters(&self, index: u32) -> BackendCounters {
        let map = self
            .ebpf
            .map(maps::BACKEND_COUNTERS)
            .expect("the map is there");
        let all: PerCpuArray<&MapData, [u64; 8]> = map.try_into().expect("an array for each CPU");
        let all = all.get(&index, 0).expect("counters");
        let sum = |field: usize| all.iter().map(|counters| counters[field]).sum();
        BackendCounters {
            packets: sum(0),
            bytes: sum(1),
            reply_packets: sum(2),
            reply_bytes: sum(3),
            new_flows: sum(4),
            reserved: [0; 3],
        }
    }

    /// Empties the tables that packets fill.
    pub fn forget(&mut self) {
        for table in [FlowTable::Established, FlowTable::HalfOpen] {
            self.empty::<16, 64>(V4::flows(table));
            self.empty::<40, 88>(V6::flows(table));
        }
        self.empty::<16, 24>(V4::EXCEPTIONS);
        self.empty::<40, 24>(V6::EXCEPTIONS);
        self.empty::<16, 4>(V4::FRAGMENTS);
        self.empty::<40, 4>(V6::FRAGMENTS);
    }

    fn empty<const N: usize, const M: usize>(&mut self, name: &str) {
        let map = self.ebpf.map_mut(name).expect("the map is there");
        let mut hash: HashMap<_, [u8; N], [u8; M]> = map.try_into().expect("a hash");
        let keys: Vec<_> = hash.keys().filter_map(Result::ok).collect();
        for key in keys {
            hash.remove(&key).expect("an entry can be removed");
        }
    }

    fn last_report(&self) -> Report {
        let map = self.ebpf.map(maps::REPORT).expect("the map is there");
        let array: Array<_, [u8; 16]> = map.try_into().expect("an array");
        let report = array.get(&0, 0).expect("a report");
        Report::read_from_bytes(&report).expect("a report's length")
    }
}

impl Subject for BareProgram {
    fn process(&mut self, frame: &[u8]) -> Outcome {
        let mut output = vec![0; frame.len() + HEADROOM];
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.data_out = Some(&mut output);
        let result = xdp(&mut self.ebpf).test_run(options).expect("a test run");
        output.truncate(result.data_size_out as usize);
        let report = self.last_report();
        let outcome = Outcome::of_report(&report, output);
        let expected: &[u32] = match outcome.reason.action() {
            Action::Pass => &[action::PASS],
            Action::Drop => &[action::DROP],
            Action::Forward if outcome.interface == INTERFACE => &[action::TX],
            // The devmap has no interface: nothing is attached in a test run.
            Action::Forward => &[action::DROP, action::REDIRECT],
        };
        let led_to = result.return_value;
        let Report { service, .. } = report;
        let service = if service == NO_INDEX {
            -1
        } else {
            i64::from(service)
        };
        assert!(
            expected.contains(&led_to),
            "{:?} of service {service} led to XDP action {led_to}",
            outcome.reason,
        );
        outcome
    }

    fn flow_counts(&self) -> FlowCounts {
        let count = |table| self.flows::<V4>(table).len() + self.flows::<V6>(table).len();
        FlowCounts {
            established: count(FlowTable::Established),
            half_open: count(FlowTable::HalfOpen),
        }
    }

    fn shortest_frame(&self) -> usize {
        SHORTEST_TEST_RUN
    }
}

fn xdp(ebpf: &mut Ebpf) -> &mut Xdp {
    let program = ebpf.program_mut("evenkeel").expect("the program is there");
    program.try_into().expect("an XDP program")
}

fn bytes<const N: usize>(value: &(impl IntoBytes + Immutable)) -> [u8; N] {
    value.as_bytes().try_into().expect("the map's own size")
}
