//! The loaded program and its maps.
//!
//! - `load`: into the kernel, with maps of the right sizes.
//! - `attach`: onto interfaces and off again.
//! - `run`: on single frames, without an interface.
//! - `read`: counters, reports, flows.
//!
//! Writing, the part that traffic sees, is here.

mod attach;
#[cfg(feature = "bench")]
mod bench;
mod load;
mod read;
mod run;

use abi::backend::Backend;
use abi::control::Control;
use abi::directory::BucketV4;
use abi::maps;
use abi::slot::Slot;
use aya::Ebpf;
use aya::programs::Xdp;
use aya::programs::xdp::XdpLinkId;

pub use attach::{AttachMode, AttachedMode, Attachment, program_name};
pub(crate) use attach::{attach, detach};
#[cfg(feature = "bench")]
pub use bench::ProgramFacts;
pub use read::FlowTable;
pub(crate) use run::run;
pub use run::{TestOutcome, action};

use crate::EngineError;
use crate::bpf::{MappedArray, RawMap};
use crate::image::Image;

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
        let control = Control {
            directory_v4,
            ..Control::default()
        };
        self.control.write(0, &[control]);
        Ok(())
    }
}

pub(crate) fn program<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut Xdp, EngineError> {
    ebpf.program_mut(name)
        .ok_or_else(|| EngineError::Load(format!("the object has no program {name}")))?
        .try_into()
        .map_err(load_error)
}

pub(crate) fn map_error(
    map: &'static str,
    operation: &'static str,
) -> impl Fn(std::io::Error) -> EngineError {
    move |source| EngineError::Map {
        map,
        operation,
        source,
    }
}

pub(crate) fn load_error(error: impl std::error::Error) -> EngineError {
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
