//! Loaded data planes: services, backends, and flows in their tables.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, Instant};

use abi::backend::Link;
use abi::exception::Exception;
use abi::family::{Address as _, Family, V4, V6};
use abi::flow::{ANSWERED, FORWARD, Flow as _, FlowKey as _, FlowState, REVERSE, Rewrite as _};
use abi::slot::Slot;
use anyhow::Context;
use engine::dataplane::{DataPlane, FlowTable, ProgramFacts};
use engine::desired::{ForwardingMode, Limits};
use engine::image::Image;
use engine::maps::Maps as _;
use engine::object;
use wire::checksum::Delta;
use wire::ethernet::Addresses;

use crate::cases::Case;
use crate::setup::{BACKENDS, Configured, Setup, Way, next_hop};
use crate::traffic::trailer::Vary;
use crate::traffic::{CLIENT_MAC, INTERFACE, OUR_MAC, Traffic, Version};

/// The product's program with some configuration, as the kernel sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    /// Sizes.
    pub(crate) facts: ProgramFacts,
    /// Least time to create the maps (small ones) and load both programs.
    pub(crate) load_time: Duration,
}

impl Product {
    /// Loads the product's own object a few times.
    pub(crate) fn load(setup: &Setup) -> anyhow::Result<Self> {
        let mut desired = setup.desired();
        desired.limits = Limits {
            flows: 1024,
            half_open_flows: 1024,
            exceptions: 1024,
            ..Limits::default()
        };
        let image = Image::build(&desired, next_hop)?;
        let mut best: Option<Self> = None;
        for _ in 0..3 {
            let start = Instant::now();
            let mut plane = DataPlane::load(&desired, &image, false)?;
            let load_time = start.elapsed();
            if best.is_none_or(|best| load_time < best.load_time) {
                let facts = plane.program_facts("evenkeel")?;
                best = Some(Self { facts, load_time });
            }
        }
        best.context("nothing was loaded")
    }
}

/// What every slot is in (DESIGN: 3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SlotState {
    #[default]
    Steady,
    Transition,
    Settling,
}

impl SlotState {
    /// A steady slot in this state. Every backend with an even number changes with the next one.
    fn of(self, slot: Slot) -> Slot {
        let owner = slot.current();
        match self {
            Self::Steady => slot,
            Self::Transition => Slot::transition(owner, owner ^ 1),
            Self::Settling => Slot::settling(owner),
        }
    }
}

/// A data plane for cases of one setup.
#[derive(Debug)]
pub(crate) struct Plane {
    pub(crate) data_plane: DataPlane,
    /// All of them steady.
    slots: Vec<Slot>,
    state: SlotState,
}

impl Plane {
    fn load(object: &[u8], setup: &Setup) -> anyhow::Result<Self> {
        let desired = setup.desired();
        let image = Image::build(&desired, next_hop)?;
        let settings = engine::settings(&desired, false);
        let mut data_plane = DataPlane::load_bench(object, settings, &desired.limits, &image)?;
        data_plane.write(&image)?;
        if let Configured::Only(way) = setup.configured
            && setup.services == 1
            && setup.backends == BACKENDS
        {
            match way.version {
                Version::V4 => enter_flows::<V4>(&data_plane, way, setup.flows_log2)?,
                Version::V6 => enter_flows::<V6>(&data_plane, way, setup.flows_log2)?,
            }
        }
        Ok(Self {
            data_plane,
            slots: image.slots,
            state: SlotState::Steady,
        })
    }

    /// Puts all slots into this state.
    pub(crate) fn set_slots(&mut self, state: SlotState) {
        if state == self.state {
            return;
        }
        let slots: Vec<Slot> = self.slots.iter().map(|slot| state.of(*slot)).collect();
        self.data_plane.write_slots(0, &slots);
        self.state = state;
    }
}

/// One data plane for each setup and each object.
#[derive(Debug)]
pub(crate) struct Planes(BTreeMap<(Setup, bool), Plane>);

impl Planes {
    /// What `cases` need. `other` is the object of the cases that ask for another one.
    pub(crate) fn load(cases: &[Case], other: &[u8]) -> anyhow::Result<Self> {
        let mut planes = BTreeMap::new();
        for case in cases {
            if let Entry::Vacant(vacant) = planes.entry((case.setup, case.other_object)) {
                let object = if case.other_object {
                    other
                } else {
                    object::BENCH
                };
                let plane = Plane::load(object, &case.setup)
                    .with_context(|| format!("loading for case \"{}\"", case.name))?;
                vacant.insert(plane);
            }
        }
        Ok(Self(planes))
    }

    /// The one for `case`.
    pub(crate) fn of(&mut self, case: &Case) -> anyhow::Result<&mut Plane> {
        self.0
            .get_mut(&(case.setup, case.other_object))
            .context("no data plane was loaded for this case")
    }
}

/// Enters the flows of [`Traffic::new`]: those of `nat` as established, others as exceptions.
fn enter_flows<F: Family>(plane: &DataPlane, way: Way, flows_log2: u32) -> anyhow::Result<()>
where
    F::Address: Vary,
{
    let traffic = Traffic::new(way.version, flows_log2);
    let traffic = if way.udp { traffic.udp() } else { traffic };
    for index in 0..1 << flows_log2 {
        if way.mode == ForwardingMode::Nat {
            for (key, flow) in established::<F>(way.version, index) {
                plane.set_flow::<F>(FlowTable::Established, &key, &flow)?;
            }
            continue;
        }
        let exception = Exception {
            backend: index % BACKENDS,
            ..Exception::default()
        };
        plane.set_exception::<F>(&traffic.key::<F>(index), &exception)?;
    }
    Ok(())
}

/// Both entries of the established flow with this index, as the packet path makes them when the
/// client's own port is free: a flow's index is also that of its backend.
fn established<F: Family>(version: Version, index: u32) -> [(F::FlowKey, F::Flow); 2]
where
    F::Address: Vary,
{
    let from_client = Traffic::new(version, 20).key::<F>(index);
    let from_backend = Traffic::replies(version, 20).key::<F>(index);
    let client = Link::new(Addresses::new(OUR_MAC, CLIENT_MAC).swapped(), INTERFACE);
    let flow = |from: F::FlowKey, other: F::FlowKey, direction, seen| {
        let state = FlowState {
            service: 0,
            backend: index % BACKENDS,
            client,
            direction,
            seen,
            ..FlowState::default()
        };
        F::Flow::new(becomes::<F>(from, other), state)
    };
    [
        (from_client, flow(from_client, from_backend, FORWARD, 0)),
        (
            from_backend,
            flow(from_backend, from_client, REVERSE, ANSWERED),
        ),
    ]
}

/// Packets with key `from` leave as the opposite of `other`.
fn becomes<F: Family>(from: F::FlowKey, other: F::FlowKey) -> F::Rewrite {
    let (source, destination) = (other.destination(), other.source());
    let (source_port, destination_port) = (other.destination_port(), other.source_port());
    let addresses = F::Address::delta(Delta::NONE, from.source(), source);
    let addresses = F::Address::delta(addresses, from.destination(), destination);
    let transport = addresses
        .word(from.source_port(), source_port)
        .word(from.destination_port(), destination_port);
    F::Rewrite::new(
        (source, destination),
        (source_port, destination_port),
        addresses.fold(),
        transport.fold(),
    )
}
