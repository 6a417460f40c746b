//! Which `nat` flows are over, and their removal from the kernel's tables.
//!
//! A flow has an entry for each direction; each carries its own last packet and flags. They are
//! judged together, so that neither half outlives the other.

use std::collections::HashSet;
use std::time::Duration;

use abi::family::Family;
use abi::flow::{FIN_SEEN, FORWARD, Flow, FlowKey as _, FlowState, RST_SEEN};

use crate::EngineError;
use crate::clock::tick;
use crate::desired::Timeouts;
use crate::maps::{FlowTable, Maps};

/// [`Timeouts`] in jiffies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    half_open: u32,
    established: u32,
    udp: u32,
    rest: u32,
}

impl Ages {
    /// With the kernel's tick length.
    #[must_use]
    pub fn of(timeouts: &Timeouts) -> Self {
        Self::with_tick(timeouts, tick())
    }

    fn with_tick(timeouts: &Timeouts, tick: Duration) -> Self {
        // Ages are differences of 32-bit counters: half the range is the longest that is told
        // from "in the future", 24 days at 1,000 ticks a second.
        let ticks = |time: Duration| {
            let ticks = time.as_nanos() / tick.as_nanos().max(1);
            u32::try_from(ticks)
                .unwrap_or(u32::MAX)
                .min(i32::MAX as u32)
        };
        Self {
            half_open: ticks(timeouts.half_open),
            established: ticks(timeouts.established),
            udp: ticks(timeouts.udp),
            rest: ticks(timeouts.rest),
        }
    }

    /// The least age at which any flow of the table can be over.
    fn shortest(&self, table: FlowTable) -> u32 {
        match table {
            FlowTable::HalfOpen => self.half_open,
            FlowTable::Established => self.rest.min(self.established).min(self.udp),
        }
    }

    /// Whether a flow with these two halves is over. One half alone is of no use: it is treated
    /// as closed.
    fn is_over(
        &self,
        table: FlowTable,
        protocol: u8,
        now: u32,
        this: &FlowState,
        other: Option<&FlowState>,
    ) -> bool {
        let since = |state: &FlowState| age(now, state.last_seen);
        let age = other.map_or(u32::MAX, since).min(since(this));
        let seen =
            |flag| this.seen & flag != 0 || other.is_some_and(|other| other.seen & flag != 0);
        let both =
            |flag| this.seen & flag != 0 && other.is_some_and(|other| other.seen & flag != 0);
        let limit = match table {
            FlowTable::HalfOpen => self.half_open,
            FlowTable::Established if other.is_none() => self.rest,
            FlowTable::Established if seen(RST_SEEN) || both(FIN_SEEN) => self.rest,
            FlowTable::Established if protocol == wire::ipv4::UDP => self.udp,
            FlowTable::Established => self.established,
        };
        age >= limit
    }
}

/// Jiffies since an entry's last packet. A packet that came after `now` was read has age 0.
pub(crate) fn age(now: u32, last_seen: u32) -> u32 {
    let age = now.wrapping_sub(last_seen);
    if age > i32::MAX as u32 { 0 } else { age }
}

/// What a sweep found in the tables of `nat` flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatSwept {
    /// Flows that stay in the established tables.
    pub established: u64,
    /// Flows that stay in the half-open tables.
    pub half_open: u64,
    /// Flows that were removed because they were over.
    pub removed: u64,
    /// Flows that were removed because their backend is dead.
    pub lost: u64,
}

/// Removes every flow that is over, or whose backend is dead, from all tables.
#[derive(Debug)]
pub(crate) struct NatSweep<'a> {
    ages: &'a Ages,
    /// jiffies.
    now: u32,
    dead: &'a HashSet<u32>,
    /// Backends that are to go when no flow leads to them any more.
    going: &'a HashSet<u32>,
    /// Those of them that a flow leads to.
    pub(crate) used: HashSet<u32>,
    pub(crate) swept: NatSwept,
}

impl<'a> NatSweep<'a> {
    pub(crate) fn new(
        ages: &'a Ages,
        now: u32,
        dead: &'a HashSet<u32>,
        going: &'a HashSet<u32>,
    ) -> Self {
        Self {
            ages,
            now,
            dead,
            going,
            used: HashSet::new(),
            swept: NatSwept::default(),
        }
    }

    /// Both tables of a family.
    pub(crate) fn sweep<F: Family, M: Maps>(&mut self, maps: &mut M) -> Result<(), EngineError> {
        for table in [FlowTable::Established, FlowTable::HalfOpen] {
            let mut flows = 0_u64;
            let mut candidates = Vec::new();
            maps.for_each_flow::<F>(table, &mut |key, flow| {
                let state = flow.state();
                flows += u64::from(state.direction == FORWARD);
                let lost = self.dead.contains(&state.backend);
                if lost || age(self.now, state.last_seen) >= self.ages.shortest(table) {
                    candidates.push((*key, state.direction, lost));
                }
                if self.going.contains(&state.backend) {
                    self.used.insert(state.backend);
                }
            })?;
            for (key, direction, lost) in candidates {
                let removed = lost && maps.remove_flow::<F>(table, &key)?
                    || !lost && self.remove_if_over::<F, M>(maps, table, &key)?;
                if removed && direction == FORWARD {
                    flows = flows.saturating_sub(1);
                    self.swept.removed += u64::from(!lost);
                    self.swept.lost += u64::from(lost);
                }
            }
            match table {
                FlowTable::Established => self.swept.established += flows,
                FlowTable::HalfOpen => self.swept.half_open += flows,
            }
        }
        Ok(())
    }

    /// Looks again, at both halves, and removes this one if the flow is over. The other half is a
    /// candidate of its own.
    fn remove_if_over<F: Family, M: Maps>(
        &self,
        maps: &mut M,
        table: FlowTable,
        key: &F::FlowKey,
    ) -> Result<bool, EngineError> {
        let Some(flow) = maps.flow::<F>(table, key)? else {
            return Ok(false);
        };
        let other = maps.flow::<F>(table, &key.opposite(&flow.becomes()))?;
        let other = other.as_ref().map(Flow::state);
        let (now, protocol) = (self.now, key.protocol());
        if !self.ages.is_over(table, protocol, now, flow.state(), other) {
            return Ok(false);
        }
        maps.remove_flow::<F>(table, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(10);
    const TCP: u8 = wire::ipv4::TCP;

    fn half(last_seen: u32, seen: u8) -> FlowState {
        FlowState {
            last_seen,
            seen,
            ..FlowState::default()
        }
    }

    fn is_over(table: FlowTable, protocol: u8, seconds: u32, this: u8, other: u8) -> bool {
        let ages = Ages::with_tick(&Timeouts::default(), TICK);
        let start = u32::MAX - 50;
        let now = start.wrapping_add(seconds * 100);
        ages.is_over(
            table,
            protocol,
            now,
            &half(start, this),
            Some(&half(start, other)),
        )
    }

    #[test]
    fn each_state_has_its_own_timeout() {
        let established = FlowTable::Established;
        for (table, protocol, this, other, timeout) in [
            (FlowTable::HalfOpen, TCP, 0, 0, 30),
            (established, TCP, 0, 0, 7440),
            (established, TCP, FIN_SEEN, 0, 7440),
            (established, TCP, FIN_SEEN, FIN_SEEN, 60),
            (established, TCP, RST_SEEN, 0, 60),
            (established, TCP, 0, RST_SEEN, 60),
            (established, wire::ipv4::UDP, 0, 0, 300),
        ] {
            assert!(
                !is_over(table, protocol, timeout - 1, this, other),
                "{timeout} s"
            );
            assert!(
                is_over(table, protocol, timeout, this, other),
                "{timeout} s"
            );
        }
    }

    #[test]
    fn a_flow_is_as_young_as_its_younger_half() {
        let ages = Ages::with_tick(&Timeouts::default(), TICK);
        let (old, young) = (half(0, 0), half(2900, 0));
        assert!(!ages.is_over(FlowTable::HalfOpen, TCP, 3000, &old, Some(&young)));
        assert!(ages.is_over(FlowTable::HalfOpen, TCP, 3000, &old, Some(&old)));
    }

    #[test]
    fn a_half_whose_other_half_is_gone_rests_like_a_closed_flow() {
        let ages = Ages::with_tick(&Timeouts::default(), TICK);
        let alone = |now| ages.is_over(FlowTable::Established, TCP, now, &half(0, 0), None);
        assert!(!alone(5999));
        assert!(alone(6000));
    }

    #[test]
    fn a_packet_newer_than_the_sweep_is_not_old() {
        assert_eq!(age(100, 101), 0);
    }
}
