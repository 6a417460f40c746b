//! Decapsulation, natively: every case of `testkit`, byte for byte.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use abi::decap::DecapReason;
use proptest::prelude::*;
use testkit::checksums::check;
use testkit::decap::{MemoryDecap, all, expected, process};

#[test]
fn every_case_has_its_reason_and_its_bytes() {
    let tables = MemoryDecap::of_the_cases();
    let mut counts = BTreeMap::new();
    for case in all() {
        let (reason, frame) = process(&tables, &case.input);
        assert_eq!(reason, case.reason, "{}", case.name);
        assert_eq!(frame, case.output, "{}", case.name);
        *counts.entry(reason as u32).or_default() += 1;
    }
    assert_eq!(tables.counts(), counts);
    // All but the one that only the kernel can refuse.
    assert_eq!(counts.len(), DecapReason::COUNT - 1);
}

#[test]
fn cases_and_expectation_of_any_frame_agree() {
    for case in all() {
        let case_says = (case.reason, case.output);
        assert_eq!(expected(&case.input), case_says, "{}", case.name);
    }
}

#[test]
fn without_a_list_everybody_may_send() {
    let mut tables = MemoryDecap::of_the_cases();
    tables.settings.check_sender = 0;
    for case in all() {
        let (reason, _) = process(&tables, &case.input);
        match case.reason {
            DecapReason::SenderUnknown => {
                assert!(matches!(reason, DecapReason::Ipip | DecapReason::Gue));
            }
            other => assert_eq!(reason, other, "{}", case.name),
        }
    }
}

#[test]
fn what_is_taken_has_the_checksums_it_came_with() {
    for case in all() {
        if matches!(case.reason, DecapReason::Ipip | DecapReason::Gue) {
            assert!(check(&case.output).are_fine(), "{}", case.name);
        }
    }
}

proptest! {
    /// Damaged anywhere and cut anywhere, a frame is taken whole, refused or left alone.
    #[test]
    fn a_damaged_frame_becomes_what_it_should(
        index in any::<prop::sample::Index>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let cases = all();
        let mut frame = index.get(&cases).input.clone();
        for (at, value) in damage {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        if cut {
            frame.truncate(length.index(frame.len()));
        }
        testkit::fuzz::decapsulation(&frame);
    }
}
