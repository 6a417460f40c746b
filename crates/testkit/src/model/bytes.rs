//! Bytes and sums, the slow way.

/// The 16-bit number at `at`.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..)?.get(..2)?;
    Some(u16::from(pair[0]) << 8 | u16::from(pair[1]))
}

/// Writes a 16-bit number.
pub(super) fn put(bytes: &mut [u8], at: usize, word: u16) {
    bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
}

/// RFC 1071: the sum of all 16-bit words, as if a zero followed an odd last byte.
pub(super) fn sum(parts: &[&[u8]]) -> u64 {
    let words = |part: &&[u8]| -> u64 {
        let word = |pair: &[u8]| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u64::from(*b));
        part.chunks(2).map(word).sum()
    };
    parts.iter().map(words).sum()
}

/// The checksum field that makes a sum with that field right, or as wrong as `error`: what all
/// words, the field included, then add up to, modulo 0xffff. `sum` has a zero in the field's place.
pub(super) fn field(sum: u64, error: u64) -> u16 {
    ((error + 0xffff - sum % 0xffff) % 0xffff) as u16
}
