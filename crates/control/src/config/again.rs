//! A text that is read again with a few of its services changed: only those are read.
//!
//! TOML is read from left to right, and what comes before the line of a `[[service]]` header that the
//! parser met is complete. So if two texts are the same up to one such line and from another such
//! line on, and what is between is complete and consists of services only in both, then what they
//! say differs in these services only. Whether all of it makes sense together is checked anew.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::check::check;
use super::file::{only_services, read};
use super::raw::{RawConfig, RawService};
use super::source::{Source, fits};
use super::{Checked, ConfigError};

/// A text without errors, as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    text: String,
    /// Positions in it are of the text that each service was read from.
    raw: RawConfig,
    /// Where the lines of the services' headers begin, one for each; empty if the services were
    /// written in another way.
    headers: Vec<usize>,
}

impl Reading {
    /// Reads and checks a text; `name` is what errors call it.
    pub(crate) fn of(name: &str, text: String) -> Result<(Self, Checked), ConfigError> {
        fits(Path::new(name), text.len())?;
        let (raw, checked) = read(name, &text)?;
        let headers = raw.services.iter().map(|it| header(&text, it, 0));
        let headers = headers.collect::<Option<_>>().unwrap_or_default();
        Ok((Self { text, raw, headers }, checked))
    }

    /// What was read.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Reads and checks another text.
    pub(crate) fn again(&self, name: &str, text: String) -> Result<(Self, Checked), ConfigError> {
        fits(Path::new(name), text.len())?;
        match self.only_what_changed(&text) {
            Some((raw, headers, checked)) => Ok((Self { text, raw, headers }, checked)),
            // Errors need their positions, too.
            None => Self::of(name, text),
        }
    }

    fn only_what_changed(&self, text: &str) -> Option<(RawConfig, Vec<usize>, Checked)> {
        let change = Change::between(&self.text, &self.headers, text)?;
        // Of what was there before, too, all but services would be forgotten.
        only_services(&self.text[change.before.clone()])?;
        let part = &text[change.now.clone()];
        let services = only_services(part)?;
        let start = change.now.start;
        let here = services.iter().map(|it| header(part, it, start));
        let mut headers = self.headers[..change.services.start].to_vec();
        headers.extend(here.collect::<Option<Vec<_>>>()?);
        let moved = |header: &usize| header - change.before.end + change.now.end;
        headers.extend(self.headers[change.services.end..].iter().map(moved));
        let mut raw = self.raw.clone();
        raw.services.splice(change.services, services);
        // Nothing to point into: an error is told by whoever reads the whole text.
        let source = Source::new(None, String::new());
        let checked = check(source, &raw, Vec::new()).ok()?;
        Some((raw, headers, checked))
    }
}

/// Where the line of a service's header begins; `None` if it has none, as in `service = [{ ... }]`.
/// `offset`: of the text in a longer one.
fn header(text: &str, service: &Arc<RawService>, offset: usize) -> Option<usize> {
    let start = service.span.start;
    let line = text[..start].rfind('\n').map_or(0, |end| end + 1);
    text[start..].starts_with("[[").then_some(offset + line)
}

/// What differs between two texts: whole services.
struct Change {
    /// Bytes of the text before.
    before: Range<usize>,
    /// Bytes of the text now, in their place.
    now: Range<usize>,
    /// The services before.
    services: Range<usize>,
}

impl Change {
    /// `None` if anything else differs.
    fn between(before: &str, headers: &[usize], now: &str) -> Option<Self> {
        let first = common_start(before.as_bytes(), now.as_bytes());
        let longest = before.len().min(now.len()) - first;
        let rest = common_end(before.as_bytes(), now.as_bytes()).min(longest);
        // The last line of a header that begins in what is the same, and the first from which all is.
        let from = headers.partition_point(|header| *header <= first);
        let from = from.checked_sub(1)?;
        let to = headers.partition_point(|header| *header < before.len() - rest);
        let end = headers.get(to).copied().unwrap_or(before.len());
        let change = Self {
            before: headers[from]..end,
            now: headers[from]..now.len() - (before.len() - end),
            services: from..to,
        };
        // What follows has to begin on a line of its own here, too.
        let is_whole = to == headers.len() || now[..change.now.end].ends_with('\n');
        is_whole.then_some(change)
    }
}

/// Bytes compared at one time.
const CHUNK: usize = 4_096;

fn common_start(a: &[u8], b: &[u8]) -> usize {
    let chunks = a.chunks(CHUNK).zip(b.chunks(CHUNK));
    let same = CHUNK * chunks.take_while(|(a, b)| a == b).count();
    let same = same.min(a.len()).min(b.len());
    let bytes = a[same..].iter().zip(&b[same..]);
    same + bytes.take_while(|(a, b)| a == b).count()
}

fn common_end(a: &[u8], b: &[u8]) -> usize {
    let chunks = a.rchunks(CHUNK).zip(b.rchunks(CHUNK));
    let same = CHUNK * chunks.take_while(|(a, b)| a == b).count();
    let same = same.min(a.len()).min(b.len());
    let (a, b) = (&a[..a.len() - same], &b[..b.len() - same]);
    let bytes = a.iter().rev().zip(b.iter().rev());
    same + bytes.take_while(|(a, b)| a == b).count()
}
