//! The compiled BPF programs, built from source by the build script.

/// The load balancer: programs `evenkeel` and `clock`.
pub static XDP: &[u8] = aya::include_bytes_aligned!(env!("EVENKEEL_XDP_OBJECT"));

/// The backend's side of modes `ipip` and `gue`: program `decap`.
pub static DECAP: &[u8] = aya::include_bytes_aligned!(env!("EVENKEEL_DECAP_OBJECT"));

/// Program `pass`, for the far ends of veths (docs/lab.md).
pub static PASS: &[u8] = aya::include_bytes_aligned!(env!("EVENKEEL_PASS_OBJECT"));

/// What `./dev bench` times: the load balancer, and floors to compare it with.
#[cfg(feature = "bench")]
pub static BENCH: &[u8] = aya::include_bytes_aligned!(env!("EVENKEEL_BENCH_OBJECT"));
