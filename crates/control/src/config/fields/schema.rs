//! The description as a JSON schema, for editors.

use serde_json::{Map, Value, json};

use super::{Fallback, Field, Kind, ROOT, Table};

/// A JSON schema (draft 2020-12) of the configuration file, TOML taken as JSON. It sees names,
/// types, ranges and forms; `evenkeel check` sees the rest.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = Map::from_iter([
        (
            "$schema".into(),
            "https://json-schema.org/draft/2020-12/schema".into(),
        ),
        ("title".into(), "evenkeel configuration".into()),
    ]);
    schema.extend(table(&ROOT));
    schema.into()
}

fn table(table: &Table) -> Map<String, Value> {
    let fields = table.fields.iter();
    let properties: Map<String, Value> = fields
        .map(|field| (field.name.into(), property(field)))
        .collect();
    let is_required = |field: &&Field| matches!(field.default, Fallback::Required);
    let required = table.fields.iter().filter(is_required);
    let required: Vec<Value> = required.map(|field| field.name.into()).collect();
    let mut schema = Map::from_iter([
        ("type".into(), "object".into()),
        ("properties".into(), properties.into()),
        ("additionalProperties".into(), false.into()),
    ]);
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    schema
}

fn property(field: &Field) -> Value {
    let mut schema = kind(&field.kind);
    schema.insert("description".into(), plain(field.doc).into());
    let is_table = matches!(field.kind, Kind::Table(_) | Kind::Tables(..));
    if let (Fallback::Value(text), false) = (&field.default, is_table)
        && let Some(value) = toml_value(text)
    {
        schema.insert("default".into(), value);
    }
    schema.into()
}

pub(super) fn kind(kind: &Kind) -> Map<String, Value> {
    let object = |value: Value| match value {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    object(match kind {
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer(range) => json!({
            "type": "integer",
            "minimum": range.start(),
            // TOML has no larger ones.
            "maximum": range.end().min(&(i64::MAX as u64)),
        }),
        Kind::Fraction(most) => json!({
            "type": "number",
            "minimum": 0,
            "maximum": *most as f64 / 1_000.0,
        }),
        Kind::PowerOfTwo(range) => {
            let powers = range.start().ilog2()..=range.end().ilog2();
            json!({ "enum": powers.map(|log2| 1_u64 << log2).collect::<Vec<_>>() })
        }
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Text(form) => json!({
            "type": "string",
            "pattern": form.pattern,
            "examples": [form.example],
        }),
        Kind::Duration(_) => json!({
            "type": "string",
            "pattern": "^([0-9]+[dhms])+$",
            "examples": ["30s", "2h4m"],
        }),
        Kind::List(of, count) => json!({
            "type": "array",
            "items": self::kind(of),
            "minItems": count.start(),
            "maxItems": count.end(),
        }),
        Kind::Table(fields) => return table(fields),
        Kind::Tables(fields, most) => json!({
            "type": "array",
            "items": table(fields),
            "maxItems": most,
        }),
        Kind::Either(kinds) => json!({
            "anyOf": kinds.iter().map(self::kind).collect::<Vec<_>>(),
        }),
    })
}

/// A value as it is written in TOML.
fn toml_value(text: &str) -> Option<Value> {
    let document = format!("value = {text}");
    let table: Value = toml::from_str(&document).ok()?;
    table.get("value").cloned()
}

/// Markdown whose links are only their words.
pub(super) fn plain(markdown: &str) -> String {
    let mut text = String::with_capacity(markdown.len());
    let mut rest = markdown;
    while let Some((before, after)) = rest.split_once("](") {
        let Some((head, words)) = before.rsplit_once('[') else {
            break;
        };
        text += head;
        text += words;
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    text + rest
}

/// Panics if the schema refuses a text that is right otherwise.
#[cfg(test)]
pub(in crate::config) fn validate(text: &str) {
    use std::sync::LazyLock;
    static VALIDATOR: LazyLock<jsonschema::Validator> =
        LazyLock::new(|| jsonschema::validator_for(&json_schema()).expect("it is a schema"));
    let value: Value = toml::from_str(text).expect("it is TOML");
    let errors: Vec<String> = VALIDATOR
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{text}\n{errors:#?}");
}
