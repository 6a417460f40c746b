//! Maps and links as objects: made, pinned, found again, described.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{bpf, bpf_call};

/// Commands of bpf(2), from the kernel's include/uapi/linux/bpf.h.
const MAP_CREATE: libc::c_long = 0;
const OBJ_PIN: libc::c_long = 6;
const OBJ_GET: libc::c_long = 7;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const LINK_UPDATE: libc::c_long = 29;

/// `BPF_MAP_TYPE_ARRAY`.
const MAP_TYPE_ARRAY: u32 = 2;

/// The part of `union bpf_attr` that `BPF_MAP_CREATE` needs, up to the name.
#[repr(C)]
struct CreateAttributes {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    name: [u8; 16],
}

/// The part of `union bpf_attr` that `BPF_OBJ_PIN` and `BPF_OBJ_GET` use.
#[repr(C)]
struct ObjectAttributes {
    path: u64,
    fd: u32,
    flags: u32,
}

/// The part of `union bpf_attr` that `BPF_OBJ_GET_INFO_BY_FD` uses.
#[repr(C)]
struct InfoAttributes {
    fd: u32,
    length: u32,
    info: u64,
}

/// The part of `union bpf_attr` that `BPF_LINK_UPDATE` needs, for any program before.
#[repr(C)]
struct LinkAttributes {
    link_fd: u32,
    program_fd: u32,
    flags: u32,
}

/// The part of `struct bpf_map_info` that is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct MapInfo {
    pub(crate) map_type: u32,
    pub(crate) id: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
}

/// `struct bpf_link_info` of an XDP link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct LinkInfo {
    link_type: u32,
    id: u32,
    /// Id of its program.
    pub(crate) program: u32,
    padding: u32,
    /// Index of its interface; 0 once that is gone.
    pub(crate) interface: u32,
}

/// Calls bpf(2) for a new file descriptor.
fn bpf_fd<A>(command: libc::c_long, attributes: &mut A) -> io::Result<OwnedFd> {
    let fd = bpf_call(command, attributes)?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn path_bytes(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// Pins an object (a map, a link) at a path of a BPF file system.
pub(crate) fn pin(object: &impl AsRawFd, path: &Path) -> io::Result<()> {
    let path = path_bytes(path)?;
    let mut attributes = ObjectAttributes {
        path: path.as_ptr() as u64,
        fd: object.as_raw_fd().cast_unsigned(),
        flags: 0,
    };
    bpf(OBJ_PIN, &mut attributes)
}

/// Opens what is pinned at a path.
pub(crate) fn open(path: &Path) -> io::Result<OwnedFd> {
    let path = path_bytes(path)?;
    let mut attributes = ObjectAttributes {
        path: path.as_ptr() as u64,
        fd: 0,
        flags: 0,
    };
    bpf_fd(OBJ_GET, &mut attributes)
}

/// Lets a link run another program, from one packet to the next.
pub(crate) fn update_link(link: &impl AsRawFd, program: &impl AsRawFd) -> io::Result<()> {
    let mut attributes = LinkAttributes {
        link_fd: link.as_raw_fd().cast_unsigned(),
        program_fd: program.as_raw_fd().cast_unsigned(),
        flags: 0,
    };
    bpf(LINK_UPDATE, &mut attributes)
}

/// Creates an array of one entry.
pub(crate) fn create_array(name: &str, value_size: u32) -> io::Result<OwnedFd> {
    let mut attributes = CreateAttributes {
        map_type: MAP_TYPE_ARRAY,
        key_size: 4,
        value_size,
        max_entries: 1,
        map_flags: 0,
        inner_map_fd: 0,
        numa_node: 0,
        name: [0; 16],
    };
    // The last byte stays zero.
    for (to, from) in attributes.name.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    bpf_fd(MAP_CREATE, &mut attributes)
}

/// What the kernel says about a map.
pub(crate) fn map_info(map: &impl AsRawFd) -> io::Result<MapInfo> {
    info(map)
}

/// What the kernel says about an XDP link.
pub(crate) fn link_info(link: &impl AsRawFd) -> io::Result<LinkInfo> {
    info(link)
}

/// `I` is a prefix of the kernel's structure of plain numbers.
fn info<I: Default>(object: &impl AsRawFd) -> io::Result<I> {
    let mut info = I::default();
    let mut attributes = InfoAttributes {
        fd: object.as_raw_fd().cast_unsigned(),
        length: size_of::<I>() as u32,
        info: (&raw mut info) as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attributes)?;
    Ok(info)
}
