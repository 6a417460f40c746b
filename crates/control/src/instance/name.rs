//! Which instance, and where its socket lies.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Directory of the instances' sockets. Others pass through it and do not see what is in it, and
/// each file has a mode of its own.
pub const SOCKET_DIRECTORY: &str = "/run/evenkeel";

/// Longest name, so that the socket's path fits the 107 bytes that the kernel takes.
pub(crate) const MAX_NAME: usize = 64;

/// Where `ip netns` keeps the names of network namespaces.
const NAMESPACES: &str = "/run/netns";

/// Every network namespace has an instance of its own: `default` in the machine's, elsewhere the
/// namespace's name, or its number if it has none.
#[must_use]
pub fn default_name() -> String {
    let inode = |path: &str| fs::metadata(path).map(|metadata| metadata.ino()).ok();
    let Some(ours) = inode("/proc/thread-self/ns/net") else {
        return "default".into();
    };
    let named = fs::read_dir(NAMESPACES)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .find(|entry| fs::metadata(entry.path()).is_ok_and(|metadata| metadata.ino() == ours));
    match named {
        Some(entry) => entry.file_name().to_string_lossy().into_owned(),
        // A container may not look at its first process; then there is nothing to tell apart.
        None if inode("/proc/1/ns/net").is_none_or(|first| first == ours) => "default".into(),
        None => format!("netns-{ours}"),
    }
}

/// Whether a socket can be called this.
pub(crate) fn is_valid(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=MAX_NAME).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(fits)
}

/// Where an instance answers.
#[must_use]
pub fn socket_path(name: &str) -> PathBuf {
    PathBuf::from(SOCKET_DIRECTORY).join(format!("{name}.sock"))
}

/// Where an instance of `evenkeel decap` answers.
#[must_use]
pub fn decap_socket_path(name: &str) -> PathBuf {
    PathBuf::from(SOCKET_DIRECTORY).join(format!("{name}.decap"))
}

/// Names of the instances that have a socket, running or not.
#[must_use]
pub fn running() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(SOCKET_DIRECTORY)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| {
            Some(
                entry
                    .file_name()
                    .to_str()?
                    .strip_suffix(".sock")?
                    .to_owned(),
            )
        })
        .collect();
    names.sort();
    names
}
