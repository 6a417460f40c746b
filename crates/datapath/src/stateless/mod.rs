//! The forwarding modes that keep no flow table: `dnat`, `l2-dsr`, `ipip`, `gue` (DESIGN: 3.4).

mod dnat;
mod tunnel;

pub(crate) use dnat::{mapped_address, reply, rewrite, service_address, to_host, transport};
pub(crate) use tunnel::{encapsulate, overhead};

use abi::backend::Backend;
use abi::control::feature;
use abi::flow::FlowKey as _;
use abi::reason::Reason;
use abi::service::{MODE_DNAT, MODE_GUE, MODE_IPIP, MODE_L2_DSR, QUIC, Service};

use crate::parse::Header;
use crate::select::{self, Choice, Routed};
use crate::verdict::Findings;
use crate::{FamilyTables, Packet, Parsed, Tables, Transport};

/// Sends a packet to the backend of its flow.
#[inline(always)]
pub(crate) fn forward<F: Header, P: Packet, T: Tables + FamilyTables<F>>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed<F>,
    service: &Service,
    found: &mut Findings,
) -> Reason {
    try_forward(packet, tables, parsed, service, found).unwrap_or_else(|reason| reason)
}

#[inline(always)]
fn try_forward<F: Header, P: Packet, T: Tables + FamilyTables<F>>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed<F>,
    service: &Service,
    found: &mut Findings,
) -> Result<Reason, Reason> {
    let settings = tables.settings();
    let hash = select::slot_hash::<F>(&parsed.key, service, settings.flow_seed);
    let choice = choose(packet, tables, parsed, found.service, service, hash)?;
    found.backend = choice.backend;
    let backend = tables.backend(choice.backend).ok_or(Reason::Inconsistent)?;
    select::check(backend)?;
    let overhead = overhead(settings.features, service.mode, backend);
    let room = u32::from(backend.mtu).saturating_sub(overhead);
    if parsed.ip.length > room {
        return Err(found.too_big(room));
    }
    send(packet, tables, parsed, service.mode, backend, hash)?;
    let new_flow = parsed.segment.is_opening();
    tables.count_forwarded(choice.backend, u64::from(parsed.ip.length), new_flow);
    found.interface = backend.link.interface();
    Ok(choice.reason)
}

/// The backend, by connection id where the service wants that.
#[inline(always)]
fn choose<F: Header, P: Packet, T: Tables + FamilyTables<F>>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed<F>,
    index: u32,
    service: &Service,
    hash: u64,
) -> Result<Choice, Reason> {
    let by_id = tables.settings().features & feature::QUIC != 0
        && service.flags & QUIC != 0
        && parsed.segment.transport == Transport::Udp;
    let routed = if by_id {
        select::route(packet, tables, parsed, index, service)
    } else {
        Routed::No
    };
    if let Routed::Backend(backend) = routed {
        let reason = Reason::ForwardedByConnectionId;
        return Ok(Choice { backend, reason });
    }
    let mut choice = select::choose(tables, parsed, index, service, hash)?;
    if routed == Routed::Unknown {
        choice.reason = Reason::UnknownConnectionId;
    }
    Ok(choice)
}

/// Rewrites the packet as the mode wants it.
#[inline(always)]
pub(crate) fn send<F: Header, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    parsed: &Parsed<F>,
    mode: u8,
    backend: &Backend,
    hash: u64,
) -> Result<(), Reason> {
    let settings = tables.settings();
    let has = |bit| settings.features & bit != 0;
    if mode == MODE_DNAT && has(feature::DNAT) {
        if parsed.ip.ttl <= 1 {
            return Err(Reason::TtlExceeded);
        }
        let (address, port) = mapped_address::<F>(backend, parsed.key.destination_port());
        let becomes = dnat::Becomes::destination(parsed, address, port);
        return rewrite(packet, parsed, &becomes, &backend.link).ok_or(Reason::Inconsistent);
    }
    if mode == MODE_L2_DSR && has(feature::L2_DSR) {
        packet.refresh();
        return packet
            .write(0, &backend.link.addresses())
            .ok_or(Reason::Inconsistent);
    }
    let is_gue = mode == MODE_GUE && has(feature::GUE);
    if is_gue || mode == MODE_IPIP && has(feature::IPIP) {
        return encapsulate(packet, &settings, parsed, backend, is_gue, hash);
    }
    Err(Reason::Inconsistent)
}
