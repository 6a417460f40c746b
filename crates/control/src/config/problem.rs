//! What is wrong with a configuration, and how it is shown.

use std::fmt;
use std::path::PathBuf;

use super::source::{Position, Source, Span};

/// Problems shown in full; the rest are counted.
const SHOWN: usize = 20;
/// Characters of a line shown before it is cut around the problem.
const MAX_LINE: usize = 110;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read at all.
    #[error("error: cannot read the configuration {}: {reason}\n  = help: {help}", path.display())]
    Unreadable {
        /// The path that was asked for.
        path: PathBuf,
        /// What is the matter with it.
        reason: String,
        /// What to do.
        help: String,
    },
    /// It was read; here is everything that is wrong with it.
    #[error("{0}")]
    Invalid(Problems),
}

impl ConfigError {
    /// The problems found in the text; empty when there was no text.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Unreadable { .. } => &[],
            Self::Invalid(problems) => &problems.list,
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What was found, e.g. `port 70000 is too large`.
    pub found: String,
    /// What was expected there, e.g. `expected a port from 1 to 65535`.
    pub expected: String,
    /// What to write instead, or why.
    pub help: Option<String>,
    /// Bytes of the text it is about.
    pub(super) span: Span,
}

impl Problem {
    pub(super) fn new(span: Span, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            found: found.into(),
            expected: expected.into(),
            help: None,
            span,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All that is wrong with one text, in its order. Displayed with the lines underlined.
#[derive(Clone, Debug)]
pub struct Problems {
    source: Source,
    list: Vec<Problem>,
}

impl Problems {
    pub(super) fn new(source: Source, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| problem.span.start);
        Self { source, list }
    }

    /// Line and column of a problem, counted from 1; `None` for problems of flags.
    #[must_use]
    pub fn position(&self, problem: &Problem) -> Option<(usize, usize)> {
        self.source.file.as_ref()?;
        let Position { line, column, .. } = self.source.position(&problem.span);
        Some((line, column))
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, problem: &Problem) -> fmt::Result {
        let position = self.source.position(&problem.span);
        writeln!(f, "error: {}", problem.found)?;
        let number = match &self.source.file {
            Some(_) => position.line.to_string(),
            None => String::new(),
        };
        let gutter = " ".repeat(number.len());
        if let Some(file) = &self.source.file {
            writeln!(
                f,
                "{gutter}--> {file}:{}:{}",
                position.line, position.column
            )?;
        }
        let (line, marks) = underline(&position);
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {line}")?;
        write!(f, "{gutter} | {marks} {}", problem.expected)?;
        if let Some(help) = &problem.help {
            write!(f, "\n{gutter} = help: {help}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().take(SHOWN).enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            self.write(f, problem)?;
        }
        let hidden = self.list.len().saturating_sub(SHOWN);
        if hidden > 0 {
            write!(
                f,
                "\n\nand {hidden} more errors: `evenkeel check --json` lists all"
            )?;
        }
        Ok(())
    }
}

/// The line, cut around the problem when it is long, and the marks below it.
fn underline(position: &Position<'_>) -> (String, String) {
    // Tabs would make the marks depend on the terminal, and no other control belongs on it.
    let plain = |text: &str| -> String {
        text.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    };
    let before: Vec<char> = plain(&position.text[..position.within.start])
        .chars()
        .collect();
    let rest: Vec<char> = plain(&position.text[position.within.start..])
        .chars()
        .collect();
    let marked = position.text[position.within.clone()].chars().count();
    if before.len() + rest.len() <= MAX_LINE {
        let line: String = before.iter().chain(&rest).collect();
        return (line, marks(before.len(), marked.max(1)));
    }
    let skip = if before.len() > MAX_LINE / 2 {
        before.len() - MAX_LINE / 2
    } else {
        0
    };
    let room = MAX_LINE - (before.len() - skip);
    let mut line = String::from(if skip > 0 { "..." } else { "" });
    let indent = line.len() + before.len() - skip;
    line.extend(&before[skip..]);
    line.extend(rest.iter().take(room));
    if rest.len() > room {
        line.push_str("...");
    }
    (line, marks(indent, marked.clamp(1, room)))
}

fn marks(indent: usize, count: usize) -> String {
    format!("{}{}", " ".repeat(indent), "^".repeat(count))
}
