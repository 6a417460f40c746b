//! Source ports of checks.
//!
//! In mode `nat` a flow has a source port of this host, often the client's own. A check from the same
//! port to the same backend would lose its answers to that flow, so checks come from ports that
//! `nat` leaves alone ([`NatSettings::kept_ports`](engine::desired::NatSettings::kept_ports)).

use std::io::{self, ErrorKind};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports that are tried for a connection.
const TRIES: u16 = 64;

/// The ports that checks take turns in.
#[derive(Debug, Default)]
pub(crate) struct OwnPorts {
    /// The first in the upper half, how many in the lower; 0: whichever the kernel gives.
    range: AtomicU32,
    turn: AtomicU32,
}

impl OwnPorts {
    /// Takes these from now on.
    pub(crate) fn set(&self, range: Option<RangeInclusive<u16>>) {
        let range = range.map_or(0, |range| {
            let count = u32::from(*range.end() - *range.start()) + 1;
            u32::from(*range.start()) << 16 | count & 0xffff
        });
        self.range.store(range, Ordering::Relaxed);
    }

    /// Those of one run, which begins where the one before did not.
    pub(super) fn next(&self) -> Ports {
        let range = self.range.load(Ordering::Relaxed);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = (range & 0xffff) as u16;
        Ports {
            first: (range >> 16) as u16,
            count,
            turn: turn.checked_rem(count.into()).unwrap_or(0) as u16,
        }
    }
}

/// Where the connections of a run come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ports {
    first: u16,
    /// 0: whichever the kernel gives.
    count: u16,
    turn: u16,
}

impl Ports {
    /// Binds to one that is free.
    pub(super) fn bind<T>(self, mut bind: impl FnMut(u16) -> io::Result<T>) -> io::Result<T> {
        if self.count == 0 {
            return bind(0);
        }
        for step in 0..TRIES.min(self.count) {
            let place = (u32::from(self.turn) + u32::from(step)) % u32::from(self.count);
            match bind(self.first + place as u16) {
                Err(error) if error.kind() == ErrorKind::AddrInUse => {}
                result => return result,
            }
        }
        Err(ErrorKind::AddrInUse.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_take_turns_and_pass_over_what_is_taken() {
        let ports = OwnPorts::default();
        assert_eq!(ports.next().bind(Ok).unwrap(), 0);
        ports.set(Some(100..=102));
        let bound: Vec<u16> = (0..4).map(|_| ports.next().bind(Ok).unwrap()).collect();
        assert_eq!(bound, [101, 102, 100, 101]);
        let taken = |port| match port {
            102 => Err(ErrorKind::AddrInUse.into()),
            port => Ok(port),
        };
        assert_eq!(ports.next().bind(taken).unwrap(), 100);
        let all = ports
            .next()
            .bind(|_| Err::<u16, _>(ErrorKind::AddrInUse.into()));
        assert_eq!(all.unwrap_err().kind(), ErrorKind::AddrInUse);
        ports.set(None);
        assert_eq!(ports.next().bind(Ok).unwrap(), 0);
    }
}
