//! The text that a configuration was read from, and positions in it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::Path;

use super::limits::MAX_FILE_BYTES;
use super::problem::ConfigError;

/// Bytes from..to of a [`Source`]'s text.
pub(super) type Span = Range<usize>;

/// A text with positions. Flags are one too: one line for each flag, so that a problem points
/// into a flag the way it points into a file.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Name of the file; `None` for the command line, whose lines have no numbers.
    pub(super) file: Option<String>,
    pub(super) text: String,
    /// Offset of each line's first byte.
    line_starts: Vec<usize>,
}

/// A line of a source and where in it something is; columns count characters from 1.
pub(super) struct Position<'a> {
    pub(super) line: usize,
    pub(super) column: usize,
    /// The whole line, without its end.
    pub(super) text: &'a str,
    /// The span in `text`, cut at the line's end.
    pub(super) within: Span,
}

impl Source {
    pub(super) fn new(file: Option<String>, text: String) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            file,
            text,
            line_starts,
        }
    }

    /// Where `span` begins. A span past the end is at the end of the last line that has text.
    pub(super) fn position(&self, span: &Span) -> Position<'_> {
        let start = span.start.min(self.text.trim_end().len());
        let index = self.line_starts.partition_point(|&at| at <= start) - 1;
        let line_start = self.line_starts[index];
        let line_end = self.text[line_start..]
            .find('\n')
            .map_or(self.text.len(), |length| line_start + length);
        let text = self.text[line_start..line_end].trim_end_matches('\r');
        let from = (start - line_start).min(text.len());
        let to = span.end.saturating_sub(line_start).clamp(from, text.len());
        Position {
            line: index + 1,
            column: text[..from].chars().count() + 1,
            text,
            within: from..to,
        }
    }

    /// How a message refers to the line of `span`: "on line 12", or "as" the flag itself.
    pub(super) fn mention(&self, span: &Span) -> String {
        let position = self.position(span);
        match self.file {
            Some(_) => format!("on line {}", position.line),
            None => format!("as `{}`", position.text),
        }
    }
}

/// Whether a text is short enough to be looked at.
pub(super) fn fits(path: &Path, bytes: usize) -> Result<(), ConfigError> {
    if bytes as u64 <= MAX_FILE_BYTES {
        return Ok(());
    }
    Err(ConfigError::Unreadable {
        path: path.to_owned(),
        reason: format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20),
        help: "is it the right file? 10,000 services of 6 backends take about 3 MB".into(),
    })
}

/// Reads a configuration file whole.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |reason: String, help: &str| ConfigError::Unreadable {
        path: path.to_owned(),
        reason,
        help: help.to_owned(),
    };
    let io = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => unreadable(
            "there is no such file".into(),
            "give the path of a TOML file",
        ),
        ErrorKind::PermissionDenied => unreadable(
            "permission denied".into(),
            "run as a user who may read it, or change the file's mode",
        ),
        ErrorKind::IsADirectory => unreadable(
            "it is a directory".into(),
            "give the path of one TOML file inside it",
        ),
        _ => unreadable(error.to_string(), "give the path of a readable TOML file"),
    };
    let file = File::open(path).map_err(io)?;
    if file.metadata().map_err(io)?.is_dir() {
        return Err(io(ErrorKind::IsADirectory.into()));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    fits(path, bytes.len())?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..good]
            .iter()
            .filter(|&&b| b == b'\n')
            .count();
        unreadable(
            format!("it is not UTF-8 text: byte {good}, on line {line}, starts no valid character"),
            "save it as UTF-8; TOML allows nothing else",
        )
    })
}
