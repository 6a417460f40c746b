//! A service with connection-ID routing, its backends, and packets to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use abi::control::{Settings, feature};
use abi::quic::ServerKey;
use abi::service::{self, MODE_DNAT, MODE_GUE, MODE_IPIP, MODE_L2_DSR, MODE_NAT};
use testkit::builder::PacketBuilder;
use testkit::builder::quic::{LongType, connection_id, long_header, short_header};
use testkit::content::{Content, backend};
use testkit::outcome::{Outcome, process};
use testkit::tables::{Capacities, MemoryTables};
use wire::ethernet::Addresses;
use wire::ipv4::UDP;

/// A power of two, for the service's ring has one slot for each.
pub(crate) const BACKENDS: u32 = 4;
/// Servers' config rotation in these tests, where it is not what they are about.
pub(crate) const CONFIG: u8 = 2;
/// Length of their ids, likewise.
pub(crate) const LENGTH: usize = 4;
pub(crate) const NONCE: [u8; 6] = [0x5a, 0, 0xff, 0x17, 0x83, 1];
const INTERFACE: u32 = 1;
const BALANCER_MAC: [u8; 6] = [0xde, 0xad, 0xbe, 0xef, 0x00, 0x10];
const CLIENT_MAC: [u8; 6] = [0xde, 0xad, 0xbe, 0xef, 0x00, 0x01];
const MODES: [u8; 5] = [MODE_NAT, MODE_DNAT, MODE_L2_DSR, MODE_IPIP, MODE_GUE];

/// The tables of one service, number 0, in one mode and family.
pub(crate) struct Scene {
    pub(crate) tables: MemoryTables,
    pub(crate) mode: u8,
    is_v6: bool,
}

/// The service in every mode and both families.
pub(crate) fn everywhere() -> Vec<Scene> {
    with_ids(LENGTH, CONFIG)
}

/// The same with server ids of another length and another config rotation.
pub(crate) fn with_ids(length: usize, config: u8) -> Vec<Scene> {
    let scene = |mode, is_v6| Scene::new(mode, is_v6, length, config);
    let of_mode = |mode| [scene(mode, false), scene(mode, true)];
    MODES.into_iter().flat_map(of_mode).collect()
}

/// The server id of a backend: ids of all lengths differ in their last byte.
pub(crate) fn server_id(backend: u32, length: usize) -> Vec<u8> {
    let mut id: Vec<u8> = (0..length as u8).map(|byte| 0xa0 + byte).collect();
    id[length - 1] = 1 + backend as u8;
    id
}

/// A connection id that a backend's server would make.
pub(crate) fn id_of(backend: u32) -> Vec<u8> {
    connection_id(CONFIG, &server_id(backend, LENGTH), &NONCE)
}

/// A connection id of a server that nobody knows.
pub(crate) fn unknown_id() -> Vec<u8> {
    id_of(BACKENDS)
}

impl Scene {
    fn new(mode: u8, is_v6: bool, length: usize, config: u8) -> Self {
        let settings = Settings {
            flow_seed: 0x0065_766e_6b65_656c,
            any_port: 1,
            first_port: 20_000,
            port_count: 1_000,
            features: feature::ALL & !feature::OUTER_ENTROPY,
            outer_ttl: 64,
            exceptions_per_window: 1_000,
            ..Settings::default()
        };
        let mut content = Content::new(settings);
        let backends: Vec<_> = (0..BACKENDS)
            .map(|index| {
                let host = 2 + index as u8;
                let link = Addresses::new([0xde, 0xad, 0xbe, 0xef, 0, host], BALANCER_MAC);
                let address = (local(is_v6, host), 443);
                backend(address, local(is_v6, 10), link, INTERFACE)
            })
            .collect();
        let key = (vip(is_v6).ip(), vip(is_v6).port(), UDP);
        content.add_service_in_mode(mode, key, service::QUIC, &backends);
        content.services[0].quic_config = config;
        content.services[0].quic_server_id_length = length as u8;
        for backend in 0..BACKENDS {
            let key = server_key(&server_id(backend, length), 0);
            content.quic_servers.push((key, backend));
        }
        Self::of(content, mode, is_v6)
    }

    fn of(content: Content, mode: u8, is_v6: bool) -> Self {
        let capacities = Capacities {
            established: 4_096,
            half_open: 4_096,
            exceptions: 64,
        };
        Self {
            tables: MemoryTables::new(content, capacities),
            mode,
            is_v6,
        }
    }

    /// The same service before its first packet.
    pub(crate) fn anew(&self) -> Self {
        Self::of(self.tables.content.clone(), self.mode, self.is_v6)
    }

    pub(crate) fn is_nat(&self) -> bool {
        self.mode == MODE_NAT
    }

    /// Names it in a failed assertion.
    pub(crate) fn name(&self) -> String {
        let family = if self.is_v6 { 6 } else { 4 };
        format!("mode {} over IPv{family}", self.mode)
    }

    pub(crate) fn vip(&self) -> SocketAddr {
        vip(self.is_v6)
    }

    pub(crate) fn backend_address(&self, backend: u32) -> SocketAddr {
        (local(self.is_v6, 2 + backend as u8), 443).into()
    }

    /// One of many clients, with a port of its own.
    pub(crate) fn client(&self, number: u16) -> SocketAddr {
        let [high, low] = number.to_be_bytes();
        let address: IpAddr = match self.is_v6 {
            false => Ipv4Addr::new(10, 9, high, low).into(),
            true => Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, number).into(),
        };
        (address, 40_000 + number).into()
    }

    /// What becomes of a datagram to the service.
    pub(crate) fn send(&self, from: SocketAddr, payload: &[u8]) -> Outcome {
        self.process(&PacketBuilder::udp(from, self.vip()).payload(payload))
    }

    /// What becomes of a packet.
    pub(crate) fn process(&self, packet: &PacketBuilder) -> Outcome {
        let frame = packet.clone().macs(BALANCER_MAC, CLIENT_MAC).build();
        process(&self.tables, &frame, INTERFACE)
    }

    /// The backend that a client's addresses and ports lead to, and the reason of such packets.
    pub(crate) fn by_addresses(&self, from: SocketAddr) -> Outcome {
        let initial = long_header(LongType::Initial, &[0xff; 8], &[]);
        self.anew().send(from, &initial)
    }

    /// Asserts that a new client's packet goes to this backend because of its connection id.
    pub(crate) fn assert_by_id(&self, number: u16, payload: &[u8], backend: u32) {
        let outcome = self.anew().send(self.client(number), payload);
        let found = (outcome.reason.name(), outcome.backend);
        let expected = ("forwarded_by_connection_id", backend);
        assert_eq!(found, expected, "{}: {payload:02x?}", self.name());
    }

    /// Asserts that a new client's packet goes where its addresses lead, as its connection id
    /// names no backend.
    pub(crate) fn assert_unknown(&self, number: u16, payload: &[u8]) {
        let addresses = self.by_addresses(self.client(number));
        let outcome = self.anew().send(self.client(number), payload);
        let found = (outcome.reason.name(), outcome.backend);
        let expected = ("unknown_connection_id", addresses.backend);
        assert_eq!(found, expected, "{}: {payload:02x?}", self.name());
    }

    /// Asserts that a new client's packet goes where its addresses lead, as any first packet does.
    pub(crate) fn assert_says_nothing(&self, number: u16, payload: &[u8]) {
        let addresses = self.by_addresses(self.client(number));
        let outcome = self.anew().send(self.client(number), payload);
        let found = (outcome.reason, outcome.backend);
        let expected = (addresses.reason, addresses.backend);
        assert_eq!(found, expected, "{}: {payload:02x?}", self.name());
        let reason = if self.is_nat() {
            "new_flow"
        } else {
            "forwarded"
        };
        assert_eq!(outcome.reason.name(), reason, "{}", self.name());
    }
}

/// The key of a server id, with code of its own.
pub(crate) fn server_key(id: &[u8], service: u64) -> ServerKey {
    let mut bytes = [0; 8];
    bytes[..id.len()].copy_from_slice(id);
    ServerKey {
        id: u64::from_le_bytes(bytes),
        service,
    }
}

/// A short header whose id names this backend.
pub(crate) fn short_to(backend: u32) -> Vec<u8> {
    short_header(&id_of(backend))
}

fn vip(is_v6: bool) -> SocketAddr {
    (local(is_v6, 10), 443).into()
}

fn local(is_v6: bool, host: u8) -> IpAddr {
    match is_v6 {
        false => Ipv4Addr::new(10, 0, 0, host).into(),
        true => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host.into()).into(),
    }
}
