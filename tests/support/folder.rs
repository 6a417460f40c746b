//! A directory for one test's files.

use std::fs;
use std::path::{Path, PathBuf};

/// A directory that everybody may look into and that is gone when this is.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes it; `tag` tells tests apart.
    ///
    /// # Panics
    /// It cannot be made.
    #[must_use]
    pub fn new(tag: &str) -> Self {
        let path = std::env::temp_dir().join(format!("evenkeel-{tag}-{}", std::process::id()));
        fs::create_dir_all(&path)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and returns where it is.
    ///
    /// # Panics
    /// It cannot be written.
    #[must_use]
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, contents)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It is in the folder for temporary files: nothing is lost if it stays.
        let _ = fs::remove_dir_all(&self.0);
    }
}
