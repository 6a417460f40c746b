//! What `evenkeel decap` is to do with a packet: cases for the native path and for the program in
//! the kernel.

mod cases;
mod expected;
mod passed;
mod refused;
mod taken;

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::Mutex;

use abi::backend::Address;
use abi::decap::{AddressKey, DecapReason, DecapSettings, PrefixKey};
use datapath::DecapTables;
use wire::{Be32, ipv6};

use crate::frame::{Frame, Routes};

pub use cases::{Case, HOST, HOST_V6, LOCALS, SENDERS, VIPS, all};
pub use expected::expected;

/// The lists of the decapsulation program in memory.
#[derive(Debug, Default)]
pub struct MemoryDecap {
    /// See there.
    pub settings: DecapSettings,
    /// Addresses of the host.
    pub locals: HashSet<AddressKey>,
    /// Who may send.
    pub senders: Vec<PrefixKey>,
    /// What inner packets may be addressed to.
    pub vips: Vec<PrefixKey>,
    counts: Mutex<BTreeMap<u32, u64>>,
}

impl MemoryDecap {
    /// With the lists that [`all`] is about.
    #[must_use]
    pub fn of_the_cases() -> Self {
        let prefixes = |list: &[(&str, u32)]| {
            let prefix = |(text, bits): &(&str, u32)| {
                let (address, is_v6) = stored(address(text));
                PrefixKey::new(address, is_v6, *bits)
            };
            list.iter().map(prefix).collect()
        };
        Self {
            settings: DecapSettings {
                check_sender: 1,
                gue_port: wire::gue::PORT.into(),
            },
            locals: LOCALS.iter().map(|text| key(address(text))).collect(),
            senders: prefixes(&SENDERS),
            vips: prefixes(&VIPS),
            counts: Mutex::default(),
        }
    }

    /// Packets by reason; those without packets are left out.
    ///
    /// # Panics
    /// Another thread panicked while it counted.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<u32, u64> {
        self.counts.lock().expect("nobody panicked").clone()
    }
}

impl DecapTables for MemoryDecap {
    fn settings(&self) -> DecapSettings {
        self.settings
    }

    fn is_local(&self, address: &AddressKey) -> bool {
        self.locals.contains(address)
    }

    fn is_sender(&self, address: &AddressKey) -> bool {
        self.senders.iter().any(|prefix| prefix.contains(address))
    }

    fn is_vip(&self, address: &AddressKey) -> bool {
        self.vips.iter().any(|prefix| prefix.contains(address))
    }

    fn count(&self, reason: DecapReason) {
        let mut counts = self.counts.lock().expect("nobody panicked");
        *counts.entry(reason as u32).or_default() += 1;
    }
}

/// Sends a frame through the native path.
#[must_use]
pub fn process(tables: &MemoryDecap, bytes: &[u8]) -> (DecapReason, Vec<u8>) {
    let mut frame = Frame {
        bytes: bytes.to_vec(),
        ingress_interface: 1,
        routes: Routes::Back,
    };
    let reason = datapath::decapsulate(&mut frame, tables);
    (reason, frame.bytes)
}

/// An address of the cases.
///
/// # Panics
/// It is none.
#[must_use]
pub fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn key(address: IpAddr) -> AddressKey {
    let (address, is_v6) = stored(address);
    AddressKey::new(address, is_v6)
}

fn stored(address: IpAddr) -> (Address, bool) {
    match address {
        IpAddr::V4(v4) => (Address::v4(Be32::new(v4.to_bits())), false),
        IpAddr::V6(v6) => (Address::v6(ipv6::Address::new(v6.octets())), true),
    }
}
