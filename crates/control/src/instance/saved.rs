//! What outlives the process and is in no map: overrides, and what is known of the backends' health.
//! A file beside the socket, which does not outlive the host's next start.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::name::SOCKET_DIRECTORY;
use crate::overrides::Overrides;

/// The only form of the file that is understood.
const VERSION: u32 = 1;
/// More than the most overrides take.
const MAX_BYTES: u64 = 64 << 20;

/// What is saved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// What was changed by hand.
    #[serde(default)]
    pub(crate) overrides: Overrides,
    /// What is known of the backends' health; whoever checks it says what it means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) health: Option<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    saved: T,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Where an instance's file lies.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(SOCKET_DIRECTORY).join(format!("{name}.state"))
}

impl Saved {
    /// What an earlier process saved. What cannot be read is told and left out: packets are balanced
    /// by the file alone then.
    pub(crate) fn load(name: &str) -> Self {
        let path = path(name);
        match Self::read(&path) {
            Ok(saved) => saved,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(error) => {
                warn!(
                    "{}: {error}; going on without what was changed by hand and what was known of \
                     backends' health",
                    path.display()
                );
                Self::default()
            }
        }
    }

    fn read(path: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let file = fs::File::open(path)?;
        file.take(MAX_BYTES).read_to_end(&mut bytes)?;
        let Version { version } = serde_json::from_slice(&bytes)?;
        if version != VERSION {
            let text = format!("version {version} of the saved state: expected {VERSION}");
            return Err(io::Error::other(text));
        }
        let versioned: Versioned<Self> = serde_json::from_slice(&bytes)?;
        Ok(versioned.saved)
    }

    /// Changes what is saved. To be called by the one process that has the instance's lock. What
    /// fails is told: the instance goes on, and its next process does not know of the change.
    pub(crate) fn update(name: &str, change: impl FnOnce(&mut Self)) {
        let mut saved = Self::load(name);
        change(&mut saved);
        let path = path(name);
        if let Err(error) = saved.write(&path) {
            warn!(
                "{}: {error}; after a restart of the process this is not known any more",
                path.display()
            );
        }
    }

    /// All of it, or nothing; nothing to say is no file.
    fn write(self, path: &Path) -> io::Result<()> {
        if self == Self::default() {
            return match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let bytes = serde_json::to_vec(&Versioned {
            version: VERSION,
            saved: self,
        })?;
        let other = path.with_extension("state.new");
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        options.open(&other)?.write_all(&bytes)?;
        fs::rename(&other, path)
    }

    /// The instance ends, and with it all that is known.
    pub(crate) fn remove(name: &str) {
        // If it is gone already, so much the better.
        let _ = fs::remove_file(path(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(format!("evenkeel-saved-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn what_is_saved_is_read_again_and_nothing_leaves_no_file() {
        let path = folder().join("lb.state");
        let saved = Saved {
            overrides: serde_json::from_str(
                r#"[{"change":"service_removed","service":"tcp://10.0.0.10:80"}]"#,
            )
            .unwrap(),
            health: Some(serde_json::json!({"up": 3})),
        };
        saved.clone().write(&path).unwrap();
        assert_eq!(Saved::read(&path).unwrap(), saved);
        assert!(fs::read_to_string(&path).unwrap().contains("\"version\":1"));
        Saved::default().write(&path).unwrap();
        assert!(!path.exists());
        Saved::default().write(&path).unwrap();
    }

    #[test]
    fn another_version_is_not_guessed_at() {
        let path = folder().join("other.state");
        fs::write(&path, r#"{"version":2,"overrides":[]}"#).unwrap();
        let error = Saved::read(&path).unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
        fs::remove_file(&path).unwrap();
    }
}
