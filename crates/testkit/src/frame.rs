//! A frame in memory.

use datapath::Packet;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bytes and the interface they came in by. Every access is checked against the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// From the Ethernet header on.
    pub bytes: Vec<u8>,
    /// Index of the interface.
    pub ingress_interface: u32,
}

impl Packet for Frame {
    fn read<V: FromBytes>(&self, offset: usize) -> Option<V> {
        let end = offset.checked_add(size_of::<V>())?;
        V::read_from_bytes(self.bytes.get(offset..end)?).ok()
    }

    fn write<V: IntoBytes + Immutable>(&mut self, offset: usize, value: &V) -> Option<()> {
        let end = offset.checked_add(size_of::<V>())?;
        let place = self.bytes.get_mut(offset..end)?;
        place.copy_from_slice(value.as_bytes());
        Some(())
    }

    fn is_at_least(&self, length: usize) -> bool {
        self.bytes.len() >= length
    }

    fn ingress_interface(&self) -> u32 {
        self.ingress_interface
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_or_written_past_the_end() {
        let mut frame = Frame {
            bytes: vec![1, 2, 3],
            ingress_interface: 1,
        };
        assert_eq!(frame.read::<[u8; 2]>(1), Some([2, 3]));
        assert_eq!(frame.read::<[u8; 2]>(2), None);
        assert_eq!(frame.read::<[u8; 2]>(usize::MAX), None);
        assert_eq!(frame.write(2, &[9_u8, 9]), None);
        assert_eq!(frame.bytes, [1, 2, 3]);
        assert_eq!(frame.write(1, &[8_u8, 9]), Some(()));
        assert_eq!(frame.bytes, [1, 8, 9]);
    }
}
