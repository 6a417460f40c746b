//! Interfaces of a lab's hosts as `ip` shows and changes them.

use std::net::IpAddr;
use std::process::Command;

use lab::Host;
use serde_json::Value;

use super::binary::finish;

/// Runs `ip` on a host and returns what it prints.
///
/// # Panics
/// It fails.
pub fn ip(host: &Host, arguments: &str) -> String {
    let mut command = Command::new("ip");
    command.args(["-n", host.namespace()]);
    command.args(arguments.split_whitespace());
    let finished = finish(&command);
    assert_eq!(finished.code, Some(0), "{command:?}: {}", finished.stderr);
    finished.stdout
}

/// The path MTU that a host has learnt, or been told, for packets to an address.
///
/// # Panics
/// There is no way to it.
#[must_use]
pub fn path_mtu(host: &Host, destination: IpAddr) -> Option<u32> {
    let route = ip(host, &format!("route get {destination}"));
    let mut words = route.split_whitespace();
    words.find(|word| *word == "mtu")?;
    words.next()?.parse().ok()
}

/// Ids of the XDP programs on an interface.
///
/// # Panics
/// There is no such interface.
#[must_use]
pub fn xdp_programs(host: &Host, interface: &str) -> Vec<u64> {
    let text = ip(host, &format!("-j link show dev {interface}"));
    let links: Value = serde_json::from_str(&text).expect("JSON of `ip -j`");
    let xdp = &links[0]["xdp"];
    match &xdp["attached"] {
        Value::Array(programs) => programs.iter().filter_map(program_id).collect(),
        _ => program_id(xdp).into_iter().collect(),
    }
}

fn program_id(xdp: &Value) -> Option<u64> {
    xdp["prog"]["id"].as_u64()
}
