//! What outlives the process and is in no map: what was changed by hand, and what is known of the
//! backends' health. Files beside the socket, which do not outlive the host's next start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::name::SOCKET_DIRECTORY;
use crate::health::Saved as Health;
use crate::overrides::Overrides;

/// The only form of the files that is understood.
const VERSION: u32 = 1;
/// More than the most overrides take, and than 100,000 backends with the longest history.
const MAX_BYTES: u64 = 1 << 30;

/// What was changed by hand.
const STATE: &str = "state";
/// The same, if it could not be read.
const UNREADABLE: &str = "state.unreadable";
/// What is known of the backends' health.
const HEALTH: &str = "health";
/// Either of them while it is written.
const NEW: &str = ".new";

/// An instance's files, for the one process that has its lock.
#[derive(Clone, Debug)]
pub(super) struct SavedFiles {
    folder: PathBuf,
    name: String,
}

#[derive(Serialize, Deserialize)]
struct StateFile {
    version: u32,
    #[serde(default)]
    overrides: Overrides,
}

#[derive(Serialize, Deserialize)]
struct HealthFile {
    version: u32,
    health: Health,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl SavedFiles {
    pub(super) fn of(name: &str) -> Self {
        Self {
            folder: SOCKET_DIRECTORY.into(),
            name: name.into(),
        }
    }

    fn path(&self, what: &str) -> PathBuf {
        self.folder.join(format!("{}.{what}", self.name))
    }

    /// What was changed by hand under an earlier process. What cannot be read is told and moved
    /// aside, so that nothing overwrites it: packets are balanced by the file alone then.
    ///
    /// # Errors
    /// It can neither be read nor moved.
    pub(super) fn overrides(&self) -> io::Result<Overrides> {
        let (path, aside) = (self.path(STATE), self.path(UNREADABLE));
        let error = match read::<StateFile>(&path) {
            Ok(state) => return Ok(state.map(|state| state.overrides).unwrap_or_default()),
            Err(error) => error,
        };
        let (from, to) = (path.display(), aside.display());
        fs::rename(&path, &aside).map_err(|refused| {
            io::Error::other(format!(
                "{from}: {error}; it says what was changed by hand, and could not be moved to {to}: \
                 {refused}; move it away to start without"
            ))
        })?;
        warn!("{from}: {error}; going on without what was changed by hand; the file is {to} now");
        Ok(Overrides::default())
    }

    /// Keeps what was changed by hand. What fails is told: the instance goes on, and its next
    /// process does not know of the change.
    pub(super) fn keep_overrides(&self, overrides: &Overrides) {
        let file = (*overrides != Overrides::default()).then(|| StateFile {
            version: VERSION,
            overrides: overrides.clone(),
        });
        tell(&self.path(STATE), write(&self.path(STATE), file.as_ref()));
    }

    /// What an earlier process knew of the backends' health; nothing, if that cannot be read.
    pub(super) fn health(&self) -> Option<Health> {
        let path = self.path(HEALTH);
        match read::<HealthFile>(&path) {
            Ok(known) => known.map(|known| known.health),
            Err(error) => {
                warn!(
                    "{}: {error}; going on without what was known of the backends' health",
                    path.display()
                );
                None
            }
        }
    }

    /// Keeps what is known of the backends' health, as far as that goes.
    pub(super) fn keep_health(&self, health: Health) {
        let file = (health != Health::default()).then_some(HealthFile {
            version: VERSION,
            health,
        });
        tell(&self.path(HEALTH), write(&self.path(HEALTH), file.as_ref()));
    }

    /// The instance ends, and with it all that is known.
    pub(super) fn remove(&self) {
        let new = |what: &str| format!("{what}{NEW}");
        for what in [STATE, UNREADABLE, HEALTH, &new(STATE), &new(HEALTH)] {
            // If it is gone already, so much the better.
            let _ = fs::remove_file(self.path(what));
        }
    }
}

fn tell(path: &Path, written: io::Result<()>) {
    if let Err(error) = written {
        warn!(
            "{}: {error}; after a restart of the process this is not known any more",
            path.display()
        );
    }
}

/// What a file says; `None` if there is none.
fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        let text = format!("expected at most {MAX_BYTES} bytes, found more");
        return Err(io::Error::other(text));
    }
    let Version { version } = serde_json::from_slice(&bytes)?;
    if version != VERSION {
        let text = format!("version {version} of the saved state: expected {VERSION}");
        return Err(io::Error::other(text));
    }
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// All of it, or nothing; nothing to say is no file.
fn write<T: Serialize>(path: &Path, says: Option<&T>) -> io::Result<()> {
    let Some(says) = says else {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    };
    let new = PathBuf::from(format!("{}{NEW}", path.display()));
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    let mut file = BufWriter::new(options.open(&new)?);
    serde_json::to_writer(&mut file, says)?;
    file.flush()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a folder that goes with it.
    struct Files(SavedFiles);

    impl Files {
        fn new(test: &str) -> Self {
            let name = format!("evenkeel-saved-{test}-{}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).unwrap();
            Self(SavedFiles {
                folder,
                name: "lb.1".into(),
            })
        }

        fn names(&self) -> Vec<String> {
            let files = fs::read_dir(&self.0.folder).unwrap();
            let name = |file: io::Result<fs::DirEntry>| file.unwrap().file_name();
            let mut names: Vec<String> = files
                .map(|file| name(file).into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0.folder);
        }
    }

    fn overrides() -> Overrides {
        let one = r#"[{"change":"service_removed","service":"tcp://10.0.0.10:80"}]"#;
        serde_json::from_str(one).unwrap()
    }

    fn health() -> Health {
        let one = r#"{"backends":[{"service":"tcp://10.0.0.10:80","backend":"10.0.0.2:80",
            "verdict":"down","agent_down":false,"asked":"drain","percent":50,"since_unix_ms":7,
            "history":[{"unix_ms":7,"from":"up","to":"down","reason":"gone"}]}]}"#;
        serde_json::from_str(one).unwrap()
    }

    #[test]
    fn what_is_saved_is_read_again_and_nothing_leaves_no_file() {
        let all = Files::new("again");
        let files = &all.0;
        assert_eq!(files.overrides().unwrap(), Overrides::default());
        assert_eq!(files.health(), None);
        files.keep_overrides(&overrides());
        files.keep_health(health());
        assert_eq!(files.overrides().unwrap(), overrides());
        assert_eq!(files.health(), Some(health()));
        assert_eq!(all.names(), ["lb.1.health", "lb.1.state"]);
        let text = fs::read_to_string(files.path(STATE)).unwrap();
        assert!(text.contains("\"version\":1"), "{text}");
        for _ in 0..2 {
            files.keep_overrides(&Overrides::default());
            files.keep_health(Health::default());
            assert_eq!(all.names(), [""; 0]);
        }
    }

    #[test]
    fn health_that_is_saved_leaves_alone_what_was_changed_by_hand() {
        let all = Files::new("alone");
        let files = &all.0;
        files.keep_overrides(&overrides());
        let before = fs::read(files.path(STATE)).unwrap();
        fs::write(files.path(HEALTH), "no JSON").unwrap();
        assert_eq!(files.health(), None);
        files.keep_health(health());
        files.keep_health(Health::default());
        assert_eq!(fs::read(files.path(STATE)).unwrap(), before);
    }

    #[test]
    fn what_cannot_be_read_is_moved_aside_and_not_overwritten() {
        let all = Files::new("aside");
        let files = &all.0;
        // Another version is not guessed at, and half a file is none.
        for text in [r#"{"version":2,"overrides":[]}"#, r#"{"version":1,"overr"#] {
            fs::write(files.path(STATE), text).unwrap();
            assert_eq!(files.overrides().unwrap(), Overrides::default());
            files.keep_overrides(&overrides());
            assert_eq!(all.names(), ["lb.1.state", "lb.1.state.unreadable"]);
            assert_eq!(fs::read_to_string(files.path(UNREADABLE)).unwrap(), text);
        }
        files.remove();
        assert_eq!(all.names(), [""; 0]);
    }

    #[test]
    fn what_can_neither_be_read_nor_moved_is_refused() {
        let all = Files::new("refused");
        let files = &all.0;
        fs::write(files.path(STATE), r#"{"version":2}"#).unwrap();
        fs::create_dir(files.path(UNREADABLE)).unwrap();
        let error = files.overrides().unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
        assert!(error.contains("move it away"), "{error}");
    }
}
