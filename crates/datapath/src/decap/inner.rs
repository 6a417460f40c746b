//! The client's packet.

use abi::backend::Address;
use abi::decap::{AddressKey, DecapReason};
use wire::checksum::{self, Delta};
use wire::ipv4::{self, Ipv4};
use wire::ipv6::{self, Ipv6};
use wire::{Be16, Be32, ecn, ethernet};

use super::outer::Payload;
use crate::Packet;

/// Where IPv6 has the traffic class in its first word.
const CLASS_SHIFT: u32 = 20;

/// What of the inner header counts here; the host's stack checks the rest as it does always.
pub(super) struct Inner {
    pub(super) destination: AddressKey,
    pub(super) ethertype: Be16,
    head: Head,
}

/// What changes with the traffic class.
enum Head {
    V4 { first: Be16, checksum: Be16 },
    V6 { first: Be32 },
}

impl Inner {
    #[inline(always)]
    pub(super) fn parse<P: Packet>(packet: &P, payload: &Payload) -> Result<Self, DecapReason> {
        let room = payload.end.wrapping_sub(payload.offset);
        if payload.end < payload.offset {
            return Err(DecapReason::InnerMalformed);
        }
        if payload.is_v6 {
            Self::parse_v6(packet, payload.offset, room)
        } else {
            Self::parse_v4(packet, payload.offset, room)
        }
    }

    #[inline(always)]
    fn parse_v4<P: Packet>(packet: &P, offset: usize, room: usize) -> Result<Self, DecapReason> {
        let ip: Ipv4 = packet.read(offset).ok_or(DecapReason::InnerMalformed)?;
        let length = usize::from(ip.total_length.get());
        let header = ip.header_length();
        if ip.version() != 4 || header < ipv4::MIN_HEADER_LENGTH || length < header || length > room
        {
            return Err(DecapReason::InnerMalformed);
        }
        Ok(Self {
            destination: AddressKey::new(Address::v4(ip.destination), false),
            ethertype: ethernet::IPV4,
            head: Head::V4 {
                first: first_of(ip.version_ihl, ip.traffic_class),
                checksum: ip.checksum,
            },
        })
    }

    #[inline(always)]
    fn parse_v6<P: Packet>(packet: &P, offset: usize, room: usize) -> Result<Self, DecapReason> {
        let ip: Ipv6 = packet.read(offset).ok_or(DecapReason::InnerMalformed)?;
        let length = ipv6::HEADER_LENGTH + usize::from(ip.payload_length.get());
        if ip.version() != 6 || length > room {
            return Err(DecapReason::InnerMalformed);
        }
        Ok(Self {
            destination: AddressKey::new(Address::v6(ip.destination), true),
            ethertype: ethernet::IPV6,
            head: Head::V6 {
                first: ip.version_class_flow,
            },
        })
    }

    /// Hands on what the outer header says of congestion.
    #[inline(always)]
    pub(super) fn mark<P: Packet>(
        &self,
        packet: &mut P,
        offset: usize,
        outer_class: u8,
    ) -> Result<(), DecapReason> {
        let written = match self.head {
            Head::V4 { first, checksum } => {
                let [head, class] = first.get().to_be_bytes();
                let becomes =
                    ecn::decapsulated(outer_class, class).ok_or(DecapReason::CongestionLost)?;
                if becomes == class {
                    return Ok(());
                }
                let new = first_of(head, becomes);
                let checksum = checksum::update(checksum, Delta::NONE.word(first, new));
                packet
                    .write(offset, &new)
                    .and_then(|()| packet.write(offset + ipv4::CHECKSUM_OFFSET, &checksum))
            }
            Head::V6 { first } => {
                let class = (first.get() >> CLASS_SHIFT) as u8;
                let becomes =
                    ecn::decapsulated(outer_class, class).ok_or(DecapReason::CongestionLost)?;
                if becomes == class {
                    return Ok(());
                }
                let flipped = u32::from(class ^ becomes) << CLASS_SHIFT;
                packet.write(offset, &Be32::new(first.get() ^ flipped))
            }
        };
        written.ok_or(DecapReason::InnerMalformed)
    }
}

/// The first two bytes of an IPv4 header.
#[inline(always)]
const fn first_of(version_ihl: u8, traffic_class: u8) -> Be16 {
    Be16::new((version_ihl as u16) << 8 | traffic_class as u16)
}
