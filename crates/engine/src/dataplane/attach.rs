//! Onto interfaces and off again.

use std::io;
use std::os::fd::AsRawFd;

use abi::maps;
use aya::programs::links::FdLink;
use aya::programs::xdp::XdpLinkId;
use aya::programs::{Xdp, XdpMode};

use super::{DataPlane, chain, map_error, program};
use crate::EngineError;
use crate::bpf;
use crate::pins::Pins;

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

/// An interface that runs the program.
#[derive(Debug)]
pub(super) struct Attached {
    name: String,
    index: u32,
    /// `None`: the link is pinned.
    link: Option<XdpLinkId>,
}

impl DataPlane {
    /// Attaches to an interface and lets packets leave by it. Unless this plane's maps are pinned,
    /// the program is detached when `self` is dropped.
    pub fn attach(
        &mut self,
        name: &str,
        index: u32,
        mode: AttachMode,
    ) -> Result<Attachment, EngineError> {
        self.let_leave_by(index)?;
        let program = program(&mut self.ebpf, "evenkeel")?;
        let (link, attachment) = attach(program, name, index, mode)?;
        let link = match &self.pins {
            Some(pins) => {
                pins.forget_link(index)?;
                pin(program, link, pins, index)?;
                None
            }
            None => Some(link),
        };
        self.note_attached(name, index, link);
        Ok(attachment)
    }

    /// Takes the program that an earlier process attached to an interface as our own. `false`: it
    /// has left none there.
    pub fn take_over(&mut self, name: &str, index: u32) -> Result<bool, EngineError> {
        let Some(pins) = &self.pins else {
            return Ok(false);
        };
        if pins.open_link(index)?.is_none() {
            return Ok(false);
        }
        self.note_attached(name, index, None);
        Ok(true)
    }

    fn note_attached(&mut self, name: &str, index: u32, link: Option<XdpLinkId>) {
        self.attached.retain(|attached| attached.index != index);
        self.attached.push(Attached {
            name: name.into(),
            index,
            link,
        });
    }

    /// Lets packets be redirected to an interface.
    pub(super) fn let_leave_by(&self, index: u32) -> Result<(), EngineError> {
        // struct bpf_devmap_val: interface index, and no program for what leaves.
        self.interfaces
            .set(&index, &[index, 0])
            .map_err(map_error(maps::INTERFACES, "write"))
    }

    /// Detaches from one interface, which may be gone already.
    pub fn detach_from(&mut self, index: u32) -> Result<(), EngineError> {
        let place = self.attached.iter().position(|it| it.index == index);
        let Some(place) = place else {
            return Ok(());
        };
        let Attached { name, index, link } = self.attached.remove(place);
        self.interfaces
            .remove(&index)
            .map_err(map_error(maps::INTERFACES, "delete"))?;
        match (link, &self.pins) {
            (Some(link), _) => detach(program(&mut self.ebpf, "evenkeel")?, name, link),
            (None, Some(pins)) => pins.forget_link(index),
            (None, None) => Ok(()),
        }
    }

    /// Detaches from every interface, and lets nothing outlive this process.
    pub fn detach(&mut self) -> Result<(), EngineError> {
        let attached: Vec<u32> = self.attached.iter().map(|it| it.index).collect();
        for index in attached {
            self.detach_from(index)?;
        }
        self.pins.as_ref().map_or(Ok(()), Pins::remove)
    }
}

/// Lets a link outlive the process.
fn pin(program: &mut Xdp, link: XdpLinkId, pins: &Pins, index: u32) -> Result<(), EngineError> {
    let error =
        |error: &dyn std::error::Error| pins.error("pin a link in", io::Error::other(chain(error)));
    let link = program.take_link(link).map_err(|source| error(&source))?;
    let link = FdLink::try_from(link).map_err(|source| error(&source))?;
    link.pin(pins.link(index))
        .map_err(|source| error(&source))?;
    Ok(())
}

/// Lets the pinned link of an interface run another program, from one packet to the next.
pub(super) fn exchange(program: &impl AsRawFd, pins: &Pins, index: u32) -> Result<(), EngineError> {
    bpf::open(&pins.link(index))
        .and_then(|link| bpf::update_link(&link, program))
        .map_err(|source| pins.error("exchange the program of the link in", source))
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
