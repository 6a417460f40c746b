//! Builds the XDP programs from source and hands their object files to `object.rs`.
//!
//! The compiler must target BPF and bring its own `core` as source: `$EVENKEEL_BPF_RUSTC`, else
//! the rustc that builds this crate if it has the `rust-src` component, else Debian's `rustc-web`
//! with `rust-web-src`. None of them needs to be a nightly (`RUSTC_BOOTSTRAP`).

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// Where Debian's `rustc-web` puts the compiler.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const TARGET: &str = "bpfel-unknown-none";
/// Flags for rustc, and through it for bpf-linker. STYLE: see ARCHITECTURE.md, "The BPF build".
const RUSTFLAGS: &[&str] = &[
    "-Ctarget-cpu=v3",
    "-Cdebuginfo=2",
    "-Cpanic=abort",
    "-Clinker=bpf-linker",
    "-Clink-arg=--btf",
    // Headers lie at any alignment: without this, every field is loaded byte by byte.
    "-Clink-arg=--cpu-features=+allows-misaligned-mem-access",
    // Without this, clearing a structure becomes a loop over its bytes.
    "-Clink-arg=--disable-expand-memcpy-in-order",
];

fn main() {
    for file in [
        "../ebpf",
        "../datapath/src",
        "../abi/src",
        "../wire/src",
        "../../Cargo.lock",
    ] {
        println!("cargo:rerun-if-changed={file}");
    }
    println!("cargo:rerun-if-env-changed=EVENKEEL_BPF_RUSTC");
    if let Err(message) = build() {
        eprintln!("\nerror: the BPF program could not be built.\n\n{message}\n");
        exit(1);
    }
}

fn build() -> Result<(), String> {
    if !runs(Command::new("bpf-linker").arg("--version")) {
        return Err("expected: bpf-linker on the PATH\n\
             found:    none\n\
             to do:    run `./dev setup` (Debian), or `cargo install bpf-linker`"
            .into());
    }
    let rustc = find_rustc()?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?);
    let target_dir = out.join("bpf");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ebpf/Cargo.toml");

    let mut objects = vec![
        ("evenkeel-xdp", "EVENKEEL_XDP_OBJECT"),
        ("evenkeel-decap", "EVENKEEL_DECAP_OBJECT"),
        ("evenkeel-pass", "EVENKEEL_PASS_OBJECT"),
    ];
    if env::var_os("CARGO_FEATURE_BENCH").is_some() {
        objects.push(("evenkeel-bench", "EVENKEEL_BENCH_OBJECT"));
    }

    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The outer build's compiler, flags and wrappers (clippy's, for one) are not this build's.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_") || name.starts_with("RUSTC") || name == "RUSTFLAGS" {
            cargo.env_remove(&*name);
        }
    }
    if let Some(home) = env::var_os("CARGO_HOME") {
        cargo.env("CARGO_HOME", home);
    }
    cargo
        .args([
            "build",
            "--release",
            "--locked",
            "-Zbuild-std=core",
            "--target",
            TARGET,
        ])
        .arg("--manifest-path")
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&target_dir)
        .env("RUSTC", &rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\x1f"));
    for (binary, _) in &objects {
        cargo.args(["--bin", binary]);
    }
    let output = cargo
        .output()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    for (file, variable) in objects {
        let object = target_dir.join(TARGET).join("release").join(file);
        refuse_panics(&object)?;
        println!("cargo:rustc-env={variable}={}", object.display());
    }
    Ok(())
}

/// A compiler with its own library sources.
fn find_rustc() -> Result<PathBuf, String> {
    let candidates = [
        env::var_os("EVENKEEL_BPF_RUSTC").map(PathBuf::from),
        env::var_os("RUSTC").map(PathBuf::from),
        Some(PathBuf::from(DEBIAN_RUSTC)),
    ];
    candidates
        .into_iter()
        .flatten()
        .find(|rustc| has_sources(rustc))
        .ok_or_else(|| {
            "expected: a Rust compiler with the sources of its `core` library\n\
             found:    neither the compiler in use nor Debian's rustc-web has them\n\
             to do:    run `./dev setup` (Debian), or `rustup component add rust-src`"
                .into()
        })
}

fn has_sources(rustc: &Path) -> bool {
    let Ok(output) = Command::new(rustc).args(["--print", "sysroot"]).output() else {
        return false;
    };
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    output.status.success()
        && sysroot
            .join("lib/rustlib/src/rust/library/core/src/lib.rs")
            .exists()
}

fn runs(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// A panic would be an endless loop, and the kernel would refuse it with a message that nobody
/// understands: name the mistake here.
fn refuse_panics(object: &Path) -> Result<(), String> {
    let bytes = std::fs::read(object).map_err(|error| format!("{}: {error}", object.display()))?;
    for symbol in [
        "panic_fmt",
        "panic_bounds_check",
        "expect_failed",
        "unwrap_failed",
        "panic_const",
    ] {
        if bytes
            .windows(symbol.len())
            .any(|window| window == symbol.as_bytes())
        {
            return Err(format!(
                "{} contains a path to a panic ({symbol}): use `get`, masks and divisors that \
                 cannot be zero instead of indexing, division and `expect`",
                object.display()
            ));
        }
    }
    Ok(())
}
