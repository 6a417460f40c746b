//! Reads fields of known types from a TOML tree and reports every one that does not fit.
//!
//! serde stops at the first error; walking the tree finds all of them in one go.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::fields::{self, Kind};
use super::problem::Problem;
use super::raw::{At, Word};
use super::source::Span;

/// The text and all that was found wrong with it so far.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) problems: Vec<Problem>,
}

/// A table of the tree, and what is known of such tables.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    pub(super) described: &'static fields::Table,
    pub(super) fields: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    /// A field, if it is there.
    pub(super) fn get(self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        #[cfg(test)]
        fields::note(self.described, key);
        self.fields.get(key)
    }

    /// A field that is a table, or an element of one that is a list of tables.
    pub(super) fn inner(self, key: &str, fields: &'a DeTable<'a>) -> Option<Self> {
        let described = self.described.table(key);
        debug_assert!(described.is_some(), "`{key}` is not described as a table");
        described.map(|described| Self { described, fields })
    }

    /// Only in tests and debug builds: a description that says otherwise is a mistake in it.
    fn assert_can_be(self, key: &str, fits: impl Fn(&Kind) -> bool) {
        debug_assert!(
            self.described.can_be(key, fits),
            "`{key}` of {} is read as something else than is described",
            self.described.name
        );
    }
}

impl<'a> Reader<'a> {
    /// Reports every field of `table` that is not described.
    pub(super) fn deny_unknown(&mut self, table: Table<'_>) {
        let known = table.described.names();
        for key in table.fields.keys() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let meant = known
                .iter()
                .map(|field| (edit_distance(name, field), field))
                .min()
                .filter(|&(distance, field)| distance <= 2 && distance < field.len());
            let problem = Problem::new(
                key.span(),
                format!("unknown field `{name}` in {}", table.described.name),
                format!("expected one of {}", known.join(", ")),
            );
            self.problems.push(match meant {
                Some((_, field)) => problem.help(format!("did you mean `{field}`?")),
                None => problem,
            });
        }
    }

    pub(super) fn wrong_type(&mut self, value: &Spanned<DeValue<'_>>, key: &str, expected: &str) {
        let kind = match value.get_ref() {
            DeValue::String(_) => "text in quotes",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.problems.push(Problem::new(
            value.span(),
            format!("`{key}` is {kind}"),
            format!("expected {expected}"),
        ));
    }

    /// A value that must be text; `example` is one that could stand there.
    pub(super) fn text_value(
        &mut self,
        value: &'a Spanned<DeValue<'a>>,
        key: &str,
        example: &str,
    ) -> Option<Word<'a>> {
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_type(value, key, &format!("text such as \"{example}\""));
            return None;
        };
        let span = value.span();
        // Without escapes the text stands verbatim between its quotes.
        let inside = span.start + 1..span.end.saturating_sub(1);
        let start = (self.text.get(inside) == Some(text)).then_some(span.start + 1);
        Some(Word { text, span, start })
    }

    /// A field that must be text.
    pub(super) fn text(&mut self, table: Table<'a>, key: &str, example: &str) -> Option<Word<'a>> {
        table.assert_can_be(key, |kind| {
            matches!(kind, Kind::Text(_) | Kind::Duration(_) | Kind::Choice(_))
        });
        self.text_value(table.get(key)?, key, example)
    }

    /// A field that must be an integer within bounds.
    pub(super) fn integer(
        &mut self,
        table: Table<'_>,
        key: &str,
        bounds: RangeInclusive<u64>,
    ) -> Option<At<u64>> {
        table.assert_can_be(key, |kind| match kind {
            Kind::Integer(range) | Kind::PowerOfTwo(range) => *range == bounds,
            _ => false,
        });
        let value = table.get(key)?;
        let expected = match *bounds.end() {
            u64::MAX => format!("an integer from {} upwards", bounds.start()),
            end => format!("an integer from {} to {end}", bounds.start()),
        };
        let DeValue::Integer(integer) = value.get_ref() else {
            self.wrong_type(value, key, &expected);
            return None;
        };
        let parsed = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        match parsed.filter(|number| bounds.contains(number)) {
            Some(value_) => Some(At {
                value: value_,
                span: value.span(),
            }),
            None => {
                let written = &self.text[value.span()];
                self.problems.push(Problem::new(
                    value.span(),
                    format!("`{key}` is {written}"),
                    format!("expected {expected}"),
                ));
                None
            }
        }
    }

    /// A field that must be an array; `example` is one that could stand there.
    pub(super) fn array(
        &mut self,
        table: Table<'a>,
        key: &str,
        example: &str,
    ) -> Option<&'a DeArray<'a>> {
        table.assert_can_be(key, |kind| matches!(kind, Kind::List(..)));
        let value = table.get(key)?;
        let array = value.get_ref().as_array();
        if array.is_none() {
            self.wrong_type(value, key, &format!("an array such as {example}"));
        }
        array
    }

    /// A field that must be a table, `[key]`.
    pub(super) fn table(&mut self, parent: Table<'a>, key: &str) -> Option<Table<'a>> {
        let value = parent.get(key)?;
        match value.get_ref().as_table() {
            Some(fields) => parent.inner(key, fields),
            None => {
                self.wrong_type(value, key, &format!("a table, [{key}]"));
                None
            }
        }
    }

    /// A field that must be true or false.
    pub(super) fn boolean(&mut self, table: Table<'_>, key: &str) -> Option<At<bool>> {
        table.assert_can_be(key, |kind| matches!(kind, Kind::Boolean));
        let value = table.get(key)?;
        let boolean = value.get_ref().as_bool();
        if boolean.is_none() {
            self.wrong_type(value, key, "true or false");
        }
        Some(At {
            value: boolean?,
            span: value.span(),
        })
    }

    /// A field that must be one of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        table: Table<'a>,
        key: &str,
        choices: &[(&str, T)],
    ) -> Option<At<T>> {
        table.assert_can_be(key, |kind| {
            let words = choices.iter().map(|(word, _)| word);
            matches!(kind, Kind::Choice(known) if known.iter().eq(words))
        });
        let example = choices.last().map_or("", |(name, _)| name);
        self.text(table, key, example)?
            .choose(key, choices, &mut self.problems)
    }

    /// Reports a field that has to be there; `header` is the table it is missing from.
    pub(super) fn missing(&mut self, header: Span, name: &str, key: &str, example: &str) {
        self.problems.push(
            Problem::new(
                header,
                format!("{name} has no `{key}`"),
                format!("expected `{key}` here"),
            )
            .help(format!("write {key} = {example}")),
        );
    }
}

/// Levenshtein's distance of two short names.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
