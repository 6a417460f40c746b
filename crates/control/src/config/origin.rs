//! Where an instance's configuration comes from, so that it can be read again.

use std::path::PathBuf;

use super::{Checked, ConfigError, parse, source};

/// A configuration file, and what the command line says beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// Replace the file's interfaces unless empty.
    pub interfaces: Vec<String>,
}

impl Origin {
    /// Reads and checks the file as it is now.
    ///
    /// # Errors
    /// The file cannot be read, or something in it is wrong: then with everything that is.
    pub fn read(&self) -> Result<Checked, ConfigError> {
        self.check(&self.text()?)
    }

    /// The text of the file as it is now.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn text(&self) -> Result<String, ConfigError> {
        source::read(&self.file)
    }

    /// Checks a text of the file.
    ///
    /// # Errors
    /// Everything that is wrong in it.
    pub fn check(&self, text: &str) -> Result<Checked, ConfigError> {
        let mut checked = parse(&self.file.display().to_string(), text)?;
        if !self.interfaces.is_empty() {
            checked.desired.interfaces.clone_from(&self.interfaces);
        }
        Ok(checked)
    }
}
