//! The TOML file: its fields, by table.

mod api;
mod health;
mod metrics;
mod service;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

use super::Checked;
use super::check::check;
use super::fields;
use super::limits::{MAX_FLOWS, MAX_RATE};
use super::problem::{ConfigError, Problem, Problems};
use super::raw::{At, RawConfig, RawService};
use super::reader::{Reader, Table};
use super::source::{self, Source};
use super::words::{self, Mistake};
pub(super) use health::short;

/// Reads and checks a configuration file.
///
/// # Errors
/// The file cannot be read, or something in it is wrong: then with everything that is.
pub fn load(path: &Path) -> Result<Checked, ConfigError> {
    parse(&path.display().to_string(), &source::read(path)?)
}

/// Checks the text of a configuration; `name` is what errors call the file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(name: &str, text: &str) -> Result<Checked, ConfigError> {
    Ok(read(name, text)?.1)
}

/// The same, and what it was made of.
pub(super) fn read(name: &str, text: &str) -> Result<(RawConfig, Checked), ConfigError> {
    let source = Source::new(Some(name.to_owned()), text.to_owned());
    let (root, syntax) = DeTable::parse_recoverable(text);
    if let Some(first) = syntax
        .iter()
        .min_by_key(|error| error.span().map(|span| span.start))
    {
        // The others are often its consequences, and so would be what is wrong with the values.
        let problems = vec![syntax_problem(first)];
        return Err(ConfigError::Invalid(Problems::new(source, problems)));
    }
    let mut reader = Reader {
        text,
        problems: Vec::new(),
    };
    let raw = config(&mut reader, root.get_ref());
    let checked = check(source, &raw, reader.problems)?;
    #[cfg(test)]
    if text.len() < 100_000 {
        fields::validate(text);
    }
    Ok((raw, checked))
}

/// The services of a text that says nothing else; `None` if it does, or if anything is wrong with it.
pub(super) fn only_services(text: &str) -> Option<Vec<Arc<RawService>>> {
    let root = DeTable::parse(text).ok()?;
    if root.get_ref().keys().any(|key| key.get_ref() != "service") {
        return None;
    }
    let mut reader = Reader {
        text,
        problems: Vec::new(),
    };
    let table = Table {
        described: &fields::ROOT,
        fields: root.get_ref(),
    };
    let services = service::services(&mut reader, table);
    reader.problems.is_empty().then_some(services)
}

fn syntax_problem(error: &toml::de::Error) -> Problem {
    let message = error.message();
    // The parser's messages read "what is wrong, expected what would be right".
    let (found, expected) = match message.split_once(", expected ") {
        Some((found, "literal string")) => (found, String::from("expected \"quotes\" around it")),
        Some((found, expected)) => (found, format!("expected {expected}")),
        None => (message, String::from("here")),
    };
    Problem::new(
        error.span().unwrap_or(0..0),
        format!("not TOML: {found}"),
        expected,
    )
}

fn config<'a>(reader: &mut Reader<'a>, root: &'a DeTable<'a>) -> RawConfig {
    let table = Table {
        described: &fields::ROOT,
        fields: root,
    };
    reader.deny_unknown(table);
    let mut raw = RawConfig {
        interfaces: interfaces(reader, table),
        services: service::services(reader, table),
        seed: reader
            .integer(table, "seed", 0..=u64::MAX)
            .map(|seed| seed.value),
        ..RawConfig::default()
    };
    if let Some(nat) = reader.table(table, "nat") {
        reader.deny_unknown(nat);
        raw.nat_address = word(reader, nat, "address", "10.0.0.10", words::ip_address);
        raw.nat_address6 = word(reader, nat, "address6", "2001:db8::10", words::ip_address);
        raw.nat_ports =
            word(reader, nat, "ports", "10240-32767", words::port_range).map(|range| range.value);
    }
    if let Some(tunnel) = reader.table(table, "tunnel") {
        reader.deny_unknown(tunnel);
        raw.tunnel_source = word(reader, tunnel, "source", "10.0.0.10", words::ip_address);
        raw.tunnel_source6 = word(reader, tunnel, "source6", "2001:db8::10", words::ip_address);
        raw.ttl = number(reader, tunnel, "ttl", 1, u8::MAX).map(|at| at.value);
        raw.entropy = reader.boolean(tunnel, "entropy").map(|at| at.value);
    }
    if let Some(timeouts) = reader.table(table, "timeouts") {
        reader.deny_unknown(timeouts);
        raw.half_open = timeout(reader, timeouts, "half_open");
        raw.established = timeout(reader, timeouts, "established");
        raw.udp = timeout(reader, timeouts, "udp");
        raw.rest = timeout(reader, timeouts, "rest");
    }
    if let Some(table) = reader.table(table, "limits") {
        limits(reader, table, &mut raw);
    }
    metrics::metrics(reader, table, &mut raw);
    api::api(reader, table, &mut raw);
    raw
}

fn limits<'a>(reader: &mut Reader<'a>, table: Table<'a>, raw: &mut RawConfig) {
    reader.deny_unknown(table);
    let mut limit = |key, from, to| number(reader, table, key, from, to).map(|at| at.value);
    raw.flows = limit("flows", 1, MAX_FLOWS);
    raw.half_open_flows = limit("half_open_flows", 1, MAX_FLOWS);
    raw.exceptions = limit("exceptions", 1, MAX_FLOWS);
    raw.exceptions_per_second = limit("exceptions_per_second", 1, MAX_RATE);
    raw.icmp_errors_per_second = limit("icmp_errors_per_second", 0, MAX_RATE);
    raw.rejections_per_second = limit("rejections_per_second", 0, MAX_RATE);
}

/// A text field in one of the short forms.
fn word<'a, T>(
    reader: &mut Reader<'a>,
    table: Table<'a>,
    key: &str,
    example: &str,
    parser: fn(&str) -> Result<T, Mistake>,
) -> Option<At<T>> {
    reader
        .text(table, key, example)?
        .parse(parser, &mut reader.problems)
}

fn timeout<'a>(reader: &mut Reader<'a>, table: Table<'a>, key: &str) -> Option<Duration> {
    word(reader, table, key, "30s", words::timeout).map(|at| at.value)
}

fn number<T>(reader: &mut Reader<'_>, table: Table<'_>, key: &str, from: T, to: T) -> Option<At<T>>
where
    T: Into<u64> + TryFrom<u64>,
{
    let At { value, span } = reader.integer(table, key, from.into()..=to.into())?;
    Some(At {
        value: T::try_from(value).ok()?,
        span,
    })
}

fn interfaces<'a>(reader: &mut Reader<'a>, root: Table<'a>) -> Vec<At<String>> {
    let Some(array) = reader.array(root, "interfaces", "[\"eth0\"]") else {
        return Vec::new();
    };
    array
        .iter()
        .filter_map(|value| {
            let name = reader.text_value(value, "interfaces", "eth0")?;
            Some(At {
                value: name.text.to_owned(),
                span: name.span,
            })
        })
        .collect()
}
