//! Configurations at random, each made from the one before.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::SocketAddr;

use evenkeel_tests::support::Family;
use lab::fetch::Protocol;
use testkit::random::Random;

use super::terrain::{Place, Terrain};

/// More than this many make a course slow, not better.
const MOST_SERVICES: usize = 6;
const HEALTH: &str = "health";
/// One that a server that is dead fails at once, and a slow machine does not.
const CHECK: &str =
    r#"{ type = "tcp", interval = "500ms", timeout = "500ms", rise = 1, fall = 2 }"#;
/// The same, and a line of its own.
const CHECK_KEEP: &str = r#"{ type = "http", interval = "500ms", timeout = "500ms", rise = 1, fall = 2 }
on_down = "keep""#;
/// Fields of services, and what they may say.
const FIELDS: [(&str, &[&str]); 5] = [
    (HEALTH, &[CHECK, CHECK_KEEP]),
    ("track", &[r#""always""#, r#""never""#, r#""auto""#]),
    ("transition_window", &[r#""1s""#, r#""30s""#, r#""15m""#]),
    (
        "affinity",
        &[r#""none""#, r#""source""#, r#""source-destination""#],
    ),
    ("ring_slots", &["64", "256", "1024", "4096"]),
];
/// Most are up, so that packets have somewhere to go.
const STATES: [&str; 7] = ["up", "up", "up", "up", "up", "drain", "down"];
const WEIGHTS: [u32; 6] = [1, 1, 1, 2, 3, 0];

/// One of these.
pub(crate) fn one_of<T: Copy>(random: &mut Random, choices: &[T]) -> T {
    *random.pick(choices)
}

/// A backend of a service.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    pub(crate) place: Place,
    weight: u32,
    pub(crate) state: &'static str,
}

impl Backend {
    /// Whether new flows go to it.
    pub(crate) fn takes(&self) -> bool {
        self.state == "up" && self.weight > 0
    }
}

/// A service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) protocol: Protocol,
    pub(crate) address: SocketAddr,
    pub(crate) mode: &'static str,
    pub(crate) backends: Vec<Backend>,
    fields: BTreeMap<&'static str, &'static str>,
}

impl Service {
    /// `tcp://192.0.2.100:80`.
    pub(crate) fn name(&self) -> String {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        format!("{protocol}://{}", self.address)
    }

    /// Whether slots with another owner take their old flows along.
    pub(crate) fn never_tracks(&self) -> bool {
        self.fields.get("track") == Some(&r#""never""#)
    }

    pub(crate) fn is_checked(&self) -> bool {
        self.fields.contains_key(HEALTH)
    }

    /// Who answers new flows.
    pub(crate) fn servers(&self) -> HashSet<&str> {
        let takers = self.backends.iter().filter(|backend| backend.takes());
        takers.map(|backend| &*backend.place.server).collect()
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[[service]]\naddress = \"{}\"", self.name())?;
        writeln!(f, "mode = \"{}\"", self.mode)?;
        for (field, value) in &self.fields {
            writeln!(f, "{field} = {value}")?;
        }
        writeln!(f, "backends = [")?;
        for Backend {
            place,
            weight,
            state,
        } in &self.backends
        {
            write!(f, "  {{ address = \"{}\", ", place.address)?;
            if let Some(port) = place.port {
                write!(f, "port = {port}, ")?;
            }
            writeln!(f, "weight = {weight}, state = \"{state}\" }},")?;
        }
        writeln!(f, "]")
    }
}

/// A whole file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Configuration {
    pub(crate) services: Vec<Service>,
    /// A line for a table.
    tables: BTreeMap<&'static str, &'static str>,
}

impl Configuration {
    /// One to begin with.
    pub(crate) fn new(terrain: &Terrain, random: &mut Random) -> Self {
        let mut configuration = Self::default();
        for _ in 0..3 {
            configuration.services.push(service(terrain, random));
        }
        configuration.made_sane()
    }

    /// Another one: one to four things differ.
    pub(crate) fn changed(&self, terrain: &Terrain, random: &mut Random) -> Self {
        let mut changed = self.clone();
        for _ in 0..one_of(random, &[1, 1, 1, 2, 4]) {
            changed.change(terrain, random);
        }
        changed.made_sane()
    }

    fn change(&mut self, terrain: &Terrain, random: &mut Random) {
        let count = self.services.len();
        match random.below(25) {
            0..3 if count < MOST_SERVICES => self.services.push(service(terrain, random)),
            3..5 if count > 1 => drop(self.services.remove(random.below(count))),
            5 => self.services.rotate_left(1),
            6..8 => {
                let (table, lines) = one_of(random, &terrain.tables);
                self.tables.insert(table, one_of(random, lines));
            }
            8 => self.tables.clear(),
            _ => change_service(&mut self.services[random.below(count)], terrain, random),
        }
    }

    /// Without what would be refused.
    fn made_sane(mut self) -> Self {
        let mut seen = HashSet::new();
        self.services.retain(|service| seen.insert(service.name()));
        for service in &mut self.services {
            let mut seen = HashSet::new();
            service
                .backends
                .retain(|backend| seen.insert(backend.place.clone()));
            if service.backends.iter().all(|backend| backend.weight == 0) {
                service.backends[0].weight = 1;
            }
        }
        self
    }
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for service in &self.services {
            write!(f, "{service}")?;
        }
        for (table, line) in &self.tables {
            writeln!(f, "[{table}]\n{line}")?;
        }
        Ok(())
    }
}

fn backend(terrain: &Terrain, random: &mut Random, family: Family) -> Backend {
    let is_other = terrain.mixes_families && random.one_in(4);
    let family = if is_other { family.other() } else { family };
    let places: Vec<_> = terrain
        .places
        .iter()
        .filter(|place| family.has(place.address))
        .collect();
    Backend {
        place: one_of(random, &places).clone(),
        weight: one_of(random, &WEIGHTS),
        state: one_of(random, &STATES),
    }
}

fn service(terrain: &Terrain, random: &mut Random) -> Service {
    let vip = one_of(random, &terrain.vips);
    let mut service = Service {
        protocol: one_of(random, &[Protocol::Tcp, Protocol::Tcp, Protocol::Udp]),
        address: SocketAddr::new(vip, one_of(random, &terrain.ports)),
        mode: one_of(random, &terrain.modes),
        backends: (0..=random.below(5))
            .map(|_| backend(terrain, random, Family::of(vip)))
            .collect(),
        fields: BTreeMap::new(),
    };
    for (field, values) in FIELDS {
        if random.one_in(3) {
            service.fields.insert(field, one_of(random, values));
        }
    }
    service
}

fn change_service(service: &mut Service, terrain: &Terrain, random: &mut Random) {
    let family = Family::of(service.address.ip());
    let index = random.below(service.backends.len());
    match random.below(20) {
        0..4 => service.backends.push(backend(terrain, random, family)),
        4..7 if service.backends.len() > 1 => drop(service.backends.remove(index)),
        7..11 => service.backends[index].weight = one_of(random, &[0, 1, 2, 5, 100]),
        11..15 => service.backends[index].state = one_of(random, &["up", "up", "drain", "down"]),
        15 => service.mode = one_of(random, &terrain.modes),
        16 => service.backends.rotate_left(1),
        17 => service.fields.clear(),
        _ => {
            let (field, values) = one_of(random, &FIELDS);
            service.fields.insert(field, one_of(random, values));
        }
    }
}
