//! Base64 (RFC 4648), to print a BPF object so that a shell can read it back.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Bytes that make a line of 76 characters.
const LINE: usize = 57;

/// Lines of at most 76 characters, each with its newline.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(LINE) {
        line.chunks(3)
            .for_each(|group| text.extend(encode_group(group)));
        text.push('\n');
    }
    text
}

fn encode_group(group: &[u8]) -> [char; 4] {
    let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
    let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    let sextet = |shift: u32| char::from(ALPHABET[(bits >> shift & 63) as usize]);
    let padded = |at: usize, c: char| if group.len() > at { c } else { '=' };
    [
        sextet(18),
        sextet(12),
        padded(1, sextet(6)),
        padded(2, sextet(0)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_hold() {
        let vectors = [
            ("", ""),
            ("f", "Zg==\n"),
            ("fo", "Zm8=\n"),
            ("foo", "Zm9v\n"),
            ("foobar", "Zm9vYmFy\n"),
        ];
        for (plain, encoded) in vectors {
            assert_eq!(encode(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn lines_are_at_most_76_characters() {
        assert!(encode(&[0xff; 1000]).lines().all(|line| line.len() <= 76));
    }
}
