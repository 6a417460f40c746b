//! The short forms of the configuration: `tcp://ADDRESS:PORT`, `ADDRESS[:PORT][@MAC]`, `2h4m`.
//!
//! Pure: text in, value or [`Mistake`] out; who calls knows where the text stands.

mod address;
mod health;

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use engine::desired::{Mac, QuicServerId};

use super::limits::{MAX_TIMEOUT, MAX_TRANSITION_WINDOW, MIN_NAT_PORT};
use super::source::Span;
pub(super) use address::{ip_address, service_id, socket_address};
use address::{port_number, split_port};
pub(super) use health::{
    check_timeout, host, interval, path, payload, server_name, slow_start, status,
};

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

/// `0a0b0c0d`: the bytes of a server id in hexadecimal digits.
pub(super) fn quic_server_id(text: &str) -> Result<QuicServerId, Mistake> {
    let mistake = |found: String| {
        Mistake::new(
            0..text.len(),
            found,
            "expected two hexadecimal digits for each byte, such as \"0a0b0c0d\"",
        )
    };
    if !text.bytes().all(|digit| digit.is_ascii_hexdigit()) || !text.len().is_multiple_of(2) {
        return Err(mistake(format!("{text:?} is not a server id")));
    }
    let bytes: Option<Vec<u8>> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect();
    bytes
        .and_then(|bytes| QuicServerId::new(&bytes))
        .ok_or_else(|| {
            mistake(format!("server id of {} bytes", text.len() / 2))
                .help(format!("1 to {} bytes", QuicServerId::MAX_LENGTH))
        })
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

/// A timeout, from a second to [`MAX_TIMEOUT`].
pub(super) fn timeout(text: &str) -> Result<Duration, Mistake> {
    duration(text, MAX_TIMEOUT)
}

/// A transition window, from a second to [`MAX_TRANSITION_WINDOW`].
pub(super) fn transition_window(text: &str) -> Result<Duration, Mistake> {
    duration(text, MAX_TRANSITION_WINDOW)
}

/// `30s`, `2h4m`, `7d`: whole numbers with units, from a second to `longest`, which is whole days.
fn duration(text: &str, longest: Duration) -> Result<Duration, Mistake> {
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
        Duration::ZERO => Err(mistake("a time of 0".to_owned()).help("at least \"1s\"")),
        long if long > longest => {
            let days = longest.as_secs() / 86_400;
            Err(mistake(format!("{text} is too long")).help(format!("at most \"{days}d\"")))
        }
        fine => Ok(fine),
    }
}
