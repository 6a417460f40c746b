//! Answers a packet that is too large for the way on: ICMP "fragmentation needed" (RFC 792, RFC
//! 1191) or ICMPv6 "packet too big" (RFC 4443, section 3.2), from the address the sender wrote to.
//!
//! IPv4 packets that may be fragmented get the same answer: nobody here can fragment them, and
//! senders that allow it heed the answer, too.

use abi::pace;
use abi::reason::Reason;

use crate::answer::{self, Answer};
use crate::icmp::Messages;
use crate::verdict::Findings;
use crate::{Packet, Tables, parse};

/// Turns the packet into an answer to its sender.
#[inline(never)]
pub(crate) fn answer<F: Messages + Answer, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    ip_offset: usize,
    found: &mut Findings,
) -> Reason {
    let packet = &mut packet.local();
    // Asked for at once: otherwise the compiler leaves a pointer to the stack where the verifier
    // looks for what a function returns.
    let zero = tables.zero();
    let Ok(parsed) = parse::<F, _>(packet, ip_offset, || zero) else {
        return Reason::TooBigUnanswered;
    };
    if !answer::is_allowed(&parsed) {
        return Reason::TooBigUnanswered;
    }
    let limit = tables.settings().icmp_errors_per_window;
    let now = tables.now();
    if tables.pace(pace::ICMP_ERRORS, |pace| pace.allows(now, limit)) != Some(true)
        || answer::error(packet, &parsed, F::TOO_BIG, found.mtu, zero).is_none()
    {
        return Reason::TooBigUnanswered;
    }
    found.interface = packet.ingress_interface();
    Reason::TooBig
}
