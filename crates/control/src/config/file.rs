//! The TOML file: its fields, by table.

use std::path::Path;
use std::time::Duration;

use engine::desired::Affinity;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Checked;
use super::check::check;
use super::limits::{MAX_FLOWS, MAX_RING_SLOTS, MAX_WEIGHT, MIN_RING_SLOTS};
use super::problem::{ConfigError, Problem, Problems};
use super::raw::{At, RawBackend, RawConfig, RawService};
use super::reader::{Reader, Table};
use super::source::{self, Source};
use super::words::{self, Mistake};

const BACKENDS_EXAMPLE: &str = "[\"10.0.0.2\", \"10.0.0.3\"]";

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
    check(source, raw, reader.problems)
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
        name: "the configuration",
        fields: root,
    };
    reader.deny_unknown(
        table,
        &["interfaces", "seed", "service", "nat", "timeouts", "limits"],
    );
    let mut raw = RawConfig {
        interfaces: interfaces(reader, table),
        services: services(reader, table),
        seed: reader
            .integer(table, "seed", 0..=u64::MAX)
            .map(|seed| seed.value),
        ..RawConfig::default()
    };
    if let Some(nat) = reader.table(table, "nat") {
        reader.deny_unknown(nat, &["address", "ports"]);
        raw.nat_address = word(reader, nat, "address", "10.0.0.10", words::ip_address);
        raw.nat_ports =
            word(reader, nat, "ports", "10240-32767", words::port_range).map(|range| range.value);
    }
    if let Some(timeouts) = reader.table(table, "timeouts") {
        reader.deny_unknown(timeouts, &["half_open", "established", "udp", "rest"]);
        raw.half_open = timeout(reader, timeouts, "half_open");
        raw.established = timeout(reader, timeouts, "established");
        raw.udp = timeout(reader, timeouts, "udp");
        raw.rest = timeout(reader, timeouts, "rest");
    }
    if let Some(limits) = reader.table(table, "limits") {
        reader.deny_unknown(limits, &["flows", "half_open_flows"]);
        raw.flows = number(reader, limits, "flows", 1, MAX_FLOWS).map(|at| at.value);
        raw.half_open_flows =
            number(reader, limits, "half_open_flows", 1, MAX_FLOWS).map(|at| at.value);
    }
    raw
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
    word(reader, table, key, "30s", words::duration).map(|at| at.value)
}

fn number(
    reader: &mut Reader<'_>,
    table: Table<'_>,
    key: &str,
    from: u32,
    to: u32,
) -> Option<At<u32>> {
    let At { value, span } = reader.integer(table, key, u64::from(from)..=u64::from(to))?;
    Some(At {
        value: u32::try_from(value).ok()?,
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

fn services<'a>(reader: &mut Reader<'a>, root: Table<'a>) -> Vec<RawService> {
    let Some(value) = root.fields.get("service") else {
        return Vec::new();
    };
    // `[service]` is the usual slip.
    let Some(array) = value.get_ref().as_array() else {
        reader.problems.push(
            Problem::new(
                value.span(),
                "`service` is not a list",
                "expected [[service]]",
            )
            .help("there can be several services: write [[service]] with two brackets"),
        );
        return Vec::new();
    };
    array
        .iter()
        .filter_map(|value| service(reader, value))
        .collect()
}

fn service<'a>(reader: &mut Reader<'a>, value: &'a Spanned<DeValue<'a>>) -> Option<RawService> {
    let span = value.span();
    let Some(fields) = value.get_ref().as_table() else {
        reader.problems.push(Problem::new(
            span,
            "a service is not a table",
            "expected [[service]]",
        ));
        return None;
    };
    let table = Table {
        name: "a service",
        fields,
    };
    reader.deny_unknown(
        table,
        &["address", "mode", "affinity", "ring_slots", "backends"],
    );
    if !fields.contains_key("address") {
        reader.missing(
            span.clone(),
            "a service",
            "address",
            "\"tcp://10.0.0.10:80\"",
        );
    }
    // There is one forwarding mode yet, so the word is checked and not kept.
    if let Some(mode) = reader.text(table, "mode", "nat") {
        let planned = ["dnat", "l2-dsr", "ipip", "gue"];
        reader.choice(&mode, "mode", &[("nat", ())], &planned);
    }
    let affinity = reader.text(table, "affinity", "source").and_then(|word| {
        let choices = [
            ("none", Affinity::None),
            ("source", Affinity::SourceAddress),
        ];
        reader.choice(&word, "affinity", &choices, &[])
    });
    Some(RawService {
        id: word(
            reader,
            table,
            "address",
            "tcp://10.0.0.10:80",
            words::service_id,
        ),
        affinity: affinity.unwrap_or_default(),
        ring_slots: number(reader, table, "ring_slots", MIN_RING_SLOTS, MAX_RING_SLOTS),
        has_backends: match fields.get("backends").map(Spanned::get_ref) {
            Some(DeValue::Array(array)) => !array.is_empty(),
            Some(_) => true,
            None => false,
        },
        backends: backends(reader, table),
        span,
    })
}

fn backends<'a>(reader: &mut Reader<'a>, service: Table<'a>) -> Vec<RawBackend> {
    let Some(array) = reader.array(service, "backends", BACKENDS_EXAMPLE) else {
        return Vec::new();
    };
    array
        .iter()
        .filter_map(|value| match value.get_ref() {
            DeValue::Table(fields) => {
                let table = Table {
                    name: "a backend",
                    fields,
                };
                backend_table(reader, table, value)
            }
            _ => reader
                .text_value(value, "backends", "10.0.0.2:8000")?
                .backend(&mut reader.problems),
        })
        .collect()
}

/// The long form of a backend. Its address may be the short form, as long as nothing is said twice.
fn backend_table<'a>(
    reader: &mut Reader<'a>,
    table: Table<'a>,
    value: &'a Spanned<DeValue<'a>>,
) -> Option<RawBackend> {
    reader.deny_unknown(table, &["address", "port", "mac", "weight"]);
    if !table.fields.contains_key("address") {
        reader.missing(value.span(), "a backend", "address", "\"10.0.0.2\"");
    }
    let port = number(reader, table, "port", 1, u32::from(u16::MAX));
    let mac = word(reader, table, "mac", "de:ad:be:ef:00:02", words::mac);
    let weight = number(reader, table, "weight", 0, MAX_WEIGHT);
    let address = reader.text(table, "address", "10.0.0.2")?;
    let mut backend = address.backend(&mut reader.problems)?;
    if let Some(At { value, span }) = port {
        if backend.port.is_some() {
            reader.problems.push(twice(&span, "port"));
        }
        let value = u16::try_from(value).ok()?;
        backend.port = Some(At { value, span });
    }
    if let Some(mac) = mac {
        if backend.mac.is_some() {
            reader.problems.push(twice(&mac.span, "MAC"));
        }
        backend.mac = Some(mac);
    }
    if let Some(weight) = weight {
        backend.weight = weight.value;
    }
    Some(backend)
}

fn twice(span: &source::Span, what: &str) -> Problem {
    Problem::new(
        span.clone(),
        format!("the backend's {what} is given twice"),
        "expected it here or in `address`, not in both",
    )
}
