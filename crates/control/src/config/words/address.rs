//! Addresses: of services, of prefixes, of hosts, with their ports.

use std::net::{IpAddr, SocketAddr};

use engine::desired::{Prefix, Protocol, ServiceId, ServicePort};

use super::Mistake;
use crate::config::source::Span;

/// `tcp://10.0.0.10:8000`, `udp://[2001:db8::1]:53`, `tcp://10.0.0.10:*`, `tcp://10.1.0.0/24:80`,
/// `udp://[2001:db8::/64]:443`.
pub(in crate::config) fn service_id(text: &str) -> Result<ServiceId, Mistake> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(Mistake::new(
            0..text.len(),
            format!("no protocol in {text:?}"),
            "expected tcp:// or udp:// in front of the address",
        )
        .help(match text {
            "" => "write \"tcp://10.0.0.10:80\"".to_owned(),
            _ => format!("write \"tcp://{text}\" or \"udp://{text}\""),
        }));
    };
    let protocol = protocol(scheme, rest)?;
    let offset = scheme.len() + "://".len();
    let (host, port) = split_port(rest).map_err(|mistake| mistake.shift(offset))?;
    let address =
        prefix(&rest[host.clone()]).map_err(|mistake| mistake.shift(offset + host.start))?;
    if address.is_ipv6() && host.start == 0 {
        return Err(Mistake::new(
            offset..text.len(),
            format!("IPv6 address {rest} without brackets"),
            "expected [ADDRESS]:PORT",
        )
        .help(format!("write \"{scheme}://[{rest}]:80\"")));
    }
    let Some(port) = port else {
        return Err(Mistake::new(
            offset + rest.len()..offset + rest.len(),
            format!("no port in {text:?}"),
            "expected :PORT here",
        )
        .help(format!(
            "write \"{text}:80\" for one port, or \"{text}:*\" (:* for every port)"
        )));
    };
    let port = match &rest[port.clone()] {
        "*" => ServicePort::Any,
        digits => ServicePort::Exact(
            port_number(
                digits,
                "expected a port from 1 to 65535, or * for every port",
            )
            .map_err(|mistake| mistake.shift(offset + port.start))?,
        ),
    };
    Ok(ServiceId {
        protocol,
        address,
        port,
    })
}

fn protocol(scheme: &str, rest: &str) -> Result<Protocol, Mistake> {
    match scheme {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        _ => Err(Mistake::new(
            0..scheme.len(),
            format!("unknown protocol {scheme:?}"),
            "expected tcp or udp",
        )
        .help(format!(
            "evenkeel balances TCP and UDP whatever they carry: \
             write \"tcp://{rest}\" or \"udp://{rest}\""
        ))),
    }
}

/// Where host and port stand in `HOST[:PORT]`; the host without the brackets of IPv6.
pub(super) fn split_port(text: &str) -> Result<(Span, Option<Span>), Mistake> {
    if let Some(inner) = text.strip_prefix('[') {
        let Some(close) = inner.find(']').map(|at| at + 1) else {
            return Err(Mistake::new(
                0..text.len(),
                "no closing ]",
                "expected [IPv6 address]",
            ));
        };
        let rest = close + 1;
        return match text[rest..].chars().next() {
            None => Ok((1..close, None)),
            Some(':') => Ok((1..close, Some(rest + 1..text.len()))),
            Some(next) => {
                let mistake = Mistake::new(
                    rest..text.len(),
                    format!("{:?} after the address", &text[rest..]),
                    "expected :PORT or nothing",
                );
                Err(match next {
                    '/' => mistake.help(format!(
                        "the length stands inside the brackets: [{}/64]",
                        &text[1..close]
                    )),
                    _ => mistake,
                })
            }
        };
    }
    // More than one colon and no brackets: an IPv6 address, whose port could not be told apart.
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => {
            Ok((0..host.len(), Some(host.len() + 1..text.len())))
        }
        _ => Ok((0..text.len(), None)),
    }
}

/// `127.0.0.1:9464`, `[::1]:9464`: where to listen.
pub(in crate::config) fn socket_address(text: &str) -> Result<SocketAddr, Mistake> {
    const EXPECTED: &str = "expected a port from 1 to 65535";
    let (host, port) = split_port(text)?;
    let address = ip_address(&text[host.clone()]).map_err(|mistake| mistake.shift(host.start))?;
    let bracketed = match address.is_ipv6() {
        true => format!("[{address}]"),
        false => address.to_string(),
    };
    let Some(port) = port else {
        return Err(Mistake::new(
            text.len()..text.len(),
            format!("no port in {text:?}"),
            "expected :PORT here",
        )
        .help(format!("write \"{bracketed}:9464\"")));
    };
    let number =
        port_number(&text[port.clone()], EXPECTED).map_err(|mistake| mistake.shift(port.start))?;
    Ok(SocketAddr::new(address, number))
}

/// `10.0.0.10`, `10.1.0.0/24`.
fn prefix(text: &str) -> Result<Prefix, Mistake> {
    let Some((address_text, length)) = text.split_once('/') else {
        return Ok(ip_address(text)?.into());
    };
    let address = ip_address(address_text)?;
    let bits = if address.is_ipv6() { 128 } else { 32 };
    let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
    let prefix = length
        .parse()
        .ok()
        .filter(|_| digits)
        .and_then(|length| Prefix::around(address, length))
        .ok_or_else(|| {
            let mistake = Mistake::new(
                address_text.len() + 1..text.len(),
                format!("{length:?} is not a prefix length"),
                &format!("expected a number from 0 to {bits}"),
            );
            match length.split_once(':') {
                Some((length, port)) => mistake.help(format!(
                    "in front of a port, IPv6 stands in brackets: [{address}/{length}]:{port}"
                )),
                None => mistake,
            }
        })?;
    if prefix.address() != address {
        return Err(Mistake::new(
            0..text.len(),
            format!("{text} has bits set behind the first {length}"),
            "expected the first address of the network",
        )
        .help(format!(
            "write {prefix} for the network, or {address} for the one address"
        )));
    }
    Ok(prefix)
}

/// An IPv4 or IPv6 address.
pub(in crate::config) fn ip_address(text: &str) -> Result<IpAddr, Mistake> {
    text.parse().map_err(|_| {
        let help = match text.split_once('/') {
            Some((address, _)) if address.parse::<IpAddr>().is_ok() => {
                format!("one address, without a prefix length: write {address}")
            }
            _ if text.contains('%') => "an address that counts on one link only cannot be \
                                        balanced: write a global or a unique local one"
                .to_owned(),
            _ if text.contains(':') && !text.contains('.') => {
                "up to eight groups of hexadecimal digits with colons between them".to_owned()
            }
            _ if text.contains(|c: char| c.is_alphabetic() && !c.is_ascii_hexdigit()) => {
                "names are not looked up: write the address itself".to_owned()
            }
            _ => "four numbers from 0 to 255 with dots between them".to_owned(),
        };
        Mistake::new(
            0..text.len(),
            format!("{text:?} is not an IP address"),
            "expected an address such as 10.0.0.10",
        )
        .help(help)
    })
}

pub(super) fn port_number(text: &str, expected: &str) -> Result<u16, Mistake> {
    let all = 0..text.len();
    if text.is_empty() {
        return Err(Mistake::new(all, "the port is missing", expected));
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        let mistake = Mistake::new(all, format!("{text:?} is not a port"), expected);
        return Err(match text.split_once('/') {
            Some((port, length)) => mistake.help(format!(
                "the length stands behind the address: ADDRESS/{length}:{port}"
            )),
            None => mistake,
        });
    }
    match text.parse::<u16>() {
        Ok(0) => Err(Mistake::new(all, "port 0 cannot be used", expected)),
        Ok(port) => Ok(port),
        Err(_) => Err(Mistake::new(
            all,
            format!("port {text} is too large"),
            expected,
        )),
    }
}
