//! What an earlier program works with, and what can stay of it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
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
    maps: BTreeMap<&'static str, OldMap>,
}

/// One of its maps.
struct OldMap {
    fd: OwnedFd,
    info: bpf::MapInfo,
}

impl Old {
    pub(super) fn open(pins: &Pins) -> Result<Self, EngineError> {
        let meta = read_meta(pins)?;
        let mut old = Self {
            meta,
            program: bpf::open(&pins.maps().join(PROGRAM)).ok(),
            maps: BTreeMap::new(),
        };
        for name in LASTING {
            let fd = bpf::open(&pins.maps().join(name))
                .map_err(|source| pins.error("open a map in", source))?;
            let info = bpf::map_info(&fd).map_err(map_error(name, "describe"))?;
            old.maps.insert(name, OldMap { fd, info });
        }
        let found = old.map(maps::LEAD)?.info.value_size;
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

    /// One of [`LASTING`].
    fn map(&self, name: &'static str) -> Result<&OldMap, EngineError> {
        let absent = || map_error(name, "find")(ErrorKind::NotFound.into());
        self.maps.get(name).ok_or_else(absent)
    }

    pub(super) fn fd(&self, name: &'static str) -> Result<&OwnedFd, EngineError> {
        self.map(name).map(|map| &map.fd)
    }

    pub(super) fn raw(
        &self,
        name: &'static str,
        key_size: usize,
        value_size: usize,
    ) -> Result<RawMap, EngineError> {
        let fd = self.fd(name)?.try_clone();
        let fd = fd.map_err(map_error(name, "dup"))?;
        Ok(RawMap::new(fd, key_size, value_size))
    }

    pub(super) fn entries(&self, name: &'static str) -> Result<u32, EngineError> {
        self.map(name).map(|map| map.info.max_entries)
    }

    /// Whether a map can stay as it is.
    pub(super) fn fits(&self, name: &'static str, sizes: &Sizes) -> Result<bool, EngineError> {
        let entries = self.entries(name)?;
        Ok(match name {
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
        })
    }

    pub(super) fn lead(&self) -> Result<MappedArray, EngineError> {
        let length = self.meta.layout.length() as usize;
        self.raw(maps::LEAD, 4, length)?
            .map(1)
            .map_err(map_error(maps::LEAD, "mmap"))
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
