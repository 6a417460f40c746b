//! With maps that outlive the process.
//!
//! A program is always loaded into a folder of its own (`next`): maps that fit as they are are
//! pinned there a second time, those that do not are made anew and get the content of the old ones.
//! Then the links run the new program, one after the other, and the folder takes the place of the
//! old one. **Both folders hold the same state until then**, so it does not matter where this is
//! interrupted: each interface runs the one program or the other, and the next process finds one
//! folder or the other.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;

use abi::backend::Backend;
use abi::control::{Control, Settings};
use abi::counters::BackendCounters;
use abi::directory::{Active, BucketV4, BucketV6};
use abi::exception::Exception;
use abi::family::{Address as _, Family, V4, V6};
use abi::layout::{self, Layout};
use abi::limits::{MAX_BACKENDS, MAX_DIRECTORY_LOG2, MAX_SERVICES, MAX_SLOTS};
use abi::maps;
use abi::meta::{MAGIC, Meta};
use abi::prefix::PrefixKey as _;
use abi::quic::ServerKey;
use abi::reason::Reason;
use abi::service::Service;
use abi::slot::Slot;
use zerocopy::{FromBytes, FromZeros as _, Immutable, IntoBytes};

use super::load::{FamilySizes, LASTING, Sizes};
use super::{DataPlane, Half, attach, map_error, migrate, program};
use crate::EngineError;
use crate::bpf::{self, MappedArray, RawMap};
use crate::desired::{Desired, Limits, Prefix};
use crate::directory::ip_address;
use crate::image::Image;
use crate::live::PrefixKey;
use crate::object;
use crate::pins::Pins;

/// Entries read from a map by one system call.
const BATCH: usize = 1024;

/// What maps hold that somebody else has filled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// By index; [`Service::protocol`] is 0 where there is none.
    pub services: Vec<Service>,
    /// By index; all zeros where there is none.
    pub backends: Vec<Backend>,
    /// Prefixes and the services they lead to.
    pub prefixes: BTreeMap<PrefixKey, u32>,
    /// Server ids ([`ServerKey`]'s `service` and `id`) and the backends they lead to.
    pub quic_servers: BTreeMap<(u64, u64), u32>,
}

impl DataPlane {
    /// Loads as [`Self::load`] does, with maps that outlive the process.
    pub fn load_pinned(pins: &Pins, desired: &Desired, image: &Image) -> Result<Self, EngineError> {
        let settings = crate::settings(desired, false);
        let sizes = Sizes::of(image, &desired.limits, settings.features);
        pins.prepare()?;
        // Nothing in them leads anywhere.
        pins.keep_links(&[])?;
        let mut plane = Self::build(object::XDP, settings, &sizes, Some(&pins.next()))?;
        write_meta(pins, &Meta::new(sizes.layout(), settings))?;
        plane.pins = Some(pins.clone());
        pins.commit()?;
        Ok(plane)
    }

    /// Goes on with what an earlier process left: the same maps, this version's program, with
    /// settings and room for `desired` besides what there was. Returns with the links exchanged.
    ///
    /// # Errors
    /// The maps are another version's, or the flow seed is another: every flow would move.
    pub fn adopt(pins: &Pins, desired: &Desired, image: &Image) -> Result<Self, EngineError> {
        let old = Old::open(pins)?;
        let before = old.meta;
        let wanted = crate::settings(desired, false);
        if before.flow_seed != wanted.flow_seed {
            return Err(foreign(
                pins,
                format!(
                    "seed: {} is running, {} is wanted, and every flow would move",
                    before.flow_seed, wanted.flow_seed
                ),
            ));
        }
        let settings = crate::settings::both(before.features, before.any_port, &wanted);
        let sizes = Sizes::of(image, &desired.limits, settings.features);
        Self::over(pins, &old, settings, sizes)
    }

    /// The seed of the flows that an earlier process has left.
    pub fn pinned_seed(pins: &Pins) -> Result<u64, EngineError> {
        Ok(read_meta(pins)?.flow_seed)
    }

    /// Whether this plane's program can be exchanged while packets flow.
    #[must_use]
    pub fn can_be_replaced(&self) -> bool {
        self.pins.is_some()
    }

    /// Exchanges the program for one with other settings, with tables as `limits` says, and with room
    /// for no less than `image`, or for twice as much as now if there has to be `more`; while packets
    /// flow.
    pub fn replace(
        &mut self,
        settings: Settings,
        limits: &Limits,
        image: &Image,
        more: bool,
    ) -> Result<(), EngineError> {
        let Some(pins) = self.pins.clone() else {
            return Err(EngineError::RestartNeeded {
                what: "another program: this one's maps are not pinned".into(),
            });
        };
        let attached = std::mem::take(&mut self.attached);
        let mut sizes = Sizes::of(image, limits, settings.features);
        if more {
            sizes.raise_to(&self.layout, 2);
        }
        match Old::open(&pins).and_then(|old| Self::over(&pins, &old, settings, sizes)) {
            Ok(plane) => {
                *self = plane;
                self.attached = attached;
                Ok(())
            }
            Err(error) => {
                self.attached = attached;
                Err(error)
            }
        }
    }

    fn over(
        pins: &Pins,
        old: &Old,
        settings: Settings,
        mut sizes: Sizes,
    ) -> Result<Self, EngineError> {
        sizes.raise_to(&old.meta.layout, 1);
        pins.prepare()?;
        for name in LASTING.iter().filter(|name| old.fits(name, &sizes)) {
            if let Some(map) = old.maps.get(name) {
                bpf::pin(map, &pins.next().join(name))
                    .map_err(|source| pins.error("pin a map in", source))?;
            }
        }
        write_meta(pins, &Meta::new(sizes.layout(), settings))?;
        let mut plane = Self::build(object::XDP, settings, &sizes, Some(&pins.next()))?;
        plane.pins = Some(pins.clone());
        plane.fill_from(old)?;
        plane.fill_tables(old, Pass::Before)?;
        migrate::migrate(&mut plane, old.meta.version)?;
        let control = plane.control();
        plane.v4.active = Some(half(control.directory_v4));
        plane.v6.active = Some(half(control.directory_v6));
        let links: Vec<u32> = pins
            .pinned_links()
            .iter()
            .map(|link| link.interface)
            .filter(|index| *index != 0)
            .collect();
        for index in &links {
            plane.let_leave_by(*index)?;
        }
        for index in links {
            attach::exchange(program(&mut plane.ebpf, "evenkeel")?, pins, index)?;
        }
        plane.fill_tables(old, Pass::After)?;
        pins.commit()?;
        Ok(plane)
    }

    /// What the maps hold.
    pub fn found(&self) -> Result<Found, EngineError> {
        let mut found = Found {
            services: self.read_all(layout::SERVICES, MAX_SERVICES.into()),
            backends: self.read_all(self.layout.backends_at, self.layout.backends),
            ..Found::default()
        };
        self.read_prefixes::<V4>(&mut found)?;
        self.read_prefixes::<V6>(&mut found)?;
        self.quic_servers
            .for_each(BATCH, |key: &ServerKey, backend: &u32| {
                found.quic_servers.insert((key.service, key.id), *backend);
            })
            .map_err(map_error(maps::QUIC_SERVERS, "read"))?;
        Ok(found)
    }

    fn read_prefixes<F: Family>(&self, found: &mut Found) -> Result<(), EngineError> {
        let family = self.family::<F>();
        let error = map_error(family.names.prefixes, "read");
        for key in family.prefixes.keys::<F::PrefixKey>().map_err(&error)? {
            let service: Option<u32> = family.prefixes.get(&key).map_err(&error)?;
            let (address, bits, port, protocol) = key.parts();
            let address = ip_address(&address.stored(), F::IS_V6);
            let (Some(service), Some(prefix)) = (service, Prefix::around(address, bits as u8))
            else {
                continue;
            };
            let key = PrefixKey {
                prefix,
                port: port.get(),
                protocol,
            };
            found.prefixes.insert(key, service);
        }
        Ok(())
    }

    pub(super) fn read_all<V: FromBytes>(&self, at: u64, count: u64) -> Vec<V> {
        let bytes = self.lead.read(at as usize, count as usize * size_of::<V>());
        let values = bytes.chunks_exact(size_of::<V>());
        values
            .filter_map(|bytes| V::read_from_bytes(bytes).ok())
            .collect()
    }

    pub(super) fn control(&self) -> Control {
        let bytes = self
            .lead
            .read(layout::CONTROL as usize, size_of::<Control>());
        Control::read_from_bytes(&bytes).unwrap_or_default()
    }

    /// Gives maps that were made anew what the old ones hold.
    fn fill_from(&mut self, old: &Old) -> Result<(), EngineError> {
        if self.layout != old.meta.layout {
            self.fill_lead(old)?;
        }
        let room = self.layout.backends.min(old.meta.layout.backends) as u32;
        if old.entries(maps::BACKEND_COUNTERS) != self.layout.backends as u32 {
            copy_counters::<BackendCounters>(
                old,
                (maps::BACKEND_COUNTERS, &self.backend_counters),
                room,
                self.cpus,
            )?;
        }
        let reasons = Reason::COUNT as u32;
        let known = old.entries(maps::REASON_COUNTERS).min(reasons);
        if known != 0 && old.entries(maps::REASON_COUNTERS) != reasons {
            let new = (maps::REASON_COUNTERS, &self.reason_counters);
            copy_counters::<u64>(old, new, known, self.cpus)?;
        }
        Ok(())
    }

    /// Gives tables of flows that have another size now the entries of the old ones.
    fn fill_tables(&self, old: &Old, pass: Pass) -> Result<(), EngineError> {
        self.fill_family::<V4>(old, pass)?;
        self.fill_family::<V6>(old, pass)
    }

    fn fill_family<F: Family>(&self, old: &Old, pass: Pass) -> Result<(), EngineError> {
        let family = self.family::<F>();
        let names = &family.names;
        let copy = |name, map| copy_flows::<F::FlowKey, F::Flow>(old, (name, map), pass);
        copy(names.established, &family.established)?;
        copy(names.half_open, &family.half_open)?;
        let exceptions = (names.exceptions, &family.exceptions);
        copy_flows::<F::FlowKey, Exception>(old, exceptions, pass)
    }

    fn fill_lead(&mut self, old: &Old) -> Result<(), EngineError> {
        let (from, to) = (old.meta.layout, self.layout);
        let lead = old.lead()?;
        let copy = |from: u64, to: u64, bytes: u64| {
            self.lead
                .write(to as usize, &lead.read(from as usize, bytes as usize));
        };
        let services = u64::from(MAX_SERVICES) * size_of::<Service>() as u64;
        copy(layout::SERVICES, layout::SERVICES, services);
        copy(
            from.backends_at,
            to.backends_at,
            from.backends * size_of::<Backend>() as u64,
        );
        copy(
            from.slots_at,
            to.slots_at,
            from.slots * size_of::<Slot>() as u64,
        );
        let bytes = lead.read(layout::CONTROL as usize, size_of::<Control>());
        let mut control = Control::read_from_bytes(&bytes).unwrap_or_default();
        // The active copies become the first ones.
        for (active, size, from, to) in [
            (
                &mut control.directory_v4,
                size_of::<BucketV4>() as u64,
                layout::DIRECTORY_V4,
                layout::DIRECTORY_V4,
            ),
            (
                &mut control.directory_v6,
                size_of::<BucketV6>() as u64,
                from.directory_v6_at,
                to.directory_v6_at,
            ),
        ] {
            let first = u64::from(active.first_bucket());
            copy(from + first * size, to, u64::from(active.buckets()) * size);
            *active = active.moved_to(0);
        }
        self.lead.write(layout::CONTROL as usize, &[control]);
        Ok(())
    }
}

/// Which copy a word of [`Control`] names.
fn half(active: Active) -> Half {
    match active.first_bucket() {
        0 => Half::First,
        _ => Half::Second,
    }
}

fn copy_counters<V>(
    old: &Old,
    (name, new): (&'static str, &RawMap),
    count: u32,
    cpus: usize,
) -> Result<(), EngineError>
where
    V: FromBytes + IntoBytes + Immutable + Clone,
{
    let Some(map) = old.raw(name, 4, size_of::<V>())? else {
        return Ok(());
    };
    for index in 0..count {
        let values: Vec<V> = map
            .get_per_cpu(index, cpus)
            .map_err(map_error(name, "read"))?;
        new.set_each_cpu(index, &values)
            .map_err(map_error(name, "write"))?;
    }
    Ok(())
}

/// What an earlier program works with.
struct Old {
    meta: Meta,
    maps: BTreeMap<&'static str, OwnedFd>,
    infos: BTreeMap<&'static str, bpf::MapInfo>,
}

impl Old {
    fn open(pins: &Pins) -> Result<Self, EngineError> {
        let meta = read_meta(pins)?;
        let mut old = Self {
            meta,
            maps: BTreeMap::new(),
            infos: BTreeMap::new(),
        };
        for name in LASTING {
            let map = bpf::open(&pins.maps().join(name))
                .map_err(|source| pins.error("open a map in", source))?;
            let info = bpf::map_info(&map).map_err(map_error(name, "describe"))?;
            old.infos.insert(name, info);
            old.maps.insert(name, map);
        }
        let found = old.infos.get(maps::LEAD).map_or(0, |info| info.value_size);
        let layout = meta.layout;
        let whole = Layout::new(
            layout.buckets_v4,
            layout.buckets_v6,
            layout.backends,
            layout.slots,
        );
        if layout != whole || u64::from(found) != layout.length() {
            return Err(foreign(
                pins,
                format!(
                    "its map {} has {found} bytes, which are not laid out as it says: {layout:?}",
                    maps::LEAD
                ),
            ));
        }
        Ok(old)
    }

    fn raw(
        &self,
        name: &'static str,
        key_size: usize,
        value_size: usize,
    ) -> Result<Option<RawMap>, EngineError> {
        let Some(map) = self.maps.get(name) else {
            return Ok(None);
        };
        let fd = map.try_clone().map_err(map_error(name, "dup"))?;
        Ok(Some(RawMap::new(fd, key_size, value_size)))
    }

    fn entries(&self, name: &str) -> u32 {
        self.infos.get(name).map_or(0, |info| info.max_entries)
    }

    /// Whether a map can stay as it is.
    fn fits(&self, name: &str, sizes: &Sizes) -> bool {
        let entries = self.entries(name);
        match name {
            maps::LEAD => self.meta.layout == sizes.layout(),
            maps::BACKEND_COUNTERS => entries == sizes.backends,
            maps::REASON_COUNTERS => entries == Reason::COUNT as u32,
            maps::ESTABLISHED_V4 => entries == sizes.v4.established,
            maps::ESTABLISHED_V6 => entries == sizes.v6.established,
            maps::HALF_OPEN_V4 => entries == sizes.v4.half_open,
            maps::HALF_OPEN_V6 => entries == sizes.v6.half_open,
            maps::EXCEPTIONS_V4 => entries == sizes.v4.exceptions,
            maps::EXCEPTIONS_V6 => entries == sizes.v6.exceptions,
            _ => true,
        }
    }

    fn lead(&self) -> Result<MappedArray, EngineError> {
        let error = map_error(maps::LEAD, "mmap");
        let map = self.maps.get(maps::LEAD).map(OwnedFd::try_clone);
        let fd = map.unwrap_or_else(|| Err(std::io::ErrorKind::NotFound.into()));
        let length = self.meta.layout.length() as usize;
        fd.and_then(|fd| RawMap::new(fd, 4, length).map(1))
            .map_err(error)
    }
}

/// When entries are copied to a table of another size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// While the old program fills the old table.
    Before,
    /// When the new program fills the new one: what came between.
    After,
}

/// Copies a table to one of another size. Flows that begin between the two passes are known again
/// after the second one, some milliseconds later.
fn copy_flows<K, V>(
    old: &Old,
    (name, new): (&'static str, &RawMap),
    pass: Pass,
) -> Result<(), EngineError>
where
    K: FromBytes + IntoBytes + Immutable + Clone,
    V: FromBytes + IntoBytes + Immutable + Clone,
{
    let entries = new.info().map_err(map_error(name, "describe"))?.max_entries;
    if old.entries(name) == entries {
        return Ok(());
    }
    let Some(map) = old.raw(name, size_of::<K>(), size_of::<V>())? else {
        return Ok(());
    };
    let mut result = Ok(());
    map.for_each(BATCH, |key: &K, value: &V| {
        if result.is_ok() {
            result = match pass {
                Pass::Before => new.set(key, value),
                Pass::After => new.insert(key, value).map(drop),
            };
        }
    })
    .map_err(map_error(name, "read"))?;
    result.map_err(map_error(name, "fill"))
}

impl Sizes {
    /// No less than `times` what there was.
    fn raise_to(&mut self, layout: &Layout, times: u64) {
        let slots = (layout.slots * times).min(MAX_SLOTS.into());
        let backends = (layout.backends * times).min(MAX_BACKENDS.into());
        self.slots = self.slots.max(slots as usize);
        self.backends = self.backends.max(backends as u32);
        self.v4.raise_directory(layout.buckets_v4 * times);
        self.v6.raise_directory(layout.buckets_v6 * times);
    }
}

impl FamilySizes {
    fn raise_directory(&mut self, buckets: u64) {
        let log2 = ((buckets / 2).max(1).ilog2() as u8).min(MAX_DIRECTORY_LOG2);
        self.directory_log2 = self.directory_log2.max(log2);
    }
}

fn foreign(pins: &Pins, problem: String) -> EngineError {
    EngineError::Foreign {
        path: pins.root().to_owned(),
        problem,
    }
}

fn read_meta(pins: &Pins) -> Result<Meta, EngineError> {
    let map = bpf::open(&pins.maps().join(maps::META))
        .map_err(|source| pins.error("open a map in", source))?;
    let info = bpf::map_info(&map).map_err(map_error(maps::META, "describe"))?;
    if info.value_size as usize != size_of::<Meta>() {
        return Err(foreign(pins, "these are not maps of evenkeel".into()));
    }
    let map = RawMap::new(map, 4, size_of::<Meta>());
    let meta: Meta = map
        .get(&0_u32)
        .map_err(map_error(maps::META, "read"))?
        .unwrap_or_else(Meta::new_zeroed);
    if meta.magic != MAGIC {
        return Err(foreign(pins, "these are not maps of evenkeel".into()));
    }
    if meta.version != abi::VERSION && !migrate::EARLIER.contains(&meta.version) {
        return Err(foreign(
            pins,
            format!(
                "expected maps of version {}, found version {}",
                abi::VERSION,
                meta.version
            ),
        ));
    }
    Ok(meta)
}

fn write_meta(pins: &Pins, meta: &Meta) -> Result<(), EngineError> {
    let fd = bpf::create_array(maps::META, size_of::<Meta>() as u32)
        .map_err(map_error(maps::META, "create"))?;
    let path: &Path = &pins.next().join(maps::META);
    bpf::pin(&fd, path).map_err(|source| pins.error("pin a map in", source))?;
    RawMap::new(fd, 4, size_of::<Meta>())
        .set(&0_u32, meta)
        .map_err(map_error(maps::META, "write"))
}
