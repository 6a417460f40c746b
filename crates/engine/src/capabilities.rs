//! What the kernel asks of whoever loads the programs.

use std::fs;

/// What is needed, with its number (linux/capability.h).
const NEEDED: [(&str, u32); 3] = [
    ("CAP_BPF", 39),       // maps and programs
    ("CAP_NET_ADMIN", 12), // XDP programs, device maps, attaching, asking for neighbours
    ("CAP_PERFMON", 38),   // pointer arithmetic in programs, and no detours against speculation
];

/// The kernel takes it for CAP_BPF and CAP_PERFMON.
const SYS_ADMIN: u32 = 21;

/// Those of the needed capabilities that this thread lacks.
pub(crate) fn missing() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    effective(&status).map_or_else(Vec::new, missing_of)
}

fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    u64::from_str_radix(line?.trim(), 16).ok()
}

fn missing_of(effective: u64) -> Vec<&'static str> {
    let has = |number: u32| effective >> number & 1 == 1;
    let stands_in = |name| name != "CAP_NET_ADMIN" && has(SYS_ADMIN);
    let missing = NEEDED
        .iter()
        .filter(|(name, number)| !has(*number) && !stands_in(*name));
    missing.map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let status = |bits: u64| format!("Name:\tx\nCapPrm:\t0\nCapEff:\t{bits:016x}\n");
        let all = 1 << 39 | 1 << 12 | 1 << 38;
        let cases: [(u64, &[&str]); 6] = [
            (0, &["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"]),
            (all, &[]),
            (all & !(1 << 39), &["CAP_BPF"]),
            (all & !(1 << 12), &["CAP_NET_ADMIN"]),
            (all & !(1 << 38), &["CAP_PERFMON"]),
            (1 << 21, &["CAP_NET_ADMIN"]),
        ];
        for (bits, expected) in cases {
            let effective = effective(&status(bits)).unwrap();
            assert_eq!(missing_of(effective), expected, "{bits:x}");
        }
        assert_eq!(effective("what is this"), None);
    }
}
