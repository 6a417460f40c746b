//! The loaded program and its maps: load, write, attach, read, test-run.

#[cfg(feature = "bench")]
mod bench;

use std::os::fd::AsFd;

use abi::backend::Backend;
use abi::control::{Control, Settings};
use abi::counters::{BackendCounters, Report};
use abi::directory::BucketV4;
use abi::flow::{FlowKeyV4, FlowV4};
use abi::maps;
use abi::reason::Reason;
use abi::service::Service;
use abi::slot::Slot;
use aya::maps::{Map, MapData};
use aya::programs::xdp::XdpLinkId;
use aya::programs::{TestRun, TestRunOptions, Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};
use zerocopy::IntoBytes;

use crate::EngineError;
use crate::bpf::{MappedArray, RawMap};
use crate::desired::{Desired, Limits};
use crate::image::{self, Image};
use crate::object;

#[cfg(feature = "bench")]
pub use bench::ProgramFacts;

/// Buckets of a directory copy that are there from the start, so that services can be added.
const MIN_DIRECTORY_LOG2: u8 = 8;
/// Likewise, slots of the arena and backends.
const MIN_SLOTS: usize = 1 << 14;
const MIN_BACKENDS: usize = 256;
/// Entries read from a flow table by one system call.
const SWEEP_BATCH: usize = 4096;
/// Room for what a program may add in front of a frame under test.
const TEST_HEADROOM: usize = 256;

/// XDP actions, from the kernel's include/uapi/linux/bpf.h.
pub mod action {
    /// `XDP_ABORTED`.
    pub const ABORTED: u32 = 0;
    /// `XDP_DROP`.
    pub const DROP: u32 = 1;
    /// `XDP_PASS`.
    pub const PASS: u32 = 2;
    /// `XDP_TX`.
    pub const TX: u32 = 3;
    /// `XDP_REDIRECT`.
    pub const REDIRECT: u32 = 4;
}

/// How the program is to be run by an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver, else in the stack.
    #[default]
    Auto,
    /// In the driver, before the kernel allocates anything for the packet.
    Native,
    /// In the network stack: works with every driver, at a fraction of the speed.
    Generic,
}

/// What became of [`AttachMode::Auto`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachedMode {
    /// In the driver.
    Native,
    /// In the network stack.
    Generic,
}

impl AttachedMode {
    /// `native` or `generic`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// How an interface runs the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Where it runs.
    pub mode: AttachedMode,
    /// Why not in the driver, if that was tried.
    pub native_refused: Option<String>,
}

/// Which table of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowTable {
    /// Handshake complete.
    Established,
    /// The others.
    HalfOpen,
}

/// What one frame became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestOutcome {
    /// One of [`action`].
    pub action: u32,
    /// The frame after the program.
    pub frame: Vec<u8>,
    /// Mean run time in nanoseconds, of all repetitions.
    pub nanoseconds: u32,
}

/// The program, loaded, with its maps.
#[derive(Debug)]
pub struct DataPlane {
    ebpf: Ebpf,
    links: Vec<(String, XdpLinkId)>,
    control: MappedArray,
    directory: MappedArray,
    /// Whether the active directory is the second copy.
    second_copy: bool,
    slots: MappedArray,
    services: RawMap,
    backends: RawMap,
    established: RawMap,
    half_open: RawMap,
    backend_counters: RawMap,
    reason_counters: RawMap,
    interfaces: RawMap,
    report: RawMap,
    cpus: usize,
}

impl DataPlane {
    /// Loads the program with room for `image` and settings for `desired`. With `report`, every
    /// packet's verdict can be read back ([`Self::last_report`]); that costs time.
    pub fn load(desired: &Desired, image: &Image, report: bool) -> Result<Self, EngineError> {
        Self::load_object(object::XDP, desired, image, report)
    }

    /// [`Self::load`] of the programs of any object with the same maps.
    fn load_object(
        object: &[u8],
        desired: &Desired,
        image: &Image,
        report: bool,
    ) -> Result<Self, EngineError> {
        let settings = image::settings(desired, report);
        let sizes = Sizes::of(image, &desired.limits);
        let mut ebpf = load_maps(object, &settings, &sizes)?;
        for (_, program) in ebpf.programs_mut() {
            let program: &mut Xdp = program.try_into().map_err(load_error)?;
            program.load().map_err(load_error)?;
        }
        let cpus = aya::util::nr_cpus()
            .map_err(|(file, error)| EngineError::Load(format!("{file}: {error}")))?;
        let map = |name, key_size, value_size| raw_map(&ebpf, name, key_size, value_size);
        let failed = |map, source| EngineError::Map {
            map,
            operation: "mmap",
            source,
        };
        let control = map(maps::CONTROL, 4, size_of::<Control>())?
            .map(1)
            .map_err(|error| failed(maps::CONTROL, error))?;
        let directory = map(maps::DIRECTORY_V4, 4, size_of::<BucketV4>())?
            .map(2 << sizes.directory_log2)
            .map_err(|error| failed(maps::DIRECTORY_V4, error))?;
        let slots = map(maps::SLOTS, 4, size_of::<Slot>())?
            .map(sizes.slots)
            .map_err(|error| failed(maps::SLOTS, error))?;
        Ok(Self {
            control,
            directory,
            second_copy: false,
            slots,
            services: map(maps::SERVICES, 4, size_of::<Service>())?,
            backends: map(maps::BACKENDS, 4, size_of::<Backend>())?,
            established: map(
                maps::ESTABLISHED_V4,
                size_of::<FlowKeyV4>(),
                size_of::<FlowV4>(),
            )?,
            half_open: map(
                maps::HALF_OPEN_V4,
                size_of::<FlowKeyV4>(),
                size_of::<FlowV4>(),
            )?,
            backend_counters: map(maps::BACKEND_COUNTERS, 4, size_of::<BackendCounters>())?,
            reason_counters: map(maps::REASON_COUNTERS, 4, 8)?,
            interfaces: map(maps::INTERFACES, 4, 8)?,
            report: map(maps::REPORT, 4, size_of::<Report>())?,
            cpus,
            links: Vec::new(),
            ebpf,
        })
    }

    /// Writes everything: backends first, the directory that leads to them last.
    pub fn write(&mut self, image: &Image) -> Result<(), EngineError> {
        if image.slots.len() > self.slots.capacity::<Slot>() {
            return Err(EngineError::TooMany {
                what: "ring slots",
                found: image.slots.len(),
                limit: self.slots.capacity::<Slot>(),
            });
        }
        for (index, backend) in image.backends.iter().enumerate() {
            self.write_backend(index as u32, backend)?;
        }
        self.slots.write(0, &image.slots);
        for (index, service) in image.services.iter().enumerate() {
            let index = index as u32;
            self.services
                .set(&index, service)
                .map_err(map_error(maps::SERVICES, "write"))?;
        }
        self.write_directory(image)
    }

    /// Writes one backend, for instance because its next hop changed.
    pub fn write_backend(&self, index: u32, backend: &Backend) -> Result<(), EngineError> {
        self.backends
            .set(&index, backend)
            .map_err(map_error(maps::BACKENDS, "write"))
    }

    /// Writes only what differs between two images of the same services: next hops, and the
    /// directory if `nat`'s source addresses changed with them.
    pub fn write_next_hops(&mut self, old: &Image, new: &Image) -> Result<(), EngineError> {
        for (index, (old, new)) in old.backends.iter().zip(&new.backends).enumerate() {
            if old != new {
                self.write_backend(index as u32, new)?;
            }
        }
        if old.directory != new.directory {
            self.write_directory(new)?;
        }
        Ok(())
    }

    /// Writes the directory's inactive copy and makes it the active one.
    pub fn write_directory(&mut self, image: &Image) -> Result<(), EngineError> {
        let copy = self.directory.capacity::<BucketV4>() / 2;
        if image.directory.buckets.len() > copy {
            return Err(EngineError::TooMany {
                what: "directory buckets",
                found: image.directory.buckets.len(),
                limit: copy,
            });
        }
        self.second_copy = !self.second_copy;
        let first = if self.second_copy { copy } else { 0 };
        self.directory.write(first, &image.directory.buckets);
        let directory_v4 = image.directory.active(first as u32);
        self.control.write(0, &[Control { directory_v4 }]);
        Ok(())
    }

    /// Attaches to an interface and lets packets leave by it. Detached when `self` is dropped.
    pub fn attach(
        &mut self,
        name: &str,
        index: u32,
        mode: AttachMode,
    ) -> Result<Attachment, EngineError> {
        // struct bpf_devmap_val: interface index, and no program for what leaves.
        self.interfaces
            .set(&index, &[index, 0])
            .map_err(map_error(maps::INTERFACES, "write"))?;
        let mut native_refused = None;
        if mode != AttachMode::Generic {
            match self.attach_as(name, index, AttachedMode::Native) {
                Ok(()) => {
                    return Ok(Attachment {
                        mode: AttachedMode::Native,
                        native_refused,
                    });
                }
                Err(error) if mode == AttachMode::Native => return Err(error),
                Err(error) => native_refused = Some(error.to_string()),
            }
        }
        self.attach_as(name, index, AttachedMode::Generic)?;
        Ok(Attachment {
            mode: AttachedMode::Generic,
            native_refused,
        })
    }

    fn attach_as(&mut self, name: &str, index: u32, mode: AttachedMode) -> Result<(), EngineError> {
        let flag = match mode {
            AttachedMode::Native => XdpMode::Driver,
            AttachedMode::Generic => XdpMode::Skb,
        };
        let link = program(&mut self.ebpf, "evenkeel")?
            .attach_to_if_index(index, flag)
            .map_err(|error| EngineError::Attach {
                interface: name.into(),
                mode: mode.name(),
                reason: chain(&error),
            })?;
        self.links.push((name.into(), link));
        Ok(())
    }

    /// Detaches from every interface.
    pub fn detach(&mut self) -> Result<(), EngineError> {
        for (name, link) in std::mem::take(&mut self.links) {
            program(&mut self.ebpf, "evenkeel")?
                .detach(link)
                .map_err(|error| EngineError::Attach {
                    interface: name,
                    mode: "any",
                    reason: chain(&error),
                })?;
        }
        Ok(())
    }

    /// Runs the program on a frame without any interface, `repeat` times.
    pub fn test_run(&mut self, frame: &[u8], repeat: u32) -> Result<TestOutcome, EngineError> {
        self.run("evenkeel", frame, repeat)
    }

    /// The kernel's jiffies (low 32 bits), which flows carry as their age.
    pub fn now(&mut self) -> Result<u32, EngineError> {
        self.run("clock", &[0; 14], 1).map(|outcome| outcome.action)
    }

    fn run(&mut self, name: &str, frame: &[u8], repeat: u32) -> Result<TestOutcome, EngineError> {
        let mut output = vec![0; frame.len() + TEST_HEADROOM];
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.data_out = Some(&mut output);
        options.repeat = repeat;
        let result = program(&mut self.ebpf, name)?
            .test_run(options)
            .map_err(|error| EngineError::TestRun {
                length: frame.len(),
                reason: chain(&error),
            })?;
        output.truncate(result.data_size_out as usize);
        Ok(TestOutcome {
            action: result.return_value,
            frame: output,
            nanoseconds: u32::try_from(result.duration.as_nanos()).unwrap_or(u32::MAX),
        })
    }

    /// What became of the last packet, if the program was loaded to report.
    pub fn last_report(&self) -> Result<Report, EngineError> {
        self.report
            .get(&0_u32)
            .map(Option::unwrap_or_default)
            .map_err(map_error(maps::REPORT, "read"))
    }

    /// Packets by reason number, over all CPUs.
    pub fn reason_counters(&self) -> Result<Vec<u64>, EngineError> {
        (0..Reason::COUNT as u32)
            .map(|reason| {
                let counts: Vec<u64> = self
                    .reason_counters
                    .get_per_cpu(reason, self.cpus)
                    .map_err(map_error(maps::REASON_COUNTERS, "read"))?;
                Ok(counts.iter().sum())
            })
            .collect()
    }

    /// A backend's counters, over all CPUs.
    pub fn backend_counters(&self, index: u32) -> Result<BackendCounters, EngineError> {
        let counts: Vec<BackendCounters> = self
            .backend_counters
            .get_per_cpu(index, self.cpus)
            .map_err(map_error(maps::BACKEND_COUNTERS, "read"))?;
        Ok(counts
            .iter()
            .fold(BackendCounters::default(), |sum, one| BackendCounters {
                packets: sum.packets + one.packets,
                bytes: sum.bytes + one.bytes,
                reply_packets: sum.reply_packets + one.reply_packets,
                reply_bytes: sum.reply_bytes + one.reply_bytes,
                new_flows: sum.new_flows + one.new_flows,
                reserved: [0; 3],
            }))
    }

    /// Calls `visit` with every entry of a flow table.
    pub fn for_each_flow(
        &self,
        table: FlowTable,
        visit: impl FnMut(&FlowKeyV4, &FlowV4),
    ) -> Result<(), EngineError> {
        let (map, name) = self.flows(table);
        map.for_each(SWEEP_BATCH, visit)
            .map_err(map_error(name, "read"))
    }

    /// An entry of a flow table.
    pub fn flow(&self, table: FlowTable, key: &FlowKeyV4) -> Result<Option<FlowV4>, EngineError> {
        let (map, name) = self.flows(table);
        map.get(key).map_err(map_error(name, "read"))
    }

    /// Enters or replaces an entry of a flow table.
    pub fn set_flow(
        &self,
        table: FlowTable,
        key: &FlowKeyV4,
        flow: &FlowV4,
    ) -> Result<(), EngineError> {
        let (map, name) = self.flows(table);
        map.set(key, flow).map_err(map_error(name, "write"))
    }

    /// Removes an entry of a flow table; says whether it was there.
    pub fn remove_flow(&self, table: FlowTable, key: &FlowKeyV4) -> Result<bool, EngineError> {
        let (map, name) = self.flows(table);
        map.remove(key).map_err(map_error(name, "delete"))
    }

    fn flows(&self, table: FlowTable) -> (&RawMap, &'static str) {
        match table {
            FlowTable::Established => (&self.established, maps::ESTABLISHED_V4),
            FlowTable::HalfOpen => (&self.half_open, maps::HALF_OPEN_V4),
        }
    }
}

/// Name of a loaded program, to tell the user whose it is.
#[must_use]
pub fn program_name(id: u32) -> Option<String> {
    aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .find(|info| info.id() == id)
        .and_then(|info| info.name_as_str().map(str::to_owned))
}

/// Sizes of the maps that are sized at load.
struct Sizes {
    directory_log2: u8,
    slots: usize,
    backends: usize,
    /// Entries: two for each flow.
    established: u32,
    half_open: u32,
}

impl Sizes {
    /// More than what is needed, so that a change of configuration finds room.
    fn of(image: &Image, limits: &Limits) -> Self {
        Self {
            directory_log2: (image.directory.log2 + 1).max(MIN_DIRECTORY_LOG2),
            slots: (image.slots.len() / 2 * 3).max(MIN_SLOTS),
            backends: (image.backends.len() * 2)
                .next_power_of_two()
                .max(MIN_BACKENDS),
            established: limits.flows.saturating_mul(2),
            half_open: limits.half_open_flows.saturating_mul(2),
        }
    }
}

fn load_maps(object: &[u8], settings: &Settings, sizes: &Sizes) -> Result<Ebpf, EngineError> {
    let backends = sizes.backends as u32;
    EbpfLoader::new()
        .override_global(maps::SETTINGS, settings.as_bytes(), true)
        .map_max_entries(maps::DIRECTORY_V4, 2 << sizes.directory_log2)
        .map_max_entries(maps::SLOTS, sizes.slots as u32)
        .map_max_entries(maps::BACKENDS, backends)
        .map_max_entries(maps::BACKEND_COUNTERS, backends)
        .map_max_entries(maps::ESTABLISHED_V4, sizes.established)
        .map_max_entries(maps::HALF_OPEN_V4, sizes.half_open)
        .load(object)
        .map_err(load_error)
}

fn program<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut Xdp, EngineError> {
    ebpf.program_mut(name)
        .ok_or_else(|| EngineError::Load(format!("the object has no program {name}")))?
        .try_into()
        .map_err(load_error)
}

fn raw_map(
    ebpf: &Ebpf,
    name: &'static str,
    key_size: usize,
    value_size: usize,
) -> Result<RawMap, EngineError> {
    let map = ebpf
        .map(name)
        .ok_or_else(|| EngineError::Load(format!("the object has no map {name}")))?;
    let fd = data(map)
        .ok_or_else(|| EngineError::Load(format!("map {name} is of an unexpected type")))?
        .fd()
        .as_fd()
        .try_clone_to_owned()
        .map_err(map_error(name, "dup"))?;
    Ok(RawMap::new(fd, key_size, value_size))
}

fn data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data)
        | Map::PerCpuArray(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::DevMapHash(data) => Some(data),
        _ => None,
    }
}

fn map_error(map: &'static str, operation: &'static str) -> impl Fn(std::io::Error) -> EngineError {
    move |source| EngineError::Map {
        map,
        operation,
        source,
    }
}

fn load_error(error: impl std::error::Error) -> EngineError {
    EngineError::Load(chain(&error))
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
