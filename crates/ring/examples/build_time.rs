//! t
use std::time::Instant;
use evenkeel_ring::*;
fn main() {
    for (n, l) in [(1000u64, 65536u32), (100, 65536), (3, 65536), (1000, 131072), (8, 4096), (32, 4096), (8000, 1<<20)] {
        let length = Length::new(l).unwrap();
        let members: Vec<Member> = (0..n).map(|i| Member { key: (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15), weight: 1 + (i as u32 * 37) % 100 }).collect();
        let mut t: Vec<f64> = (0..11).map(|s| { let t = Instant::now(); std::hint::black_box(build(&members, length, s).unwrap()); t.elapsed().as_secs_f64() * 1e3 }).collect();
        t.sort_by(f64::total_cmp);
        println!("{n} {l}: min {:.3} median {:.3} max {:.3}", t[0], t[5], t[10]);
    }
}
