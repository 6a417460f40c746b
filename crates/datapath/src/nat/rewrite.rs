//! Writes a flow's addresses, ports and checksums into a packet.

use abi::backend::Link;
use abi::flow::Rewrite as _;
use wire::checksum::Delta;
use wire::udp;

use crate::parse::Header;
use crate::{Packet, Parsed, stateless};

/// Rewrites the packet as `becomes` says, one hop further, and addresses it to `link`. Tags, options
/// and payload stay as they are. `None` if the frame is shorter than [`crate::parse`] found it.
#[inline(always)]
pub fn rewrite<F: Header, P: Packet>(
    packet: &mut P,
    parsed: &Parsed<F>,
    becomes: &F::Rewrite,
    link: &Link,
) -> Option<()> {
    packet.refresh();
    packet.write(0, &link.addresses())?;
    let addresses = (becomes.source(), becomes.destination());
    let delta = Delta::from_folded(becomes.ip_delta());
    F::write_route(packet, parsed, addresses, delta)?;
    let ports = udp::Ports {
        source: becomes.source_port(),
        destination: becomes.destination_port(),
    };
    let delta = Delta::from_folded(becomes.transport_delta());
    stateless::transport(packet, parsed, ports, delta)
}
