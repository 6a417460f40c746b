//! Loaded data planes with a service, its backends and established flows.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use engine::dataplane::{DataPlane, FlowTable, ProgramFacts};
use engine::desired::{
    Backend, Desired, Limits, Mac, NatSettings, NextHop, Protocol, Service, ServiceId, ServicePort,
};
use engine::image::Image;
use engine::object;

use crate::cases::{Case, FEW_FLOWS_LOG2};
use crate::traffic::{self, BACKEND_MAC, BACKEND_PORT, BACKENDS, INTERFACE, OUR_MAC};

/// The product's program as the kernel sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    /// Sizes.
    pub(crate) facts: ProgramFacts,
    /// Least time to create the maps (small ones) and load both programs.
    pub(crate) load_time: Duration,
}

/// Loads the product's own object a few times.
pub(crate) fn product_facts() -> anyhow::Result<Product> {
    let limits = Limits {
        flows: 1024,
        half_open_flows: 1024,
        ..Limits::default()
    };
    let desired = desired(limits);
    let image = image(&desired)?;
    let mut best: Option<Product> = None;
    for _ in 0..3 {
        let start = Instant::now();
        let mut plane = DataPlane::load(&desired, &image, false)?;
        let load_time = start.elapsed();
        if best.is_none_or(|best| load_time < best.load_time) {
            let facts = plane.program_facts("evenkeel")?;
            best = Some(Product { facts, load_time });
        }
    }
    best.context("nothing was loaded")
}

/// What tells data planes apart: log2 of the established flows, and whose programs they are.
type PlaneKey = (u32, bool);

/// One data plane for each number of flows and each object: default limits as far as they go.
#[derive(Debug)]
pub(crate) struct Planes(BTreeMap<PlaneKey, DataPlane>);

impl Planes {
    /// What `cases` need. `other` is the object of the cases that ask for another one.
    pub(crate) fn load(cases: &[Case], other: &[u8]) -> anyhow::Result<Self> {
        let mut planes = BTreeMap::new();
        for case in cases {
            if let Entry::Vacant(vacant) = planes.entry(key(case)) {
                let object = if case.other_object {
                    other
                } else {
                    object::BENCH
                };
                vacant.insert(load(object, case.flows_log2)?);
            }
        }
        Ok(Self(planes))
    }

    /// The one for `case`.
    pub(crate) fn of(&mut self, case: &Case) -> anyhow::Result<&mut DataPlane> {
        self.0
            .get_mut(&key(case))
            .context("no data plane was loaded for this case")
    }
}

fn key(case: &Case) -> PlaneKey {
    (case.flows_log2, case.other_object)
}

fn load(object: &[u8], flows_log2: u32) -> anyhow::Result<DataPlane> {
    let mut limits = Limits::default();
    if flows_log2 > FEW_FLOWS_LOG2 {
        limits.flows = 1 << flows_log2;
    }
    let desired = desired(limits);
    let image = image(&desired)?;
    let mut plane = DataPlane::load_bench(object, &desired, &image)?;
    plane.write(&image)?;
    for index in 0..1 << flows_log2 {
        for (key, flow) in traffic::established(index, 0) {
            plane.set_flow::<abi::family::V4>(FlowTable::Established, &key, &flow)?;
        }
    }
    Ok(plane)
}

fn desired(limits: Limits) -> Desired {
    let backends = (0..BACKENDS)
        .map(|index| Backend {
            port: Some(BACKEND_PORT),
            ..Backend::new(traffic::backend(index))
        })
        .collect();
    let id = ServiceId {
        protocol: Protocol::Tcp,
        address: traffic::VIP.into(),
        port: ServicePort::Exact(traffic::PORT),
    };
    let service = Service::new(id, backends);
    Desired {
        services: vec![service],
        nat: NatSettings {
            address: Some(traffic::NAT_SOURCE),
            ..NatSettings::default()
        },
        limits,
        seed: 1,
        ..Desired::default()
    }
}

fn image(desired: &Desired) -> anyhow::Result<Image> {
    let hop = NextHop {
        interface_index: INTERFACE,
        source_mac: Mac(OUR_MAC),
        destination_mac: Mac(BACKEND_MAC),
        source_address: IpAddr::V4(traffic::NAT_SOURCE),
        mtu: 1500,
    };
    Ok(Image::build(desired, |_, _| Some(hop))?)
}
