//! Words of health checks: `500ms`, `200-299,301`, `hex:0a0b`.

use std::net::Ipv6Addr;
use std::time::Duration;

use hyper::http::uri::{Authority, PathAndQuery};

use super::Mistake;
use crate::health::StatusRanges;

/// Bounds of a check's interval.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3_600));
/// A check's timeout has at least this much; at most its interval.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(10);
/// Bytes of a datagram or an agent's line.
const MAX_PAYLOAD: usize = 1_024;

/// From 100 ms to an hour.
pub(in crate::config) fn interval(text: &str) -> Result<Duration, Mistake> {
    let (shortest, longest) = INTERVAL;
    duration(text, shortest, "100ms", longest)
}

/// From 10 ms to an hour.
pub(in crate::config) fn check_timeout(text: &str) -> Result<Duration, Mistake> {
    duration(text, SHORTEST_TIMEOUT, "10ms", INTERVAL.1)
}

/// Nothing, or up to an hour.
pub(in crate::config) fn slow_start(text: &str) -> Result<Duration, Mistake> {
    duration(text, Duration::ZERO, "0s", INTERVAL.1)
}

/// `2s`, `1m30s`, `500ms`: whole numbers with units.
fn duration(
    text: &str,
    shortest: Duration,
    shortest_word: &str,
    longest: Duration,
) -> Result<Duration, Mistake> {
    const EXPECTED: &str = "expected a duration such as \"500ms\", \"2s\" or \"1m30s\"";
    let mistake = |found: String| Mistake::new(0..text.len(), found, EXPECTED);
    let odd = || {
        mistake(format!("{text:?} is not a duration"))
            .help("whole numbers, each with a unit: h, m, s or ms")
    };
    if text.is_empty() {
        return Err(odd());
    }
    let mut millis = 0u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| odd())?;
        let units = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
        let unit = units
            .iter()
            .find(|(unit, _)| rest[digits..].starts_with(unit));
        let (unit, scale) = unit.ok_or_else(odd)?;
        millis = millis.saturating_add(number.saturating_mul(*scale));
        rest = &rest[digits + unit.len()..];
    }
    match Duration::from_millis(millis) {
        short if short < shortest => {
            Err(mistake(format!("{text} is too short"))
                .help(format!("at least \"{shortest_word}\"")))
        }
        long if long > longest => {
            Err(mistake(format!("{text} is too long")).help("at most \"1h\""))
        }
        fine => Ok(fine),
    }
}

/// `200-299`, `204`, `200-299,301,302`.
pub(in crate::config) fn status(text: &str) -> Result<StatusRanges, Mistake> {
    const EXPECTED: &str = "expected status codes such as \"200-299\" or \"200,301-302\"";
    let mut ranges = Vec::new();
    let mut start = 0;
    for part in text.split(',') {
        let span = start..start + part.len();
        start = span.end + 1;
        let code = |digits: &str| {
            let digits = digits.trim();
            match digits.parse::<u16>() {
                Ok(code @ 100..=599) if digits.len() == 3 => Ok(code),
                _ => Err(Mistake::new(
                    span.clone(),
                    format!("{digits:?} is not a status code"),
                    EXPECTED,
                )
                .help("three digits, from 100 to 599")),
            }
        };
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (code(first)?, code(last)?),
            None => (code(part)?, code(part)?),
        };
        if first > last {
            return Err(
                Mistake::new(span, format!("range {part} runs backwards"), EXPECTED)
                    .help(format!("write \"{last}-{first}\"")),
            );
        }
        ranges.push((first, last));
    }
    Ok(StatusRanges(ranges))
}

/// Text as it stands, or `hex:` and two digits for each byte.
pub(in crate::config) fn payload(text: &str) -> Result<Vec<u8>, Mistake> {
    let bytes = match text.strip_prefix("hex:") {
        None => text.as_bytes().to_vec(),
        Some(digits) => hex(digits).ok_or_else(|| {
            Mistake::new(
                0..text.len(),
                format!("{text:?} is not in hexadecimal digits"),
                "expected two of them for each byte, such as \"hex:0a0b\"",
            )
        })?,
    };
    if bytes.len() > MAX_PAYLOAD {
        return Err(Mistake::new(
            0..text.len(),
            format!("{} bytes", bytes.len()),
            &format!("expected at most {MAX_PAYLOAD}"),
        ));
    }
    Ok(bytes)
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) || !digits.len().is_multiple_of(2) {
        return None;
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok())
        .collect()
}

/// The path of a request: it begins with a slash, and nothing in it would end a line.
pub(in crate::config) fn path(text: &str) -> Result<String, Mistake> {
    const EXPECTED: &str = "expected a path such as \"/healthz\"";
    let bad = |c: char| !c.is_ascii_graphic() || matches!(c, '#' | '"' | '<' | '>');
    if !text.starts_with('/') {
        return Err(
            Mistake::new(0..text.len(), format!("path {text:?}"), EXPECTED)
                .help("it begins with a slash"),
        );
    }
    if text.contains(bad) || text.len() > MAX_PAYLOAD || PathAndQuery::try_from(text).is_err() {
        return Err(
            Mistake::new(0..text.len(), format!("path {text:?}"), EXPECTED).help(format!(
                "at most {MAX_PAYLOAD} characters, others than letters, digits and the usual \
                 signs as % and two hexadecimal digits"
            )),
        );
    }
    Ok(text.to_owned())
}

/// A host as it stands in a URL or a certificate: name or address, perhaps with a port.
pub(in crate::config) fn host(text: &str) -> Result<String, Mistake> {
    let fine =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let mistake = || {
        Mistake::new(
            0..text.len(),
            format!("{text:?} is not a host"),
            "expected a name such as \"www.example.org\", with a port if need be",
        )
    };
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(mistake().help(format!("IPv6 stands in brackets: write \"[{text}]\"")));
    }
    if text.len() > 255 || !text.chars().all(fine) || Authority::try_from(text).is_err() {
        return Err(mistake());
    }
    Ok(text.to_owned())
}

/// A name in a certificate.
pub(in crate::config) fn server_name(text: &str) -> Result<String, Mistake> {
    tokio_rustls::rustls::pki_types::ServerName::try_from(text)
        .map(|_| text.to_owned())
        .map_err(|_| {
            Mistake::new(
                0..text.len(),
                format!("{text:?} is not a server's name"),
                "expected a name such as \"www.example.org\", or an address",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_milliseconds() {
        for (text, millis) in [
            ("100ms", 100),
            ("2s", 2_000),
            ("1m30s", 90_000),
            ("1s500ms", 1_500),
        ] {
            assert_eq!(interval(text).unwrap(), Duration::from_millis(millis));
        }
        for text in ["", "99ms", "2h", "1", "s", "1d", "ms"] {
            assert!(interval(text).is_err(), "{text}");
        }
        assert_eq!(slow_start("0s").unwrap(), Duration::ZERO);
    }

    #[test]
    fn status_codes_are_displayed_as_they_are_read() {
        for text in ["200", "200-299", "200-299,301,400-404"] {
            assert_eq!(status(text).unwrap().to_string(), text);
        }
        for text in ["", "20", "99", "600", "299-200", "200-", "2xx", "200,,201"] {
            assert!(status(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_and_paths_are_what_a_request_can_have() {
        for text in [
            "a.example",
            "a.example:8080",
            "10.0.0.1",
            "[2001:db8::1]:443",
            "a_b",
        ] {
            assert_eq!(host(text).unwrap(), text);
        }
        for text in [
            "",
            "2001:db8::1",
            "a:b:c",
            "a b",
            "a/b",
            "user@a",
            &"a".repeat(256),
        ] {
            assert!(host(text).is_err(), "{text}");
        }
        for text in ["/", "/a/b?c=d&e=%20", "/~x"] {
            assert_eq!(path(text).unwrap(), text);
        }
        for text in ["", "a", "/ ", "/a#b", "/é", "/\n"] {
            assert!(path(text).is_err(), "{text}");
        }
    }

    #[test]
    fn payloads_are_text_or_hexadecimal() {
        assert_eq!(payload("ping\n").unwrap(), b"ping\n");
        assert_eq!(payload("hex:00ff").unwrap(), [0, 0xff]);
        assert!(payload("hex:0").is_err() && payload("hex:é").is_err());
        assert!(payload(&"x".repeat(1_025)).is_err());
    }
}
