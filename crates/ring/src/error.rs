//! Why no ring can be built.

use core::error::Error;
use core::fmt;

use crate::Length;

/// Why a ring, or a ring's length, was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingError {
    /// A ring length that is not a power of two or out of range.
    BadLength {
        /// The length asked for, in slots.
        slots: u32,
    },
    /// There is no member to own the slots.
    NoMembers,
    /// There are members, and every one of them has weight 0.
    NoWeight {
        /// How many members there are.
        members: usize,
    },
    /// Two members have the same key, so neither can be told from the other.
    DuplicateKey {
        /// The key they share.
        key: u64,
        /// Position of one of them in the caller's slice.
        first: u32,
        /// Position of the other, greater than `first`.
        second: u32,
    },
    /// More members want slots than there are slots.
    TooManyMembers {
        /// Members with a weight above 0.
        weighted: usize,
        /// The length asked for.
        length: Length,
    },
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BadLength { slots } => write!(
                f,
                "expected a ring length that is a power of two from {} to {}, found {slots}: \
                 use a power of two, or Length::for_backends to have one chosen",
                Length::MIN.slots(),
                Length::MAX.slots(),
            ),
            Self::NoMembers => write!(
                f,
                "expected at least one member with a weight above 0, found no members: \
                 add a backend"
            ),
            Self::NoWeight { members } => write!(
                f,
                "expected at least one member with a weight above 0, found weight 0 on all \
                 {members}: give one of them a weight"
            ),
            Self::DuplicateKey { key, first, second } => write!(
                f,
                "expected a key of its own for each member, found {key:#018x} at positions \
                 {first} and {second}: list each backend once, and derive its key from its \
                 address and port"
            ),
            Self::TooManyMembers { weighted, length } => write!(
                f,
                "expected at most one member with a weight above 0 per slot, found {weighted} \
                 for {} slots: choose a longer ring (Length::for_backends) or use fewer backends",
                length.slots(),
            ),
        }
    }
}

impl Error for RingError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_says_what_was_expected_what_was_found_and_what_to_do() {
        let length = Length::new(4).unwrap();
        let cases = [
            (RingError::BadLength { slots: 1_000 }, "found 1000", "use a"),
            (RingError::NoMembers, "found no members", "add a"),
            (RingError::NoWeight { members: 3 }, "all 3", "give one"),
            (
                RingError::DuplicateKey {
                    key: 0xAB,
                    first: 2,
                    second: 5,
                },
                "0x00000000000000ab at positions 2 and 5",
                "list each backend once",
            ),
            (
                RingError::TooManyMembers {
                    weighted: 5,
                    length,
                },
                "found 5 for 4 slots",
                "longer ring",
            ),
        ];
        for (error, found, remedy) in cases {
            let message = error.to_string();
            assert!(message.starts_with("expected "), "{message}");
            assert!(message.contains(found), "{message}");
            assert!(message.contains(remedy), "{message}");
        }
    }
}
