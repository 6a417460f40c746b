//! What the maps say of themselves.

use std::path::Path;

use abi::maps;
use abi::meta::{MAGIC, Meta};
use zerocopy::FromZeros as _;

use super::super::{map_error, migrate};
use crate::EngineError;
use crate::bpf::{self, RawMap};
use crate::pins::Pins;

pub(super) fn foreign(pins: &Pins, problem: String) -> EngineError {
    EngineError::Foreign {
        path: pins.root().to_owned(),
        problem,
    }
}

pub(super) fn read_meta(pins: &Pins) -> Result<Meta, EngineError> {
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

pub(super) fn write_meta(pins: &Pins, meta: &Meta) -> Result<(), EngineError> {
    let fd = bpf::create_array(maps::META, size_of::<Meta>() as u32)
        .map_err(map_error(maps::META, "create"))?;
    let path: &Path = &pins.next().join(maps::META);
    bpf::pin(&fd, path).map_err(|source| pins.error("pin a map in", source))?;
    RawMap::new(fd, 4, size_of::<Meta>())
        .set(&0_u32, meta)
        .map_err(map_error(maps::META, "write"))
}
