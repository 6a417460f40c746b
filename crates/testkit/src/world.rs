//! The services that the fixtures are about.

use std::net::Ipv4Addr;

use abi::backend::{ALIVE, Backend, TAKES_NEW};
use abi::control::{Settings, feature};
use abi::service::AFFINITY_SOURCE;
use wire::ethernet::Addresses;
use wire::ipv4::{TCP, UDP};

use crate::content::{Content, backend};

/// Of the services, and `nat`'s source address towards the backends.
const BALANCER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
const SECOND_VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 20);
const BALANCER_MAC: [u8; 6] = [0xde, 0xad, 0xbe, 0xef, 0x00, 0x10];
/// The interface that `BPF_PROG_TEST_RUN` says packets come from: loopback.
pub const INTERFACE: u32 = 1;
/// An interface that does not exist.
const OTHER_INTERFACE: u32 = 7;

/// All services, in the order of their indices:
///
/// | service | | backends |
/// |---|---|---|
/// | 0 | `tcp://10.0.0.10:8000` | 0: 10.0.0.2:8000 |
/// | 1 | `tcp://10.0.0.10:80` | 1: 10.0.0.3:8080 |
/// | 2 | `udp://10.0.0.10:53` | 2: 10.0.0.2:5353 |
/// | 3 | `tcp://10.0.0.20:*` | 3: 10.0.0.3, the port the client asked for |
/// | 4 | `tcp://10.0.0.10:81` with affinity | 4: 10.0.0.2:81, 5: 10.0.0.3:81 |
/// | 5 | `tcp://10.0.0.10:82` | none |
/// | 6 | `tcp://10.0.0.10:83` | 6: 10.0.0.4:83, next hop unknown |
/// | 7 | `tcp://10.0.0.10:84` | 7: 10.1.0.2:84 behind interface 7, from 10.1.0.10 |
///
/// Host 10.0.0.N has MAC de:ad:be:ef:00:0N, the balancer (10.0.0.10) de:ad:be:ef:00:10; on
/// interface 7 it is de:ad:be:ef:07:10, and the next hop there de:ad:be:ef:07:01.
#[must_use]
pub fn content() -> Content {
    let unresolved = Backend {
        flags: ALIVE | TAKES_NEW,
        ..neighbour(4, 83)
    };
    let away = backend(
        (Ipv4Addr::new(10, 1, 0, 2), 84),
        Ipv4Addr::new(10, 1, 0, 10),
        Addresses::new(
            [0xde, 0xad, 0xbe, 0xef, 0x07, 0x01],
            [0xde, 0xad, 0xbe, 0xef, 0x07, 0x10],
        ),
        OTHER_INTERFACE,
    );
    let mut content = Content::new(settings());
    let both = [neighbour(2, 81), neighbour(3, 81)];
    content.add_service((BALANCER, 8000, TCP), 0, &[neighbour(2, 8000)]);
    content.add_service((BALANCER, 80, TCP), 0, &[neighbour(3, 8080)]);
    content.add_service((BALANCER, 53, UDP), 0, &[neighbour(2, 5353)]);
    content.add_service((SECOND_VIP, 0, TCP), 0, &[neighbour(3, 0)]);
    content.add_service((BALANCER, 81, TCP), AFFINITY_SOURCE, &both);
    content.add_service((BALANCER, 82, TCP), 0, &[]);
    content.add_service((BALANCER, 83, TCP), 0, &[unresolved]);
    content.add_service((BALANCER, 84, TCP), 0, &[away]);
    content
}

/// One port in `nat`'s own range, so that it is known which one a flow gets.
fn settings() -> Settings {
    Settings {
        flow_seed: 0x0065_766e_6b65_656c,
        report: 1,
        any_port: 1,
        first_port: 20_000,
        port_count: 1,
        features: feature::ALL & !feature::OUTER_ENTROPY,
        outer_ttl: 64,
        exceptions_per_window: 100_000,
        icmp_errors_per_window: 1_000,
    }
}

/// A backend on the balancer's own network.
fn neighbour(host: u8, port: u16) -> Backend {
    let addresses = Addresses::new([0xde, 0xad, 0xbe, 0xef, 0x00, host], BALANCER_MAC);
    let address = Ipv4Addr::new(10, 0, 0, host);
    backend((address, port), BALANCER, addresses, INTERFACE)
}
