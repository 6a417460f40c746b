//! A configuration of many services of ten backends each, to measure what they cost: for the load
//! balancer of `evenkeel lab up routed`.
//!
//! ```sh
//! cargo run --release -p evenkeel-control --example large_config -- 10000 64 > large.toml
//! ```
//!
//! Arguments: how many services (up to 15,000), and optionally `ring_slots`, `health` (every backend is
//! checked once a second) and `weight=N` (of one backend: the change that is applied).

use std::error::Error;
use std::io::Write as _;

const BACKENDS: u32 = 10;
const HOSTS: u32 = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let services: u32 = arguments.first().ok_or("expected a number")?.parse()?;
    let (mut lines, mut changed) = (String::new(), "1");
    for word in arguments.iter().skip(1) {
        match word.strip_prefix("weight=") {
            Some(value) => changed = value,
            None if word == "health" => lines += "health = { type = \"tcp\", interval = \"1s\" }\n",
            None => lines += &format!("ring_slots = {}\n", word.parse::<u32>()?),
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "interfaces = [\"eth0\", \"eth1\"]")?;
    for service in 0..services {
        writeln!(
            out,
            "\n[[service]]\naddress = \"tcp://10.100.{}.{}:8000\"\n{lines}backends = [",
            service / 250,
            service % 250 + 1,
        )?;
        for number in 0..BACKENDS {
            let index = service * BACKENDS + number;
            let is_changed = service == services / 2 && number == 0;
            writeln!(
                out,
                "    {{ address = \"10.2.0.{}\", port = {}, weight = {} }},",
                index % HOSTS + 2,
                10_000 + index / HOSTS % 50_000,
                if is_changed { changed } else { "1" },
            )?;
        }
        writeln!(out, "]")?;
    }
    Ok(())
}
