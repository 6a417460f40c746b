//! Into the kernel.

use std::os::fd::AsFd;
use std::path::Path;

use abi::control::{Settings, feature};
use abi::counters::{BackendCounters, Report};
use abi::exception::Exception;
use abi::family::{Family, V4, V6};
use abi::layout::Layout;
use abi::limits::MAX_SLOTS;
use abi::maps;
use abi::pace::Pace;
use abi::quic::ServerKey;
use aya::maps::{Map, MapData};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use zerocopy::IntoBytes;

use super::{DataPlane, FamilyMaps, FamilyNames, load_error, map_error};
use crate::EngineError;
use crate::bpf::RawMap;
use crate::desired::{Desired, Limits};
use crate::image::Image;
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
        let settings = crate::settings(desired, report);
        Self::load_object(object::XDP, settings, &desired.limits, image)
    }

    /// [`Self::load`], with these very settings, of the programs of any object with the same maps.
    pub(super) fn load_object(
        object: &[u8],
        settings: Settings,
        limits: &Limits,
        image: &Image,
    ) -> Result<Self, EngineError> {
        let sizes = Sizes::of(image, limits, settings.features);
        Self::build(object, settings, &sizes, None)
    }

    /// Loads, with the maps that are pinned in a folder; those that are not there yet are pinned.
    pub(super) fn build(
        object: &[u8],
        settings: Settings,
        sizes: &Sizes,
        folder: Option<&Path>,
    ) -> Result<Self, EngineError> {
        let layout = sizes.layout();
        let mut ebpf = load_maps(object, &settings, sizes, folder)?;
        for (_, program) in ebpf.programs_mut() {
            let program: &mut Xdp = program.try_into().map_err(load_error)?;
            program.load().map_err(load_error)?;
        }
        let cpus = aya::util::nr_cpus()
            .map_err(|(file, error)| EngineError::Load(format!("{file}: {error}")))?;
        let map = |name, key_size, value_size| raw_map(&ebpf, name, key_size, value_size);
        Ok(Self {
            lead: map(maps::LEAD, 4, layout.length() as usize)?
                .map(1)
                .map_err(map_error(maps::LEAD, "mmap"))?,
            layout,
            quic_servers: map(maps::QUIC_SERVERS, size_of::<ServerKey>(), 4)?,
            v4: family_maps::<V4>(&ebpf, V4_NAMES)?,
            v6: family_maps::<V6>(&ebpf, V6_NAMES)?,
            paces: map(maps::PACES, 4, size_of::<Pace>())?,
            backend_counters: map(maps::BACKEND_COUNTERS, 4, size_of::<BackendCounters>())?,
            reason_counters: map(maps::REASON_COUNTERS, 4, 8)?,
            interfaces: map(maps::INTERFACES, 4, 8)?,
            report: map(maps::REPORT, 4, size_of::<Report>())?,
            cpus,
            attached: Vec::new(),
            pins: None,
            settings,
            ebpf,
        })
    }
}

const V4_NAMES: FamilyNames = FamilyNames {
    prefixes: maps::PREFIXES_V4,
    established: maps::ESTABLISHED_V4,
    half_open: maps::HALF_OPEN_V4,
    exceptions: maps::EXCEPTIONS_V4,
};

const V6_NAMES: FamilyNames = FamilyNames {
    prefixes: maps::PREFIXES_V6,
    established: maps::ESTABLISHED_V6,
    half_open: maps::HALF_OPEN_V6,
    exceptions: maps::EXCEPTIONS_V6,
};

/// Sizes of the maps that are sized at load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) slots: usize,
    pub(super) backends: u32,
    pub(super) v4: FamilySizes,
    pub(super) v6: FamilySizes,
}

/// Entries of one family's maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FamilySizes {
    /// log2 of the buckets of one copy.
    pub(super) directory_log2: u8,
    /// Two for each flow.
    pub(super) established: u32,
    pub(super) half_open: u32,
    pub(super) exceptions: u32,
}

impl Sizes {
    /// More than what is needed, so that a change of configuration finds room.
    pub(super) fn of(image: &Image, limits: &Limits, features: u32) -> Self {
        let backends = (image.backends.len() * 2).next_power_of_two();
        let (v4, v6) = (image.directory.log2, image.directory_v6.log2);
        Self {
            slots: room_for_slots(image.slots.len()),
            backends: backends.max(MIN_BACKENDS) as u32,
            v4: FamilySizes::of(v4, limits, features, feature::IPV4),
            v6: FamilySizes::of(v6, limits, features, feature::IPV6),
        }
    }
}

/// Once more than what is needed, so that a reload may replace every service: old rings stay for a
/// while. No more than [`MAX_SLOTS`]: beyond these 512 MB the verifier refuses to follow an index.
fn room_for_slots(needed: usize) -> usize {
    (needed * 2).clamp(MIN_SLOTS, MAX_SLOTS as usize)
}

impl Sizes {
    /// Both copies of the directories, and the rest.
    pub(super) fn layout(&self) -> Layout {
        let buckets = |sizes: &FamilySizes| 2 << sizes.directory_log2;
        let (v4, v6) = (buckets(&self.v4), buckets(&self.v6));
        Layout::new(v4, v6, self.backends.into(), self.slots as u64)
    }
}

impl FamilySizes {
    /// A family, and tables of flows, that no service uses get no room: none can be added without
    /// loading anew.
    fn of(directory_log2: u8, limits: &Limits, features: u32, family: u32) -> Self {
        let has = |bits: u32| features & family != 0 && features & bits != 0;
        let entries = |used: bool, entries: u32| if used { entries.max(1) } else { 1 };
        let nat = has(feature::NAT);
        let others = has(feature::ALL & !(FAMILIES | feature::NAT));
        Self {
            directory_log2: if has(family) {
                (directory_log2 + 1).max(MIN_DIRECTORY_LOG2)
            } else {
                directory_log2
            },
            established: entries(nat, limits.flows.saturating_mul(2)),
            half_open: entries(nat, limits.half_open_flows.saturating_mul(2)),
            exceptions: entries(others, limits.exceptions),
        }
    }
}

/// Bits of families.
const FAMILIES: u32 = feature::IPV4 | feature::IPV6 | feature::ECHO;

/// The maps whose content outlives a program. The others are filled anew with each, or hold nothing
/// from one packet to the next.
pub(super) const LASTING: [&str; 15] = [
    maps::LEAD,
    maps::PREFIXES_V4,
    maps::PREFIXES_V6,
    maps::QUIC_SERVERS,
    maps::ESTABLISHED_V4,
    maps::ESTABLISHED_V6,
    maps::HALF_OPEN_V4,
    maps::HALF_OPEN_V6,
    maps::EXCEPTIONS_V4,
    maps::EXCEPTIONS_V6,
    maps::FRAGMENTS_V4,
    maps::FRAGMENTS_V6,
    maps::PACES,
    maps::BACKEND_COUNTERS,
    maps::REASON_COUNTERS,
];

fn load_maps(
    object: &[u8],
    settings: &Settings,
    sizes: &Sizes,
    folder: Option<&Path>,
) -> Result<Ebpf, EngineError> {
    let layout = sizes.layout();
    let object = object::sized(object, &layout)?;
    let mut loader = EbpfLoader::new();
    loader
        .override_global(maps::SETTINGS, settings.as_bytes(), true)
        .override_global(maps::LAYOUT, layout.as_bytes(), true)
        .map_max_entries(maps::BACKEND_COUNTERS, sizes.backends);
    for (names, sizes) in [(V4_NAMES, &sizes.v4), (V6_NAMES, &sizes.v6)] {
        loader
            .map_max_entries(names.established, sizes.established)
            .map_max_entries(names.half_open, sizes.half_open)
            .map_max_entries(names.exceptions, sizes.exceptions);
    }
    if let Some(folder) = folder {
        for name in LASTING {
            loader.map_pin_path(name, folder.join(name));
        }
    }
    loader.load(&object).map_err(load_error)
}

fn family_maps<F: Family>(ebpf: &Ebpf, names: FamilyNames) -> Result<FamilyMaps, EngineError> {
    let key = size_of::<F::FlowKey>();
    let flows = |name| raw_map(ebpf, name, key, size_of::<F::Flow>());
    Ok(FamilyMaps {
        active: None,
        prefixes: raw_map(ebpf, names.prefixes, size_of::<F::PrefixKey>(), 4)?,
        established: flows(names.established)?,
        half_open: flows(names.half_open)?,
        exceptions: raw_map(ebpf, names.exceptions, key, size_of::<Exception>())?,
        names,
    })
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
        | Map::LpmTrie(data)
        | Map::DevMapHash(data) => Some(data),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_every_slot_and_never_more_than_can_be_loaded() {
        let most = MAX_SLOTS as usize;
        for (needed, room) in [
            (0, MIN_SLOTS),
            (MIN_SLOTS, 2 * MIN_SLOTS),
            (most / 2 + 1, most),
            (most, most),
        ] {
            assert_eq!(room_for_slots(needed), room, "{needed}");
        }
    }
}
