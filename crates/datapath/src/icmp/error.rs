//! Errors about a flow's packets. The quoted packet was sent by whoever the error is for:
//!
//! - by a backend, as the VIP, to a client: the error arrives at the VIP and goes to the backend;
//! - by us, for a client of `nat`, to a backend: it arrives at our source address and goes to the
//!   client;
//! - by a client of `dnat`, to a backend: it passes by on its way to the client, which knows only
//!   the VIP.
//!
//! In `nat` and `dnat` the quoted packet is changed back to what its sender sent (RFC 5508).

use abi::NO_INDEX;
use abi::backend::{ALIVE, Backend, Link, RESOLVED};
use abi::control::feature;
use abi::family::{Address as _, Family};
use abi::flow::{FORWARD, FlowKey as _, Rewrite as _};
use abi::reason::Reason;
use abi::service::{MODE_DNAT, MODE_NAT, Service};
use wire::checksum::{self, Delta};
use wire::icmp::{self, Icmp};
use wire::udp::Ports;

use super::Messages;
use super::quoted::{self, Quoted, QuotedBecomes};
use crate::classify::{Headed, classify, dnat_backend};
use crate::packet::{RouteQuery, Way};
use crate::verdict::Findings;
use crate::{FamilyTables, Packet, Parsed, Tables, nat, select, stateless};

/// What an error becomes, and where it goes.
struct Rewritten<F: Family> {
    source: F::Address,
    destination: F::Address,
    quoted: QuotedBecomes<F>,
    link: Link,
}

/// Sends an error on, or `None` if it is none of ours.
#[inline(always)]
pub(super) fn forward<F: Messages, P: Packet, T: Tables + FamilyTables<F>>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed<F>,
    icmp: &Icmp,
    found: &mut Findings,
) -> Option<Reason> {
    packet.refresh();
    let quoted = quoted::read(packet, parsed, tables.zero())?;
    let features = tables.settings().features;
    // The flow's packets in the other direction: those that we see on their way in.
    let key = quoted.key.reversed();
    let to_sender = key.destination() == parsed.key.destination();
    if features & feature::NAT != 0
        && to_sender
        && let Some(flow) = nat::find(tables, &key)
    {
        return Some(about_nat(
            packet, tables, parsed, icmp, &quoted, &flow, found,
        ));
    }
    if to_sender && let Headed::Service(index) = classify(&key, tables) {
        let service = tables.service(index)?;
        found.service = index;
        if service.mode == MODE_NAT {
            return Some(Reason::IcmpNoFlow);
        }
        return Some(about_service(
            packet, tables, parsed, icmp, &quoted, service, found,
        ));
    }
    if features & feature::DNAT != 0 {
        return about_dnat_backend(packet, tables, parsed, icmp, &quoted, found);
    }
    None
}

/// About a flow of `nat`, in either direction.
#[inline(always)]
fn about_nat<F: Messages, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed<F>,
    icmp: &Icmp,
    quoted: &Quoted<F>,
    flow: &nat::Known<F>,
    found: &mut Findings,
) -> Reason {
    found.belongs(flow.service, flow.backend);
    let becomes = &flow.becomes;
    // What the quoted packet was before we changed it: the other way round than what its
    // answers become.
    let quoted_becomes = QuotedBecomes {
        source: becomes.destination(),
        destination: becomes.source(),
        ports: Ports {
            source: becomes.destination_port(),
            destination: becomes.source_port(),
        },
    };
    let (link, source, reason) = if flow.direction == FORWARD {
        match tables.backend(flow.backend) {
            Some(backend) if backend.flags & RESOLVED != 0 => {
                (backend.link, parsed.key.source(), Reason::IcmpForwarded)
            }
            _ => return Reason::NextHopUnknown,
        }
    } else {
        // Whoever complains, the client knows the VIP only.
        (flow.client, becomes.source(), Reason::IcmpReplied)
    };
    let rewritten = Rewritten {
        source,
        destination: becomes.destination(),
        quoted: quoted_becomes,
        link,
    };
    send(packet, parsed, icmp, quoted, &rewritten, reason, found)
}

/// About a flow of a mode without flow table, to its backend.
#[inline(always)]
fn about_service<F: Messages, P: Packet, T: Tables + FamilyTables<F>>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed<F>,
    icmp: &Icmp,
    quoted: &Quoted<F>,
    service: &Service,
    found: &mut Findings,
) -> Reason {
    let key = quoted.key.reversed();
    let hash = select::slot_hash::<F>(&key, service, tables.settings().flow_seed);
    let backend_index = match select::peek(tables, &key, service, hash) {
        Ok(backend) => backend,
        Err(reason) => return reason,
    };
    found.backend = backend_index;
    let Some(backend) = tables.backend(backend_index) else {
        return Reason::Inconsistent;
    };
    if backend.flags & (RESOLVED | ALIVE) != RESOLVED | ALIVE {
        return Reason::NextHopUnknown;
    }
    if service.mode == MODE_DNAT {
        let rewritten = for_dnat_backend(parsed, quoted, backend);
        let reason = Reason::IcmpForwarded;
        return send(packet, parsed, icmp, quoted, &rewritten, reason, found);
    }
    match stateless::send(packet, tables, parsed, service.mode, backend, hash) {
        Ok(()) => {
            found.interface = backend.link.interface();
            Reason::IcmpForwarded
        }
        Err(reason) => reason,
    }
}

#[inline(always)]
fn for_dnat_backend<F: Messages>(
    parsed: &Parsed<F>,
    quoted: &Quoted<F>,
    backend: &Backend,
) -> Rewritten<F> {
    let (address, port) = stateless::mapped_address::<F>(backend, quoted.key.source_port());
    Rewritten {
        source: parsed.key.source(),
        destination: F::Address::from_stored(&backend.address),
        quoted: QuotedBecomes {
            source: address,
            destination: quoted.key.destination(),
            ports: Ports {
                source: port,
                destination: quoted.key.destination_port(),
            },
        },
        link: backend.link,
    }
}

/// From a backend of `dnat`, or from a router on the way to it, to a client.
#[inline(always)]
fn about_dnat_backend<F: Messages, P: Packet, T: Tables + FamilyTables<F>>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed<F>,
    icmp: &Icmp,
    quoted: &Quoted<F>,
    found: &mut Findings,
) -> Option<Reason> {
    let key = &quoted.key;
    let port = key.destination_port();
    let index = dnat_backend(tables, key.destination(), port, key.protocol())?;
    let service = tables.service(index)?;
    found.service = index;
    let (address, port) = stateless::service_address::<F>(service, port);
    let way = packet.route::<F>(&RouteQuery {
        source: address,
        destination: parsed.key.destination(),
        length: parsed.ip.length,
        protocol: F::ICMP,
        traffic_class: parsed.ip.traffic_class as u8,
    });
    let (parsed, link, reason) = match way {
        // About a packet of the host's own.
        Way::Nowhere => {
            found.service = NO_INDEX;
            return None;
        }
        Way::Link(link) => (*parsed, link, Reason::IcmpReplied),
        Way::Host if parsed.ip.ttl <= 1 => return Some(Reason::TtlExceeded),
        Way::Host => {
            let (parsed, link) = stateless::to_host(parsed);
            (parsed, link, Reason::RepliedByHost)
        }
        Way::TooBig(_) => return Some(Reason::NextHopUnknown),
    };
    let rewritten = Rewritten {
        source: address,
        destination: parsed.key.destination(),
        quoted: QuotedBecomes {
            source: key.source(),
            destination: address,
            ports: Ports {
                source: key.source_port(),
                destination: port,
            },
        },
        link,
    };
    Some(send(
        packet, &parsed, icmp, quoted, &rewritten, reason, found,
    ))
}

/// Writes everything, one hop further.
#[inline(always)]
fn send<F: Messages, P: Packet>(
    packet: &mut P,
    parsed: &Parsed<F>,
    icmp: &Icmp,
    quoted: &Quoted<F>,
    rewritten: &Rewritten<F>,
    reason: Reason,
    found: &mut Findings,
) -> Reason {
    if parsed.ip.ttl <= 1 {
        return Reason::TtlExceeded;
    }
    if write(packet, parsed, icmp, quoted, rewritten).is_none() {
        return Reason::Inconsistent;
    }
    found.interface = rewritten.link.interface();
    reason
}

#[inline(always)]
fn write<F: Messages, P: Packet>(
    packet: &mut P,
    parsed: &Parsed<F>,
    icmp: &Icmp,
    quoted: &Quoted<F>,
    rewritten: &Rewritten<F>,
) -> Option<()> {
    let addresses = F::Address::delta(Delta::NONE, parsed.key.source(), rewritten.source);
    let addresses = F::Address::delta(addresses, parsed.key.destination(), rewritten.destination);
    packet.refresh();
    packet.write(0, &rewritten.link.addresses())?;
    let route = (rewritten.source, rewritten.destination);
    F::write_route(packet, parsed, route, addresses)?;
    let around = quoted::rewrite(packet, quoted, &rewritten.quoted)?;
    let around = around.and(F::pseudo_header(addresses));
    packet.refresh();
    let place = parsed.transport_offset + icmp::CHECKSUM_OFFSET;
    packet.write(place, &checksum::update(icmp.checksum, around))
}
