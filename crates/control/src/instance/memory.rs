//! How much memory the process and its maps take, as the kernel tells it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::status::MemoryStatus;

/// What a map's descriptor links to.
const MAP: &str = "anon_inode:bpf-map";

/// Of this process, now. What cannot be read counts as nothing.
pub(super) fn memory() -> MemoryStatus {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    MemoryStatus {
        process_bytes: number(&status, "VmRSS:").unwrap_or(0) * 1024,
        maps_bytes: maps().values().sum(),
    }
}

/// Bytes of each map that this process has open, by the map's id: one may be open twice.
fn maps() -> BTreeMap<u64, u64> {
    let Ok(open) = fs::read_dir("/proc/self/fd") else {
        return BTreeMap::new();
    };
    let is_map = |path: &Path| fs::read_link(path).is_ok_and(|to| to == Path::new(MAP));
    let descriptors = open.flatten().filter(|entry| is_map(&entry.path()));
    descriptors
        .filter_map(|entry| {
            let info = Path::new("/proc/self/fdinfo").join(entry.file_name());
            let info = fs::read_to_string(info).ok()?;
            Some((number(&info, "map_id:")?, number(&info, "memlock:")?))
        })
        .collect()
}

/// The number behind a field's name, proc(5).
fn number(text: &str, field: &str) -> Option<u64> {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(field))?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "VmRSSX:\t7 kB\nVmRSS:\t  1234 kB\nmemlock:\t4096\n";
        assert_eq!(number(text, "VmRSS:"), Some(1_234));
        assert_eq!(number(text, "memlock:"), Some(4_096));
        assert_eq!(number(text, "map_id:"), None);
    }

    #[test]
    fn a_process_takes_memory_and_one_without_maps_none_for_them() {
        let memory = memory();
        assert!(memory.process_bytes > 100_000, "{memory:?}");
        assert_eq!(memory.maps_bytes, 0);
    }
}
