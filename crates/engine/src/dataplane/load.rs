//! Into the kernel.

use std::os::fd::AsFd;

use abi::backend::Backend;
use abi::control::{Control, Settings};
use abi::counters::{BackendCounters, Report};
use abi::directory::BucketV4;
use abi::flow::{FlowKeyV4, FlowV4};
use abi::maps;
use abi::service::Service;
use abi::slot::Slot;
use aya::maps::{Map, MapData};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use zerocopy::IntoBytes;

use super::{DataPlane, load_error, map_error};
use crate::EngineError;
use crate::bpf::RawMap;
use crate::desired::{Desired, Limits};
use crate::image::{self, Image};
use crate::object;

/// Buckets of a directory copy that are there from the start, so that services can be added.
const MIN_DIRECTORY_LOG2: u8 = 8;
/// Likewise, slots of the arena and backends.
const MIN_SLOTS: usize = 1 << 14;
const MIN_BACKENDS: usize = 256;

impl DataPlane {
    /// Loads the program with room for `image` and settings for `desired`. With `report`, every
    /// packet's verdict can be read back ([`Self::last_report`]); that costs time.
    pub fn load(desired: &Desired, image: &Image, report: bool) -> Result<Self, EngineError> {
        Self::load_object(object::XDP, desired, image, report)
    }

    /// [`Self::load`] of the programs of any object with the same maps.
    pub(super) fn load_object(
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
