//! Onto interfaces and off again.

use abi::maps;
use aya::programs::xdp::XdpLinkId;
use aya::programs::{Xdp, XdpMode};

use super::{DataPlane, chain, map_error, program};
use crate::EngineError;

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

impl DataPlane {
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
        let program = program(&mut self.ebpf, "evenkeel")?;
        let (link, attachment) = attach(program, name, index, mode)?;
        self.links.push((name.into(), link));
        Ok(attachment)
    }

    /// Detaches from every interface.
    pub fn detach(&mut self) -> Result<(), EngineError> {
        for (name, link) in std::mem::take(&mut self.links) {
            detach(program(&mut self.ebpf, "evenkeel")?, name, link)?;
        }
        Ok(())
    }
}

/// Attaches a program as `mode` says.
pub(crate) fn attach(
    program: &mut Xdp,
    name: &str,
    index: u32,
    mode: AttachMode,
) -> Result<(XdpLinkId, Attachment), EngineError> {
    let mut native_refused = None;
    if mode != AttachMode::Generic {
        match attach_as(program, name, index, AttachedMode::Native) {
            Ok(link) => {
                let attachment = Attachment {
                    mode: AttachedMode::Native,
                    native_refused,
                };
                return Ok((link, attachment));
            }
            Err(error) if mode == AttachMode::Native => return Err(error),
            Err(error) => native_refused = Some(error.to_string()),
        }
    }
    let link = attach_as(program, name, index, AttachedMode::Generic)?;
    let attachment = Attachment {
        mode: AttachedMode::Generic,
        native_refused,
    };
    Ok((link, attachment))
}

fn attach_as(
    program: &mut Xdp,
    name: &str,
    index: u32,
    mode: AttachedMode,
) -> Result<XdpLinkId, EngineError> {
    let flag = match mode {
        AttachedMode::Native => XdpMode::Driver,
        AttachedMode::Generic => XdpMode::Skb,
    };
    program
        .attach_to_if_index(index, flag)
        .map_err(|error| EngineError::Attach {
            interface: name.into(),
            mode: mode.name(),
            reason: chain(&error),
        })
}

/// Detaches a program from an interface.
pub(crate) fn detach(
    program: &mut Xdp,
    interface: String,
    link: XdpLinkId,
) -> Result<(), EngineError> {
    program.detach(link).map_err(|error| EngineError::Attach {
        interface,
        mode: "any",
        reason: chain(&error),
    })
}

/// Name of a loaded program, to tell the user whose it is.
#[must_use]
pub fn program_name(id: u32) -> Option<String> {
    aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .find(|info| info.id() == id)
        .and_then(|info| info.name_as_str().map(str::to_owned))
}
