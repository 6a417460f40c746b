//! A lab that is up: its hosts, and taking it down.

use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::id::{LabId, SWITCH};
use crate::namespace;
use crate::plan;
use crate::step;

/// A lab that is up. Dropping it takes it down, also in a panic, unless it is kept.
#[derive(Debug)]
pub struct Lab {
    id: LabId,
    keep: bool,
}

impl Lab {
    /// A lab that somebody else brought up; dropping this does not take it down.
    pub fn open(id: LabId) -> Result<Self> {
        if existing_namespaces(&id)?.is_empty() {
            return Err(Error::NotUp {
                lab: id.to_string(),
            });
        }
        Ok(Self { id, keep: true })
    }

    /// Takes responsibility for a lab that has just come up.
    pub(crate) fn adopt(id: LabId) -> Self {
        Self { id, keep: false }
    }

    /// Leaves the lab up when this is dropped.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// The lab's name.
    #[must_use]
    pub fn id(&self) -> &LabId {
        &self.id
    }

    /// A host by its short name; `switch` is the namespace of the bridges.
    pub fn host(&self, name: &str) -> Result<Host> {
        host_handle(&self.id, name)
    }

    /// Takes the lab down and reports what goes wrong, which dropping it cannot.
    pub fn down(mut self) -> Result<()> {
        self.keep = true;
        down(&self.id).map(|_| ())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = down(&self.id) {
            // Nobody may be reading any more.
            let _ = writeln!(io::stderr(), "while taking down lab {}: {error}", self.id);
        }
    }
}

/// Takes a lab down: ends the processes in its namespaces and removes these.
///
/// Returns the namespaces removed: none when the lab was not up, which is no error.
pub fn down(id: &LabId) -> Result<Vec<String>> {
    let namespaces = existing_namespaces(id)?;
    if !namespaces.is_empty() {
        step::check_requirements()?;
        remove(&namespaces)?;
    }
    Ok(namespaces)
}

/// A lab that is up, for `evenkeel lab list`.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Listing {
    /// Name, as the other commands take it.
    pub lab: String,
    /// What the topology is.
    pub about: &'static str,
    /// The hosts, in the topology's order.
    pub hosts: Vec<HostListing>,
}

/// A host of a [`Listing`].
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct HostListing {
    /// Short name, as `exec` takes it.
    pub name: &'static str,
    /// Namespace.
    pub namespace: String,
    /// False when the namespace is missing: a lab half up.
    pub up: bool,
    /// `interface address [IPv6 address] MAC`, one for each interface.
    pub interfaces: Vec<String>,
    /// Processes that live in the host.
    pub processes: Vec<i32>,
}

/// The labs that are up.
pub fn list() -> Result<Vec<Listing>> {
    let all = namespace::all()?;
    let mut ids: Vec<LabId> = Vec::new();
    for (id, _) in all.iter().filter_map(|name| LabId::of_namespace(name)) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids.iter().map(|id| listing(id, &all)).collect()
}

fn listing(id: &LabId, all: &[String]) -> Result<Listing> {
    let mut hosts = Vec::new();
    for host in id.topology().hosts {
        let namespace = id.namespace(host.name);
        let interfaces = host.interfaces.iter();
        hosts.push(HostListing {
            name: host.name,
            up: all.contains(&namespace),
            interfaces: interfaces
                .map(|i| {
                    let addresses: Vec<_> = i.addresses().map(|a| a.to_string()).collect();
                    format!("{} {} {}", i.name, addresses.join(" "), i.mac)
                })
                .collect(),
            processes: namespace::processes(&namespace)?,
            namespace,
        });
    }
    Ok(Listing {
        lab: id.to_string(),
        about: id.topology().about,
        hosts,
    })
}

impl std::fmt::Display for Listing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}: {}", self.lab, self.about)?;
        for host in &self.hosts {
            let mut state = if host.up {
                String::new()
            } else {
                "  MISSING".to_owned()
            };
            if !host.processes.is_empty() {
                state = format!("  ({} running)", host.processes.len());
            }
            writeln!(
                f,
                "  {:<8} {}{state}",
                host.name,
                host.interfaces.join(", ")
            )?;
        }
        Ok(())
    }
}

/// The lab's namespaces that exist, the switch first.
pub(crate) fn existing_namespaces(id: &LabId) -> Result<Vec<String>> {
    let all = namespace::all()?;
    Ok(id
        .namespaces()
        .into_iter()
        .filter(|name| all.contains(name))
        .collect())
}

/// A handle on a host, which need not be up.
pub(crate) fn host_handle(id: &LabId, name: &str) -> Result<Host> {
    let spec = id.topology().host(name);
    if spec.is_none() && name != SWITCH {
        let known = id.topology().hosts.iter().map(|host| host.name);
        return Err(Error::NoSuchHost {
            lab: id.to_string(),
            host: name.to_owned(),
            known: known.chain([SWITCH]).collect::<Vec<_>>().join(", "),
        });
    }
    Ok(Host {
        namespace: id.namespace(name),
        spec,
    })
}

/// Ends what lives in these namespaces and removes them, all that can be removed.
pub(crate) fn remove(namespaces: &[String]) -> Result<()> {
    let mut outcome = Ok(());
    for name in namespaces {
        outcome = outcome.and(namespace::end_processes(name));
    }
    for step in plan::down(namespaces) {
        outcome = outcome.and(step.run());
    }
    for name in namespaces {
        // What an instance of that namespace's name has left there that was killed. There may be
        // nothing, or no BPF file system.
        let _ = std::fs::remove_dir_all(Path::new(PINS).join(name));
        for file in ["sock", "lock", "state", "health", "decap"] {
            let _ = std::fs::remove_file(format!("{RUN}/{name}.{file}"));
        }
    }
    outcome
}

/// Where load balancers pin what outlives them, by the name of their network namespace.
const PINS: &str = "/sys/fs/bpf/evenkeel";
/// And where their other files are.
const RUN: &str = "/run/evenkeel";
