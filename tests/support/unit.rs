//! A systemd unit of `deploy/`.

use std::fs;
use std::path::Path;

/// A unit file's text.
#[derive(Debug)]
pub struct Unit(String);

impl Unit {
    /// Reads it.
    ///
    /// # Panics
    /// There is none of this name.
    #[must_use]
    pub fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
        let path = folder.join(name);
        let text = fs::read_to_string(&path);
        Self(text.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// What the lines of a setting say, in their order.
    #[must_use]
    pub fn lines(&self, setting: &str) -> Vec<&str> {
        let value = |line| str::strip_prefix(line, setting)?.strip_prefix('=');
        self.0.lines().filter_map(value).collect()
    }

    /// The words of all lines of a setting.
    #[must_use]
    pub fn words(&self, setting: &str) -> Vec<&str> {
        let lines = self.lines(setting).into_iter();
        lines.flat_map(str::split_whitespace).collect()
    }
}
