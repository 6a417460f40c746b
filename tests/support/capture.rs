//! Captures by tcpdump, and their checksums.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use lab::{Host, HostProcess, Interrupt};
use pcap_file::pcap::PcapReader;
use testkit::checksums::{self, Checksum, Checksums};
use wire::ipv4::{ICMP, TCP, UDP};
use wire::ipv6::ICMP as ICMP_V6;

use super::folder::Folder;
use super::wait::PATIENCE;

/// A tcpdump at one interface.
#[derive(Debug)]
pub struct Capture {
    tcpdump: HostProcess,
    path: PathBuf,
}

impl Capture {
    /// Captures what comes and goes at an interface of a host from now on.
    ///
    /// # Panics
    /// tcpdump does not start.
    #[must_use]
    pub fn start(host: &Host, interface: &str, folder: &Folder) -> Self {
        let name = format!("{}-{interface}.pcap", host.name());
        let path = folder.path().join(name);
        // Whole packets, written at once, by the user who runs the test.
        let mut command = host.command("tcpdump");
        command.args(["-i", interface, "-s", "0", "-B", "16384", "-U"]);
        command.args(["--immediate-mode", "-Z", "root", "-w"]);
        command.arg(&path);
        let tcpdump = HostProcess::spawn(host.name(), command);
        let mut tcpdump = tcpdump.unwrap_or_else(|error| panic!("{error}"));
        let listening = tcpdump.wait_for_line("tcpdump: listening", PATIENCE, &Interrupt::never());
        listening.unwrap_or_else(|error| panic!("{error}"));
        Self { tcpdump, path }
    }

    /// Stops and returns the frames.
    ///
    /// # Panics
    /// tcpdump was too slow for some, or wrote something unreadable.
    #[must_use]
    pub fn frames(mut self) -> Vec<Vec<u8>> {
        self.tcpdump
            .stop()
            .unwrap_or_else(|error| panic!("{error}"));
        let output = self.tcpdump.output();
        assert!(output.contains("\n0 packets dropped by kernel"), "{output}");
        let path = self.path.display();
        let file = File::open(&self.path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut reader = PcapReader::new(file).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut frames = Vec::new();
        while let Some(packet) = reader.next_packet() {
            let packet = packet.unwrap_or_else(|error| panic!("{path}: {error}"));
            frames.push(packet.data.into_owned());
        }
        frames
    }
}

/// What the checksums of frames are. A packet in a tunnel counts as what it carries.
#[derive(Debug, Default)]
pub struct Verified {
    /// TCP segments, all checksums right.
    pub tcp: usize,
    /// UDP datagrams, all checksums right.
    pub udp: usize,
    /// UDP datagrams that carry none, IPv4 header right.
    pub without: usize,
    /// Fragments, whose transport's checksum is about more than they carry.
    pub fragments: usize,
    /// ICMP and ICMPv6, all checksums right.
    pub icmp: usize,
    /// Packets of these that are in a tunnel.
    pub tunnelled: usize,
    /// Everything else.
    pub other: usize,
    /// Wrong ones, and those that could not be checked, by what is wrong with how many.
    pub wrong: BTreeMap<String, usize>,
}

/// Recomputes every checksum of every frame.
#[must_use]
pub fn verify<'f>(frames: impl IntoIterator<Item = &'f Vec<u8>>) -> Verified {
    let mut verified = Verified::default();
    for frame in frames {
        let found = checksums::check(frame);
        let carried = innermost(&found);
        let is_unknown = carried.transport == Checksum::Unknown;
        let count = match carried.protocol {
            _ if !found.are_fine() => wrong(&mut verified, &found),
            _ if carried.is_fragment => &mut verified.fragments,
            Some(TCP | UDP | ICMP | ICMP_V6) if is_unknown => wrong(&mut verified, &found),
            Some(TCP) => &mut verified.tcp,
            Some(UDP) if carried.transport == Checksum::Absent => &mut verified.without,
            Some(UDP) => &mut verified.udp,
            Some(ICMP | ICMP_V6) => &mut verified.icmp,
            _ => &mut verified.other,
        };
        *count += 1;
        verified.tunnelled += usize::from(!std::ptr::eq(carried, &found));
    }
    verified
}

fn wrong<'v>(verified: &'v mut Verified, found: &Checksums) -> &'v mut usize {
    verified.wrong.entry(format!("{found:?}")).or_default()
}

/// What is in the tunnel, or the packet itself; not what an ICMP error quotes.
fn innermost(found: &Checksums) -> &Checksums {
    match (&found.inner, found.protocol) {
        (Some(inner), Some(protocol)) if protocol != ICMP && protocol != ICMP_V6 => {
            innermost(inner)
        }
        _ => found,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use testkit::builder::PacketBuilder;

    use super::*;

    fn builders() -> [PacketBuilder; 2] {
        let from: SocketAddr = "10.0.0.1:40000".parse().unwrap();
        let to: SocketAddr = "10.0.0.10:8000".parse().unwrap();
        [
            PacketBuilder::tcp(from, to).payload(b"some bytes"),
            PacketBuilder::udp(from, to).payload(b"odd"),
        ]
    }

    #[test]
    fn right_checksums_are_counted_by_protocol() {
        let [tcp, udp] = builders();
        let without = udp.clone().without_checksum();
        let frames = [tcp.build(), udp.build(), without.build(), vec![0; 60]];
        let verified = verify(&frames);
        assert!(verified.wrong.is_empty());
        let Verified {
            tcp,
            udp,
            without,
            other,
            ..
        } = verified;
        assert_eq!((tcp, udp, without, other), (1, 1, 1, 1));
    }

    #[test]
    fn every_flipped_bit_of_an_ip_packet_is_found() {
        const ETHERNET: usize = 14;
        for frame in builders().map(|builder| builder.build()) {
            for bit in 8 * ETHERNET..8 * frame.len() {
                let mut damaged = frame.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let verified = verify([&damaged]);
                assert_eq!(verified.tcp + verified.udp, 0, "bit {bit}: {verified:?}");
            }
        }
    }

    #[test]
    fn a_segment_that_is_cut_off_is_not_right() {
        let [tcp, _] = builders();
        let mut frame = tcp.build();
        frame.pop();
        assert_eq!(verify([&frame]).wrong.len(), 1);
    }
}
