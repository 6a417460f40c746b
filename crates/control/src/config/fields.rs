//! What a configuration can say: every table with its fields, described once.
//!
//! A field is added here (`tables`) and read in `file`; a test fails if either is missing. From the
//! description come the lists of known fields, the JSON schema (`schema`) and the tables of
//! docs/config.md (`reference`).

mod reference;
mod schema;
mod tables;
#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;
use std::time::Duration;

pub use reference::reference;
pub use schema::json_schema;
#[cfg(test)]
pub(super) use schema::validate;
pub(super) use tables::ROOT;
#[cfg(test)]
pub(super) use tests::note;

/// A table of the configuration.
#[derive(Debug)]
pub(super) struct Table {
    /// What messages call it.
    pub(super) name: &'static str,
    /// In the order of the reference.
    pub(super) fields: &'static [Field],
}

/// A field of a table.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) default: Fallback,
    /// One paragraph of Markdown, with links as from docs/config.md.
    pub(super) doc: &'static str,
}

/// What holds if a field is not there.
#[derive(Debug)]
pub(super) enum Fallback {
    /// It has to be there.
    Required,
    /// This value, as it is written in TOML.
    Value(&'static str),
    /// Something that depends; in words.
    Words(&'static str),
}

/// What a field can be.
#[derive(Debug)]
pub(super) enum Kind {
    Boolean,
    Integer(RangeInclusive<u64>),
    /// A number from 0 to this many thousandths.
    Fraction(u64),
    /// An integer, too.
    PowerOfTwo(RangeInclusive<u64>),
    /// One of a few texts.
    Choice(&'static [&'static str]),
    Text(Form),
    /// A text such as `2h4m`, from a second to this.
    Duration(Duration),
    /// With how many elements.
    List(&'static Kind, RangeInclusive<usize>),
    /// `[name]`, or `name = { .. }`.
    Table(&'static Table),
    /// `[[name]]`.
    Tables(&'static Table, usize),
    /// The one or the other.
    Either(&'static [Kind]),
}

/// A text with a form of its own.
#[derive(Debug)]
pub(super) struct Form {
    /// As the reference calls it.
    pub(super) name: &'static str,
    /// What it matches: an ECMA 262 regular expression. It refuses nothing that is right.
    pub(super) pattern: &'static str,
    pub(super) example: &'static str,
}

impl Table {
    pub(super) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.fields.iter().map(|field| field.name).collect()
    }

    /// Whether a field can be something that `fits`.
    pub(super) fn can_be(&self, name: &str, fits: impl Fn(&Kind) -> bool) -> bool {
        let field = self.field(name);
        field.is_some_and(|field| match &field.kind {
            Kind::Either(kinds) => kinds.iter().any(fits),
            kind => fits(kind),
        })
    }

    /// The table that a field is, or that its elements are.
    pub(super) fn table(&self, name: &str) -> Option<&'static Self> {
        self.field(name)?.kind.table()
    }
}

impl Kind {
    fn table(&self) -> Option<&'static Table> {
        match self {
            Self::Table(table) | Self::Tables(table, _) => Some(table),
            Self::List(kind, _) => kind.table(),
            Self::Either(kinds) => kinds.iter().find_map(Self::table),
            _ => None,
        }
    }
}

/// Every table, after the one that it is in.
fn all_tables() -> Vec<&'static Table> {
    let mut found = vec![&ROOT];
    let mut next = 0;
    while let Some(table) = found.get(next) {
        let names = table.fields.iter().map(|field| field.name);
        let inner: Vec<_> = names.filter_map(|name| table.table(name)).collect();
        next += 1;
        found.extend(inner);
    }
    found
}

/// A field, in one expression.
const fn field(name: &'static str, kind: Kind, default: Fallback, doc: &'static str) -> Field {
    Field {
        name,
        kind,
        default,
        doc,
    }
}

/// The words of a choice.
const fn words<T: Copy, const N: usize>(choices: &[(&'static str, T); N]) -> [&'static str; N] {
    let mut words = [""; N];
    let mut at = 0;
    while at < N {
        words[at] = choices[at].0;
        at += 1;
    }
    words
}
