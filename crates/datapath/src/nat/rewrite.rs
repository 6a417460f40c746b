//! Writes a flow's addresses, ports and checksums into a packet.

use abi::backend::Link;
use abi::flow::Rewrite;
use wire::checksum::{self, Delta};
use wire::{ipv4, tcp, udp};

use crate::{Packet, Parsed, Transport};

/// Rewrites the packet as `becomes` says, one hop further, and addresses it to `link`. Tags, options
/// and payload stay as they are. `None` if the frame is shorter than [`crate::parse`] found it.
#[inline(always)]
pub fn rewrite<P: Packet>(
    packet: &mut P,
    parsed: &Parsed,
    becomes: &Rewrite,
    link: &Link,
) -> Option<()> {
    packet.write(0, &link.addresses())?;
    packet.write(
        parsed.ip_offset + ipv4::ROUTE_OFFSET,
        &ipv4::Route {
            ttl: parsed.ipv4.ttl.wrapping_sub(1),
            protocol: parsed.ipv4.protocol,
            checksum: checksum::update(parsed.ipv4.checksum, Delta::from_folded(becomes.ip_delta)),
            source: becomes.source,
            destination: becomes.destination,
        },
    )?;
    let ports = udp::Ports {
        source: becomes.source_port,
        destination: becomes.destination_port,
    };
    packet.write(parsed.transport_offset, &ports)?;
    let delta = Delta::from_folded(becomes.transport_delta);
    let checksum = parsed.segment.checksum;
    match parsed.segment.transport {
        Transport::Tcp => packet.write(
            parsed.transport_offset + tcp::CHECKSUM_OFFSET,
            &checksum::update(checksum, delta),
        ),
        Transport::Udp => packet.write(
            parsed.transport_offset + udp::CHECKSUM_OFFSET,
            &checksum::update_udp(checksum, delta),
        ),
        Transport::LaterFragment => Some(()),
    }
}
