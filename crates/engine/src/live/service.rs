//! What is known of one service and its backends besides what the maps hold.

use std::net::IpAddr;

use abi::{backend, service};
use ring::Length;

use super::arena::Region;
use crate::desired::{Backend, ForwardingMode, Service, Track};

/// What a backend is to its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Configured, and not down.
    Configured,
    /// Removed from the configuration; keeps its flows until they are over.
    Leaving,
    /// Dead. Its index rests until nothing leads to it any more.
    Dead,
}

/// A backend with an index. A configured one that is down has none.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) index: u32,
    pub(crate) desired: Backend,
    pub(crate) standing: Standing,
    /// What the map holds.
    pub(crate) entry: backend::Backend,
    /// The instance's source address towards it, if its next hop is known.
    pub(crate) source: Option<IpAddr>,
    /// Slots that it owns.
    pub(crate) slots: u32,
    /// The sweep at which its index may be used again, if nothing leads to it until then.
    pub(crate) free_at: Option<u64>,
}

impl Member {
    pub(crate) fn lives(&self) -> bool {
        self.standing != Standing::Dead
    }
}

/// A slot that is not steady.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Changing {
    /// Its place in the ring.
    pub(crate) place: u32,
    /// Ticks of the last change of its owner.
    pub(crate) since: u64,
    /// The number of the last sweep when it got its state.
    pub(crate) sweep: u64,
}

/// A service, its backends with their indices, and its ring.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    pub(crate) index: u32,
    pub(crate) desired: Service,
    /// What the map holds.
    pub(crate) entry: service::Service,
    /// First those that are configured, in their order.
    pub(crate) members: Vec<Member>,
    /// Where its slots lie; none as long as nobody ever took new flows.
    pub(crate) region: Option<Region>,
    /// The length that owners were computed for. The region is as long or longer: a ring that is
    /// to be shorter keeps its slots, in runs of the same owner.
    pub(crate) length: Length,
    /// What owners were computed from, and their indices.
    pub(crate) owners_of: Vec<(ring::Member, u32)>,
    /// Our own addresses towards its backends, those of now first, then those of before, the latest
    /// first: while the way to a backend leads elsewhere, answers of its flows still come to the one
    /// they left from.
    pub(crate) sources: Vec<IpAddr>,
    /// Slots that are not steady, by their places.
    pub(crate) changing: Vec<Changing>,
    /// The sweep at which the index of a removed service may be used again.
    pub(crate) free_at: Option<u64>,
}

/// Own addresses of before that a service remembers.
const MAX_FORMER_SOURCES: usize = 8;

impl Roster {
    /// Notes the own addresses that packets to its backends have; what was noted before becomes
    /// former, and the oldest of those go.
    pub(crate) fn note_sources(&mut self) {
        let mut former = std::mem::take(&mut self.sources);
        let members = self.members.iter();
        for source in members.filter_map(|member| member.source.filter(|_| member.lives())) {
            if !self.sources.contains(&source) {
                self.sources.push(source);
            }
        }
        former.retain(|source| !self.sources.contains(source));
        former.truncate(MAX_FORMER_SOURCES);
        self.sources.extend(former);
    }
}

/// Whether slots change at once: flows are looked up elsewhere, or may move.
pub(crate) fn changes_at_once(service: &Service) -> bool {
    service.mode == ForwardingMode::Nat || service.track == Track::Never
}
