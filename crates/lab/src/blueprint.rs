//! What lab to bring up, and bringing it up.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use crate::base64;
use crate::error::{Error, Result};
use crate::id::LabId;
use crate::interrupt::Interrupt;
use crate::lab::{self, Lab};
use crate::plan::{self, Offloads, Settings};
use crate::step::{self, Step};
use crate::topology::Topology;

/// The least that every IPv6 link has to carry (RFC 8200, section 5).
const MIN_MTU: u16 = 1280;
/// A page less what the kernel puts around a packet for XDP, rounded down; measured: 3,520.
const MAX_MTU: u16 = 3500;

/// A lab that can be brought up, or shown as the commands that would do it.
#[derive(Debug, Clone)]
pub struct Blueprint {
    id: LabId,
    settings: Settings,
    pass_object: Vec<u8>,
    interrupt: Interrupt,
}

impl Blueprint {
    /// A lab of this topology; an instance tag lets several of them run side by side.
    pub fn new(topology: &'static Topology, instance: Option<&str>) -> Result<Self> {
        Ok(Self::of(LabId::new(topology, instance)?))
    }

    /// The lab of this name.
    #[must_use]
    pub fn of(id: LabId) -> Self {
        Self {
            id,
            settings: Settings::default(),
            pass_object: Vec::new(),
            interrupt: Interrupt::never(),
        }
    }

    /// Which links compute checksums in software.
    #[must_use]
    pub fn offloads(mut self, offloads: Offloads) -> Self {
        self.settings.offloads = offloads;
        self
    }

    /// The MTU of all links of a network, both ends; 1,500 otherwise. At least 1,280, which IPv6
    /// needs, and at most 3,500: a veth refuses an XDP program when its other end has more.
    pub fn mtu(mut self, network: &str, bytes: u16) -> Result<Self> {
        let networks = self.id.topology().bridges;
        let Some(network) = networks.iter().find(|known| **known == network) else {
            return Err(Error::NoSuchNetwork {
                lab: self.id.to_string(),
                network: network.to_owned(),
                known: networks.join(", "),
            });
        };
        if !(MIN_MTU..=MAX_MTU).contains(&bytes) {
            return Err(Error::BadMtu {
                bytes,
                min: MIN_MTU,
                max: MAX_MTU,
            });
        }
        self.settings.mtus.retain(|(other, _)| other != network);
        self.settings.mtus.push((network, bytes));
        Ok(self)
    }

    /// The BPF object (an ELF file) whose program `pass` returns `XDP_PASS`.
    #[must_use]
    pub fn pass_object(mut self, object: &[u8]) -> Self {
        self.pass_object = object.to_vec();
        self
    }

    /// Stop, and take down what is made, when this is set.
    #[must_use]
    pub fn interrupt(mut self, interrupt: &Interrupt) -> Self {
        self.interrupt = interrupt.clone();
        self
    }

    /// The lab's name.
    #[must_use]
    pub fn id(&self) -> &LabId {
        &self.id
    }

    /// The commands that [`Blueprint::up`] runs, in order.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        plan::up(&self.id, &self.settings)
    }

    /// The same as a shell script: what `evenkeel lab up --dry-run` prints.
    #[must_use]
    pub fn script(&self) -> String {
        let object = self.id.pass_object_path();
        let object = object.display();
        let mut script = format!("# lab {}: paste into a root shell\n", self.id);
        let mut add = |line: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(script, "{line}");
        };
        if !self.pass_object.is_empty() {
            add("\n# the XDP_PASS program for the far ends of links where XDP runs");
            add(&format!("base64 -d > {object} <<'END'"));
            add(base64::encode(&self.pass_object).trim_end());
            add("END");
        }
        let mut why = "";
        let steps = self.steps();
        for step in &steps {
            if step.why != why {
                add(&format!("\n# {}", step.why));
                why = &step.why;
            }
            add(&step.line());
        }
        add(&format!(
            "\n# the kernel holds the program now\nrm -f {object}"
        ));
        add(&format!(
            "\n# to take it down: evenkeel lab down {}",
            self.id
        ));
        script
    }

    /// Brings the lab up. What a failure leaves half-made is taken down again.
    pub fn up(self) -> Result<Lab> {
        step::check_requirements()?;
        let existing = lab::existing_namespaces(&self.id)?;
        if !existing.is_empty() {
            let namespaces = existing.join(", ");
            return Err(Error::AlreadyUp {
                lab: self.id.to_string(),
                namespaces,
            });
        }
        if let (true, Some(port)) = (
            self.pass_object.is_empty(),
            plan::xdp_ports(&self.id).first(),
        ) {
            return Err(Error::NoPassObject {
                lab: self.id.to_string(),
                interface: port.clone(),
            });
        }
        let mut made = Made {
            namespaces: Vec::new(),
        };
        let _object = self.write_pass_object()?;
        for step in self.steps() {
            self.interrupt.check()?;
            step.run()?;
            made.namespaces.extend(step.makes);
        }
        made.namespaces.clear();
        Ok(Lab::adopt(self.id))
    }

    fn write_pass_object(&self) -> Result<RemovedFile> {
        let file = RemovedFile(self.id.pass_object_path());
        fs::write(&file.0, &self.pass_object)
            .map_err(Error::io(format!("write {}", file.0.display())))?;
        Ok(file)
    }
}

/// The namespaces of an `up` that has not succeeded yet.
struct Made {
    namespaces: Vec<String>,
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Err(error) = lab::remove(&self.namespaces) {
            // Nobody may be reading any more.
            let _ = writeln!(
                io::stderr(),
                "while taking down a lab that did not come up: {error}"
            );
        }
    }
}

/// A file that is gone when this is.
struct RemovedFile(PathBuf);

impl Drop for RemovedFile {
    fn drop(&mut self) {
        // If it is gone already, all is well.
        let _ = fs::remove_file(&self.0);
    }
}
