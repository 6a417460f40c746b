//! Where the API is, and who may use it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use engine::pins::Pins;
use nix::unistd::Group;
use tokio::net::UnixListener;

use super::ApiError;
use crate::config::ApiSettings;
use crate::instance::{SOCKET_DIRECTORY, decap_socket_path, is_valid, running, socket_path};

/// What answers on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `evenkeel run`.
    Balancer,
    /// `evenkeel decap`.
    Decap,
}

impl Role {
    pub(super) const fn command(self) -> &'static str {
        match self {
            Self::Balancer => "evenkeel run",
            Self::Decap => "evenkeel decap",
        }
    }

    fn path(self, name: &str) -> PathBuf {
        match self {
            Self::Balancer => socket_path(name),
            Self::Decap => decap_socket_path(name),
        }
    }
}

/// A hint at what is left of the instance, or else at instances of other names.
pub(super) fn others(role: Role, name: &str) -> String {
    if role == Role::Decap {
        return String::new();
    }
    if Pins::of(name).exist() {
        return format!(
            ". Its packets are balanced without a process: `evenkeel run` goes on with that, \
             `evenkeel stop --instance {name}` ends it"
        );
    }
    let others: Vec<String> = running()
        .into_iter()
        .filter(|other| other != name)
        .collect();
    if others.is_empty() {
        String::new()
    } else {
        format!(
            "; there may be others (--instance NAME): {}",
            others.join(", ")
        )
    }
}

/// A bound socket, which is removed when dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(super) listener: UnixListener,
    pub(super) path: PathBuf,
}

impl Drop for Listener {
    fn drop(&mut self) {
        // If it is gone already, so much the better.
        let _ = fs::remove_file(&self.path);
    }
}

/// Binds the socket of an instance, unless it is running. One that a killed process left behind
/// is taken over. Root may use it, and the members of the group, if there is one.
///
/// # Errors
/// The instance is running, or the socket cannot be made.
pub(crate) fn listen(role: Role, name: &str, settings: &ApiSettings) -> Result<Listener, ApiError> {
    let path = valid_path(role, name)?;
    let group = settings.group.as_deref().map(group_id).transpose()?;
    let failed = |source| ApiError::Socket {
        path: path.clone(),
        source,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(SOCKET_DIRECTORY)
        .map_err(failed)?;
    match StdUnixStream::connect(&path) {
        Ok(_) => {
            let name = name.into();
            return Err(ApiError::Running { name, path });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(&path).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    let listener = Listener { listener, path };
    share(&listener.path, group).map_err(|source| {
        let path = listener.path.clone();
        match settings.group.clone() {
            Some(group) => ApiError::Share {
                group,
                path,
                source,
            },
            None => ApiError::Socket { path, source },
        }
    })?;
    Ok(listener)
}

pub(super) fn valid_path(role: Role, name: &str) -> Result<PathBuf, ApiError> {
    if is_valid(name) {
        Ok(role.path(name))
    } else {
        Err(ApiError::Name(name.into()))
    }
}

/// A group, by name or number.
fn group_id(group: &str) -> Result<u32, ApiError> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let found = Group::from_name(group).ok().flatten();
    found
        .map(|found| found.gid.as_raw())
        .ok_or_else(|| ApiError::NoGroup(group.into()))
}

/// Lets the group in, or nobody. A fresh socket lets only its owner in, as long as the umask is no
/// odd one, so there is no moment when others may.
fn share(socket: &Path, group: Option<u32>) -> io::Result<()> {
    let Some(group) = group else {
        return fs::set_permissions(socket, Permissions::from_mode(0o600));
    };
    chown(socket, None, Some(group))?;
    fs::set_permissions(socket, Permissions::from_mode(0o660))?;
    // It may be older, or the umask was strict. Other instances may have other groups.
    fs::set_permissions(SOCKET_DIRECTORY, Permissions::from_mode(0o711))
}
