//! Looking for bytes in an answer that comes in pieces.

use super::MAX_ANSWER;

/// Looks for `needle`.
pub(super) struct Search<'a> {
    needle: &'a [u8],
    /// What a match across two pieces may begin with, and the last piece.
    window: Vec<u8>,
    read: usize,
    found: bool,
}

impl<'a> Search<'a> {
    pub(super) fn new(needle: &'a [u8]) -> Self {
        Self {
            needle,
            window: Vec::new(),
            read: 0,
            found: needle.is_empty(),
        }
    }

    /// Looks at the next piece. True while more of the answer should be read.
    pub(super) fn feed(&mut self, piece: &[u8]) -> bool {
        let room = MAX_ANSWER.saturating_sub(self.read).min(piece.len());
        self.read += room;
        self.window.extend_from_slice(&piece[..room]);
        self.found = self.found || contains(&self.window, self.needle);
        let kept = self.needle.len().saturating_sub(1).min(self.window.len());
        self.window.drain(..self.window.len() - kept);
        !self.found && self.read < MAX_ANSWER
    }

    pub(super) fn found(&self) -> bool {
        self.found
    }
}

pub(super) fn contains(text: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || text.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_across_pieces_is_found() {
        for cut in 0..=9 {
            let (a, b) = "xxneedlex".split_at(cut);
            let mut search = Search::new(b"needle");
            search.feed(a.as_bytes());
            search.feed(b.as_bytes());
            assert!(search.found(), "{a} {b}");
        }
    }

    #[test]
    fn nothing_is_looked_at_beyond_the_limit() {
        let mut search = Search::new(b"needle");
        assert!(search.feed(&vec![0; MAX_ANSWER - 5]));
        assert!(!search.feed(b"needle"));
        assert!(!search.found());
    }
}
