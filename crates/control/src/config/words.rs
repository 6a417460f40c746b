//! The short forms of the configuration: `tcp://ADDRESS:PORT`, `ADDRESS[:PORT][@MAC]`, `2h4m`.
//!
//! Pure: text in, value or [`Mistake`] out; who calls knows where the text stands.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use engine::desired::{Mac, Protocol, ServiceId, ServicePort};

use super::limits::{MAX_TIMEOUT, MIN_NAT_PORT};
use super::source::Span;

/// What is wrong with a text and where in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) at: Span,
    pub(super) found: String,
    pub(super) expected: String,
    pub(super) help: Option<String>,
}

impl Mistake {
    pub(super) fn new(at: Span, found: impl Into<String>, expected: &str) -> Self {
        Self {
            at,
            found: found.into(),
            expected: expected.to_owned(),
            help: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same for a text that begins `by` bytes before the one parsed.
    fn shift(mut self, by: usize) -> Self {
        self.at = self.at.start + by..self.at.end + by;
        self
    }
}

/// A backend's short form, and where its parts stand in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BackendWords {
    pub(super) address: (IpAddr, Span),
    pub(super) port: Option<(u16, Span)>,
    pub(super) mac: Option<(Mac, Span)>,
}

/// `tcp://10.0.0.10:8000`, `udp://[2001:db8::1]:53`, `tcp://10.0.0.10:*`.
pub(super) fn service_id(text: &str) -> Result<ServiceId, Mistake> {
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
        ip_address(&rest[host.clone()]).map_err(|mistake| mistake.shift(offset + host.start))?;
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

/// `10.0.0.2`, `10.0.0.2:9000`, `10.0.0.2@de:ad:be:ef:00:02`, `[2001:db8::2]:9000@MAC`. Each part
/// is looked at, so that a bad port does not hide a bad MAC.
pub(super) fn backend(text: &str) -> Result<BackendWords, Vec<Mistake>> {
    let (place, mac_text) = match text.split_once('@') {
        Some((place, mac)) => (place, Some(mac)),
        None => (text, None),
    };
    let mut mistakes = Vec::new();
    let mut keep = |mistake: Mistake, by: usize| mistakes.push(mistake.shift(by));
    let (mut address, mut port, mut mac) = (None, None, None);
    match split_port(place) {
        Ok((host, port_span)) => {
            match ip_address(&place[host.clone()]) {
                Ok(value) => address = Some((value, host)),
                Err(mistake) => keep(mistake, host.start),
            }
            if let Some(span) = port_span {
                match port_number(&place[span.clone()], "expected a port from 1 to 65535") {
                    Ok(value) => port = Some((value, span)),
                    Err(mistake) => keep(mistake, span.start),
                }
            }
        }
        Err(mistake) => keep(mistake, 0),
    }
    if let Some(mac_text) = mac_text {
        let start = place.len() + 1;
        match self::mac(mac_text) {
            Ok(value) => mac = Some((value, start..text.len())),
            Err(mistake) => keep(mistake, start),
        }
    }
    match address {
        Some(address) if mistakes.is_empty() => Ok(BackendWords { address, port, mac }),
        _ => Err(mistakes),
    }
}

/// Where host and port stand in `HOST[:PORT]`; the host without the brackets of IPv6.
fn split_port(text: &str) -> Result<(Span, Option<Span>), Mistake> {
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
            Some(_) => Err(Mistake::new(
                rest..text.len(),
                format!("{:?} after the address", &text[rest..]),
                "expected :PORT or nothing",
            )),
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

/// An IPv4 or IPv6 address.
pub(super) fn ip_address(text: &str) -> Result<IpAddr, Mistake> {
    text.parse().map_err(|_| {
        let help = match text.split_once('/') {
            Some((address, _)) if address.parse::<IpAddr>().is_ok() => {
                format!("one address, without a prefix length: write {address}")
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

fn port_number(text: &str, expected: &str) -> Result<u16, Mistake> {
    let all = 0..text.len();
    if text.is_empty() {
        return Err(Mistake::new(all, "the port is missing", expected));
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Mistake::new(
            all,
            format!("{text:?} is not a port"),
            expected,
        ));
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

/// `de:ad:be:ef:00:02`: one host's address, so neither all zeros nor a group's.
pub(super) fn mac(text: &str) -> Result<Mac, Mistake> {
    const EXPECTED: &str = "expected a MAC such as de:ad:be:ef:00:02";
    let mistake = |found: String| Mistake::new(0..text.len(), found, EXPECTED);
    let mut bytes = [0; 6];
    let mut groups = text.split(':');
    for byte in &mut bytes {
        let group = groups.next().filter(|group| {
            group.len() == 2 && group.bytes().all(|digit| digit.is_ascii_hexdigit())
        });
        let parsed = group.and_then(|group| u8::from_str_radix(group, 16).ok());
        *byte = parsed.ok_or_else(|| {
            mistake(format!("{text:?} is not a MAC address"))
                .help("six groups of two hexadecimal digits with colons between them")
        })?;
    }
    if groups.next().is_some() {
        return Err(mistake(format!("{text:?} has more than six groups"))
            .help("six groups of two hexadecimal digits with colons between them"));
    }
    if bytes == [0; 6] {
        return Err(mistake(format!("MAC {text} is all zeros"))
            .help("write the backend's (or its gateway's) own address, or leave it out: evenkeel asks the kernel"));
    }
    if bytes[0] & 1 != 0 {
        return Err(mistake(format!("MAC {text} is a multicast address"))
            .help("the first group of one host's address is even; leave the MAC out and evenkeel asks the kernel"));
    }
    Ok(Mac(bytes))
}

/// `10240-32767`: ports in ascending order, none of them well-known.
pub(super) fn port_range(text: &str) -> Result<RangeInclusive<u16>, Mistake> {
    const EXPECTED: &str = "expected a range such as 10240-32767";
    let all = 0..text.len();
    let Some((first_text, last_text)) = text.split_once('-') else {
        return Err(Mistake::new(
            all,
            format!("{text:?} is not a range of ports"),
            EXPECTED,
        ));
    };
    let first = port_number(first_text, EXPECTED)?;
    let last =
        port_number(last_text, EXPECTED).map_err(|mistake| mistake.shift(first_text.len() + 1))?;
    if first > last {
        return Err(
            Mistake::new(all, format!("range {text} runs backwards"), EXPECTED)
                .help(format!("write \"{last}-{first}\"")),
        );
    }
    if first < MIN_NAT_PORT {
        let instead = if last < MIN_NAT_PORT {
            "10240-32767".into()
        } else {
            format!("{MIN_NAT_PORT}-{last}")
        };
        return Err(Mistake::new(
            all,
            format!("range {text} covers ports below {MIN_NAT_PORT}"),
            "expected ports from 1024 to 65535",
        )
        .help(format!(
            "those are for the host's own servers: write \"{instead}\""
        )));
    }
    Ok(first..=last)
}

/// `30s`, `2h4m`, `7d`: whole numbers with units, from a second to [`MAX_TIMEOUT`].
pub(super) fn duration(text: &str) -> Result<Duration, Mistake> {
    const EXPECTED: &str = "expected a duration such as \"30s\", \"5m\" or \"2h4m\"";
    let mistake = |found: String| Mistake::new(0..text.len(), found, EXPECTED);
    let odd = || {
        mistake(format!("{text:?} is not a duration"))
            .help("whole numbers, each with a unit: d, h, m or s")
    };
    let mut seconds = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| odd())?;
        let scale = match rest[digits..].chars().next() {
            Some('d') => 86_400,
            Some('h') => 3_600,
            Some('m') => 60,
            Some('s') => 1,
            _ => return Err(odd()),
        };
        seconds = seconds.saturating_add(number.saturating_mul(scale));
        rest = &rest[digits + 1..];
    }
    match Duration::from_secs(seconds) {
        _ if text.is_empty() => Err(odd()),
        Duration::ZERO => Err(mistake("a timeout of 0".to_owned()).help("at least \"1s\"")),
        long if long > MAX_TIMEOUT => {
            Err(mistake(format!("{text} is too long")).help("at most \"30d\""))
        }
        fine => Ok(fine),
    }
}
