//! Echo requests to a VIP (RFC 792; RFC 4443, section 4.1).

use abi::flow::FlowKey as _;
use abi::reason::Reason;
use wire::Be16;
use wire::checksum::{self, Delta};
use wire::icmp::Icmp;

use super::Messages;
use crate::answer::OWN_TTL;
use crate::verdict::Findings;
use crate::{Packet, Parsed};

/// Turns the request into its reply. Addresses change places, which no checksum notices.
#[inline(always)]
pub(super) fn answer<F: Messages, P: Packet>(
    packet: &mut P,
    parsed: &Parsed<F>,
    request: &Icmp,
    found: &mut Findings,
) -> Reason {
    if try_answer(packet, parsed, request).is_none() {
        return Reason::Inconsistent;
    }
    found.interface = packet.ingress_interface();
    Reason::EchoAnswered
}

#[inline(always)]
fn try_answer<F: Messages, P: Packet>(
    packet: &mut P,
    parsed: &Parsed<F>,
    request: &Icmp,
) -> Option<()> {
    packet.refresh();
    packet.write(0, &parsed.ethernet.swapped())?;
    // A reply starts with hops of its own; writing the route takes one.
    let mut fresh = *parsed;
    fresh.ip.ttl = u32::from(OWN_TTL) + 1;
    let hops = Delta::NONE.word(
        Be16::new((parsed.ip.ttl as u16) << 8),
        Be16::new(u16::from(OWN_TTL + 1) << 8),
    );
    fresh.ip.checksum = checksum::update(parsed.ip.checksum, hops);
    let addresses = (parsed.key.destination(), parsed.key.source());
    F::write_route(packet, &fresh, addresses, Delta::NONE)?;
    let delta = Delta::NONE.word(
        Be16::new(u16::from(request.kind) << 8),
        Be16::new(u16::from(F::ECHO_REPLY) << 8),
    );
    let reply = Icmp {
        kind: F::ECHO_REPLY,
        checksum: checksum::update(request.checksum, delta),
        ..*request
    };
    packet.write(parsed.transport_offset, &reply)
}
