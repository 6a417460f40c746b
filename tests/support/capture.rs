//! Captures by tcpdump, and their checksums.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use lab::{Host, HostProcess, Interrupt};
use pcap_file::pcap::PcapReader;
use testkit::checksums::{self, Checksum};
use testkit::endpoints::Endpoints;

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

/// What the checksums of frames are.
#[derive(Debug, Default)]
pub struct Verified {
    /// TCP segments, all checksums right.
    pub tcp: usize,
    /// UDP datagrams, all checksums right.
    pub udp: usize,
    /// UDP datagrams that carry none, IPv4 header right.
    pub without: usize,
    /// Everything that is not IPv4.
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
        let protocol = Endpoints::of(frame).map(|endpoints| endpoints.protocol);
        let count = match (protocol, found.ipv4, found.transport) {
            (_, Checksum::Unknown, _) => &mut verified.other,
            (Some(wire::ipv4::TCP), Checksum::Valid, Checksum::Valid) => &mut verified.tcp,
            (Some(wire::ipv4::UDP), Checksum::Valid, Checksum::Valid) => &mut verified.udp,
            (Some(wire::ipv4::UDP), Checksum::Valid, Checksum::Absent) => &mut verified.without,
            _ => verified
                .wrong
                .entry(format!("{:?} {found:?}", Endpoints::of(frame)))
                .or_default(),
        };
        *count += 1;
    }
    verified
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
