//! Checks every checksum of a frame by full recomputation, with code of its own: nothing here is
//! shared with what it checks.

/// What a checksum field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The right value.
    Valid,
    /// Another value; the difference to the right one, 1 to 0xfffe, in one's complement.
    Wrong(u16),
    /// Nothing: UDP's 0.
    Absent,
    /// There is no such field, or not everything that it covers is in this frame.
    Unknown,
}

/// Of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// Of the IPv4 header.
    pub ipv4: Checksum,
    /// Of TCP or UDP.
    pub transport: Checksum,
}

impl Checksums {
    const UNKNOWN: Self = Self {
        ipv4: Checksum::Unknown,
        transport: Checksum::Unknown,
    };

    /// Whether nothing is wrong.
    #[must_use]
    pub fn are_fine(&self) -> bool {
        let fine = |checksum| !matches!(checksum, Checksum::Wrong(_));
        fine(self.ipv4) && fine(self.transport)
    }
}

/// Looks at a frame's checksums.
#[must_use]
pub fn check(frame: &[u8]) -> Checksums {
    check_ipv4(frame).unwrap_or(Checksums::UNKNOWN)
}

fn check_ipv4(frame: &[u8]) -> Option<Checksums> {
    let mut at = 12;
    while matches!(word(frame, at)?, 0x8100 | 0x88a8) {
        at += 4;
    }
    if word(frame, at)? != 0x0800 {
        return None;
    }
    let packet = frame.get(at + 2..)?;
    let header = packet.get(..usize::from(packet.first()? & 0xf) * 4)?;
    let ipv4 = verdict(sum(header));
    let payload = packet.get(header.len()..usize::from(word(packet, 2)?));
    let is_fragment = word(header, 6)? & 0x3fff != 0;
    let transport = match (is_fragment, payload) {
        (false, Some(payload)) => check_transport(header, payload),
        _ => None,
    };
    Some(Checksums {
        ipv4,
        transport: transport.unwrap_or(Checksum::Unknown),
    })
}

fn check_transport(header: &[u8], payload: &[u8]) -> Option<Checksum> {
    let protocol = *header.get(9)?;
    let field = match protocol {
        6 => 16,
        17 => 6,
        _ => return None,
    };
    if word(payload, field)? == 0 && protocol == 17 {
        return Some(Checksum::Absent);
    }
    // RFC 9293, section 3.1, and RFC 768: both addresses, protocol, length.
    let pseudo = sum(header.get(12..20)?) + u64::from(protocol) + payload.len() as u64;
    Some(verdict(pseudo + sum(payload)))
}

/// Right is a sum that is a multiple of 0xffff.
fn verdict(sum: u64) -> Checksum {
    match (sum % 0xffff) as u16 {
        0 => Checksum::Valid,
        difference => Checksum::Wrong(difference),
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

/// The sum of the 16-bit words in network byte order, an odd last byte padded with zero.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let high: u64 = bytes.iter().step_by(2).map(|b| u64::from(*b) << 8).sum();
    let low: u64 = bytes.iter().skip(1).step_by(2).map(|b| u64::from(*b)).sum();
    high + low
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first packet of fixtures/nat_udp.txt.
    const QUESTION: &str = "
        deadbeef0010 deadbeef0001 0800
        45000024 00014000 401126be 0a000001 0a00000a
        9c400035 0010948d
        7175657374696f6e";

    fn bytes() -> Vec<u8> {
        crate::fixture::parse_hex(QUESTION)
    }

    #[test]
    fn valid_checksums_are_valid_and_a_flipped_bit_is_noticed() {
        let fine = check(&bytes());
        assert_eq!(
            (fine.ipv4, fine.transport),
            (Checksum::Valid, Checksum::Valid)
        );
        for bit in 8 * 34..8 * bytes().len() {
            let mut damaged = bytes();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(check(&damaged).transport, Checksum::Valid, "bit {bit}");
        }
    }

    #[test]
    fn udp_may_go_without() {
        let mut without = bytes();
        without[40..42].fill(0);
        assert_eq!(check(&without).transport, Checksum::Absent);
    }

    #[test]
    fn the_difference_is_told() {
        let mut wrong = bytes();
        wrong[25] = wrong[25].wrapping_add(2);
        assert_eq!(check(&wrong).ipv4, Checksum::Wrong(2));
    }
}
