//! The UDP half of the server.

use super::socket::Datagrams;
use crate::error::Result;
use crate::pattern::Fnv64;

/// What a datagram starts with whose sender wants no more back than its hash.
pub(crate) const HASHED: &[u8] = b"hash ";

/// Answers each datagram.
pub(super) async fn answer(socket: Datagrams, name: &str) -> Result<()> {
    let mut datagram = vec![0; usize::from(u16::MAX)];
    loop {
        // An error concerns one client; the others wait for theirs.
        let Ok((length, peer, own)) = socket.receive(&mut datagram).await else {
            continue;
        };
        let question = datagram.get(..length).unwrap_or_default();
        // With no route back, or an answer that has become too long, the client waits in vain.
        let _ = socket.answer(&answer_to(question, name), peer, own).await;
    }
}

/// `NAME LENGTH HASH` for a datagram that starts with [`HASHED`], else `NAME DATAGRAM`.
fn answer_to(question: &[u8], name: &str) -> Vec<u8> {
    if !question.starts_with(HASHED) {
        return [name.as_bytes(), b" ", question].concat();
    }
    let mut hash = Fnv64::default();
    hash.write(question);
    format!("{name} {} {}", question.len(), hash.hex()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_answered_in_full_or_by_its_hash() {
        assert_eq!(answer_to(b"hello", "h2"), b"h2 hello");
        let mut hash = Fnv64::default();
        hash.write(b"hash me");
        let expected = format!("h2 7 {}", hash.hex());
        assert_eq!(answer_to(b"hash me", "h2"), expected.as_bytes());
    }
}
