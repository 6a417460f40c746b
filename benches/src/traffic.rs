//! Frames under test, and the flows they belong to.

use std::net::Ipv4Addr;

use abi::backend::Link;
use abi::flow::{
    ANSWERED, FORWARD, FlowKey as _, FlowKeyV4, FlowState, FlowV4, REVERSE, RewriteV4,
};
use wire::checksum::{self, Delta};
use wire::ethernet::{self, Addresses};
use wire::{Be16, Be32, ipv4, tcp, udp};
use zerocopy::IntoBytes;

/// What stands behind the packet, for the kernel side.
#[path = "../../crates/ebpf/src/trailer.rs"]
pub(crate) mod trailer;

use trailer::{Spread, Trailer};

/// The service's address and port.
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
/// The service's port.
pub(crate) const PORT: u16 = 80;
/// Source address towards backends.
pub(crate) const NAT_SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 10);
/// Backends: this many, as many as clients, so that a flow's index picks both.
pub(crate) const BACKENDS: u32 = 1 << BACKENDS_LOG2;
/// The backends' port.
pub(crate) const BACKEND_PORT: u16 = 8080;
/// `BPF_PROG_TEST_RUN` pretends that frames come from the loopback interface.
pub(crate) const INTERFACE: u32 = 1;
/// Our own Ethernet address.
pub(crate) const OUR_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x10];
/// The backends' Ethernet address.
pub(crate) const BACKEND_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x20];

const BACKENDS_LOG2: u32 = 6;
const CLIENT_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
const FIRST_CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 64);
const FIRST_BACKEND: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 64);
const FIRST_NEW_CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 0);
const FIRST_ATTACKER: Ipv4Addr = Ipv4Addr::new(11, 0, 0, 0);
const FIRST_ATTACKER_OF_ONE_PORT: Ipv4Addr = Ipv4Addr::new(12, 0, 0, 0);
const FIRST_CLIENT_PORT: u16 = 1024;
const TTL: u8 = 64;
/// Knuth's multiplier (2^32 over the golden ratio): successive packets are far apart.
const STRIDE: u32 = 0x9e37_79b1;

/// Addresses, ports, flags of a case's packets, and how they vary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    sender: [u8; 6],
    source: Ipv4Addr,
    destination: Ipv4Addr,
    ports: (u16, u16),
    flags: u16,
    spread: Spread,
}

impl Traffic {
    /// From clients to `destination`, of `2^flows_log2` flows.
    pub(crate) fn to(destination: Ipv4Addr, port: u16, flows_log2: u32) -> Self {
        Self {
            sender: CLIENT_MAC,
            source: FIRST_CLIENT,
            destination,
            ports: (FIRST_CLIENT_PORT, port),
            flags: tcp::ACK,
            spread: flows(flows_log2, 1),
        }
    }

    /// The backends' replies to [`Self::to`] the service.
    pub(crate) fn replies(flows_log2: u32) -> Self {
        Self {
            sender: BACKEND_MAC,
            source: FIRST_BACKEND,
            destination: NAT_SOURCE,
            ports: (BACKEND_PORT, FIRST_CLIENT_PORT),
            flags: tcp::ACK,
            spread: flows(flows_log2, 1 << 16),
        }
    }

    /// SYNs to the service, each of a new flow: 256 clients with all ports, 16 million flows until
    /// one comes again.
    pub(crate) fn new_flows() -> Self {
        let spread = Spread {
            address_mask: 0xff,
            port_shift: 8,
            ..flows(24, 1)
        };
        Self {
            source: FIRST_NEW_CLIENT,
            ports: (0, PORT),
            flags: tcp::SYN,
            spread,
            ..Self::to(VIP, PORT, 0)
        }
    }

    /// SYNs of a million spoofed addresses with 16 ports each, which overlap.
    pub(crate) fn flood() -> Self {
        let spread = Spread {
            address_mask: (1 << 20) - 1,
            // The low half of the second byte stays 0.
            address_unit: 1 << 12,
            port_shift: 8,
            ..flows(24, 1)
        };
        Self {
            source: FIRST_ATTACKER,
            spread,
            ..Self::new_flows()
        }
    }

    /// SYNs of 16 million spoofed addresses, all with the same port.
    pub(crate) fn flood_of_one_port() -> Self {
        let spread = Spread {
            address_mask: (1 << 24) - 1,
            address_unit: 1 << 8,
            ..flows(24, 0)
        };
        Self {
            source: FIRST_ATTACKER_OF_ONE_PORT,
            ports: (FIRST_CLIENT_PORT, PORT),
            spread,
            ..Self::new_flows()
        }
    }

    /// The frame, whose first packet has number `counter`.
    pub(crate) fn frame(&self, counter: u32) -> Vec<u8> {
        let source = be32(self.source);
        let destination = be32(self.destination);
        let ports = udp::Ports {
            source: Be16::new(self.ports.0),
            destination: Be16::new(self.ports.1),
        };
        let addresses = Addresses::new(OUR_MAC, self.sender);
        let mut ip = ipv4::Ipv4 {
            version_ihl: 0x45,
            total_length: Be16::new((ipv4::MIN_HEADER_LENGTH + tcp::MIN_HEADER_LENGTH) as u16),
            ttl: TTL,
            protocol: ipv4::TCP,
            source,
            destination,
            ..ipv4::Ipv4::default()
        };
        ip.checksum = Be16::from_raw(!checksum::sum(ip.as_bytes(), 0));
        let mut tcp = tcp::Tcp {
            source_port: ports.source,
            destination_port: ports.destination,
            sequence: Be32::new(1000),
            acknowledgment: Be32::new(if self.flags & tcp::ACK == 0 { 0 } else { 2000 }),
            data_offset: 0x50,
            flags: self.flags as u8,
            window: Be16::new(65_535),
            checksum: Be16::default(),
            urgent: Be16::default(),
        };
        tcp.checksum = Be16::from_raw(!tcp_sum(&ip, tcp.as_bytes()));
        let trailer = Trailer {
            addresses,
            ttl_protocol: Be16::new(u16::from(TTL) << 8 | u16::from(ipv4::TCP)),
            ip_checksum: ip.checksum,
            source,
            destination,
            ports,
            checksum: tcp.checksum,
            reserved: 0,
            counter,
            spread: self.spread,
        };
        let mut frame = addresses.as_bytes().to_vec();
        frame.extend(ethernet::IPV4.as_bytes());
        frame.extend(ip.as_bytes());
        frame.extend(tcp.as_bytes());
        frame.resize(trailer::OFFSET, 0);
        frame.extend(trailer.as_bytes());
        frame
    }

    /// The key that packets of an index arrive with.
    fn key(&self, index: u32) -> FlowKeyV4 {
        let first_ports = udp::Ports {
            source: Be16::new(self.ports.0),
            destination: Be16::new(self.ports.1),
        };
        let ports = self.spread.ports(first_ports, index);
        FlowKeyV4::new(
            self.spread.source(be32(self.source), index),
            be32(self.destination),
            ports.source,
            ports.destination,
            ipv4::TCP,
        )
    }
}

/// The sum over pseudo-header and TCP segment: 0xffff if the checksum in it is valid.
pub(crate) fn tcp_sum(ip: &ipv4::Ipv4, segment: &[u8]) -> u16 {
    let mut pseudo = Vec::new();
    pseudo.extend(ip.source.as_bytes());
    pseudo.extend(ip.destination.as_bytes());
    pseudo.extend([0, ip.protocol]);
    pseudo.extend((segment.len() as u16).to_be_bytes());
    checksum::sum(segment, checksum::sum(&pseudo, 0))
}

/// The low bits of the index go to the source address, the others to a port.
fn flows(flows_log2: u32, port_unit: u32) -> Spread {
    Spread {
        stride: STRIDE,
        mask: (1 << flows_log2) - 1,
        address_mask: BACKENDS - 1,
        // The last byte of the address.
        address_unit: 1 << 24,
        port_shift: BACKENDS_LOG2,
        port_unit,
    }
}

/// Both entries of the established flow with this index, as the packet path makes them when the
/// client's own port is free: a flow's index is also that of its backend.
pub(crate) fn established(index: u32, now: u32) -> [(FlowKeyV4, FlowV4); 2] {
    let from_client = Traffic::to(VIP, PORT, 20).key(index);
    let from_backend = Traffic::replies(20).key(index);
    let client = Link::new(Addresses::new(OUR_MAC, CLIENT_MAC).swapped(), INTERFACE);
    let flow = |from: FlowKeyV4, other: FlowKeyV4, direction, seen| FlowV4 {
        becomes: becomes(from, other),
        state: FlowState {
            service: 0,
            backend: index % BACKENDS,
            client,
            last_seen: now,
            direction,
            seen,
            ..FlowState::default()
        },
    };
    [
        (from_client, flow(from_client, from_backend, FORWARD, 0)),
        (
            from_backend,
            flow(from_backend, from_client, REVERSE, ANSWERED),
        ),
    ]
}

/// Packets with key `from` leave as the opposite of `other`.
fn becomes(from: FlowKeyV4, other: FlowKeyV4) -> RewriteV4 {
    let (source, destination) = (other.destination(), other.source());
    let (source_port, destination_port) = (other.destination_port(), other.source_port());
    let addresses = Delta::NONE
        .double_word(from.source(), source)
        .double_word(from.destination(), destination);
    let transport = addresses
        .word(from.source_port(), source_port)
        .word(from.destination_port(), destination_port);
    RewriteV4 {
        source,
        destination,
        source_port,
        destination_port,
        ip_delta: addresses.fold(),
        transport_delta: transport.fold(),
    }
}

/// The address of the backend with this index.
pub(crate) fn backend(index: u32) -> Ipv4Addr {
    let first = FIRST_BACKEND.to_bits();
    Ipv4Addr::from_bits(first + index)
}

fn be32(address: Ipv4Addr) -> Be32 {
    Be32::new(address.to_bits())
}
