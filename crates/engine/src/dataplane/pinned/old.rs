//! What an earlier program works with, and what can stay of it.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use abi::layout::Layout;
use abi::limits::{MAX_BACKENDS, MAX_DIRECTORY_LOG2, MAX_SLOTS};
use abi::maps;
use abi::meta::Meta;
use abi::pace;
use abi::reason::Reason;

use super::super::load::{FamilySizes, LASTING, Sizes};
use super::super::map_error;
use super::meta::{foreign, read_meta};
use crate::EngineError;
use crate::bpf::{self, MappedArray, RawMap};
use crate::pins::{PROGRAM, Pins};

/// What an earlier program works with.
pub(super) struct Old {
    pub(super) meta: Meta,
    /// What runs; `None`: it was loaded by a version that did not pin it.
    pub(super) program: Option<OwnedFd>,
    pub(super) maps: BTreeMap<&'static str, OwnedFd>,
    infos: BTreeMap<&'static str, bpf::MapInfo>,
}

impl Old {
    pub(super) fn open(pins: &Pins) -> Result<Self, EngineError> {
        let meta = read_meta(pins)?;
        let mut old = Self {
            meta,
            program: bpf::open(&pins.maps().join(PROGRAM)).ok(),
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

    pub(super) fn raw(
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

    pub(super) fn entries(&self, name: &str) -> u32 {
        self.infos.get(name).map_or(0, |info| info.max_entries)
    }

    /// Whether a map can stay as it is.
    pub(super) fn fits(&self, name: &str, sizes: &Sizes) -> bool {
        let entries = self.entries(name);
        match name {
            maps::LEAD => self.meta.layout == sizes.layout(),
            maps::BACKEND_COUNTERS => entries == sizes.backends,
            // Another version's reasons have other numbers.
            maps::REASON_COUNTERS => {
                entries == Reason::COUNT as u32 && self.meta.version == abi::VERSION
            }
            maps::PACES => entries == pace::COUNT,
            maps::ESTABLISHED_V4 => entries == sizes.v4.established,
            maps::ESTABLISHED_V6 => entries == sizes.v6.established,
            maps::HALF_OPEN_V4 => entries == sizes.v4.half_open,
            maps::HALF_OPEN_V6 => entries == sizes.v6.half_open,
            maps::EXCEPTIONS_V4 => entries == sizes.v4.exceptions,
            maps::EXCEPTIONS_V6 => entries == sizes.v6.exceptions,
            _ => true,
        }
    }

    pub(super) fn lead(&self) -> Result<MappedArray, EngineError> {
        let error = map_error(maps::LEAD, "mmap");
        let map = self.maps.get(maps::LEAD).map(OwnedFd::try_clone);
        let fd = map.unwrap_or_else(|| Err(std::io::ErrorKind::NotFound.into()));
        let length = self.meta.layout.length() as usize;
        fd.and_then(|fd| RawMap::new(fd, 4, length).map(1))
            .map_err(error)
    }
}

impl Sizes {
    /// No less than `times` what there was.
    pub(super) fn raise_to(&mut self, layout: &Layout, times: u64) {
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
