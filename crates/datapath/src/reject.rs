//! Refuses a packet whose service has no backend for it, as a host does where nobody listens: TCP with
//! a reset (RFC 9293, section 3.10.7.1), everything else with ICMP "port unreachable" (RFC 1122,
//! section 4.1.3.1; RFC 4443, section 3.1).

use abi::flow::FlowKey as _;
use abi::limits::MAX_EXTENSIONS;
use abi::pace;
use abi::reason::Reason;
use abi::service;
use wire::tcp::{self, ACK, FIN, RST, SYN, Tcp};
use wire::{Be16, Be32, ipv4, ipv6};

use crate::answer::{self, Answer};
use crate::icmp::Messages;
use crate::parse::{self, parse};
use crate::verdict::Findings;
use crate::{MAX_IP_OFFSET, Packet, Parsed, Segment, Tables, Transport};

/// Where a TCP header can begin at most: behind tags and all extensions.
const MAX_OFFSET: usize =
    MAX_IP_OFFSET + ipv6::HEADER_LENGTH + MAX_EXTENSIONS as usize * ipv6::MAX_EXTENSION_LENGTH;

/// Turns the packet into a refusal, if its service refuses and the packet may be answered.
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
    let flags = tables
        .service(found.service)
        .map_or(0, |service| service.flags);
    if flags & service::REJECT == 0 {
        return Reason::NoBackend;
    }
    let Ok(parsed) = parse::<F, _>(packet, ip_offset, || zero) else {
        return Reason::NoBackend;
    };
    // A reset is never answered, or two hosts could go on for ever.
    if !answer::is_allowed(&parsed) || parsed.segment.flags & RST != 0 {
        return Reason::NoBackend;
    }
    let limit = tables.settings().rejections_per_window;
    let now = tables.now();
    if tables.pace(pace::REJECTIONS, |pace| pace.allows(now, limit)) != Some(true) {
        return Reason::NoBackend;
    }
    let answered = match parsed.segment.transport {
        Transport::Tcp => reset(packet, &parsed, zero),
        _ => answer::error(packet, &parsed, F::PORT_UNREACHABLE, 0, zero),
    };
    if answered.is_none() {
        return Reason::NoBackend;
    }
    found.interface = packet.ingress_interface();
    Reason::Rejected
}

/// Turns a segment into the reset that answers it, or leaves it as it is if its header is longer than
/// the packet, or shorter than a header.
#[inline(always)]
fn reset<F: Answer, P: Packet>(packet: &mut P, parsed: &Parsed<F>, zero: usize) -> Option<()> {
    let transport = parse::blur(parsed.transport_offset, zero, MAX_OFFSET).ok()?;
    packet.refresh();
    let header_length = packet.read::<Tcp>(transport)?.header_length();
    let end = parsed.ip_offset + parsed.ip.length as usize;
    let data = end.checked_sub(transport + header_length)?;
    if header_length < tcp::MIN_HEADER_LENGTH {
        return None;
    }
    packet.truncate(parsed.ip_offset + F::LENGTH + tcp::MIN_HEADER_LENGTH)?;
    packet.write(0, &parsed.ethernet.swapped())?;
    F::write_header(packet, parsed, ipv4::TCP, tcp::MIN_HEADER_LENGTH)?;
    let reset = reset_of(parsed, data as u32);
    packet.write(parsed.ip_offset + F::LENGTH, &reset)
}

/// The header of the reset that answers a segment with so many bytes of data. Of a fragment's, which
/// do not have all of it, as many as are there: what a SYN opens accepts any number up to its end.
#[inline(always)]
fn reset_of<F: Answer>(parsed: &Parsed<F>, data: u32) -> Tcp {
    let segment = &parsed.segment;
    let (sequence, acknowledgment, flags) = if segment.flags & ACK != 0 {
        (segment.acknowledgment, Be32::new(0), RST)
    } else {
        let end = segment.sequence.get().wrapping_add(length(segment, data));
        (Be32::new(0), Be32::new(end), RST | ACK)
    };
    let tcp = Tcp {
        source_port: parsed.key.destination_port(),
        destination_port: parsed.key.source_port(),
        sequence,
        acknowledgment,
        data_offset: (tcp::MIN_HEADER_LENGTH as u8 / 4) << 4,
        flags: flags as u8,
        window: Be16::new(0),
        checksum: Be16::new(0),
        urgent: Be16::new(0),
    };
    let rest = F::pseudo_header(parsed, ipv4::TCP, tcp::MIN_HEADER_LENGTH);
    let checksum = tcp.computed_checksum(rest);
    Tcp { checksum, ..tcp }
}

/// SEG.LEN: SYN and FIN take a number each.
#[inline(always)]
const fn length(segment: &Segment, data: u32) -> u32 {
    data + (segment.flags & SYN != 0) as u32 + (segment.flags & FIN != 0) as u32
}
