//! Where an instance's maps and links are pinned, so that they outlive the process.
//!
//! ```text
//! /sys/fs/bpf/evenkeel/INSTANCE/maps/    the maps in force, by name, and the program
//! /sys/fs/bpf/evenkeel/INSTANCE/next/    the same, being prepared
//! /sys/fs/bpf/evenkeel/INSTANCE/links/   the program's links, by interface index
//! ```
//!
//! **`maps` is exchanged whole**, by one rename: whoever finds it finds maps that belong together.
//! What is in `next` is nobody's until then, and goes the next time.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::EngineError;
use crate::bpf;

/// Name of the program beside its maps.
pub(crate) const PROGRAM: &str = "program";

/// Where BPF file systems are mounted.
pub const BPF_FILE_SYSTEM: &str = "/sys/fs/bpf";

/// The pins of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    root: PathBuf,
}

/// An XDP link that is pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinnedLink {
    /// Index of its interface; 0 if that is gone.
    pub interface: u32,
    /// Id of its program.
    pub program: u32,
}

impl Pins {
    /// Of an instance of this name.
    #[must_use]
    pub fn of(instance: &str) -> Self {
        // The BPF file system refuses dots. No name has a '%'.
        let folder = instance.replace('.', "%2e");
        Self {
            root: Path::new(BPF_FILE_SYSTEM).join("evenkeel").join(folder),
        }
    }

    /// Names of all instances that have something pinned.
    #[must_use]
    pub fn instances() -> Vec<String> {
        let folder = Path::new(BPF_FILE_SYSTEM).join("evenkeel");
        let mut names: Vec<String> = names(&folder)
            .map(|name| name.replace("%2e", "."))
            .collect();
        names.sort();
        names
    }

    /// Their folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether there are maps to adopt.
    #[must_use]
    pub fn exist(&self) -> bool {
        self.maps().exists()
    }

    pub(crate) fn maps(&self) -> PathBuf {
        self.root.join("maps")
    }

    pub(crate) fn next(&self) -> PathBuf {
        self.root.join("next")
    }

    pub(crate) fn link(&self, interface: u32) -> PathBuf {
        self.links().join(interface.to_string())
    }

    fn links(&self) -> PathBuf {
        self.root.join("links")
    }

    /// An empty folder for maps that are to be the instance's.
    pub(crate) fn prepare(&self) -> Result<(), EngineError> {
        mount_if_needed()?;
        self.discard_next()
            .and_then(|()| create(&self.links()))
            .and_then(|()| create(&self.next()))
            .map_err(|source| self.error("create", source))
    }

    /// Makes what was prepared the instance's maps. After an error they are those of before.
    pub(crate) fn commit(&self) -> Result<(), EngineError> {
        let (next, maps) = (self.next(), self.maps());
        let flags = match maps.exists() {
            true => RenameFlags::RENAME_EXCHANGE,
            false => RenameFlags::RENAME_NOREPLACE,
        };
        renameat2(AT_FDCWD, &next, AT_FDCWD, &maps, flags)
            .map_err(|error| self.error("rename", error.into()))?;
        // What is left of it the next one removes.
        let _ = self.discard_next();
        Ok(())
    }

    fn discard_next(&self) -> io::Result<()> {
        absent_is_fine(fs::remove_dir_all(self.next()))
    }

    /// The links that are pinned.
    pub fn pinned_links(&self) -> Vec<PinnedLink> {
        let paths = names(&self.links()).map(|name| self.links().join(name));
        let infos = paths.filter_map(|path| bpf::link_info(&bpf::open(&path).ok()?).ok());
        infos
            .map(|info| PinnedLink {
                interface: info.interface,
                program: info.program,
            })
            .collect()
    }

    /// The pinned link of an interface. One whose interface is gone, or had its index before, is
    /// removed.
    pub(crate) fn open_link(&self, interface: u32) -> Result<Option<OwnedFd>, EngineError> {
        let path = self.link(interface);
        let error = |source| self.error("open the link in", source);
        let link = match bpf::open(&path) {
            Ok(link) => link,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(error(source)),
        };
        if bpf::link_info(&link).map_err(error)?.interface == interface {
            return Ok(Some(link));
        }
        self.forget_link(interface)?;
        Ok(None)
    }

    /// Removes the pin of a link, which takes the program off if nobody else holds the link.
    pub fn forget_link(&self, interface: u32) -> Result<(), EngineError> {
        absent_is_fine(fs::remove_file(self.link(interface)))
            .map_err(|source| self.error("remove the link in", source))
    }

    /// Removes the links of all interfaces but these.
    pub fn keep_links(&self, interfaces: &[u32]) -> Result<(), EngineError> {
        let pinned = names(&self.links()).filter_map(|name| name.parse().ok());
        pinned
            .filter(|index| !interfaces.contains(index))
            .try_for_each(|index| self.forget_link(index))
    }

    /// Removes everything: links first, which takes the program off.
    pub fn remove(&self) -> Result<(), EngineError> {
        [self.links(), self.root.clone()]
            .into_iter()
            .try_for_each(|folder| absent_is_fine(fs::remove_dir_all(folder)))
            .map_err(|source| self.error("remove", source))
    }

    pub(crate) fn error(&self, operation: &'static str, source: io::Error) -> EngineError {
        EngineError::Pins {
            operation,
            path: self.root.clone(),
            source,
        }
    }
}

/// systemd mounts it; where there is none, whoever needs it first does.
fn mount_if_needed() -> Result<(), EngineError> {
    let place = Path::new(BPF_FILE_SYSTEM);
    if statfs(place).is_ok_and(|found| found.filesystem_type() == BPF_FS_MAGIC) {
        return Ok(());
    }
    let kind = Some("bpf");
    mount(kind, place, kind, MsFlags::empty(), Some("mode=0700"))
        .map_err(|error| EngineError::NoBpfFileSystem(error.into()))
}

fn names(folder: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

fn create(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_dots_has_a_folder_without() {
        assert_eq!(
            Pins::of("a.b..c").root(),
            Path::new("/sys/fs/bpf/evenkeel/a%2eb%2e%2ec")
        );
    }
}
