//! Colours and bars: what the reader's terminal can show.

use std::env;
use std::io::IsTerminal;

/// What to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// Colours and bold.
    pub colour: bool,
    /// Block characters.
    pub blocks: bool,
}

impl Style {
    /// Nothing but ASCII.
    #[must_use]
    pub fn plain() -> Self {
        Self::default()
    }

    /// Colours on a terminal unless `NO_COLOR` is set; blocks where the locale is UTF-8.
    #[must_use]
    pub fn detect(out: &impl IsTerminal) -> Self {
        let set = |name: &str| env::var(name).is_ok_and(|value| !value.is_empty());
        let dumb = env::var("TERM").is_ok_and(|term| term == "dumb");
        // The first of these that is set decides (POSIX).
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find(|name| set(name));
        let locale = locale
            .and_then(|name| env::var(name).ok())
            .unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        Self {
            colour: out.is_terminal() && !set("NO_COLOR") && !dumb,
            blocks: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(super) fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(super) fn second(self, text: &str) -> String {
        self.wrap("36", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
