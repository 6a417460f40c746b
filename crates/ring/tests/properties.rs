//! What holds for every ring, from outside.

use std::collections::BTreeMap;

use evenkeel_ring::{Length, Member, Ring, build};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Weights as they come: all equal, a few times each other, or anything.
fn weight() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(1),
        1..=10_u32,
        1..=1_000_u32,
        1..=u32::MAX,
        Just(u32::MAX)
    ]
}

/// Members in the order of their keys, at least one of them with a weight above 0.
fn members(count: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<Member>> {
    prop::collection::btree_map(any::<u64>(), weight(), count).prop_map(|all| {
        all.into_iter()
            .map(|(key, weight)| Member { key, weight })
            .collect()
    })
}

fn owner_of(ring: &Ring, hash: u32) -> u32 {
    ring.owners()[(u64::from(hash) >> (32 - ring.length().log2())) as usize]
}

/// For each slot the key of its owner.
fn owner_keys(ring: &Ring, members: &[Member]) -> Vec<u64> {
    ring.owners()
        .iter()
        .map(|&owner| members[owner as usize].key)
        .collect()
}

/// How many slots change hands.
fn moved(before: &Ring, after: &Ring) -> u32 {
    let pairs = before.owners().iter().zip(after.owners());
    pairs
        .map(|(before, after)| u32::from(before != after))
        .sum()
}

/// How many slots beyond its share change hands when the member at `gone` goes, in percent of all.
fn moved_needlessly(before: &Ring, members: &[Member], gone: usize, seed: u64) -> f64 {
    let mut left = members.to_vec();
    left[gone].weight = 0;
    let after = build(&left, before.length(), seed).expect("other members with weights");
    let beyond = moved(before, &after) - before.quotas()[gone];
    100.0 * f64::from(beyond) / f64::from(before.length().slots())
}

/// FNV-1a over the owners, each in four bytes, lowest first.
fn fingerprint(ring: &Ring) -> u64 {
    ring.owners()
        .iter()
        .flat_map(|owner| owner.to_le_bytes())
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_share_is_within_one_slot_of_its_weight(
        members in members(1..=64), log2 in 6..=12_u32, seed: u64,
    ) {
        let length = Length::new(1 << log2).unwrap();
        let ring = build(&members, length, seed).unwrap();

        let mut owned = vec![0_u32; members.len()];
        for &owner in ring.owners() {
            owned[owner as usize] += 1;
        }
        prop_assert_eq!(&owned, ring.quotas());
        let total: u128 = members.iter().map(|member| u128::from(member.weight)).sum();
        for (member, owned) in members.iter().zip(owned) {
            // Both times the total weight, to stay exact.
            let exact = u128::from(member.weight) * u128::from(length.slots());
            let found = u128::from(owned) * total;
            prop_assert!(exact.abs_diff(found) < total, "{member:?} owns {owned}");
        }
    }

    #[test]
    fn the_order_of_the_members_changes_nothing(
        (members, shuffled) in members(1..=40)
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        seed: u64,
    ) {
        let length = Length::new(1_024).unwrap();
        let ring = build(&members, length, seed).unwrap();
        let other = build(&shuffled, length, seed).unwrap();
        prop_assert_eq!(owner_keys(&ring, &members), owner_keys(&other, &shuffled));
        let quotas = |ring: &Ring, members: &[Member]| -> BTreeMap<u64, u32> {
            members.iter().map(|member| member.key).zip(ring.quotas().iter().copied()).collect()
        };
        prop_assert_eq!(quotas(&ring, &members), quotas(&other, &shuffled));
    }

    #[test]
    fn a_member_without_weight_is_as_good_as_absent(
        members in members(2..=40), gone: prop::sample::Index, seed: u64,
    ) {
        let length = Length::new(1_024).unwrap();
        let gone = gone.index(members.len());
        let mut weightless = members.clone();
        weightless[gone].weight = 0;
        let mut absent = members;
        absent.remove(gone);
        prop_assert_eq!(
            owner_keys(&build(&weightless, length, seed).unwrap(), &weightless),
            owner_keys(&build(&absent, length, seed).unwrap(), &absent)
        );
    }

    #[test]
    fn doubling_moves_no_flow(
        members in members(1..=16), log2 in 4..=12_u32, seed: u64, hashes: [u32; 32],
    ) {
        let ring = build(&members, Length::new(1 << log2).unwrap(), seed).unwrap();
        let doubled = ring.doubled().unwrap();
        prop_assert_eq!(doubled.length().log2(), log2 + 1);
        prop_assert_eq!(doubled.owners().len(), 2 * ring.owners().len());
        prop_assert!(doubled.quotas().iter().zip(ring.quotas()).all(|(twice, once)| *twice == 2 * once));
        for hash in hashes {
            prop_assert_eq!(owner_of(&ring, hash), owner_of(&doubled, hash));
        }
    }

    #[test]
    fn the_seed_decides_who_owns_what_but_not_how_much(
        members in members(2..=16), seed: u64, other: u64,
    ) {
        prop_assume!(seed != other);
        let members: Vec<Member> = members.iter().map(|m| Member { weight: 1, ..*m }).collect();
        let length = Length::new(1_024).unwrap();
        let ring = build(&members, length, seed).unwrap();
        prop_assert_eq!(&ring, &build(&members, length, seed).unwrap());
        let reseeded = build(&members, length, other).unwrap();
        prop_assert_eq!(ring.quotas(), reseeded.quotas());
        // Of two members half the slots change hands, of more members more.
        prop_assert!(moved(&ring, &reseeded) > 256);
    }
}

proptest! {
    // Always the same cases: one removal in some ten thousand moves more.
    #![proptest_config(ProptestConfig {
        cases: 48,
        rng_seed: RngSeed::Fixed(2016),
        ..ProptestConfig::default()
    })]

    #[test]
    fn losing_a_member_moves_less_than_2_percent_beyond_its_share(
        members in members(2..=40), gone: prop::sample::Index, seed: u64,
    ) {
        let length = Length::for_backends(members.len());
        let ring = build(&members, length, seed).unwrap();
        let beyond = moved_needlessly(&ring, &members, gone.index(members.len()), seed);
        prop_assert!(beyond < 2.0, "{beyond} %");
    }
}

/// Members with made-up keys and with weights from 1 to `greatest_weight`.
fn made_up_members(count: usize, greatest_weight: u32) -> Vec<Member> {
    (0_u32..)
        .take(count)
        .map(|i| Member {
            key: u64::from(i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15),
            weight: 1 + (i * 37) % greatest_weight,
        })
        .collect()
}

#[test]
fn losing_one_of_2_to_1000_members_moves_less_than_2_percent_beyond_its_share() {
    for (count, removals) in [
        (2, 2),
        (3, 3),
        (5, 5),
        (8, 8),
        (16, 4),
        (32, 4),
        (64, 2),
        (100, 2),
        (300, 1),
        (1_000, 1),
    ] {
        for greatest_weight in [1, 100] {
            let members = made_up_members(count, greatest_weight);
            for length in [Length::for_backends(count), Length::new(65_536).unwrap()] {
                let ring = build(&members, length, 7).unwrap();
                for removal in 0..removals {
                    let gone = removal * count / removals;
                    let beyond = moved_needlessly(&ring, &members, gone, 7);
                    assert!(
                        beyond < 2.0,
                        "{beyond} % with {count} members up to weight {greatest_weight} on {} \
                         slots, without member {gone}",
                        length.slots()
                    );
                }
            }
        }
    }
}

#[test]
fn a_ring_is_the_same_on_every_machine() {
    // The numbers come from a second implementation, in Python with integers of any size.
    let cases = [
        (
            made_up_members(1_000, 100),
            65_536,
            1,
            0x1E4A_36C4_7696_A473,
        ),
        (
            made_up_members(7, 1),
            4_096,
            u64::MAX,
            0x50C4_B194_6B2A_29E6,
        ),
        (
            vec![
                Member {
                    key: 0,
                    weight: u32::MAX,
                },
                Member {
                    key: u64::MAX,
                    weight: 1_000_000,
                },
                Member {
                    key: 1 << 63,
                    weight: u32::MAX / 2,
                },
            ],
            131_072,
            0,
            0x46D3_8D66_F962_3DC5,
        ),
    ];
    for (members, slots, seed, expected) in cases {
        let ring = build(&members, Length::new(slots).unwrap(), seed).unwrap();
        let found = fingerprint(&ring);
        assert_eq!(
            found,
            expected,
            "{} members: found {found:#018X}",
            members.len()
        );
    }
}
