//! What can go wrong on the socket, on either side.

use std::io;
use std::path::PathBuf;

use super::Role;
use super::failure::Failure;
use super::socket::others;
use crate::instance::MAX_NAME;

/// What can go wrong on the socket.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The socket cannot be called that.
    #[error(
        "instance {0:?}: expected 1 to {MAX_NAME} letters, digits, '-', '_' and '.', the first no '.': choose another name with --instance"
    )]
    Name(String),
    /// Another process serves the instance.
    #[error("instance {name} is running already (it answers at {path}): stop it, or choose another name with --instance", path = path.display())]
    Running {
        /// The instance.
        name: String,
        /// Its socket.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("{path}: {source}{hint}", path = path.display(), hint = hint(source))]
    Socket {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody answers.
    #[error("no instance {name} is running (nobody answers at {path}): start one with `{command}`{others}", path = path.display(), command = role.command(), others = others(*role, name))]
    NotRunning {
        /// What was to answer.
        role: Role,
        /// The instance.
        name: String,
        /// Its socket.
        path: PathBuf,
    },
    /// It was asked for something it will not do.
    #[error("{0}")]
    Refused(Box<Failure>),
    /// The group that may use the socket is not there.
    #[error(
        "[api] group {0:?}: this host has no such group; make it with `groupadd --system {0}`, or name another"
    )]
    NoGroup(String),
    /// The group that may use the socket cannot be given it.
    #[error("[api] group {group:?} cannot be given {path}: {source}{}", not_in(group, source), path = path.display())]
    Share {
        /// The group.
        group: String,
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The answer was not one.
    #[error("instance {name} gave no proper answer: {problem}")]
    Answer {
        /// The instance.
        name: String,
        /// What was wrong.
        problem: String,
    },
}

fn not_in(group: &str, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::PermissionDenied {
        format!(
            "; expected: root, or a user who is in that group; in a unit, \
             SupplementaryGroups={group} (systemctl edit)"
        )
    } else {
        String::new()
    }
}

fn hint(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "; expected: root, or whom that folder belongs to; run it with sudo"
    } else {
        ""
    }
}
