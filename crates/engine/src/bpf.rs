//! bpf(2) and mmap(2) where aya has no call: maps as plain bytes, in batches, mapped arrays, pins.

mod objects;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use zerocopy::{FromBytes, Immutable, IntoBytes};

pub(crate) use objects::{MapInfo, create_array, link_info, map_info, open, pin, update_link};

/// Commands of bpf(2), from the kernel's include/uapi/linux/bpf.h.
const MAP_LOOKUP_ELEM: libc::c_long = 1;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const MAP_DELETE_ELEM: libc::c_long = 3;
const MAP_GET_NEXT_KEY: libc::c_long = 4;
const MAP_LOOKUP_BATCH: libc::c_long = 24;

/// Command of membarrier(2), from the kernel's include/uapi/linux/membarrier.h.
const MEMBARRIER_GLOBAL: libc::c_long = 1;
/// Longer than a packet takes, also if its CPU is a virtual one that has to wait.
const GRACE: Duration = Duration::from_millis(50);

/// The part of `union bpf_attr` that single-element commands use.
#[repr(C)]
struct ElementAttributes {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The part of `union bpf_attr` that batch commands use.
#[repr(C)]
struct BatchAttributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    element_flags: u64,
    flags: u64,
}

/// Calls bpf(2).
fn bpf<A>(command: libc::c_long, attributes: &mut A) -> io::Result<()> {
    bpf_call(command, attributes).map(drop)
}

/// Calls bpf(2), and returns what it returns.
fn bpf_call<A>(command: libc::c_long, attributes: &mut A) -> io::Result<libc::c_long> {
    // SAFETY: `attributes` is a prefix of `union bpf_attr` whose size is passed along; the
    // pointers in it are to buffers that the callers size by the map's own key and value sizes.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<A>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// Returns when every packet that is now being looked at by a program has been dealt with: the kernel
/// waits for an RCU grace period, some milliseconds (membarrier(2), `MEMBARRIER_CMD_GLOBAL`). A kernel
/// with CPUs that have no tick (`nohz_full`) has no such call: there it is a rest of that length.
pub(crate) fn wait_for_packets() {
    // SAFETY: the call takes no pointers.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_GLOBAL, 0, 0) };
    if result < 0 {
        std::thread::sleep(GRACE);
    }
}

/// A map's file descriptor with the sizes it was created with.
#[derive(Debug)]
pub(crate) struct RawMap {
    fd: OwnedFd,
    key_size: usize,
    value_size: usize,
}

impl RawMap {
    /// `value_size` is that of one CPU's value, for per-CPU maps too.
    pub(crate) fn new(fd: OwnedFd, key_size: usize, value_size: usize) -> Self {
        Self {
            fd,
            key_size,
            value_size,
        }
    }

    /// What the kernel says about it.
    pub(crate) fn info(&self) -> io::Result<MapInfo> {
        map_info(&self.fd)
    }

    fn element(&self, key: &[u8], value: *mut u8) -> ElementAttributes {
        assert_eq!(key.len(), self.key_size, "key size of the map");
        ElementAttributes {
            map_fd: self.fd.as_raw_fd().cast_unsigned(),
            padding: 0,
            key: key.as_ptr() as u64,
            value: value as u64,
            flags: 0,
        }
    }

    /// The value of `key`, or `None`.
    pub(crate) fn get<K, V>(&self, key: &K) -> io::Result<Option<V>>
    where
        K: IntoBytes + Immutable,
        V: FromBytes + IntoBytes,
    {
        let mut value = V::new_zeroed();
        assert_eq!(size_of::<V>(), self.value_size, "value size of the map");
        let mut attributes = self.element(key.as_bytes(), value.as_mut_bytes().as_mut_ptr());
        found(bpf(MAP_LOOKUP_ELEM, &mut attributes)).map(|found| found.then_some(value))
    }

    /// Every CPU's value of an entry of a per-CPU array.
    pub(crate) fn get_per_cpu<V>(&self, index: u32, cpus: usize) -> io::Result<Vec<V>>
    where
        V: FromBytes + IntoBytes + Clone,
    {
        // The kernel rounds each CPU's value up to eight bytes (bpf_percpu_array_copy).
        assert_eq!(
            size_of::<V>() % 8,
            0,
            "per-CPU values are multiples of 8 bytes"
        );
        assert_eq!(size_of::<V>(), self.value_size, "value size of the map");
        let mut values = vec![V::new_zeroed(); cpus];
        let mut attributes = self.element(index.as_bytes(), values.as_mut_ptr().cast());
        bpf(MAP_LOOKUP_ELEM, &mut attributes)?;
        Ok(values)
    }

    /// Writes the value of `key`.
    pub(crate) fn set<K, V>(&self, key: &K, value: &V) -> io::Result<()>
    where
        K: IntoBytes + Immutable,
        V: IntoBytes + Immutable,
    {
        assert_eq!(size_of::<V>(), self.value_size, "value size of the map");
        let mut attributes = self.element(key.as_bytes(), value.as_bytes().as_ptr().cast_mut());
        bpf(MAP_UPDATE_ELEM, &mut attributes)
    }

    /// Writes the value of `key` unless it has one; says whether it did.
    pub(crate) fn insert<K, V>(&self, key: &K, value: &V) -> io::Result<bool>
    where
        K: IntoBytes + Immutable,
        V: IntoBytes + Immutable,
    {
        /// `BPF_NOEXIST`.
        const ONLY_NEW: u64 = 1;
        assert_eq!(size_of::<V>(), self.value_size, "value size of the map");
        let mut attributes = self.element(key.as_bytes(), value.as_bytes().as_ptr().cast_mut());
        attributes.flags = ONLY_NEW;
        match bpf(MAP_UPDATE_ELEM, &mut attributes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes the same value for every CPU into an entry of a per-CPU array.
    pub(crate) fn set_per_cpu<V>(&self, index: u32, cpus: usize, value: &V) -> io::Result<()>
    where
        V: IntoBytes + Immutable + Clone,
    {
        assert_eq!(
            size_of::<V>() % 8,
            0,
            "per-CPU values are multiples of 8 bytes"
        );
        assert_eq!(size_of::<V>(), self.value_size, "value size of the map");
        let mut values = vec![value.clone(); cpus];
        let mut attributes = self.element(index.as_bytes(), values.as_mut_ptr().cast());
        bpf(MAP_UPDATE_ELEM, &mut attributes)
    }

    /// Writes each CPU's value of an entry of a per-CPU array.
    pub(crate) fn set_each_cpu<V>(&self, index: u32, values: &[V]) -> io::Result<()>
    where
        V: IntoBytes + Immutable,
    {
        assert_eq!(
            size_of::<V>() % 8,
            0,
            "per-CPU values are multiples of 8 bytes"
        );
        assert_eq!(size_of::<V>(), self.value_size, "value size of the map");
        let mut attributes = self.element(index.as_bytes(), values.as_ptr().cast_mut().cast());
        bpf(MAP_UPDATE_ELEM, &mut attributes)
    }

    /// Every key, one system call each: tries have no batches that [`Self::for_each`] could read.
    pub(crate) fn keys<K>(&self) -> io::Result<Vec<K>>
    where
        K: FromBytes + IntoBytes + Immutable + Clone,
    {
        assert_eq!(size_of::<K>(), self.key_size, "key size of the map");
        let mut keys: Vec<K> = Vec::new();
        loop {
            let mut next = K::new_zeroed();
            let before = keys.last().cloned();
            let mut attributes = ElementAttributes {
                map_fd: self.fd.as_raw_fd().cast_unsigned(),
                padding: 0,
                key: before
                    .as_ref()
                    .map_or(0, |key| key.as_bytes().as_ptr() as u64),
                value: next.as_mut_bytes().as_mut_ptr() as u64,
                flags: 0,
            };
            if !found(bpf(MAP_GET_NEXT_KEY, &mut attributes))? {
                return Ok(keys);
            }
            keys.push(next);
        }
    }

    /// Deletes `key`; says whether it was there.
    pub(crate) fn remove<K: IntoBytes + Immutable>(&self, key: &K) -> io::Result<bool> {
        let mut attributes = self.element(key.as_bytes(), std::ptr::null_mut());
        found(bpf(MAP_DELETE_ELEM, &mut attributes))
    }

    /// Calls `visit` with every entry of a hash map, `batch` at a time. Entries that come or go
    /// meanwhile may be visited or not.
    pub(crate) fn for_each<K, V>(
        &self,
        batch: usize,
        mut visit: impl FnMut(&K, &V),
    ) -> io::Result<()>
    where
        K: FromBytes + IntoBytes + Clone,
        V: FromBytes + IntoBytes + Clone,
    {
        assert_eq!(size_of::<K>(), self.key_size, "key size of the map");
        assert_eq!(size_of::<V>(), self.value_size, "value size of the map");
        let mut keys = vec![K::new_zeroed(); batch];
        let mut values = vec![V::new_zeroed(); batch];
        let mut position = 0_u32;
        let mut next = 0_u32;
        let mut first = true;
        loop {
            let mut attributes = BatchAttributes {
                in_batch: if first {
                    0
                } else {
                    (&raw const position) as u64
                },
                out_batch: (&raw mut next) as u64,
                keys: keys.as_mut_ptr() as u64,
                values: values.as_mut_ptr() as u64,
                count: keys.len() as u32,
                map_fd: self.fd.as_raw_fd().cast_unsigned(),
                element_flags: 0,
                flags: 0,
            };
            let result = found(bpf(MAP_LOOKUP_BATCH, &mut attributes));
            if let Err(error) = &result
                && error.raw_os_error() == Some(libc::ENOSPC)
            {
                // One bucket holds more than a batch.
                keys.resize(keys.len() * 2, K::new_zeroed());
                values.resize(values.len() * 2, V::new_zeroed());
                continue;
            }
            let more = result?;
            for (key, value) in keys.iter().zip(&values).take(attributes.count as usize) {
                visit(key, value);
            }
            if !more {
                return Ok(());
            }
            position = next;
            first = false;
        }
    }

    /// Maps an array that was created with `BPF_F_MMAPABLE`.
    pub(crate) fn map(&self, entries: usize) -> io::Result<MappedArray> {
        assert_eq!(self.value_size % 8, 0, "mapped arrays are written in words");
        let length = entries * self.value_size;
        // SAFETY: a fresh shared mapping of the map's own memory, at an address the kernel picks.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                self.fd.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(address.cast::<AtomicU64>())
            .ok_or_else(|| io::Error::other("mmap returned address 0"))?;
        Ok(MappedArray { start, length })
    }
}

/// `ENOENT` as `false`.
fn found(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// An array map in this process's memory, as words that the kernel may read at any time.
#[derive(Debug)]
pub(crate) struct MappedArray {
    start: NonNull<AtomicU64>,
    /// In bytes.
    length: usize,
}

// SAFETY: the memory belongs to the mapping, not to a thread, and is only accessed atomically.
unsafe impl Send for MappedArray {}

impl MappedArray {
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is `length` bytes long, page-aligned, and lives as long as `self`;
        // any bytes are valid words, and both sides access them atomically.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length / 8) }
    }

    /// Writes `values` from `offset` (in bytes, of a word) on, word by word. Words that hold the
    /// value already are left alone, so that caches elsewhere stay valid.
    pub(crate) fn write<V: IntoBytes + Immutable>(&self, offset: usize, values: &[V]) {
        let start = offset / 8;
        let bytes = values.as_bytes();
        let words = self.words().iter().skip(start);
        for (word, bytes) in words.zip(bytes.as_chunks::<8>().0) {
            let value = u64::from_ne_bytes(*bytes);
            if word.load(Ordering::Relaxed) != value {
                word.store(value, Ordering::Release);
            }
        }
    }

    /// `length` bytes from `offset` on, both of whole words.
    pub(crate) fn read(&self, offset: usize, length: usize) -> Vec<u8> {
        let words = self.words().iter().skip(offset / 8).take(length / 8);
        words
            .flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes())
            .collect()
    }

    /// The word at `offset` (in bytes).
    pub(crate) fn word(&self, offset: usize) -> Option<u64> {
        let word = self.words().get(offset / 8)?;
        Some(word.load(Ordering::Relaxed))
    }
}

impl Drop for MappedArray {
    fn drop(&mut self) {
        // SAFETY: the mapping made by `RawMap::map`; nobody else has its address.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}
