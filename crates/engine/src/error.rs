//! What can go wrong between user space and the kernel.

use std::io;
use std::path::PathBuf;

use crate::capabilities;

/// Says what was expected, what was found, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The kernel refused to load the program or a map.
    #[error("the kernel did not load the XDP program: {0}{hint}", hint = load_hint(.0, &capabilities::missing()))]
    Load(String),
    /// Nothing can be pinned.
    #[error(
        "expected a BPF file system at /sys/fs/bpf, found none, and it cannot be mounted ({0}): mount it, as in `mount -t bpf bpf /sys/fs/bpf`"
    )]
    NoBpfFileSystem(io::Error),
    /// A pin could not be made, opened or removed.
    #[error("cannot {operation} {path}: {source}{hint}", path = path.display(), hint = pins_hint(source))]
    Pins {
        /// What was tried.
        operation: &'static str,
        /// The instance's folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Pinned maps are not such as this version can go on with.
    #[error(
        "cannot go on with what an earlier evenkeel left in {path}: {problem}; `evenkeel stop` takes it off, which ends its balancing, or run the version that made it",
        path = path.display()
    )]
    Foreign {
        /// The instance's folder.
        path: PathBuf,
        /// What was expected and what was found.
        problem: String,
    },
    /// Maps that an earlier process filled contradict themselves.
    #[error(
        "the maps of an earlier evenkeel contradict themselves: {what}; `evenkeel stop` takes it off, please report this"
    )]
    Contradiction {
        /// What is wrong with them.
        what: String,
    },
    /// Live flows do not fit a table that is to be smaller.
    #[error(
        "map {table} is to have room for {limit} entries, and holds {entries} of live flows, which would be cut off: raise [limits], or wait until they are over"
    )]
    TableTooSmall {
        /// Name of the map.
        table: &'static str,
        /// Entries it holds.
        entries: usize,
        /// Room it is to have.
        limit: u32,
    },
    /// A map operation failed.
    #[error("map {map}: {operation} failed: {source}")]
    Map {
        /// Name of the map.
        map: &'static str,
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A change failed half-way, and so did taking back what had been written.
    #[error(
        "{error}; expected: everything as it was before, but that failed, too ({back}), so packets meet a part of the change: restart evenkeel"
    )]
    HalfChanged {
        /// Why the change failed.
        error: Box<EngineError>,
        /// Why it could not be taken back.
        back: Box<EngineError>,
    },
    /// The program could not be attached.
    #[error("cannot attach to {interface} in {mode} mode: {reason}")]
    Attach {
        /// The interface.
        interface: String,
        /// `native` or `generic`.
        mode: &'static str,
        /// What the kernel said, and what to do.
        reason: String,
    },
    /// `BPF_PROG_TEST_RUN` failed.
    #[error("BPF_PROG_TEST_RUN of a frame of {length} bytes failed: {reason}")]
    TestRun {
        /// Length of the frame.
        length: usize,
        /// What the kernel said.
        reason: String,
    },
    /// More of something than fits.
    #[error("{found} {what} configured, but at most {limit} fit: use several instances")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
        /// How many fit.
        limit: usize,
    },
    /// The arena has no stretch of free slots that is long enough.
    #[error(
        "a ring of {wanted} slots does not fit, {free} are free: restart needed, or shorter rings"
    )]
    ArenaFull {
        /// Slots that are wanted side by side.
        wanted: u32,
        /// Slots that are free in all.
        free: u32,
    },
    /// A directory that is larger than its copies.
    #[error(
        "a directory of {found} buckets does not fit, it was loaded with room for {limit}: restart needed"
    )]
    DirectoryFull {
        /// Buckets that are wanted.
        found: usize,
        /// How many fit.
        limit: u32,
    },
    /// Something that is fixed when the program is loaded.
    #[error("restart needed for {what}")]
    RestartNeeded {
        /// What.
        what: String,
    },
    /// A ring could not be built.
    #[error("ring of {service}: {source}")]
    Ring {
        /// The service.
        service: String,
        /// Why.
        source: ring::RingError,
    },
    /// No seed gives a directory without an overflowing bucket.
    #[error("the service directory does not fit: {keys} keys; please report this")]
    Directory {
        /// Number of keys.
        keys: usize,
    },
}

impl EngineError {
    /// Whether maps with more room would do.
    #[must_use]
    pub fn is_for_room(&self) -> bool {
        matches!(
            self,
            Self::ArenaFull { .. } | Self::DirectoryFull { .. } | Self::TooMany { .. }
        )
    }
}

fn pins_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; expected: root, or whom /sys/fs/bpf/evenkeel belongs to, with leave to pass /sys/fs/bpf (docs/operations.md)"
        }
        _ => "",
    }
}

fn load_hint(error: &str, missing: &[&str]) -> String {
    if !missing.is_empty() {
        return format!(
            "\nexpected: root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (missing: {}); run it with sudo",
            missing.join(", ")
        );
    }
    // EPERM, as std writes it: the loader's errors are text by now.
    if error.contains("(os error 1)") {
        return "\nexpected leave to call bpf(2), which the capabilities give: a seccomp profile takes it \
                away; in a container of Podman, or of Docker before version 23, start it with \
                --security-opt seccomp=unconfined, or with a profile that allows bpf"
            .into();
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_load_is_told_what_is_missing() {
        let denied = "failed to create map `META`: Operation not permitted (os error 1)";
        for (error, missing, told) in [
            (denied, &["CAP_BPF"][..], "(missing: CAP_BPF)"),
            (denied, &[], "seccomp=unconfined"),
            ("the verifier says no", &["CAP_BPF"], "(missing: CAP_BPF)"),
        ] {
            let hint = load_hint(error, missing);
            assert!(hint.contains(told), "{error}: {hint}");
        }
        assert_eq!(load_hint("Cannot allocate memory (os error 12)", &[]), "");
    }
}
