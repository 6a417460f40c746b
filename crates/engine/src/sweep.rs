//! Which flows are over, and their removal from the kernel's tables.
//!
//! A flow has an entry for each direction; each carries its own last packet and flags. They are
//! judged together, so that neither half outlives the other.

use std::time::Duration;

use abi::flow::{FIN_SEEN, FORWARD, FlowKey as _, FlowKeyV4, FlowV4, RST_SEEN};

use crate::EngineError;
use crate::dataplane::{DataPlane, FlowTable};
use crate::desired::Timeouts;

/// [`Timeouts`] in jiffies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    half_open: u32,
    established: u32,
    udp: u32,
    rest: u32,
}

impl Ages {
    /// With the kernel's tick length, which is what the coarse clock's resolution is.
    pub fn of(timeouts: &Timeouts) -> Result<Self, EngineError> {
        let clock = nix::time::ClockId::CLOCK_MONOTONIC_COARSE;
        let tick = nix::time::clock_getres(clock)
            .map(Duration::from)
            .map_err(|error| EngineError::Load(format!("clock_getres(2): {error}")))?;
        Ok(Self::with_tick(timeouts, tick))
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
        this: &FlowV4,
        other: Option<&FlowV4>,
    ) -> bool {
        let age = other
            .map_or(u32::MAX, |other| age(now, other))
            .min(age(now, this));
        let seen = |flag| {
            this.state.seen & flag != 0 || other.is_some_and(|other| other.state.seen & flag != 0)
        };
        let both = |flag| {
            this.state.seen & flag != 0 && other.is_some_and(|other| other.state.seen & flag != 0)
        };
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

/// Jiffies since the entry's last packet. A packet that came after `now` was read has age 0.
fn age(now: u32, flow: &FlowV4) -> u32 {
    let age = now.wrapping_sub(flow.state.last_seen);
    if age > i32::MAX as u32 { 0 } else { age }
}

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Flows that stay in the established table.
    pub established: u64,
    /// Flows that stay in the half-open table.
    pub half_open: u64,
    /// Flows that were removed.
    pub removed: u64,
}

/// Removes every flow that is over from both tables.
pub fn sweep(plane: &mut DataPlane, ages: &Ages) -> Result<Swept, EngineError> {
    let now = plane.now()?;
    let mut swept = Swept::default();
    for table in [FlowTable::Established, FlowTable::HalfOpen] {
        let mut flows = 0_u64;
        let mut candidates = Vec::new();
        plane.for_each_flow(table, |key, flow| {
            flows += u64::from(flow.state.direction == FORWARD);
            if age(now, flow) >= ages.shortest(table) {
                candidates.push((*key, flow.state.direction));
            }
        })?;
        for (key, direction) in candidates {
            let removed = remove_if_over(plane, ages, table, now, &key)?;
            if removed && direction == FORWARD {
                flows = flows.saturating_sub(1);
                swept.removed += 1;
            }
        }
        match table {
            FlowTable::Established => swept.established = flows,
            FlowTable::HalfOpen => swept.half_open = flows,
        }
    }
    Ok(swept)
}

/// Looks again, at both halves, and removes this one if the flow is over. The other half is a
/// candidate of its own.
fn remove_if_over(
    plane: &DataPlane,
    ages: &Ages,
    table: FlowTable,
    now: u32,
    key: &FlowKeyV4,
) -> Result<bool, EngineError> {
    let Some(flow) = plane.flow(table, key)? else {
        return Ok(false);
    };
    let other = plane.flow(table, &key.opposite(&flow.becomes))?;
    if !ages.is_over(table, key.protocol(), now, &flow, other.as_ref()) {
        return Ok(false);
    }
    plane.remove_flow(table, key)
}

#[cfg(test)]
mod tests {
    use abi::flow::FlowState;

    use super::*;

    const TICK: Duration = Duration::from_millis(10);
    const TCP: u8 = wire::ipv4::TCP;

    fn half(last_seen: u32, seen: u8) -> FlowV4 {
        FlowV4 {
            state: FlowState {
                last_seen,
                seen,
                ..FlowState::default()
            },
            ..FlowV4::default()
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
        assert_eq!(age(100, &half(101, 0)), 0);
    }
}
