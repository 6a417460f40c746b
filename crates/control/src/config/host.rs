//! What this host does with its ports, as far as a configuration may get in its way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use engine::desired::{Desired, ForwardingMode, Protocol, Service, ServiceId, ServicePort};

/// A port that a program of this host waits at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The address it is bound to; unspecified: all of the host's.
    pub address: IpAddr,
    /// The port, never 0.
    pub port: u16,
    /// The socket's inode, by which `/proc/PID/fd` names it.
    pub inode: u64,
    /// The program that holds the socket, where that could be found out.
    pub program: Option<String>,
}

/// Facts about the host, in the network namespace of the calling thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The ports outgoing connections get (`net.ipv4.ip_local_port_range`).
    pub ephemeral_ports: Option<RangeInclusive<u16>>,
    /// The host's own addresses.
    pub addresses: Vec<IpAddr>,
    /// Ports that programs listen at; empty if no service could take one that it does not name.
    pub listeners: Vec<Listener>,
}

impl Host {
    /// Asks the kernel what warnings of this configuration are about. What cannot be read is left
    /// out.
    #[must_use]
    pub fn read(desired: &Desired) -> Self {
        let mut services = desired.services.iter();
        Self {
            ephemeral_ports: parse_port_range(&text("/proc/sys/net/ipv4/ip_local_port_range")),
            addresses: addresses(),
            // They take a while: all sockets and all processes are looked at.
            listeners: match services.any(|service| takes_unnamed(&service.id)) {
                true => listeners(),
                false => Vec::new(),
            },
        }
    }

    /// What of the configuration gets in the way of this host, one sentence each.
    #[must_use]
    pub fn warnings(&self, desired: &Desired) -> Vec<String> {
        self.nat_range_warning(desired)
            .into_iter()
            .chain(desired.services.iter().flat_map(|service| {
                let listeners = self.shadow_warning(&service.id, desired);
                listeners.into_iter().chain(self.answers_warning(service))
            }))
            .collect()
    }

    fn nat_range_warning(&self, desired: &Desired) -> Option<String> {
        let is_nat = |service: &Service| service.mode == ForwardingMode::Nat;
        if !desired.services.iter().any(is_nat) {
            return None;
        }
        let own = self.ephemeral_ports.as_ref()?;
        let (first, last) = (desired.nat.first_port, desired.nat.last_port);
        if last < *own.start() || *own.end() < first {
            return None;
        }
        Some(format!(
            "the NAT ports {first}-{last} overlap {}-{}, which this host's own connections use \
             (net.ipv4.ip_local_port_range): one may take the other's packets; \
             choose another range for [nat] ports",
            own.start(),
            own.end()
        ))
    }

    fn shadow_warning(&self, id: &ServiceId, desired: &Desired) -> Option<String> {
        if !takes_unnamed(id) {
            return None;
        }
        let own = |address: &&IpAddr| id.address.contains(**address);
        let mut ports: BTreeMap<u16, BTreeSet<&str>> = BTreeMap::new();
        for listener in &self.listeners {
            let mut taken = self.addresses.iter().filter(own).filter(|address| {
                listens_at(listener.address, **address)
                    && id == &most_specific(desired, listener, **address).unwrap_or(*id)
            });
            let port = ServicePort::Exact(listener.port);
            if listener.protocol == id.protocol
                && (id.port == ServicePort::Any || id.port == port)
                && taken.next().is_some()
            {
                let programs = ports.entry(listener.port).or_default();
                programs.extend(listener.program.as_deref());
            }
        }
        if ports.is_empty() {
            return None;
        }
        let list: Vec<String> = ports
            .iter()
            .map(|(port, programs)| match programs.len() {
                0 => port.to_string(),
                _ => {
                    let names: Vec<&str> = programs.iter().copied().collect();
                    format!("{port} ({})", names.join(", "))
                }
            })
            .collect();
        Some(format!(
            "{id} also takes the ports this host listens on {}: {}",
            match id.address.single() {
                Some(_) => "at that address",
                None => "at its own address in there",
            },
            list.join(", ")
        ))
    }

    /// Of what the host asks from an address of its own, answers come to a port that nobody names.
    fn answers_warning(&self, service: &Service) -> Option<String> {
        let id = service.id;
        let mut own = self.addresses.iter();
        let own = own.find(|address| id.address.contains(**address))?;
        if id.port != ServicePort::Any {
            return None;
        }
        let checks = match (service.mode, id.protocol) {
            (ForwardingMode::Nat, Protocol::Tcp) => ", but for health checks",
            _ => "",
        };
        Some(format!(
            "{id} also takes the answers to what this host itself asks by {} from {own}{checks}; \
             name the service's ports, or give it an address that the host does not ask from",
            id.protocol.to_string().to_uppercase()
        ))
    }
}

/// Who names one port of one address means it.
fn takes_unnamed(id: &ServiceId) -> bool {
    id.port == ServicePort::Any || id.address.single().is_none()
}

/// The service that gets what is sent to the listener at `address`, by the order of
/// [`ServiceId`].
fn most_specific(desired: &Desired, listener: &Listener, address: IpAddr) -> Option<ServiceId> {
    let port = ServicePort::Exact(listener.port);
    desired
        .services
        .iter()
        .map(|service| service.id)
        .filter(|id| {
            id.protocol == listener.protocol
                && id.address.contains(address)
                && (id.port == ServicePort::Any || id.port == port)
        })
        .max_by_key(|id| {
            let single = id.address.single().is_some();
            (single, id.port == port, id.address.length())
        })
}

/// An unspecified IPv6 socket takes IPv4 too unless it is v6-only, which procfs does not say.
fn listens_at(bound: IpAddr, address: IpAddr) -> bool {
    bound == address || bound.is_unspecified() && (bound.is_ipv6() || address.is_ipv4())
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn listeners() -> Vec<Listener> {
    let mut listeners = Vec::new();
    for (protocol, file) in [
        (Protocol::Tcp, "tcp"),
        (Protocol::Tcp, "tcp6"),
        (Protocol::Udp, "udp"),
        (Protocol::Udp, "udp6"),
    ] {
        // `self` would be the main thread's namespace, which need not be this thread's.
        let text = text(&format!("/proc/thread-self/net/{file}"));
        listeners.extend(parse_sockets(protocol, &text));
    }
    name_programs(&mut listeners);
    listeners
}

fn addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
                (Some(v4), _) => Some(IpAddr::V4(v4.ip())),
                (_, Some(v6)) => Some(IpAddr::V6(v6.ip())),
                _ => None,
            }
        })
        .collect()
}

/// Two numbers with blanks between them, as in `ip_local_port_range`.
fn parse_port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_whitespace().map(str::parse::<u16>);
    match (numbers.next()?, numbers.next()?) {
        (Ok(first), Ok(last)) => Some(first..=last),
        _ => None,
    }
}

/// Listening sockets of `/proc/net/{tcp,tcp6,udp,udp6}`.
fn parse_sockets(protocol: Protocol, text: &str) -> Vec<Listener> {
    // include/net/tcp_states.h; an unconnected UDP socket is in TCP_CLOSE.
    let listening = match protocol {
        Protocol::Tcp => "0A",
        Protocol::Udp => "07",
    };
    text.lines()
        .skip(1)
        .filter_map(|line| {
            // sl local rem st queues timer retransmits uid timeout inode ...
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            let (address, port) = local.split_once(':')?;
            let listener = Listener {
                protocol,
                address: parse_hex_address(address)?,
                port: u16::from_str_radix(port, 16).ok()?,
                inode: inode.parse().ok()?,
                program: None,
            };
            (*state == listening && listener.port != 0).then_some(listener)
        })
        .collect()
}

/// The kernel prints each 32-bit word of an address as a number in the host's byte order.
fn parse_hex_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = text.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

/// Finds the programs that hold the sockets; those of other users only root can see.
fn name_programs(listeners: &mut [Listener]) {
    let mut wanted: HashMap<String, Vec<&mut Listener>> = HashMap::new();
    for listener in listeners {
        wanted
            .entry(format!("socket:[{}]", listener.inode))
            .or_default()
            .push(listener);
    }
    if wanted.is_empty() {
        return;
    }
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = process.path();
        // Entries of /proc that are no processes have no `fd`.
        for descriptor in fs::read_dir(path.join("fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let Ok(target) = fs::read_link(descriptor.path()) else {
                continue;
            };
            let Some(sockets) = target.to_str().and_then(|name| wanted.get_mut(name)) else {
                continue;
            };
            let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
            for socket in sockets {
                socket
                    .program
                    .get_or_insert_with(|| name.trim_end().to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests;
