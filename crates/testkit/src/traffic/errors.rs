//! ICMP, and what is no packet of a flow at all.

use super::{Traffic, host};
use crate::builder::{Message, PacketBuilder, quote};
use crate::model::Flow;

impl Traffic {
    /// An echo request to a VIP, or to somebody else.
    pub(super) fn echo_frame(&mut self) -> Vec<u8> {
        let target = self.random.pick(&self.mix.targets).destination;
        let from = self.some_address(target.is_ipv6());
        let message = Message::EchoRequest {
            identifier: self.random.number() as u16,
            sequence: self.random.number() as u16,
        };
        let builder = PacketBuilder::icmp(from, target.ip(), message);
        let builder = builder.macs([2, 0, 0, 0, 0, 0x10], [2, 7, 7, 7, 7, 7]);
        let builder = self.vary(builder, None);
        self.divide(builder.build())
    }

    /// Other protocols, tunnels to us, other messages, other ethertypes.
    pub(super) fn other_frame(&mut self) -> Vec<u8> {
        let vip = self.random.pick(&self.mix.targets).destination;
        let from = self.some_address(vip.is_ipv6());
        let inner = PacketBuilder::udp(vip, vip).ip_packet();
        let protocol = self.random.number() as u8;
        let kind = self.random.number() as u8;
        let builder = match self.random.below(4) {
            0 => PacketBuilder::other(protocol, from, vip.ip()),
            1 => PacketBuilder::ipip(from, vip.ip(), &inner),
            _ => PacketBuilder::icmp(from, vip.ip(), Message::Other(kind, 0, [0; 4])),
        };
        let mut frame = self.vary(builder, Some(inner)).build();
        if self.random.one_in(8) {
            // ARP.
            frame[12..14].copy_from_slice(&[0x08, 0x06]);
        }
        frame
    }

    /// About the answer of a backend that a client got: from the client, or a router near it.
    pub(super) fn error_to_vip(&mut self) -> Vec<u8> {
        let remembered = match self.outside.is_empty() {
            true => return self.stranger_frame(),
            false => Flow::of(self.random.pick::<Vec<u8>>(&self.outside)),
        };
        match remembered {
            Some(flow) => self.error_about(flow.reversed()),
            None => self.stranger_frame(),
        }
    }

    /// About a packet that a backend got: from the backend, or a router near it.
    pub(super) fn error_from_inside(&mut self) -> Vec<u8> {
        let remembered = match self.inside.is_empty() {
            true => return self.stranger_frame(),
            false => Flow::of(self.random.pick::<Vec<u8>>(&self.inside)),
        };
        match remembered {
            Some(flow) => self.error_about(flow),
            None => self.stranger_frame(),
        }
    }

    /// An error about a packet of this flow, to whoever sent that.
    fn error_about(&mut self, flow: Flow) -> Vec<u8> {
        let is_v6 = flow.source.is_ipv6();
        let quoted = match flow.protocol {
            6 => PacketBuilder::tcp(flow.source, flow.destination).flags(0x10),
            _ => PacketBuilder::udp(flow.source, flow.destination),
        };
        let quoted = self.vary(quoted, None).ip_packet();
        let random = &mut self.random;
        let quoted = match random.below(4) {
            0 => quoted,
            1 => quote(&quoted, random.below(24)),
            _ => quote(&quoted, 8),
        };
        let message = match random.below(8) {
            0..3 => Message::TooBig(random.below(1500) as u32),
            3..5 => Message::Unreachable(random.below(5) as u8),
            5 => Message::TimeExceeded(0),
            6 => Message::ParameterProblem(0),
            _ => Message::Other(random.number() as u8, 0, [0; 4]),
        };
        let from = match random.one_in(2) {
            true => flow.destination.ip(),
            false => host(random.number() as u16 & 0xff, is_v6),
        };
        // Sometimes it goes to somebody who did not send that.
        let to = match random.one_in(16) {
            true => self.some_address(is_v6),
            false => flow.source.ip(),
        };
        let builder = PacketBuilder::icmp(from, to, message);
        let builder = builder.macs([2, 0, 0, 0, 0, 0x10], [2, 6, 6, 6, 6, 6]);
        self.vary(builder, Some(quoted)).build()
    }
}
