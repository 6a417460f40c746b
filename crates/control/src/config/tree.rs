//! A configuration as a tree of TOML values: read, changed and written again. What it means is not
//! looked at here: whoever has changed it parses what comes out.

#[cfg(test)]
mod tests;

use std::fmt::{self, Display, Formatter, Write as _};

use toml::de::{DeTable, DeValue};

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// Text, which is written in quotes.
    Text(String),
    /// What is written as it was read: numbers, true and false, dates.
    Word(String),
    /// An array.
    List(Vec<Node>),
    /// A table.
    Table(Fields),
}

/// The fields of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, Node)>);

impl Fields {
    /// Those of a text; `None` if it is not TOML.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(fields(DeTable::parse(text).ok()?.get_ref()))
    }

    /// A field.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        let mut fields = self.0.iter();
        fields.find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// A field that is text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Sets a field.
    pub(crate) fn set(&mut self, key: &str, value: Node) {
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// The elements of a list, which is there from then on; `None` if the field is no list.
    pub(crate) fn list(&mut self, key: &str) -> Option<&mut Vec<Node>> {
        if self.get(key).is_none() {
            self.set(key, Node::List(Vec::new()));
        }
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, Node::List(list))) => Some(list),
            _ => None,
        }
    }
}

fn fields(table: &DeTable<'_>) -> Fields {
    let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<_>)| {
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        (key.clone().into_owned(), node(value.get_ref()))
    };
    Fields(table.iter().map(entry).collect())
}

fn node(value: &DeValue<'_>) -> Node {
    match value {
        DeValue::String(text) => Node::Text(text.clone().into_owned()),
        DeValue::Integer(number) => Node::Word(number.to_string()),
        DeValue::Float(number) => Node::Word(number.to_string()),
        DeValue::Boolean(value) => Node::Word(value.to_string()),
        DeValue::Datetime(time) => Node::Word(time.to_string()),
        DeValue::Array(array) => Node::List(array.iter().map(|it| node(it.get_ref())).collect()),
        DeValue::Table(table) => Node::Table(fields(table)),
    }
}

/// As a document: `[table]` and `[[table]]` at the top, everything inside of them in one line.
impl Display for Fields {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let is_table = |node: &Node| matches!(node, Node::Table(_));
        let are_tables = |list: &[Node]| !list.is_empty() && list.iter().all(is_table);
        // What stands behind a header belongs to it, so what has none comes first.
        for (key, value) in &self.0 {
            match value {
                Node::Table(_) => {}
                Node::List(list) if are_tables(list) => {}
                value => writeln!(f, "{} = {value}", Key(key))?,
            }
        }
        for (key, value) in &self.0 {
            match value {
                Node::Table(fields) => write!(f, "\n[{}]\n{}", Key(key), Lines(fields))?,
                Node::List(list) if are_tables(list) => {
                    for node in list {
                        if let Node::Table(fields) = node {
                            write!(f, "\n[[{}]]\n{}", Key(key), Lines(fields))?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A line for each field.
struct Lines<'a>(&'a Fields);

impl Display for Lines<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut fields = self.0.0.iter();
        fields.try_for_each(|(key, value)| writeln!(f, "{} = {value}", Key(key)))
    }
}

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => quoted(f, text),
            Self::Word(word) => f.write_str(word),
            Self::List(list) => {
                f.write_char('[')?;
                for (index, node) in list.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{node}")?;
                }
                f.write_char(']')
            }
            Self::Table(fields) => {
                f.write_str("{")?;
                for (index, (key, value)) in fields.0.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(f, "{comma} {} = {value}", Key(key))?;
                }
                f.write_str(" }")
            }
        }
    }
}

/// A key, in quotes only where it must be.
struct Key<'a>(&'a str);

impl Display for Key<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        match !self.0.is_empty() && self.0.bytes().all(bare) {
            true => f.write_str(self.0),
            false => quoted(f, self.0),
        }
    }
}

/// A basic string (TOML 1.0, "String").
fn quoted(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            c if c.is_control() => write!(f, "\\u{:04X}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}
