//! Damage.

use crate::random::Random;

/// Flips bits, overwrites, cuts or extends.
pub(super) fn damage(random: &mut Random, frame: &mut Vec<u8>) {
    // Mostly in the headers.
    let place = |random: &mut Random, length: usize| match random.one_in(4) {
        true => random.below(length),
        false => random.below(length.min(64)),
    };
    match random.below(4) {
        0 => {
            for _ in 0..1 + random.below(4) {
                let at = place(random, frame.len());
                frame[at] ^= 1 << random.below(8);
            }
        }
        1 => {
            let at = place(random, frame.len());
            frame[at] = *random.pick(&[0, 1, 0x45, 0x4f, 0x7f, 0x80, 0xff]);
        }
        2 => frame.truncate(14.max(place(random, frame.len()))),
        _ => frame.resize(frame.len() + 1 + random.below(200), 0xee),
    }
}
