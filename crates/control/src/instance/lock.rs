//! One process for one instance.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use nix::fcntl::{Flock, FlockArg};

use super::name::{SOCKET_DIRECTORY, is_valid, socket_path};
use crate::api::ApiError;

/// Held as long as the process works on the instance; the kernel lets go of it when that dies.
#[derive(Debug)]
pub(super) struct InstanceLock {
    _file: Flock<File>,
    path: PathBuf,
}

impl InstanceLock {
    /// Takes the lock, or says who has it.
    pub(super) fn take(name: &str) -> Result<Self, ApiError> {
        if !is_valid(name) {
            return Err(ApiError::Name(name.into()));
        }
        let path = PathBuf::from(SOCKET_DIRECTORY).join(format!("{name}.lock"));
        let failed = |source| ApiError::Socket {
            path: path.clone(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(SOCKET_DIRECTORY)
            .map_err(failed)?;
        loop {
            let mut options = OpenOptions::new();
            // Whoever could open it could take the lock.
            options.create(true).truncate(false).write(true).mode(0o600);
            let file = options.open(&path).map_err(failed)?;
            let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock);
            let lock = match lock {
                Ok(lock) => lock,
                Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                    return Err(ApiError::Running {
                        name: name.into(),
                        path: socket_path(name),
                    });
                }
                Err((_, error)) => return Err(failed(error.into())),
            };
            // Whoever had it may have removed the file between the two calls.
            if is_same(&lock, &path) {
                return Ok(Self { _file: lock, path });
            }
        }
    }
}

fn is_same(file: &File, path: &PathBuf) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |metadata: io::Result<fs::Metadata>| metadata.map(|it| it.ino()).ok();
    inode(file.metadata()) == inode(fs::metadata(path))
}

impl Drop for InstanceLock {
    fn drop(&mut self) {
        // If it is gone already, so much the better.
        let _ = fs::remove_file(&self.path);
    }
}
