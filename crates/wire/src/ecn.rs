//! Explicit Congestion Notification (RFC 3168): the two low bits of TOS or traffic class.

/// The sender does not take part.
pub const NOT_ECT: u8 = 0;
/// The sender takes part.
pub const ECT_1: u8 = 1;
/// The sender takes part.
pub const ECT_0: u8 = 2;
/// Congestion was experienced.
pub const CE: u8 = 3;

/// The field's bits.
const MASK: u8 = 3;

/// The inner packet's traffic class after decapsulation (RFC 6040, section 4.2, figure 4), from
/// those of both headers. `None`: the packet is to be dropped, because its sender would not learn
/// of the congestion any other way.
#[inline(always)]
#[must_use]
pub const fn decapsulated(outer: u8, inner: u8) -> Option<u8> {
    match (outer & MASK, inner & MASK) {
        (CE, NOT_ECT) => None,
        (CE, _) => Some(inner | CE),
        (ECT_1, ECT_0) => Some(inner & !MASK | ECT_1),
        _ => Some(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6040, figure 4. Rows: inner; columns: outer; both in the order of the figure.
    #[test]
    fn the_table_of_rfc_6040_holds() {
        const ORDER: [u8; 4] = [NOT_ECT, ECT_0, ECT_1, CE];
        const TABLE: [[Option<u8>; 4]; 4] = [
            [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None],
            [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)],
            [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)],
            [Some(CE), Some(CE), Some(CE), Some(CE)],
        ];
        for (inner, row) in ORDER.into_iter().zip(TABLE) {
            for (outer, expected) in ORDER.into_iter().zip(row) {
                let class = 0xb8;
                let expected = expected.map(|ecn| class | ecn);
                assert_eq!(decapsulated(outer, class | inner), expected);
                assert_eq!(decapsulated(0xfc | outer, class | inner), expected);
            }
        }
    }
}
