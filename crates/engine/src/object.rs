//! The compiled BPF programs, built from source by the build script.

use std::ops::Range;

use ::object::{File, Object as _, ObjectSection as _};
use abi::layout::{Layout, PLACEHOLDER_WORDS};

use crate::EngineError;

/// The load balancer: programs `evenkeel` and `clock`.
pub static XDP: &[u8] = aya::include_bytes_aligned!(env!("EVENKEEL_XDP_OBJECT"));

/// The backend's side of modes `ipip` and `gue`: program `decap`.
pub static DECAP: &[u8] = aya::include_bytes_aligned!(env!("EVENKEEL_DECAP_OBJECT"));

/// Program `pass`, for the far ends of veths (docs/lab.md).
pub static PASS: &[u8] = aya::include_bytes_aligned!(env!("EVENKEEL_PASS_OBJECT"));

/// What `./dev bench` times: the load balancer, and floors to compare it with.
#[cfg(feature = "bench")]
pub static BENCH: &[u8] = aya::include_bytes_aligned!(env!("EVENKEEL_BENCH_OBJECT"));

/// An object of the load balancer whose map [`abi::maps::LEAD`] has room for `layout`. Its size is that
/// of a type in the object, where a number stands in for it: loaders replace numbers of entries only.
pub fn sized(object: &[u8], layout: &Layout) -> Result<Vec<u8>, EngineError> {
    let length = layout.length();
    let words = u32::try_from(length / 8).map_err(|_| EngineError::TooMany {
        what: "bytes of services, backends and ring slots",
        found: length as usize,
        limit: u32::MAX as usize * 8,
    })?;
    let place = placeholder(object)
        .ok_or_else(|| EngineError::Load("the object has no map whose size can be set".into()))?;
    let mut sized = object.to_vec();
    if let Some(number) = sized.get_mut(place) {
        number.copy_from_slice(&words.to_ne_bytes());
    }
    Ok(sized)
}

/// Where the object's type information has the number.
fn placeholder(object: &[u8]) -> Option<Range<usize>> {
    let file = File::parse(object).ok()?;
    let (start, length) = file.section_by_name(".BTF")?.file_range()?;
    let start = usize::try_from(start).ok()?;
    let types = object.get(start..)?.get(..usize::try_from(length).ok()?)?;
    let number = PLACEHOLDER_WORDS.to_ne_bytes();
    let at = types
        .windows(number.len())
        .position(|bytes| bytes == number)?;
    Some(start + at..start + at + number.len())
}
