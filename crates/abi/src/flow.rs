//! `nat` flows. Each has two entries, keyed by the 5-tuple as it arrives: from the client
//! ([`FORWARD`]) and from the backend ([`REVERSE`]). An entry holds all that its direction needs,
//! so that an established packet costs one lookup.

use wire::{Be16, Be32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::backend::Link;

/// 5-tuple of an IPv4 packet as it arrives: two words, so that hashing, comparing and putting it
/// on the kernel's stack (which insists on alignment) are two instructions each. In memory:
/// source and destination address, source and destination port, protocol, three zeros.
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C)]
pub struct FlowKeyV4 {
    addresses: u64,
    ports_protocol: u64,
}

const _: () = assert!(size_of::<FlowKeyV4>() == 16);

impl FlowKeyV4 {
    /// From its five parts.
    #[inline(always)]
    #[must_use]
    pub const fn new(
        source: Be32,
        destination: Be32,
        source_port: Be16,
        destination_port: Be16,
        protocol: u8,
    ) -> Self {
        Self {
            addresses: source.raw() as u64 | (destination.raw() as u64) << 32,
            ports_protocol: source_port.raw() as u64
                | (destination_port.raw() as u64) << 16
                | (protocol as u64) << 32,
        }
    }

    /// Both addresses in one word, for hashing.
    #[inline(always)]
    #[must_use]
    pub const fn addresses(&self) -> u64 {
        self.addresses
    }

    /// Ports and protocol in one word, for hashing.
    #[inline(always)]
    #[must_use]
    pub const fn ports_protocol(&self) -> u64 {
        self.ports_protocol
    }

    /// Sender.
    #[inline(always)]
    #[must_use]
    pub const fn source(&self) -> Be32 {
        Be32::from_raw(self.addresses as u32)
    }

    /// Receiver.
    #[inline(always)]
    #[must_use]
    pub const fn destination(&self) -> Be32 {
        Be32::from_raw((self.addresses >> 32) as u32)
    }

    /// Sender's port.
    #[inline(always)]
    #[must_use]
    pub const fn source_port(&self) -> Be16 {
        Be16::from_raw(self.ports_protocol as u16)
    }

    /// Receiver's port.
    #[inline(always)]
    #[must_use]
    pub const fn destination_port(&self) -> Be16 {
        Be16::from_raw((self.ports_protocol >> 16) as u16)
    }

    /// IP protocol number.
    #[inline(always)]
    #[must_use]
    pub const fn protocol(&self) -> u8 {
        (self.ports_protocol >> 32) as u8
    }

    /// The same flow's key in the other direction, given what this direction's packets become.
    #[inline(always)]
    #[must_use]
    pub const fn opposite(&self, becomes: &Rewrite) -> Self {
        Self::new(
            becomes.destination,
            becomes.source,
            becomes.destination_port,
            becomes.source_port,
            self.protocol(),
        )
    }
}

impl core::fmt::Debug for FlowKeyV4 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [a, b, c, d] = self.source().get().to_be_bytes();
        let [e, g, h, i] = self.destination().get().to_be_bytes();
        let (source, destination) = (self.source_port(), self.destination_port());
        write!(
            f,
            "{}: {a}.{b}.{c}.{d}:{source:?} > {e}.{g}.{h}.{i}:{destination:?}",
            self.protocol()
        )
    }
}

/// Packets of this entry come from the client.
pub const FORWARD: u8 = 0;
/// Packets of this entry come from the backend.
pub const REVERSE: u8 = 1;

/// A FIN came this way.
pub const FIN_SEEN: u8 = 1 << 0;
/// A RST that the receiver will accept came this way.
pub const RST_SEEN: u8 = 1 << 1;
/// Reverse entries: the backend answered (TCP: SYN and ACK; UDP: anything).
pub const ANSWERED: u8 = 1 << 2;

/// What is written into the packets of one direction of a flow.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Rewrite {
    /// Source address the packet gets.
    pub source: Be32,
    /// Destination address the packet gets.
    pub destination: Be32,
    /// Source port the packet gets.
    pub source_port: Be16,
    /// Destination port the packet gets.
    pub destination_port: Be16,
    /// What the rewrite, with the TTL's decrement, does to the IPv4 checksum ([`wire::checksum::Delta`]).
    pub ip_delta: u16,
    /// What it does to the TCP or UDP checksum.
    pub transport_delta: u16,
}

/// What happens to the packets of one direction of a flow.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct FlowV4 {
    /// What the packet gets.
    pub becomes: Rewrite,
    /// Index of the service.
    pub service: u32,
    /// Index of the backend.
    pub backend: u32,
    /// The way to the client. Reverse packets take it; in the forward entry it is a copy to
    /// compare with, so that a client that moves costs a write only when it does.
    pub client: Link,
    /// jiffies (low 32 bits) at this direction's last packet.
    pub last_seen: u32,
    /// Reverse entries, TCP: the acknowledgment number that completes the handshake.
    pub handshake: u32,
    /// Reverse entries, TCP: the backend's last acknowledgment number.
    pub acknowledged: u32,
    /// [`FORWARD`] or [`REVERSE`].
    pub direction: u8,
    /// [`FIN_SEEN`], [`RST_SEEN`], [`ANSWERED`].
    pub seen: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// Zero.
    pub reserved_words: [u32; 2],
}

const _: () = assert!(size_of::<FlowV4>() == 64);

impl FlowV4 {
    /// Whether this reverse entry's packets go to the sender of `forward`'s packets.
    #[inline(always)]
    #[must_use]
    pub fn leads_to(&self, forward: &FlowKeyV4) -> bool {
        self.becomes.destination == forward.source()
            && self.becomes.destination_port == forward.source_port()
            && self.becomes.source == forward.destination()
            && self.becomes.source_port == forward.destination_port()
    }
}
