//! Bytes that both sides can compute, and the hash that compares them.

/// The `index`th 8 bytes of the pattern: splitmix64, so that no two places look alike.
const fn word(index: u64) -> u64 {
    let mut x = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Size of the pieces of [`chunks`].
pub(crate) const CHUNK: usize = 64 * 1024;

/// The pattern's first `length` bytes, in pieces of [`CHUNK`].
pub(crate) fn chunks(length: u64) -> impl Iterator<Item = Vec<u8>> {
    let chunk = CHUNK as u64;
    (0..length.div_ceil(chunk)).map(move |at| {
        let first = at * chunk / 8;
        let mut bytes = Vec::with_capacity(CHUNK);
        // Word by word: a debug build takes eight times as long byte by byte.
        for index in first..first + chunk / 8 {
            bytes.extend_from_slice(&word(index).to_le_bytes());
        }
        if let Ok(rest) = usize::try_from(length - at * chunk) {
            bytes.truncate(rest);
        }
        bytes
    })
}

/// FNV-1a, 64 bits, byte by byte. Not for adversaries: it finds damage, loss and reordering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fnv64(u64);

impl Default for Fnv64 {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv64 {
    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The hash of what was written, as 16 hexadecimal digits.
    #[must_use]
    pub fn hex(self) -> String {
        format!("{:016x}", self.0)
    }

    /// The hash of the pattern's first `length` bytes.
    #[must_use]
    pub fn of_pattern(length: u64) -> Self {
        let mut hash = Self::default();
        chunks(length).for_each(|chunk| hash.write(&chunk));
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_1a_matches_its_published_vectors() {
        for (text, hash) in [
            ("", "cbf29ce484222325"),
            ("a", "af63dc4c8601ec8c"),
            ("foobar", "85944171f73967e8"),
        ] {
            let mut fnv = Fnv64::default();
            fnv.write(text.as_bytes());
            assert_eq!(fnv.hex(), hash);
        }
    }

    #[test]
    fn the_pattern_has_exactly_the_length_asked_for() {
        for length in [0, 1, 7, 65_535, 65_536, 65_537, 200_000] {
            assert_eq!(
                chunks(length).map(|chunk| chunk.len() as u64).sum::<u64>(),
                length
            );
        }
        let whole: Vec<u8> = chunks(200_000).flatten().collect();
        let start: Vec<u8> = chunks(100_001).flatten().collect();
        assert!(whole.starts_with(&start));
    }
}
