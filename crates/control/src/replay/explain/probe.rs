//! The packet to explain.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use etherparse::{IpHeaders, PacketBuilder, PacketBuilderStep, TcpHeader};

use super::super::{ReplayError, stand_in};

/// The client's MAC in the made-up packet.
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const TTL: u8 = 64;
const WINDOW: u16 = 64_240;

/// What a made-up packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeTransport {
    /// UDP.
    Udp,
    /// TCP with these flags, by name: `syn`, `ack`, `fin`, `rst`, `psh`.
    Tcp(Vec<String>),
    /// An ICMP or ICMPv6 echo request, which has no ports.
    Echo,
}

/// Sender or receiver: `ADDRESS:PORT`, `[IPv6]:PORT`, or the address only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeEndpoint {
    address: IpAddr,
    port: Option<u16>,
}

impl FromStr for ProbeEndpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self {
                address: address.ip(),
                port: Some(address.port()),
            });
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        match bare.unwrap_or(text).parse() {
            Ok(address) => Ok(Self {
                address,
                port: None,
            }),
            Err(_) => {
                Err("expected an address and a port, as 10.0.0.1:40000 or [2001:db8::1]:40000")
            }
        }
    }
}

/// A packet to explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Sender.
    pub from: ProbeEndpoint,
    /// Receiver.
    pub to: ProbeEndpoint,
    /// What it carries.
    pub transport: ProbeTransport,
    /// Bytes behind the transport header.
    pub payload: u16,
}

impl Probe {
    /// The frame.
    pub(super) fn build(&self) -> Result<Vec<u8>, ReplayError> {
        let ethernet = PacketBuilder::ethernet2(CLIENT_MAC, stand_in::OUR_MAC.0);
        let (step, is_v6) = match (self.from.address, self.to.address) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                (ethernet.ipv4(from.octets(), to.octets(), TTL), false)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                (ethernet.ipv6(from.octets(), to.octets(), TTL), true)
            }
            (from, to) => {
                return Err(ReplayError::Probe(format!(
                    "expected addresses of one family, found {from} and {to}"
                )));
            }
        };
        let payload = vec![0; self.payload.into()];
        let mut frame = Vec::new();
        let written = match &self.transport {
            ProbeTransport::Udp => {
                let (from, to) = self.ports()?;
                step.udp(from, to).write(&mut frame, &payload)
            }
            ProbeTransport::Tcp(flags) => {
                let tcp = tcp(step, self.ports()?, flags)?;
                tcp.write(&mut frame, &payload)
            }
            ProbeTransport::Echo if is_v6 => {
                step.icmpv6_echo_request(1, 1).write(&mut frame, &payload)
            }
            ProbeTransport::Echo => step.icmpv4_echo_request(1, 1).write(&mut frame, &payload),
        };
        written.map_err(|error| ReplayError::Probe(error.to_string()))?;
        Ok(frame)
    }

    fn ports(&self) -> Result<(u16, u16), ReplayError> {
        let port = |flag: &str, end: ProbeEndpoint| {
            end.port.ok_or_else(|| {
                ReplayError::Probe(format!(
                    "expected {flag} ADDRESS:PORT, found {}: only --echo has no ports",
                    end.address
                ))
            })
        };
        Ok((port("--from", self.from)?, port("--to", self.to)?))
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.transport {
            ProbeTransport::Udp => f.write_str("udp")?,
            ProbeTransport::Tcp(flags) => write!(f, "tcp {}", flags.join(","))?,
            ProbeTransport::Echo => {
                let (from, to) = (self.from.address, self.to.address);
                return write!(f, "icmp echo request {from} > {to}");
            }
        }
        write!(f, " {} > {}", self.from, self.to)
    }
}

impl fmt::Display for ProbeEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}", SocketAddr::new(self.address, port)),
            None => write!(f, "{}", self.address),
        }
    }
}

fn tcp(
    ip: PacketBuilderStep<IpHeaders>,
    (from, to): (u16, u16),
    flags: &[String],
) -> Result<PacketBuilderStep<TcpHeader>, ReplayError> {
    let mut tcp = ip.tcp(from, to, 1, WINDOW);
    for flag in flags {
        tcp = match flag.as_str() {
            "syn" => tcp.syn(),
            "ack" => tcp.ack(1),
            "fin" => tcp.fin(),
            "rst" => tcp.rst(),
            "psh" => tcp.psh(),
            other => {
                return Err(ReplayError::Probe(format!(
                    "expected TCP flags out of syn, ack, fin, rst, psh (joined by commas), found {other:?}"
                )));
            }
        };
    }
    Ok(tcp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_addresses_of_both_families_with_and_without_a_port() {
        for text in ["10.0.0.1:7", "10.0.0.1", "[2001:db8::1]:7", "2001:db8::1"] {
            assert_eq!(text.parse::<ProbeEndpoint>().unwrap().to_string(), text);
        }
        let bracketed: ProbeEndpoint = "[2001:db8::1]".parse().unwrap();
        assert_eq!(bracketed.to_string(), "2001:db8::1");
        for text in ["", "10.0.0.1:70000", "example.com:80", "2001:db8::1:x"] {
            assert!(text.parse::<ProbeEndpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        let refused = |from: &str, to: &str, transport| {
            let probe = Probe {
                from: from.parse().unwrap(),
                to: to.parse().unwrap(),
                transport,
                payload: 0,
            };
            probe.build().unwrap_err().to_string()
        };
        assert_eq!(
            refused("10.0.0.1:7", "[2001:db8::1]:80", ProbeTransport::Udp),
            "expected addresses of one family, found 10.0.0.1 and 2001:db8::1"
        );
        assert_eq!(
            refused("10.0.0.1", "10.0.0.2:80", ProbeTransport::Udp),
            "expected --from ADDRESS:PORT, found 10.0.0.1: only --echo has no ports"
        );
    }
}
