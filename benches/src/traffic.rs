//! Frames under test, and how they vary.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use abi::backend::Address;
use abi::family::{Address as _, Family};
use abi::flow::FlowKey as _;
use wire::checksum;
use wire::ethernet::{self, Addresses};
use wire::{Be16, Be32, ipv4, ipv6, tcp, udp};
use zerocopy::IntoBytes as _;

use crate::check;

/// What stands behind the packet, for the kernel side.
#[path = "../../crates/ebpf/src/trailer.rs"]
pub(crate) mod trailer;

use trailer::{Spread, Trailer, Vary};

/// `BPF_PROG_TEST_RUN` pretends that frames come from the loopback interface.
pub(crate) const INTERFACE: u32 = 1;
/// Our own Ethernet address.
pub(crate) const OUR_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x10];
/// The backends' Ethernet address.
pub(crate) const BACKEND_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x20];
/// The clients'.
pub(crate) const CLIENT_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// The services' port.
pub(crate) const PORT: u16 = 80;
/// The backends' port, where the mode has one.
pub(crate) const BACKEND_PORT: u16 = 8080;
/// log2 of the clients' number. As many backends, so that in mode `nat` a flow's index picks both.
pub(crate) const CLIENTS_LOG2: u32 = 6;

const FIRST_CLIENT_PORT: u16 = 1024;
const TTL: u8 = 64;
/// Knuth's multiplier (2^32 over the golden ratio): successive packets are far apart.
const STRIDE: u32 = 0x9e37_79b1;

/// Which IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    V4,
    V6,
}

/// Whose address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The first client's.
    Client,
    /// The first of those that have no entry in any table.
    Stranger,
    /// The first attacker's.
    Attacker,
    /// The first of those whose SYNs all have one port.
    AttackerOfOnePort,
    /// The first service's.
    Service,
    /// The first backend's.
    Backend,
    /// The instance's own, towards backends.
    Instance,
    /// Nobody's: packets to it are not for us.
    Elsewhere,
}

impl Version {
    /// The `index`-th address of somebody.
    pub(crate) fn address(self, who: Who, index: u32) -> IpAddr {
        let (v4, v6): ([u8; 4], u16) = match who {
            Who::Client => ([192, 0, 2, 64], 0xc),
            Who::Stranger => ([198, 51, 100, 0], 0x5),
            Who::Attacker => ([11, 0, 0, 0], 0xa),
            Who::AttackerOfOnePort => ([12, 0, 0, 0], 0xb),
            Who::Service => ([10, 1, 0, 10], 0x1),
            Who::Backend => ([10, 2, 0, 64], 0x2),
            Who::Instance => ([10, 0, 1, 10], 0x3),
            Who::Elsewhere => ([10, 0, 0, 99], 0x9),
        };
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::from_bits(u32::from_be_bytes(v4) + index)),
            Self::V6 => {
                let first = Ipv6Addr::new(0x2001, 0xdb8, v6, 0, 0, 0, 0, 0x40);
                IpAddr::V6(Ipv6Addr::from_bits(first.to_bits() + u128::from(index)))
            }
        }
    }

    /// Both addresses in a header.
    pub(crate) fn addresses(self, header: &[u8]) -> &[u8] {
        let place = match self {
            Self::V4 => ipv4::SOURCE_OFFSET..ipv4::MIN_HEADER_LENGTH,
            Self::V6 => ipv6::SOURCE_OFFSET..ipv6::HEADER_LENGTH,
        };
        header.get(place).unwrap_or_default()
    }

    /// Its name behind that of a mode.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::V4 => "",
            Self::V6 => " v6",
        }
    }
}

/// Addresses, ports, flags of a case's packets, and how they vary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    pub(crate) version: Version,
    sender: [u8; 6],
    source: Who,
    destination: Who,
    protocol: u8,
    ports: (u16, u16),
    flags: u16,
    spread: Spread,
}

impl Traffic {
    /// From clients to the first service, of `2^flows_log2` TCP flows.
    pub(crate) fn new(version: Version, flows_log2: u32) -> Self {
        Self {
            version,
            sender: CLIENT_MAC,
            source: Who::Client,
            destination: Who::Service,
            protocol: ipv4::TCP,
            ports: (FIRST_CLIENT_PORT, PORT),
            flags: tcp::ACK,
            spread: flows(flows_log2, 1),
        }
    }

    /// To somebody else.
    pub(crate) fn to(self, destination: Who, port: u16) -> Self {
        Self {
            destination,
            ports: (self.ports.0, port),
            ..self
        }
    }

    /// The same of UDP.
    pub(crate) fn udp(self) -> Self {
        Self {
            protocol: ipv4::UDP,
            ..self
        }
    }

    /// The same to so many services.
    pub(crate) fn to_services(mut self, services: u32) -> Self {
        self.spread.destinations = services;
        self
    }

    /// The same from clients that have no entries.
    pub(crate) fn sent_by_strangers(self) -> Self {
        Self {
            source: Who::Stranger,
            ..self
        }
    }

    /// The backends' replies to [`Self::new`] in mode `nat`.
    pub(crate) fn replies(version: Version, flows_log2: u32) -> Self {
        Self {
            sender: BACKEND_MAC,
            source: Who::Backend,
            destination: Who::Instance,
            ports: (BACKEND_PORT, FIRST_CLIENT_PORT),
            spread: flows(flows_log2, 1 << 16),
            ..Self::new(version, flows_log2)
        }
    }

    /// SYNs to the service, each of a new flow: 256 clients with all ports, 16 million flows until
    /// one comes again.
    pub(crate) fn new_flows(version: Version) -> Self {
        let spread = Spread {
            source_mask: 0xff,
            port_shift: 8,
            ..flows(24, 1)
        };
        Self {
            source: Who::Stranger,
            ports: (0, PORT),
            flags: tcp::SYN,
            spread,
            ..Self::new(version, 0)
        }
    }

    /// SYNs of a million spoofed addresses with 16 ports each, which overlap.
    pub(crate) fn flood(version: Version) -> Self {
        let spread = Spread {
            source_mask: (1 << 20) - 1,
            port_shift: 8,
            ..flows(24, 1)
        };
        Self {
            source: Who::Attacker,
            spread,
            ..Self::new_flows(version)
        }
    }

    /// SYNs of 16 million spoofed addresses, all with the same port.
    pub(crate) fn flood_of_one_port(version: Version) -> Self {
        let spread = Spread {
            source_mask: (1 << 24) - 1,
            ..flows(24, 0)
        };
        Self {
            source: Who::AttackerOfOnePort,
            ports: (FIRST_CLIENT_PORT, PORT),
            spread,
            ..Self::new_flows(version)
        }
    }

    fn first_source(&self) -> IpAddr {
        self.version.address(self.source, 0)
    }

    fn first_destination(&self) -> IpAddr {
        self.version.address(self.destination, 0)
    }

    fn first_ports(&self) -> udp::Ports {
        udp::Ports {
            source: Be16::new(self.ports.0),
            destination: Be16::new(self.ports.1),
        }
    }

    /// The frame, whose first packet has number `counter`.
    pub(crate) fn frame(&self, counter: u32) -> Vec<u8> {
        let (source, destination) = (self.first_source(), self.first_destination());
        let mut transport = self.transport();
        let ip = ip_header(source, destination, self.protocol, transport.len());
        let addresses = self.version.addresses(&ip);
        let checksum = Be16::from_raw(!check::transport_sum(addresses, self.protocol, &transport));
        let at = if self.protocol == ipv4::TCP {
            tcp::CHECKSUM_OFFSET
        } else {
            udp::CHECKSUM_OFFSET
        };
        for (byte, value) in transport.iter_mut().skip(at).zip(checksum.as_bytes()) {
            *byte = *value;
        }
        let (ethertype, ip_checksum) = match self.version {
            Version::V4 => (ethernet::IPV4, Be16::from_raw(!checksum::sum(&ip, 0))),
            Version::V6 => (ethernet::IPV6, Be16::default()),
        };
        let addresses = Addresses::new(OUR_MAC, self.sender);
        let trailer = Trailer {
            head: ip.first_chunk().map_or(0, |head| u64::from_le_bytes(*head)),
            source: stored(source),
            destination: stored(destination),
            addresses,
            ethertype,
            ip_checksum,
            ttl_protocol: Be16::new(u16::from(TTL) << 8 | u16::from(self.protocol)),
            checksum,
            ports: self.first_ports(),
            protocol: self.protocol.into(),
            counter,
            spread: self.spread,
        };
        // The wrapper writes the IPv4 header's checksum before anybody reads it.
        let mut frame = addresses.as_bytes().to_vec();
        frame.extend(ethertype.as_bytes());
        frame.extend(ip);
        frame.extend(transport);
        frame.resize(trailer::OFFSET, 0);
        frame.extend(trailer.as_bytes());
        frame
    }

    /// The header without its checksum.
    fn transport(&self) -> Vec<u8> {
        let ports = self.first_ports();
        if self.protocol == ipv4::UDP {
            let udp = udp::Udp {
                source_port: ports.source,
                destination_port: ports.destination,
                length: Be16::new(udp::HEADER_LENGTH as u16),
                checksum: Be16::default(),
            };
            return udp.as_bytes().to_vec();
        }
        let tcp = tcp::Tcp {
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
        tcp.as_bytes().to_vec()
    }

    /// The key that packets of an index arrive with.
    pub(crate) fn key<F: Family>(&self, index: u32) -> F::FlowKey
    where
        F::Address: Vary,
    {
        let ports = self.spread.ports(self.first_ports(), index);
        let source = F::Address::from_stored(&stored(self.first_source()));
        let destination = F::Address::from_stored(&stored(self.first_destination()));
        F::FlowKey::new(
            self.spread.source(source, index),
            self.spread.destination(destination, index),
            ports.source,
            ports.destination,
            self.protocol,
        )
    }
}

/// The low bits of the index go to the source address, the others to a port.
fn flows(flows_log2: u32, port_unit: u32) -> Spread {
    Spread {
        stride: STRIDE,
        mask: (1 << flows_log2) - 1,
        source_mask: (1 << CLIENTS_LOG2) - 1,
        destinations: 1,
        port_shift: CLIENTS_LOG2,
        port_unit,
    }
}

/// The header in front of `length` bytes; in IPv4 with a checksum of 0.
fn ip_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let (from, to) = (stored(source), stored(destination));
    if source.is_ipv6() {
        let header = ipv6::Ipv6 {
            version_class_flow: Be32::new(6 << 28),
            payload_length: Be16::new(length as u16),
            next_header: protocol,
            hop_limit: TTL,
            source: from.as_v6(),
            destination: to.as_v6(),
        };
        return header.as_bytes().to_vec();
    }
    let header = ipv4::Ipv4 {
        version_ihl: 0x45,
        total_length: Be16::new((ipv4::MIN_HEADER_LENGTH + length) as u16),
        ttl: TTL,
        protocol,
        source: from.as_v4(),
        destination: to.as_v4(),
        ..ipv4::Ipv4::default()
    };
    header.as_bytes().to_vec()
}

/// An address as the maps have it.
pub(crate) fn stored(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(v4) => Address::v4(Be32::new(v4.to_bits())),
        IpAddr::V6(v6) => Address::v6(ipv6::Address::new(v6.octets())),
    }
}
