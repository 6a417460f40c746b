//! Puts packets together: TCP, UDP, ICMP and anything else, over IPv4 and IPv6, in tunnels and in
//! fragments. Checksums are computed in full, with code of its own.

mod fragments;
mod header;
mod icmp;
pub mod quic;
mod transport;

use std::net::{IpAddr, SocketAddr};

pub use fragments::fragments;
pub use header::Extension;
use header::Header;
pub use icmp::{Message, quote};
use transport::Transport;

/// GUE's registered UDP port.
pub const GUE_PORT: u16 = 6080;

/// A packet in the making.
#[derive(Clone, Debug)]
pub struct PacketBuilder {
    macs: ([u8; 6], [u8; 6]),
    tags: Vec<(u16, u16)>,
    header: Header,
    transport: Transport,
    payload: Vec<u8>,
    padding: usize,
    transport_error: u16,
}

impl PacketBuilder {
    /// A TCP segment without flags. Both addresses are of one family, here and below.
    #[must_use]
    pub fn tcp(source: impl Into<SocketAddr>, destination: impl Into<SocketAddr>) -> Self {
        Self::with_ports(source, destination, Transport::tcp)
    }

    /// A UDP datagram with a checksum.
    #[must_use]
    pub fn udp(source: impl Into<SocketAddr>, destination: impl Into<SocketAddr>) -> Self {
        Self::with_ports(source, destination, Transport::udp)
    }

    /// A message of the family's ICMP.
    #[must_use]
    pub fn icmp(
        source: impl Into<IpAddr>,
        destination: impl Into<IpAddr>,
        message: Message,
    ) -> Self {
        Self::new(source.into(), destination.into(), Transport::icmp(message))
    }

    /// An ICMP error about `quoted`, an IP packet or as much of one as [`quote`] leaves.
    #[must_use]
    pub fn icmp_error(
        source: impl Into<IpAddr>,
        destination: impl Into<IpAddr>,
        message: Message,
        quoted: &[u8],
    ) -> Self {
        Self::icmp(source, destination, message).payload(quoted)
    }

    /// Any protocol, without a header of its own.
    #[must_use]
    pub fn other(protocol: u8, source: impl Into<IpAddr>, destination: impl Into<IpAddr>) -> Self {
        let transport = Transport::Other { protocol };
        Self::new(source.into(), destination.into(), transport)
    }

    /// IP in IP: 4in4, 6in6, 4in6 or 6in4. `inner` is an IP packet.
    #[must_use]
    pub fn ipip(source: impl Into<IpAddr>, destination: impl Into<IpAddr>, inner: &[u8]) -> Self {
        Self::other(protocol_of(inner), source, destination).payload(inner)
    }

    /// GUE without extension fields, and without UDP checksum. `inner` is an IP packet.
    #[must_use]
    pub fn gue(
        source: impl Into<SocketAddr>,
        destination: impl Into<SocketAddr>,
        inner: &[u8],
    ) -> Self {
        let payload = [&[0, protocol_of(inner), 0, 0], inner].concat();
        Self::udp(source, destination)
            .without_checksum()
            .payload(&payload)
    }

    fn with_ports(
        source: impl Into<SocketAddr>,
        destination: impl Into<SocketAddr>,
        transport: impl FnOnce(u16, u16) -> Transport,
    ) -> Self {
        let (source, destination) = (source.into(), destination.into());
        let transport = transport(source.port(), destination.port());
        Self::new(source.ip(), destination.ip(), transport)
    }

    fn new(source: IpAddr, destination: IpAddr, transport: Transport) -> Self {
        Self {
            macs: ([0; 6], [0; 6]),
            tags: Vec::new(),
            header: Header::new(source, destination),
            transport,
            payload: Vec::new(),
            padding: 0,
            transport_error: 0,
        }
    }

    /// Ethernet addresses.
    #[must_use]
    pub fn macs(mut self, destination: [u8; 6], source: [u8; 6]) -> Self {
        self.macs = (destination, source);
        self
    }

    /// Adds a VLAN tag behind those there are: its ethertype and control word.
    #[must_use]
    pub fn tag(mut self, ethertype: u16, control: u16) -> Self {
        self.tags.push((ethertype, control));
        self
    }

    /// Hops left; 64 if not called.
    #[must_use]
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.header.hops = ttl;
        self
    }

    /// IPv4's TOS or IPv6's traffic class.
    #[must_use]
    pub fn traffic_class(mut self, class: u8) -> Self {
        self.header.traffic_class = class;
        self
    }

    /// IPv6 only: the flow label, 20 bits.
    #[must_use]
    pub fn flow_label(mut self, label: u32) -> Self {
        self.header.flow_label = label & 0xf_ffff;
        self
    }

    /// IPv4 only: identification, and the word of flags and fragment offset.
    #[must_use]
    pub fn fragment(mut self, identification: u16, flags_fragment: u16) -> Self {
        self.header.identification = identification;
        self.header.flags_fragment = flags_fragment;
        self
    }

    /// IPv4 options, a multiple of four bytes, 40 at most.
    #[must_use]
    pub fn ipv4_options(mut self, options: &[u8]) -> Self {
        assert!(options.len() <= 40 && options.len().is_multiple_of(4));
        self.header.options = options.to_vec();
        self
    }

    /// IPv6 only: adds an extension header behind those there are.
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Self {
        self.header.extensions.push(extension);
        self
    }

    /// TCP flags, [`wire::tcp::SYN`], ...
    #[must_use]
    pub fn flags(mut self, new: u16) -> Self {
        if let Transport::Tcp { flags, .. } = &mut self.transport {
            *flags = new as u8;
        }
        self
    }

    /// TCP sequence and acknowledgment number.
    #[must_use]
    pub fn numbers(mut self, new_sequence: u32, new_acknowledgment: u32) -> Self {
        if let Transport::Tcp {
            sequence,
            acknowledgment,
            ..
        } = &mut self.transport
        {
            (*sequence, *acknowledgment) = (new_sequence, new_acknowledgment);
        }
        self
    }

    /// TCP options, a multiple of four bytes, 40 at most.
    #[must_use]
    pub fn tcp_options(mut self, new: &[u8]) -> Self {
        assert!(new.len() <= 40 && new.len().is_multiple_of(4));
        if let Transport::Tcp { options, .. } = &mut self.transport {
            *options = new.to_vec();
        }
        self
    }

    /// UDP only: checksum 0.
    #[must_use]
    pub fn without_checksum(mut self) -> Self {
        if let Transport::Udp { with_checksum, .. } = &mut self.transport {
            *with_checksum = false;
        }
        self
    }

    /// What follows the transport header.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// Bytes behind the IP packet.
    #[must_use]
    pub fn padding(mut self, bytes: usize) -> Self {
        self.padding = bytes;
        self
    }

    /// Makes the checksums wrong by these amounts (one's complement; 0 and 0xffff: not). `ipv4` is
    /// the header's, `transport` that of TCP, UDP or ICMP.
    #[must_use]
    pub fn wrong_by(mut self, ipv4: u16, transport: u16) -> Self {
        (self.header.error, self.transport_error) = (ipv4, transport);
        self
    }

    /// The frame.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut frame = [self.macs.0, self.macs.1].concat();
        for (ethertype, control) in &self.tags {
            frame.extend(ethertype.to_be_bytes());
            frame.extend(control.to_be_bytes());
        }
        let ethertype: u16 = match self.header.is_v6() {
            false => 0x0800,
            true => 0x86dd,
        };
        frame.extend(ethertype.to_be_bytes());
        frame.extend(self.ip_packet());
        frame.resize(frame.len() + self.padding, 0);
        frame
    }

    /// The IP packet alone, to be quoted or put into a tunnel.
    #[must_use]
    pub fn ip_packet(&self) -> Vec<u8> {
        let protocol = self.transport.protocol(self.header.is_v6());
        let segment = self
            .transport
            .segment(&self.header, &self.payload, self.transport_error);
        self.header.in_front_of(protocol, &segment)
    }
}

/// The protocol number of an IP packet inside another packet.
fn protocol_of(packet: &[u8]) -> u8 {
    match packet.first() {
        Some(first) if first >> 4 == 6 => 41,
        _ => 4,
    }
}

/// The checksum for `sum`, made wrong by `error`.
fn checksum(sum: u64, error: u16) -> u16 {
    let fold = |n: u64| match n % 0xffff {
        0 if n > 0 => 0xffff,
        folded => folded,
    };
    let right = 0xffff - fold(sum);
    match error {
        0 => right as u16,
        error => fold(right + u64::from(error)) as u16,
    }
}

#[cfg(test)]
mod tests;
