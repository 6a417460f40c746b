//! The description against what is read, the schema against what is accepted.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::config::{Checked, EXAMPLE, parse, words};

thread_local! {
    /// Fields that were asked for, by the names of their tables.
    static READ: RefCell<BTreeSet<(&'static str, String)>> = RefCell::default();
}

/// Called for every field that is read.
pub(in crate::config) fn note(table: &'static Table, name: &str) {
    assert!(
        table.field(name).is_some(),
        "`{name}` of {} is read, but not described: add it to config/fields/tables.rs",
        table.name
    );
    READ.with_borrow_mut(|read| read.insert((table.name, name.to_owned())));
}

/// A text of the table with this value for a field, or without any.
fn with(table: &Table, field: Option<(&str, &str)>) -> String {
    let line = field.map_or(String::new(), |(name, value)| format!("{name} = {value}"));
    let required = |name: &str, value: &str| match field {
        Some((field, _)) if field == name => String::new(),
        _ => format!("{name} = {value}\n"),
    };
    let is_udp = matches!(field, Some(("quic", _)));
    let address = if is_udp {
        "\"udp://10.0.0.10:80\""
    } else {
        "\"tcp://10.0.0.10:80\""
    };
    let mode = match field {
        Some(("gue_port", _)) => required("mode", "\"gue\""),
        _ => String::new(),
    };
    let service = |backends: &str| {
        format!(
            "[[service]]\n{}{mode}{}",
            required("address", address),
            backends
        )
    };
    let backends = "backends = [\"10.0.0.2\"]\n";
    match table.name {
        "the configuration" => line,
        "a service" => service(&required("backends", "[\"10.0.0.2\"]")) + &line,
        "a backend" => {
            let comma = if line.is_empty() { "" } else { ", " };
            let address = required("address", "\"10.0.0.2\"");
            let another = "\"10.0.0.3\"";
            let inner = format!("{{ {}{comma}{line} }}", address.trim_end());
            service(&format!(
                "backends = [{another}, {}]\n",
                inner.replace("{ , ", "{ ")
            ))
        }
        "health" => {
            let kind = match field.map_or("type", |(name, _)| name) {
                "method" | "path" | "host" | "status" | "body" => "http",
                "tls" => "http2",
                "sni" | "ca" | "verify" => "https",
                "send" | "expect" => "udp",
                "service" => "grpc",
                "command" => "command",
                _ => "tcp",
            };
            let kind = required("type", &format!("{kind:?}"));
            service(backends) + &format!("[service.health]\n{kind}{line}\n")
        }
        "agent" => {
            let port = required("port", "9999");
            service(backends) + &format!("[service.agent]\n{port}{line}\n")
        }
        "quic" => {
            let service = format!("[[service]]\naddress = \"udp://10.0.0.10:80\"\n{backends}");
            format!("{service}quic = {{ {line} }}\n")
        }
        name => format!("[{name}]\n{line}"),
    }
}

fn read(text: &str) -> Result<Checked, String> {
    parse("lb.toml", text).map_err(|error| error.to_string())
}

#[test]
fn every_field_that_is_described_is_read() {
    let mut all = BTreeSet::new();
    for table in all_tables() {
        let names = table.names();
        assert_eq!(
            names.iter().collect::<BTreeSet<_>>().len(),
            names.len(),
            "{}",
            table.name
        );
        all.extend(names.into_iter().map(|name| (table.name, name.to_owned())));
        let _ = read(&with(table, None));
    }
    // Some are looked for only if they are there.
    let _ = read(EXAMPLE);
    let _ = read(&with(&ROOT, Some(("service", "[{ mode = \"nat\" }]"))));
    let read = READ.with_borrow(BTreeSet::clone);
    let unread: Vec<_> = all.difference(&read).collect();
    assert!(unread.is_empty(), "described, but read nowhere: {unread:?}");
}

#[test]
fn the_defaults_are_the_defaults() {
    for table in all_tables()
        .into_iter()
        .filter(|table| table.name != "quic")
    {
        for field in table.fields {
            let Fallback::Value(value) = field.default else {
                continue;
            };
            let said = read(&with(table, Some((field.name, value))));
            let said =
                said.unwrap_or_else(|error| panic!("{} {}: {error}", table.name, field.name));
            let mut unsaid = read(
                &with(table, Some((field.name, value)))
                    .replace(&format!("{} = {value}", field.name), "")
                    .replace(", }", " }"),
            )
            .unwrap();
            // Whoever says what has no effect is warned.
            unsaid.warnings.clone_from(&said.warnings);
            assert_eq!(said, unsaid, "{} of {}", field.name, table.name);
        }
    }
    // Of a table that may be `true` as well.
    let quic = "[[service]]\naddress = \"udp://10.0.0.10:80\"\n\
                backends = [{ address = \"10.0.0.2\", quic_server_id = \"01020304\" }]\nquic = ";
    let described = all_tables().into_iter().find(|table| table.name == "quic");
    let fields = described
        .unwrap()
        .fields
        .iter()
        .map(|field| match field.default {
            Fallback::Value(value) => format!("{} = {value}", field.name),
            _ => panic!("{} has no default", field.name),
        });
    let said = fields.collect::<Vec<_>>().join(", ");
    assert_eq!(
        read(&format!("{quic}{{ {said} }}")),
        read(&format!("{quic}true"))
    );
}

#[test]
fn bounds_are_accepted_and_what_is_beyond_them_is_not() {
    let schema = jsonschema::validator_for(&json_schema()).unwrap();
    let mut tried = 0;
    for table in all_tables() {
        for field in table.fields {
            let Kind::Integer(range) = &field.kind else {
                continue;
            };
            let largest = i64::MAX as u64;
            let (from, to) = (*range.start(), (*range.end()).min(largest));
            for (value, fits) in [
                (Some(from), true),
                (Some(to), true),
                (from.checked_sub(1), false),
                (to.checked_add(1).filter(|more| *more < largest), false),
            ] {
                let Some(value) = value else {
                    continue;
                };
                let text = with(table, Some((field.name, &value.to_string())));
                let json: Value = toml::from_str(&text).unwrap();
                assert_eq!(schema.is_valid(&json), fits, "{text}");
                let bounds = format!("`{}` is {value}", field.name);
                let refused = read(&text).is_err_and(|error| error.contains(&bounds));
                assert_eq!(refused, !fits, "{text}");
                tried += 1;
            }
        }
    }
    assert!(tried > 30, "{tried}");
}

/// Cases of `tests/errors.txt`: the input and what is said of it.
fn errors() -> impl Iterator<Item = (&'static str, &'static str)> {
    let cases = include_str!("../tests/errors.txt").trim_end();
    let cases = cases.split("\n================================\n");
    cases.filter_map(|case| case.split_once("\n---\n"))
}

/// What the schema of a file can see.
const VISIBLE: [&str; 8] = [
    "unknown field",
    "expected an integer from",
    "expected true or false",
    "expected text such as",
    "expected an array such as",
    "is not a MAC address",
    "is not a duration",
    "has no `address`",
];

#[test]
fn what_is_wrong_with_names_types_and_ranges_the_schema_sees() {
    let schema = jsonschema::validator_for(&json_schema()).unwrap();
    let (mut seen, mut unseen) = (0, 0);
    for (input, told) in errors() {
        if input.starts_with("$ ") {
            continue;
        }
        let Ok(value) = toml::from_str::<Value>(input) else {
            continue;
        };
        let refused = !schema.is_valid(&value);
        seen += u32::from(refused);
        unseen += u32::from(!refused);
        let visible = VISIBLE.iter().any(|visible| told.contains(visible));
        assert!(refused || !visible, "{input}\n---\n{told}");
    }
    assert!(seen > 40, "{seen} of {}", seen + unseen);
}

/// Pieces of texts, which make right ones and wrong ones.
const PIECES: [&str; 27] = [
    "1024-",
    "tcp://10.0.0.10",
    "udp://[2001:db8::1]",
    "tcp://",
    "udp://",
    "[",
    "]",
    ":",
    ":",
    ":*",
    "10.0.0.10",
    "10.1.0.0/24",
    "2001:db8::1",
    "2001:DB8::",
    "::ffff:10.0.0.1",
    "/64",
    "@",
    "de:ad:be:ef:00:02",
    "DE:AD:BE:EF:00:02",
    "80",
    "008080",
    "30s",
    "1d2h",
    "m",
    "0a0B",
    "-",
    " ",
];

#[test]
fn a_pattern_refuses_nothing_that_is_right() {
    let is_form = |name: &str, field: &str, text: &str| -> bool {
        let tables = all_tables();
        let table = tables.iter().find(|table| table.name == name).unwrap();
        let schema = schema::kind(&table.field(field).unwrap().kind);
        jsonschema::is_valid(&schema.into(), &text.into())
    };
    let ip = |v6| move |text: &str| words::ip_address(text).is_ok_and(|ip| ip.is_ipv6() == v6);
    type Parser<'a> = &'a dyn Fn(&str) -> bool;
    let forms: [(&str, &str, Parser<'_>); 8] = [
        ("a service", "address", &|text| {
            words::service_id(text).is_ok()
        }),
        ("a backend", "address", &|text| words::backend(text).is_ok()),
        ("a backend", "mac", &|text| words::mac(text).is_ok()),
        ("a backend", "quic_server_id", &|text| {
            words::quic_server_id(text).is_ok()
        }),
        ("a service", "transition_window", &|text| {
            words::transition_window(text).is_ok()
        }),
        ("nat", "ports", &|text| words::port_range(text).is_ok()),
        ("nat", "address", &ip(false)),
        ("nat", "address6", &ip(true)),
    ];
    let mut right = [0; 8];
    let mut dice = 1_u64;
    let mut below = |limit: usize| {
        // Knuth's MMIX; its upper bits are the better ones.
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % limit
    };
    for _ in 0..100_000 {
        let pieces = 1 + below(6);
        let text: String = (0..pieces).map(|_| PIECES[below(PIECES.len())]).collect();
        for (right, (table, field, parser)) in right.iter_mut().zip(forms) {
            if parser(&text) {
                *right += 1;
                assert!(is_form(table, field, &text), "{field} of {table}: {text:?}");
            }
        }
    }
    assert!(right.iter().all(|right| *right > 20), "{right:?}");
}

#[test]
fn the_example_is_valid_and_names_the_schema() {
    validate(EXAMPLE);
    assert!(EXAMPLE.starts_with("#:schema ./evenkeel.schema.json\n"));
}

#[test]
fn links_in_descriptions_are_words() {
    assert_eq!(schema::plain("a [b](c), [`d`](#e)."), "a b, `d`.");
    for table in all_tables() {
        for field in table.fields {
            assert!(
                field.doc.ends_with('.') && !field.doc.contains('|'),
                "{}",
                field.name
            );
        }
    }
}

/// `UPDATE_EXPECT=1` writes what comes out; read the diff then.
const RENEW: &str = "UPDATE_EXPECT=1 cargo test -p evenkeel-control config::fields";

fn in_repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn update() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some()
}

#[test]
fn the_schema_that_is_shipped_is_that_of_the_fields() {
    let path = in_repository("deploy/schema/evenkeel.schema.json");
    let schema = json_schema();
    if update() {
        let text = serde_json::to_string_pretty(&schema).unwrap();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text + "\n").unwrap();
    }
    let shipped = fs::read_to_string(&path).unwrap_or_default();
    let shipped: Value = serde_json::from_str(&shipped).unwrap_or_default();
    assert!(
        shipped == schema,
        "{} is out of date: {RENEW}",
        path.display()
    );
}

#[test]
fn the_tables_of_the_reference_are_those_of_the_fields() {
    let path = in_repository("docs/config.md");
    let page = fs::read_to_string(&path).unwrap();
    let mut renewed = page.clone();
    for table in all_tables() {
        let begin = format!("<!-- fields of {} -->\n", table.name);
        let Some((before, after)) = renewed.split_once(&begin) else {
            panic!("docs/config.md has no line {begin}");
        };
        let (_, after) = after
            .split_once("<!-- end -->")
            .expect("a line <!-- end -->");
        let text = reference::fields_of(table);
        renewed = format!("{before}{begin}{text}<!-- end -->{after}");
    }
    if update() {
        fs::write(&path, &renewed).unwrap();
        return;
    }
    assert!(page == renewed, "docs/config.md is out of date: {RENEW}");
}
