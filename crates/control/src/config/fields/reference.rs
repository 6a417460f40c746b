//! The description as the tables of docs/config.md.

use std::time::Duration;

use super::{Fallback, Field, Kind, Table, all_tables};

/// Every field of the configuration in Markdown, table by table.
#[must_use]
pub fn reference() -> String {
    let chapters = all_tables().into_iter().map(|table| {
        let (name, fields) = (table.name, fields_of(table));
        format!("# {name}\n\n{fields}")
    });
    chapters.collect::<Vec<_>>().join("\n")
}

/// A table of its fields; those that are tables have chapters of their own.
pub(super) fn fields_of(table: &Table) -> String {
    let mut text = String::from("| field | value | default | |\n|---|---|---|---|\n");
    for field in table.fields {
        if !matches!(field.kind, Kind::Table(_) | Kind::Tables(..)) {
            text += &row(field);
        }
    }
    text
}

fn row(field: &Field) -> String {
    let default = match field.default {
        Fallback::Required => "required".into(),
        Fallback::Value(value) => format!("`{value}`"),
        Fallback::Words(words) => words.into(),
    };
    let (name, value, doc) = (field.name, kind(&field.kind), field.doc);
    format!("| `{name}` | {value} | {default} | {doc} |\n")
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Boolean => "`true`, `false`".into(),
        Kind::Integer(range) => integers(*range.start(), *range.end()),
        Kind::Fraction(most) => format!("0 to {}", *most as f64 / 1_000.0),
        Kind::PowerOfTwo(range) => {
            let range = integers(*range.start(), *range.end());
            format!("a power of two, {range}")
        }
        Kind::Choice(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            words.join(", ")
        }
        Kind::Text(form) => form.name.into(),
        Kind::Duration(longest) => format!("`\"1s\"` to `\"{}\"`", days(*longest)),
        Kind::List(of, count) => {
            let many = match count.start() {
                0 => format!("up to {}", count.end()),
                least => format!("at least {least}"),
            };
            format!("a list of {many}: {}", self::kind(of))
        }
        Kind::Table(_) | Kind::Tables(..) => "a table".into(),
        Kind::Either(kinds) => {
            let kinds: Vec<String> = kinds.iter().map(self::kind).collect();
            kinds.join(" or ")
        }
    }
}

fn integers(from: u64, to: u64) -> String {
    format!("{from} to {}", to.min(i64::MAX as u64))
}

fn days(duration: Duration) -> String {
    format!("{}d", duration.as_secs() / 86_400)
}
