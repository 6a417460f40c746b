//! TCP (RFC 9293).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::checksum::Sum;
use crate::{Be16, Be32};

/// The fixed part of the header; options may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Tcp {
    /// Sender's port.
    pub source_port: Be16,
    /// Receiver's port.
    pub destination_port: Be16,
    /// Of the first byte of this segment.
    pub sequence: Be32,
    /// The next byte the sender expects, if [`ACK`] is set.
    pub acknowledgment: Be32,
    /// Header length in 32-bit words (4 bits) and reserved bits.
    pub data_offset: u8,
    /// The low eight flags: [`SYN`], [`ACK`], [`FIN`], [`RST`], ...
    pub flags: u8,
    /// Receive window.
    pub window: Be16,
    /// Over pseudo-header, header and payload.
    pub checksum: Be16,
    /// Urgent pointer.
    pub urgent: Be16,
}

impl Tcp {
    /// Length of header and options in bytes, as the header says: 0 to 60.
    #[inline(always)]
    #[must_use]
    pub const fn header_length(&self) -> usize {
        (self.data_offset >> 4) as usize * 4
    }

    /// The checksum of the fixed part, whose own field counts as it is, and of what `rest` is the sum of.
    #[inline(always)]
    #[must_use]
    pub const fn computed_checksum(&self, rest: Sum) -> Be16 {
        rest.half(self.source_port)
            .half(self.destination_port)
            .word(self.sequence)
            .word(self.acknowledgment)
            .half(Be16::new(
                (self.data_offset as u16) << 8 | self.flags as u16,
            ))
            .half(self.window)
            .half(self.checksum)
            .half(self.urgent)
            .checksum()
    }
}

/// Length of the fixed part in bytes.
pub const MIN_HEADER_LENGTH: usize = size_of::<Tcp>();
/// Offset of the checksum in the header.
pub const CHECKSUM_OFFSET: usize = core::mem::offset_of!(Tcp, checksum);

/// No more data from the sender.
pub const FIN: u16 = 0x01;
/// Synchronize sequence numbers.
pub const SYN: u16 = 0x02;
/// Reset the connection.
pub const RST: u16 = 0x04;
/// Push.
pub const PSH: u16 = 0x08;
/// The acknowledgment field counts.
pub const ACK: u16 = 0x10;

const _: () = assert!(MIN_HEADER_LENGTH == 20 && CHECKSUM_OFFSET == 16);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum;

    #[test]
    fn a_header_summed_up_field_by_field_has_the_checksum_of_its_bytes() {
        let tcp = Tcp {
            source_port: Be16::new(0x1234),
            destination_port: Be16::new(80),
            sequence: Be32::new(0x89ab_cdef),
            acknowledgment: Be32::new(0xfedc_ba98),
            data_offset: 0x50,
            flags: (RST | ACK) as u8,
            window: Be16::new(0xffff),
            checksum: Be16::new(0),
            urgent: Be16::new(7),
        };
        let rest = [0xa5; 6];
        let expected = !checksum::sum(tcp.as_bytes(), checksum::sum(&rest, 0));
        let rest = Sum::of(checksum::sum(&rest, 0).into());
        assert_eq!(tcp.computed_checksum(rest).raw(), expected);
        assert_eq!(tcp.header_length(), 20);
    }
}
