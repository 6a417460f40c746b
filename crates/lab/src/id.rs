//! Names: which lab, and what its namespaces are called.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::topology::{ALL, Topology};

/// Every namespace of every lab starts with this, and nothing else should.
pub const PREFIX: &str = "ek-";
/// The namespace of the bridges and of the far ends of all links.
pub const SWITCH: &str = "switch";
/// Longest instance tag, in bytes.
const MAX_INSTANCE: usize = 24;

/// Names one lab: a topology and, when several run side by side, an instance tag.
///
/// Written `tutorial` or `tutorial-t1`.
#[derive(Debug, Clone)]
pub struct LabId {
    topology: &'static Topology,
    instance: Option<String>,
}

impl LabId {
    /// Names a lab; the tag is 1 to 24 of `a-z` and `0-9`.
    pub fn new(topology: &'static Topology, instance: Option<&str>) -> Result<Self> {
        if let Some(tag) = instance {
            let fits = (1..=MAX_INSTANCE).contains(&tag.len());
            if !fits
                || !tag
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            {
                return Err(Error::BadInstance {
                    instance: tag.to_owned(),
                    max: MAX_INSTANCE,
                });
            }
        }
        Ok(Self {
            topology,
            instance: instance.map(str::to_owned),
        })
    }

    /// The topology.
    #[must_use]
    pub fn topology(&self) -> &'static Topology {
        self.topology
    }

    /// The namespace of a host, or of [`SWITCH`].
    #[must_use]
    pub fn namespace(&self, host: &str) -> String {
        format!("{PREFIX}{self}-{host}")
    }

    /// All namespaces of the lab, the switch first.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        let hosts = self.topology.hosts.iter().map(|host| host.name);
        std::iter::once(SWITCH)
            .chain(hosts)
            .map(|host| self.namespace(host))
            .collect()
    }

    /// Where the pass program's object is while `up` runs.
    #[must_use]
    pub fn pass_object_path(&self) -> PathBuf {
        PathBuf::from(format!("/run/{PREFIX}{self}-pass.o"))
    }

    /// Splits a namespace's name into lab and host; `None` when it is not a lab's.
    #[must_use]
    pub fn of_namespace(namespace: &str) -> Option<(Self, &str)> {
        let (lab, host) = namespace.strip_prefix(PREFIX)?.rsplit_once('-')?;
        let id: Self = lab.parse().ok()?;
        (host == SWITCH || id.topology.host(host).is_some()).then_some((id, host))
    }
}

impl fmt::Display for LabId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.topology.name)?;
        self.instance
            .as_ref()
            .map_or(Ok(()), |tag| write!(f, "-{tag}"))
    }
}

impl FromStr for LabId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // As the forwarding mode is written; a topology's name has no dash.
        let plain = text.replacen("l2-dsr", "l2dsr", 1);
        let (name, instance) = match plain.split_once('-') {
            Some((name, instance)) => (name, Some(instance)),
            None => (plain.as_str(), None),
        };
        let topology = Topology::named(name).ok_or_else(|| Error::NoSuchTopology {
            name: text.to_owned(),
            known: ALL.map(|topology| topology.name).join(", "),
        })?;
        Self::new(topology, instance)
    }
}

impl PartialEq for LabId {
    fn eq(&self, other: &Self) -> bool {
        self.topology.name == other.topology.name && self.instance == other.instance
    }
}

impl Eq for LabId {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::TUTORIAL;

    #[test]
    fn namespaces_carry_topology_instance_and_host() {
        let plain = LabId::new(&TUTORIAL, None).unwrap();
        assert_eq!(plain.namespace("client"), "ek-tutorial-client");
        let tagged = LabId::new(&TUTORIAL, Some("t123")).unwrap();
        assert_eq!(tagged.namespace("client"), "ek-tutorial-t123-client");
    }

    #[test]
    fn a_namespace_leads_back_to_its_lab_and_to_no_other() {
        for text in ["tutorial", "tutorial-t1", "routed-x", "l2dsr-x"] {
            let id: LabId = text.parse().unwrap();
            for namespace in id.namespaces() {
                let (found, host) = LabId::of_namespace(&namespace).unwrap();
                assert_eq!(found, id);
                assert_eq!(found.namespace(host), namespace);
            }
        }
        for foreign in [
            "ek-",
            "ek-tutorial",
            "ek-tutorial-nobody",
            "tutorial-client",
            "ek-a-b-c-d",
        ] {
            assert!(LabId::of_namespace(foreign).is_none(), "{foreign}");
        }
    }

    #[test]
    fn l2dsr_may_be_written_like_the_mode() {
        for (text, meant) in [("l2-dsr", "l2dsr"), ("l2-dsr-t1", "l2dsr-t1")] {
            assert_eq!(text.parse::<LabId>().unwrap().to_string(), meant);
        }
    }

    #[test]
    fn bad_names_are_refused() {
        for bad in [
            "",
            "nothing",
            "tutorial-",
            "tutorial-A",
            "tutorial-a-b",
            "tutorial-../x",
        ] {
            assert!(bad.parse::<LabId>().is_err(), "{bad}");
        }
        assert!(
            format!("tutorial-{}", "x".repeat(25))
                .parse::<LabId>()
                .is_err()
        );
    }
}
