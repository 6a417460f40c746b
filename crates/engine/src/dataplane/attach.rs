//! Onto interfaces and off again.

use abi::maps;
use aya::programs::XdpMode;

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
        let mut native_refused = None;
        if mode != AttachMode::Generic {
            match self.attach_as(name, index, AttachedMode::Native) {
                Ok(()) => {
                    return Ok(Attachment {
                        mode: AttachedMode::Native,
                        native_refused,
                    });
                }
                Err(error) if mode == AttachMode::Native => return Err(error),
                Err(error) => native_refused = Some(error.to_string()),
            }
        }
        self.attach_as(name, index, AttachedMode::Generic)?;
        Ok(Attachment {
            mode: AttachedMode::Generic,
            native_refused,
        })
    }

    fn attach_as(&mut self, name: &str, index: u32, mode: AttachedMode) -> Result<(), EngineError> {
        let flag = match mode {
            AttachedMode::Native => XdpMode::Driver,
            AttachedMode::Generic => XdpMode::Skb,
        };
        let link = program(&mut self.ebpf, "evenkeel")?
            .attach_to_if_index(index, flag)
            .map_err(|error| EngineError::Attach {
                interface: name.into(),
                mode: mode.name(),
                reason: chain(&error),
            })?;
        self.links.push((name.into(), link));
        Ok(())
    }

    /// Detaches from every interface.
    pub fn detach(&mut self) -> Result<(), EngineError> {
        for (name, link) in std::mem::take(&mut self.links) {
            program(&mut self.ebpf, "evenkeel")?
                .detach(link)
                .map_err(|error| EngineError::Attach {
                    interface: name,
                    mode: "any",
                    reason: chain(&error),
                })?;
        }
        Ok(())
    }
}

/// Name of a loaded program, to tell the user whose it is.
#[must_use]
pub fn program_name(id: u32) -> Option<String> {
    aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .find(|info| info.id() == id)
        .and_then(|info| info.name_as_str().map(str::to_owned))
}
