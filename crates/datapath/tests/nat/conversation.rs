//! Packets between clients and the first services of `testkit::world`.

use std::net::{Ipv4Addr, SocketAddrV4};

use evenkeel_datapath::FlowTable;
use testkit::builder::PacketBuilder;
use testkit::outcome::{Outcome, process};
use testkit::tables::{Capacities, MemoryTables};
use testkit::world;
use wire::tcp::{ACK, SYN};

pub(crate) const BALANCER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
pub(crate) const TCP_SERVICE: SocketAddrV4 = SocketAddrV4::new(BALANCER, 8000);
pub(crate) const UDP_SERVICE: SocketAddrV4 = SocketAddrV4::new(BALANCER, 53);
pub(crate) const UDP_BACKEND: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 5353);
const TCP_BACKEND: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 8000);
const BALANCER_MAC: [u8; 6] = [0xde, 0xad, 0xbe, 0xef, 0x00, 0x10];
pub(crate) const CLIENT_MAC: [u8; 6] = [0xde, 0xad, 0xbe, 0xef, 0x00, 0x01];
/// Every client's.
pub(crate) const PORT: u16 = 40_000;

/// The world's services, and room for `half_open` entries of half-open flows.
pub(crate) fn tables(half_open: usize) -> MemoryTables {
    let established = 64;
    let capacities = Capacities {
        established,
        half_open,
        exceptions: 64,
    };
    MemoryTables::new(world::content(), capacities)
}

pub(crate) fn client(host: u16) -> SocketAddrV4 {
    let [high, low] = host.to_be_bytes();
    SocketAddrV4::new(Ipv4Addr::new(10, 9, high, low), PORT)
}

/// The packet as it arrives from `mac`.
pub(crate) fn arriving(packet: &PacketBuilder, mac: [u8; 6]) -> Vec<u8> {
    packet.clone().macs(BALANCER_MAC, mac).build()
}

pub(crate) fn send(tables: &MemoryTables, packet: PacketBuilder, mac: [u8; 6]) -> Outcome {
    process(tables, &arriving(&packet, mac), world::INTERFACE)
}

/// From a client, whose first sequence number is 1.
pub(crate) fn segment(from: SocketAddrV4, flags: u16, acknowledgment: u32) -> PacketBuilder {
    PacketBuilder::tcp(from, TCP_SERVICE)
        .flags(flags)
        .numbers(2, acknowledgment)
}

/// From the backend, whose first sequence number is 5000, to a flow that kept its client's port.
pub(crate) fn from_backend(flags: u16) -> PacketBuilder {
    PacketBuilder::tcp(TCP_BACKEND, SocketAddrV4::new(BALANCER, PORT))
        .flags(flags)
        .numbers(5000, 2)
}

/// The backend's SYN and ACK.
pub(crate) fn answer() -> PacketBuilder {
    from_backend(SYN | ACK)
}

/// Takes a client's connection through the handshake.
pub(crate) fn establish(tables: &MemoryTables, from: SocketAddrV4) {
    send(tables, segment(from, SYN, 0), CLIENT_MAC);
    send(tables, answer(), CLIENT_MAC);
    send(tables, segment(from, ACK, 5001), CLIENT_MAC);
    assert!(!tables.flows(FlowTable::Established).is_empty());
}
