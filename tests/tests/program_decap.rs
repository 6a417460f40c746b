//! The decapsulation program in the kernel: the cases of `testkit` and damaged ones, byte for byte
//! as natively.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

use abi::decap::{DecapAction, DecapReason};
use engine::dataplane::action;
use engine::decap::{Decap, DecapOptions, Lists};
use engine::desired::Prefix;
use testkit::builder::{GUE_PORT, PacketBuilder};
use testkit::decap::{self, HOST, LOCALS, MemoryDecap, SENDERS, VIPS, address};
use testkit::fixture::SHORTEST_TEST_RUN;
use testkit::random::{Random, seed};

fn prefixes(list: &[(&str, u32)]) -> BTreeSet<Prefix> {
    let prefix = |(text, bits): &(&str, u32)| Prefix::around(address(text), *bits as u8);
    list.iter().filter_map(prefix).collect()
}

fn lists() -> Lists {
    Lists {
        locals: LOCALS.iter().map(|text| address(text)).collect(),
        vips: prefixes(&VIPS),
    }
}

fn loaded(senders: &[(&str, u32)]) -> Decap {
    let options = DecapOptions {
        senders: prefixes(senders),
        gue_port: GUE_PORT,
    };
    let mut program = Decap::load(&options)
        .unwrap_or_else(|error| panic!("needs root and a kernel with XDP test runs: {error}"));
    program.set(&lists()).expect("the lists fit");
    program
}

/// Runs a frame; the reason is what its counter says.
fn process(program: &mut Decap, frame: &[u8]) -> (DecapReason, Vec<u8>) {
    let before = program.counters().expect("counters");
    let run = program.test_run(frame, 1).expect("a test run");
    let after = program.counters().expect("counters");
    let counted: Vec<DecapReason> = before
        .iter()
        .zip(&after)
        .filter(|((_, before), (_, after))| before != after)
        .map(|((reason, _), _)| *reason)
        .collect();
    let [reason] = counted[..] else {
        panic!("expected one reason, found {counted:?}");
    };
    let expected = match reason.action() {
        DecapAction::Pass | DecapAction::Decapsulate => action::PASS,
        DecapAction::Drop => action::DROP,
    };
    assert_eq!(run.action, expected, "{reason:?}");
    (reason, run.frame)
}

#[test]
fn every_case_has_its_reason_and_its_bytes_in_the_kernel() {
    let mut program = loaded(&SENDERS);
    let mut counts = BTreeMap::new();
    for case in decap::all() {
        let (reason, frame) = process(&mut program, &case.input);
        assert_eq!(reason, case.reason, "{}", case.name);
        assert_eq!(frame, case.output, "{}", case.name);
        *counts.entry(reason as u32).or_insert(0_u64) += 1;
    }
    for (reason, count) in program.counters().expect("counters") {
        let expected = counts.get(&(reason as u32)).copied().unwrap_or(0);
        assert_eq!(count, expected, "{reason:?}");
    }
}

#[test]
fn damaged_frames_meet_the_same_end_as_natively() {
    let seed = seed();
    let mut random = Random::new(seed);
    let mut program = loaded(&SENDERS);
    let tables = MemoryDecap::of_the_cases();
    let cases = decap::all();
    for round in 0..20_000 {
        let mut frame = random.pick(&cases).input.clone();
        for _ in 0..random.below(4) {
            let at = random.below(frame.len());
            frame[at] = random.number() as u8;
        }
        if random.one_in(4) {
            frame.truncate(SHORTEST_TEST_RUN + random.below(frame.len() - SHORTEST_TEST_RUN));
        }
        let native = decap::process(&tables, &frame);
        let found = process(&mut program, &frame);
        assert_eq!(found, native, "seed {seed}, round {round}: {frame:02x?}");
    }
}

#[test]
fn frames_of_several_buffers_are_taken_too() {
    let mut program = loaded(&SENDERS);
    let tables = MemoryDecap::of_the_cases();
    let payload: Vec<u8> = (0..8961).map(|n| n as u8).collect();
    let client = (address("10.1.0.1"), 40_000);
    let inner = PacketBuilder::tcp(client, (address("192.0.2.100"), 8000)).payload(&payload);
    let whole = PacketBuilder::ipip(address("192.0.2.10"), address(HOST), &inner.ip_packet());
    let whole = whole.build();
    for (frame, reason) in [
        (&whole[..], DecapReason::Ipip),
        (&whole[..whole.len() - 1], DecapReason::OuterMalformed),
    ] {
        let found = process(&mut program, frame);
        assert_eq!(found.0, reason);
        assert!(found == decap::process(&tables, frame));
    }
}

#[test]
fn lists_change_while_the_program_runs() {
    let mut program = loaded(&[]);
    let case = decap::all().swap_remove(0);
    assert_eq!(process(&mut program, &case.input).0, DecapReason::Ipip);
    let without_vips = Lists {
        vips: BTreeSet::new(),
        ..lists()
    };
    program.set(&without_vips).expect("the lists fit");
    assert_eq!(process(&mut program, &case.input).0, DecapReason::NotForVip);
    program.set(&Lists::default()).expect("the lists fit");
    assert_eq!(
        process(&mut program, &case.input).0,
        DecapReason::NotForHost
    );
    program.set(&lists()).expect("the lists fit");
    assert_eq!(process(&mut program, &case.input).0, DecapReason::Ipip);
}
