//! The transport header, which must lie inside the IP packet: bytes behind it are Ethernet padding.

use abi::family::Family;
use abi::reason::Reason;
use wire::icmp;
use wire::ipv4;
use wire::tcp::{self, Tcp};
use wire::udp::{self, Udp};

use super::{HeaderFacts, Segment, Transport};
use crate::Packet;

/// Whether services, or errors about their flows, can have this protocol.
#[inline(always)]
pub(super) fn check_protocol<F: Family>(protocol: u8) -> Result<(), Reason> {
    if protocol == ipv4::TCP || protocol == ipv4::UDP || protocol == F::ICMP {
        Ok(())
    } else {
        Err(Reason::OtherProtocol)
    }
}

/// Reads the header behind `header` into `segment` and returns the ports.
#[inline(always)]
pub(super) fn parse<F: Family, P: Packet>(
    packet: &P,
    header: &HeaderFacts<F>,
    segment: &mut Segment,
) -> Result<udp::Ports, Reason> {
    let offset = header.transport_offset;
    if header.protocol == ipv4::TCP {
        if header.transport_length < tcp::MIN_HEADER_LENGTH {
            return Err(Reason::Truncated);
        }
        let tcp: Tcp = packet.read(offset).ok_or(Reason::Truncated)?;
        segment.transport = Transport::Tcp;
        segment.flags = u16::from(tcp.flags);
        segment.sequence = tcp.sequence;
        segment.acknowledgment = tcp.acknowledgment;
        segment.checksum = tcp.checksum;
    } else if header.protocol == ipv4::UDP {
        if header.transport_length < udp::HEADER_LENGTH {
            return Err(Reason::Truncated);
        }
        let udp: Udp = packet.read(offset).ok_or(Reason::Truncated)?;
        segment.transport = Transport::Udp;
        segment.checksum = udp.checksum;
    } else if header.protocol == F::ICMP {
        if header.transport_length < icmp::HEADER_LENGTH {
            return Err(Reason::Truncated);
        }
        segment.transport = Transport::Icmp;
        return Ok(udp::Ports::default());
    } else {
        return Err(Reason::OtherProtocol);
    }
    packet.read(offset).ok_or(Reason::Truncated)
}
