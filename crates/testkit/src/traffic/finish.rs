//! Everything about a packet that does not decide where it goes.

use super::{Traffic, Variety};
use crate::builder::{Extension, PacketBuilder, fragments};
use crate::random::Random;

impl Traffic {
    /// Tags, options, sizes, mistakes.
    pub(super) fn vary(
        &mut self,
        builder: PacketBuilder,
        payload: Option<Vec<u8>>,
    ) -> PacketBuilder {
        let is_plain = self.mix.variety == Variety::Plain;
        let random = &mut self.random;
        let mut builder = tags(random, builder);
        let options = vec![1; 4 * random.below(11)];
        if random.one_in(4) {
            builder = builder.ipv4_options(&options);
        }
        if random.one_in(2) {
            builder = builder.tcp_options(&options);
        }
        if random.one_in(8) {
            builder = builder.without_checksum();
        }
        if random.one_in(8) {
            builder = builder.wrong_by(random.number() as u16, random.number() as u16);
        }
        if random.one_in(16) {
            builder = builder.ttl(random.below(3) as u8);
        }
        if random.one_in(32) {
            builder = builder.fragment(7, *random.pick(&[0x2000, 0x2001, 0x0002]));
        }
        let length = match is_plain {
            false if random.one_in(32) => 1200 + random.below(800),
            _ => random.below(64),
        };
        let payload = payload.unwrap_or_else(|| bytes(random, length));
        builder = builder
            .payload(&payload)
            .padding(*random.pick(&[0, 0, 0, 1, 6, 46]));
        if is_plain {
            return builder;
        }
        builder = extensions(random, builder);
        builder
            .traffic_class(*random.pick(&[0, 0, 0xb8, 0x03, 0xff]))
            .flow_label(random.number() as u32)
    }

    /// Now and then a packet is taken to pieces: the first one comes now, or not at all.
    pub(super) fn divide(&mut self, frame: Vec<u8>) -> Vec<u8> {
        let is_plain = self.mix.variety == Variety::Plain;
        if is_plain || !self.random.one_in(16) || frame.len() < 300 && !self.random.one_in(4) {
            return frame;
        }
        let mtu = 208 + 8 * self.random.below(100);
        let identification = self.random.number() as u32 & 0xff;
        let mut pieces = fragments(&frame, mtu, identification);
        if self.random.one_in(4) {
            let at = self.random.below(pieces.len());
            pieces.rotate_left(at);
        }
        if self.random.one_in(8) {
            pieces.remove(0);
        }
        let mut pieces = pieces.into_iter();
        let first = pieces.next().unwrap_or(frame);
        self.pending.extend(pieces);
        first
    }
}

/// None mostly, three at most.
pub(super) fn tags(random: &mut Random, mut builder: PacketBuilder) -> PacketBuilder {
    for _ in 0..*random.pick(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3]) {
        builder = builder.tag(*random.pick(&[0x8100, 0x88a8]), random.number() as u16);
    }
    builder
}

/// Extension headers, of which IPv4 knows nothing.
fn extensions(random: &mut Random, mut builder: PacketBuilder) -> PacketBuilder {
    let count = *random.pick(&[0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5]);
    for _ in 0..count {
        let units = 1 + random.below(3) as u8;
        builder = builder.extension(match random.below(8) {
            0..2 => Extension::HopByHop(units),
            2..5 => Extension::DestinationOptions(units),
            5..7 => Extension::Routing {
                segments_left: u8::from(random.one_in(8)),
            },
            _ => Extension::Fragment {
                offset: *random.pick(&[0, 0, 0, 8]),
                more: random.one_in(2),
                identification: random.number() as u32 & 0xff,
            },
        });
    }
    builder
}

pub(super) fn bytes(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.number() as u8).collect()
}
