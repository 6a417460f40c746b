//! Whether a frame came out as a receiver would take it.

use anyhow::{Context, ensure};
use wire::{checksum, ethernet, ipv4, ipv6};

use crate::traffic::Version;
use crate::traffic::trailer;

const IP: usize = ethernet::HEADER_LENGTH;
/// All ones: the sum over what contains its own checksum.
const VALID: u16 = 0xffff;

/// The checksums of the packet, and of the header it is in, must be valid, and the trailer must
/// still be behind it.
pub(crate) fn frame(frame: &[u8]) -> anyhow::Result<()> {
    let added = frame
        .len()
        .checked_sub(trailer::FRAME_LENGTH)
        .context("the trailer is gone from the frame")?;
    if added > 0 {
        header(frame.get(IP..).context("the frame is too short")?)?;
    }
    let packet = frame.get(IP + added..).context("the frame is too short")?;
    let (version, protocol, transport) = header(packet)?;
    let sum = transport_sum(version.addresses(packet), protocol, transport);
    ensure!(
        sum == VALID,
        "expected: a valid transport checksum in the packet that comes out, found: sum {sum:04x}"
    );
    Ok(())
}

/// Checks a header; returns its protocol and what is behind it.
fn header(packet: &[u8]) -> anyhow::Result<(Version, u8, &[u8])> {
    let half = |at| {
        let bytes = [*packet.get(at)?, *packet.get(at + 1)?];
        Some(usize::from(u16::from_be_bytes(bytes)))
    };
    let version = packet.first().context("there is no header")? >> 4;
    if version == 6 {
        let end = ipv6::HEADER_LENGTH + half(4).context("no length")?;
        let payload = packet.get(ipv6::HEADER_LENGTH..end);
        let protocol = *packet.get(6).context("no next header")?;
        return Ok((Version::V6, protocol, payload.context("cut short")?));
    }
    ensure!(version == 4, "expected: IP, found: version {version}");
    let header = packet.get(..ipv4::MIN_HEADER_LENGTH).context("cut short")?;
    let sum = checksum::sum(header, 0);
    ensure!(
        sum == VALID,
        "expected: a valid IPv4 header checksum in the packet that comes out, found: sum {sum:04x}"
    );
    let end = half(2).context("no length")?;
    let payload = packet.get(ipv4::MIN_HEADER_LENGTH..end);
    let protocol = *packet.get(9).context("no protocol")?;
    Ok((Version::V4, protocol, payload.context("cut short")?))
}

/// The sum over pseudo-header and segment: all ones if the checksum in it is valid.
pub(crate) fn transport_sum(addresses: &[u8], protocol: u8, segment: &[u8]) -> u16 {
    let length = segment.len() as u16;
    let pseudo = [[0, protocol], length.to_be_bytes()].concat();
    let sum = checksum::sum(addresses, checksum::sum(&pseudo, 0));
    checksum::sum(segment, sum)
}
