//! What the service directory, the prefixes and the QUIC server ids lead to.

use std::collections::BTreeMap;
use std::net::IpAddr;

use abi::NO_INDEX;
use abi::directory::{DNAT_BACKEND, ECHO, NAT_SOURCE, SERVICE, Target, VIP};
use abi::quic::ServerKey;
use wire::{ipv4, ipv6};

use super::service::{Member, Roster, Standing};
use crate::desired::{
    Backend, ForwardingMode, Prefix, Protocol, QuicServerId, Service, ServicePort,
};
use crate::directory::Key;

/// The key of a prefix service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PrefixKey {
    /// The addresses.
    pub prefix: Prefix,
    /// 0: every port.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

/// Everything that leads to services and, by QUIC connection ID, to backends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Both families' directory.
    pub directory: BTreeMap<Key, Target>,
    /// Prefix services and their indices.
    pub prefixes: BTreeMap<PrefixKey, u32>,
    /// Server ids ([`ServerKey`]'s `service` and `id`) and the indices of their backends.
    pub quic_servers: BTreeMap<(u64, u64), u32>,
}

impl Keys {
    /// All keys of all services.
    pub(crate) fn of<'s>(services: impl Iterator<Item = &'s Roster> + Clone) -> Self {
        let mut keys = Self::default();
        for service in services.clone() {
            keys.add_service(service);
            keys.add_sources(service);
            keys.add_members(service, Standing::Configured);
        }
        // What has been removed answers for its old flows unless it has a new role.
        for service in services {
            keys.add_members(service, Standing::Leaving);
        }
        keys
    }

    fn add_service(&mut self, service: &Roster) {
        let id = service.desired.id;
        let protocol = protocol_number(id.protocol);
        let port = match id.port {
            ServicePort::Exact(port) => port,
            ServicePort::Any => 0,
        };
        let Some(address) = id.address.single() else {
            let prefix = id.address;
            let key = PrefixKey {
                prefix,
                port,
                protocol,
            };
            self.prefixes.insert(key, service.index);
            return;
        };
        let key = |port, protocol| Key {
            address,
            port,
            protocol,
        };
        self.add(key(0, protocol), VIP, NO_INDEX);
        self.add(key(port, protocol), SERVICE, service.index);
        let echo = service.desired.echo && service.members.iter().any(Member::lives);
        let icmp = VIP | if echo { ECHO } else { 0 };
        self.add(key(0, icmp_of(address)), icmp, NO_INDEX);
    }

    fn add_members(&mut self, service: &Roster, standing: Standing) {
        let members = service.members.iter();
        for member in members.filter(|member| member.standing == standing) {
            match service.desired.mode {
                ForwardingMode::Dnat => {
                    let key = answer_key(&service.desired, &member.desired);
                    self.add(key, DNAT_BACKEND, service.index);
                }
                // See `add_sources`.
                ForwardingMode::Nat => {}
                ForwardingMode::L2Dsr | ForwardingMode::Ipip | ForwardingMode::Gue => {}
            }
            if let Some(id) = &member.desired.quic_server_id {
                let key = (service.index.into(), server_id(id));
                self.quic_servers.entry(key).or_insert(member.index);
            }
        }
    }

    /// What answers to packets from our own addresses are found by.
    fn add_sources(&mut self, service: &Roster) {
        if service.desired.mode != ForwardingMode::Nat {
            return;
        }
        for source in service.sources.iter().copied() {
            let from = source_key(source, service.desired.id.protocol);
            let icmp = Key {
                protocol: icmp_of(source),
                ..from
            };
            self.add(from, NAT_SOURCE, NO_INDEX);
            self.add(icmp, NAT_SOURCE, NO_INDEX);
        }
    }

    /// A key has one service at most: the first.
    fn add(&mut self, key: Key, kind: u32, service: u32) {
        let target = self.directory.entry(key).or_insert(Target {
            service: NO_INDEX,
            kind: 0,
        });
        if service != NO_INDEX && target.service != NO_INDEX && target.service != service {
            return;
        }
        target.kind |= kind;
        if service != NO_INDEX {
            target.service = service;
        }
    }
}

/// Whether the same keys lead to a service before and after a change.
pub(crate) fn same(before: &Roster, after: &Roster) -> bool {
    // First what comes before the keys of all who leave, then those that only who leaves has.
    let keys = |service| {
        let mut configured = Keys::default();
        configured.add_service(service);
        configured.add_sources(service);
        configured.add_members(service, Standing::Configured);
        let mut all = configured.clone();
        all.add_members(service, Standing::Leaving);
        [configured, all]
    };
    keys(before) == keys(after)
}

/// What answers of a backend of mode `dnat` are found by.
pub(crate) fn answer_key(service: &Service, backend: &Backend) -> Key {
    Key {
        address: backend.address,
        port: service.backend_port(backend).unwrap_or(0),
        protocol: protocol_number(service.id.protocol),
    }
}

/// What answers to one of our own addresses are found by.
pub(crate) fn source_key(address: IpAddr, protocol: Protocol) -> Key {
    Key {
        address,
        port: 0,
        protocol: protocol_number(protocol),
    }
}

/// As it stands in the map.
pub(crate) fn server_key((service, id): (u64, u64)) -> ServerKey {
    ServerKey { id, service }
}

fn server_id(id: &QuicServerId) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(id.as_bytes()) {
        *to = *from;
    }
    u64::from_le_bytes(bytes)
}

fn icmp_of(address: IpAddr) -> u8 {
    if address.is_ipv6() {
        ipv6::ICMP
    } else {
        ipv4::ICMP
    }
}

pub(crate) fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => ipv4::TCP,
        Protocol::Udp => ipv4::UDP,
    }
}
