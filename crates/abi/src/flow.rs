//! 5-tuples, and `nat` flows.
//!
//! Each `nat` flow has two entries, keyed by the 5-tuple as it arrives: from the client
//! ([`FORWARD`]) and from the backend ([`REVERSE`]). An entry holds all that its direction needs,
//! so that an established packet costs one lookup.

use wire::{Be16, Be32, ipv6};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::backend::Link;
use crate::family::Address as _;
use crate::hash::mix;

/// 5-tuple of either family.
pub trait FlowKey: Sized + Copy {
    /// Address of the family.
    type Address: Copy + PartialEq;
    /// What `nat` writes into packets of the family.
    type Rewrite: Rewrite<Address = Self::Address>;

    /// From addresses and the word of [`Self::ports_protocol`].
    fn from_parts(source: Self::Address, destination: Self::Address, ports_protocol: u64) -> Self;
    /// Sender.
    fn source(&self) -> Self::Address;
    /// Receiver.
    fn destination(&self) -> Self::Address;
    /// Source port, destination port, protocol: bits 0 to 15, 16 to 31 (raw), 32 to 39.
    fn ports_protocol(&self) -> u64;
    /// The seeded hash of the whole 5-tuple.
    fn hash(&self, seed: u64) -> u64;

    /// From its five parts.
    #[inline(always)]
    #[must_use]
    fn new(
        source: Self::Address,
        destination: Self::Address,
        source_port: Be16,
        destination_port: Be16,
        protocol: u8,
    ) -> Self {
        let ports = u64::from(source_port.raw()) | u64::from(destination_port.raw()) << 16;
        Self::from_parts(source, destination, ports | u64::from(protocol) << 32)
    }

    /// The key of a fragmented packet: identification in place of the ports.
    #[inline(always)]
    #[must_use]
    fn fragment(
        source: Self::Address,
        destination: Self::Address,
        identification: u32,
        protocol: u8,
    ) -> Self {
        let word = u64::from(identification) | u64::from(protocol) << 32;
        Self::from_parts(source, destination, word)
    }

    /// Sender's port.
    #[inline(always)]
    fn source_port(&self) -> Be16 {
        Be16::from_raw(self.ports_protocol() as u16)
    }

    /// Receiver's port.
    #[inline(always)]
    fn destination_port(&self) -> Be16 {
        Be16::from_raw((self.ports_protocol() >> 16) as u16)
    }

    /// IP protocol number.
    #[inline(always)]
    fn protocol(&self) -> u8 {
        (self.ports_protocol() >> 32) as u8
    }

    /// The key of packets in the other direction, if nothing is rewritten.
    #[inline(always)]
    #[must_use]
    fn reversed(&self) -> Self {
        Self::new(
            self.destination(),
            self.source(),
            self.destination_port(),
            self.source_port(),
            self.protocol(),
        )
    }

    /// The same flow's key in the other direction, given what this direction's packets become.
    #[inline(always)]
    #[must_use]
    fn opposite(&self, becomes: &Self::Rewrite) -> Self {
        Self::new(
            becomes.destination(),
            becomes.source(),
            becomes.destination_port(),
            becomes.source_port(),
            self.protocol(),
        )
    }
}

/// What `nat` writes into the packets of one direction of a flow.
pub trait Rewrite: Sized + Copy {
    /// Address of the family.
    type Address: Copy + PartialEq;
    /// From addresses and ports; `ip_delta` and `transport_delta` are folded
    /// [`wire::checksum::Delta`]s, of the IPv4 header's checksum and of the transport's.
    fn new(
        addresses: (Self::Address, Self::Address),
        ports: (Be16, Be16),
        ip_delta: u16,
        transport_delta: u16,
    ) -> Self;
    /// Source address the packet gets.
    fn source(&self) -> Self::Address;
    /// Destination address the packet gets.
    fn destination(&self) -> Self::Address;
    /// Source port the packet gets.
    fn source_port(&self) -> Be16;
    /// Destination port the packet gets.
    fn destination_port(&self) -> Be16;
    /// What the addresses do to the IPv4 checksum; the TTL comes on top. Without meaning in IPv6.
    fn ip_delta(&self) -> u16;
    /// What it does to the TCP or UDP checksum.
    fn transport_delta(&self) -> u16;
}

/// Entry of a `nat` flow.
pub trait Flow: Sized {
    /// What its packets become.
    type Rewrite: Rewrite;
    /// From its parts.
    fn new(becomes: Self::Rewrite, state: FlowState) -> Self;
    /// What its packets become.
    fn becomes(&self) -> Self::Rewrite;
    /// Everything else.
    fn state(&self) -> &FlowState;
    /// Everything else, to be changed.
    fn state_mut(&mut self) -> &mut FlowState;

    /// Whether this reverse entry's packets go to the sender of `forward`'s packets.
    #[inline(always)]
    #[must_use]
    fn leads_to<K>(&self, forward: &K) -> bool
    where
        K: FlowKey<Address = <Self::Rewrite as Rewrite>::Address>,
    {
        let becomes = self.becomes();
        becomes.destination() == forward.source()
            && becomes.destination_port() == forward.source_port()
            && becomes.source() == forward.destination()
            && becomes.source_port() == forward.destination_port()
    }
}

/// Ports of a fragmented packet, from its first fragment: source in the low half, both raw.
pub type FragmentPorts = u32;

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
    /// [`FlowKey::new`], in constants.
    #[must_use]
    pub const fn constant(
        source: Be32,
        destination: Be32,
        ports: (Be16, Be16),
        protocol: u8,
    ) -> Self {
        Self {
            addresses: source.raw() as u64 | (destination.raw() as u64) << 32,
            ports_protocol: ports.0.raw() as u64
                | (ports.1.raw() as u64) << 16
                | (protocol as u64) << 32,
        }
    }
}

impl FlowKey for FlowKeyV4 {
    type Address = Be32;
    type Rewrite = RewriteV4;

    #[inline(always)]
    fn from_parts(source: Be32, destination: Be32, ports_protocol: u64) -> Self {
        Self {
            addresses: u64::from(source.raw()) | u64::from(destination.raw()) << 32,
            ports_protocol,
        }
    }

    #[inline(always)]
    fn source(&self) -> Be32 {
        Be32::from_raw(self.addresses as u32)
    }

    #[inline(always)]
    fn destination(&self) -> Be32 {
        Be32::from_raw((self.addresses >> 32) as u32)
    }

    #[inline(always)]
    fn ports_protocol(&self) -> u64 {
        self.ports_protocol
    }

    #[inline(always)]
    fn hash(&self, seed: u64) -> u64 {
        mix(mix(self.addresses ^ seed) ^ self.ports_protocol)
    }
}

/// 5-tuple of an IPv6 packet as it arrives. In memory: source and destination address, source and
/// destination port, protocol, three zeros.
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
pub struct FlowKeyV6 {
    source: ipv6::Address,
    destination: ipv6::Address,
    ports_protocol: u64,
}

const _: () = assert!(size_of::<FlowKeyV6>() == 40);

impl FlowKey for FlowKeyV6 {
    type Address = ipv6::Address;
    type Rewrite = RewriteV6;

    #[inline(always)]
    fn from_parts(source: ipv6::Address, destination: ipv6::Address, ports_protocol: u64) -> Self {
        Self {
            source,
            destination,
            ports_protocol,
        }
    }

    #[inline(always)]
    fn source(&self) -> ipv6::Address {
        self.source
    }

    #[inline(always)]
    fn destination(&self) -> ipv6::Address {
        self.destination
    }

    #[inline(always)]
    fn ports_protocol(&self) -> u64 {
        self.ports_protocol
    }

    #[inline(always)]
    fn hash(&self, seed: u64) -> u64 {
        mix(self.destination.mix(self.source.mix(seed)) ^ self.ports_protocol)
    }
}

impl core::fmt::Debug for FlowKeyV4 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let address = |address: Be32| core::net::Ipv4Addr::from(address.get());
        write!(
            f,
            "{}: {}:{:?} > {}:{:?}",
            self.protocol(),
            address(self.source()),
            self.source_port(),
            address(self.destination()),
            self.destination_port()
        )
    }
}

impl core::fmt::Debug for FlowKeyV6 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "{}: [{:?}]:{:?} > [{:?}]:{:?}",
            self.protocol(),
            self.source,
            self.source_port(),
            self.destination,
            self.destination_port()
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

/// What happens to the packets of one direction of a flow, apart from what they become.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct FlowState {
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

const _: () = assert!(size_of::<FlowState>() == 48);

/// Defines rewrite and flow of one family.
macro_rules! flow_types {
    ($rewrite:ident, $flow:ident, $address:ty, $size:literal) => {
        /// What is written into the packets of one direction of a flow.
        #[derive(
            Clone,
            Copy,
            Debug,
            Default,
            PartialEq,
            Eq,
            FromBytes,
            IntoBytes,
            Immutable,
            KnownLayout,
        )]
        #[repr(C)]
        pub struct $rewrite {
            /// Source address the packet gets.
            pub source: $address,
            /// Destination address the packet gets.
            pub destination: $address,
            /// Source port the packet gets.
            pub source_port: Be16,
            /// Destination port the packet gets.
            pub destination_port: Be16,
            /// What the addresses do to the IPv4 checksum.
            pub ip_delta: u16,
            /// What it does to the TCP or UDP checksum.
            pub transport_delta: u16,
        }

        impl Rewrite for $rewrite {
            type Address = $address;

            #[inline(always)]
            fn new(
                (source, destination): ($address, $address),
                (source_port, destination_port): (Be16, Be16),
                ip_delta: u16,
                transport_delta: u16,
            ) -> Self {
                Self {
                    source,
                    destination,
                    source_port,
                    destination_port,
                    ip_delta,
                    transport_delta,
                }
            }

            #[inline(always)]
            fn source(&self) -> $address {
                self.source
            }

            #[inline(always)]
            fn destination(&self) -> $address {
                self.destination
            }

            #[inline(always)]
            fn source_port(&self) -> Be16 {
                self.source_port
            }

            #[inline(always)]
            fn destination_port(&self) -> Be16 {
                self.destination_port
            }

            #[inline(always)]
            fn ip_delta(&self) -> u16 {
                self.ip_delta
            }

            #[inline(always)]
            fn transport_delta(&self) -> u16 {
                self.transport_delta
            }
        }

        /// What happens to the packets of one direction of a flow.
        #[derive(
            Clone,
            Copy,
            Debug,
            Default,
            PartialEq,
            Eq,
            FromBytes,
            IntoBytes,
            Immutable,
            KnownLayout,
        )]
        #[repr(C)]
        pub struct $flow {
            /// What the packet gets.
            pub becomes: $rewrite,
            /// Everything else.
            pub state: FlowState,
        }

        const _: () = assert!(size_of::<$flow>() == $size);

        impl Flow for $flow {
            type Rewrite = $rewrite;

            #[inline(always)]
            fn new(becomes: $rewrite, state: FlowState) -> Self {
                Self { becomes, state }
            }

            #[inline(always)]
            fn becomes(&self) -> $rewrite {
                self.becomes
            }

            #[inline(always)]
            fn state(&self) -> &FlowState {
                &self.state
            }

            #[inline(always)]
            fn state_mut(&mut self) -> &mut FlowState {
                &mut self.state
            }
        }
    };
}

flow_types!(RewriteV4, FlowV4, Be32, 64);
flow_types!(RewriteV6, FlowV6, ipv6::Address, 88);
