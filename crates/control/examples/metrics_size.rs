//! How long and how large a scrape is: `cargo run --release -p evenkeel-control --example
//! metrics_size`. What docs/metrics.md says of it is from here.

#![expect(clippy::print_stdout, reason = "it is what this program is for")]

use std::time::Instant;

use evenkeel_control::metrics::{Exporter, Format};
use evenkeel_control::status::{BackendStatus, ServiceStatus, Status};

/// Backends of each service.
const BACKENDS: u32 = 10;

fn main() {
    println!("services backends per_backend  first ms  next ms  MB  samples");
    for services in [100, 1_000, 10_000] {
        for per_backend in [true, false] {
            let mut exporter = Exporter::new(per_backend);
            let first = measure(&mut exporter, services);
            let next = (0..5)
                .map(|_| measure(&mut exporter, services).0)
                .min_by(f64::total_cmp)
                .unwrap_or_default();
            let (milliseconds, text) = first;
            let samples = text.lines().filter(|line| !line.starts_with('#')).count();
            println!(
                "{services:>8} {:>8} {per_backend:>11} {milliseconds:>9.0} {next:>8.0} {:>5.1} {samples:>8}",
                services * BACKENDS,
                text.len() as f64 / 1e6,
            );
        }
    }
}

/// Milliseconds, and the text.
fn measure(exporter: &mut Exporter, services: u32) -> (f64, String) {
    let status = status(services);
    let start = Instant::now();
    let text = exporter.render(status, Format::OpenMetrics);
    (start.elapsed().as_secs_f64() * 1e3, text)
}

fn status(services: u32) -> Status {
    let backend = |number: u32| BackendStatus {
        address: format!("10.{}.{}.2:8000", number >> 8 & 255, number & 255),
        state: "up".into(),
        share: 0.1,
        packets: 123_456_789_012 + u64::from(number),
        bytes: 98_765_432_109_876,
        reply_packets: 123_456_789_012,
        reply_bytes: 98_765_432_109_876,
        new_flows: 1_234_567_890,
        ..BackendStatus::default()
    };
    let service = |number: u32| ServiceStatus {
        service: format!("tcp://192.168.{}.{}:8000", number >> 8 & 255, number & 255),
        mode: "nat".into(),
        slots: 2_048,
        backends: (0..BACKENDS)
            .map(|other| backend(number * BACKENDS + other))
            .collect(),
        ..ServiceStatus::default()
    };
    Status {
        services: (0..services).map(service).collect(),
        ..Status::default()
    }
}
