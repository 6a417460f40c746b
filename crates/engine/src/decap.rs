//! The decapsulation program and its lists: the backend's side of modes `ipip` and `gue`.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use abi::backend::Address;
use abi::decap::{AddressKey, DecapReason, DecapSettings, PrefixKey};
use abi::limits::MAX_DECAP_ADDRESSES;
use abi::maps;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{HashMap, Map, MapData, MapError, PerCpuArray};
use aya::programs::Xdp;
use aya::programs::xdp::XdpLinkId;
use aya::{Ebpf, EbpfLoader};
use wire::{Be32, ipv6};
use zerocopy::IntoBytes;

use crate::EngineError;
use crate::dataplane::{self, AttachMode, Attachment, TestOutcome};
use crate::desired::Prefix;

/// An [`AddressKey`] and the part of a [`PrefixKey`] behind the length, as aya takes them.
type AddressBytes = [u8; size_of::<AddressKey>()];
type PrefixBytes = [u8; size_of::<PrefixKey>() - 4];

/// What goes into `.rodata`, and who may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecapOptions {
    /// Who may send; empty: everybody.
    pub senders: BTreeSet<Prefix>,
    /// UDP port of GUE.
    pub gue_port: u16,
}

/// The program, loaded, with its lists. Detached when dropped.
pub struct Decap {
    ebpf: Ebpf,
    links: Vec<(String, XdpLinkId)>,
    locals: HashMap<MapData, AddressBytes, u32>,
    vips: LpmTrie<MapData, PrefixBytes, u32>,
    counters: PerCpuArray<MapData, u64>,
    /// What the maps contain.
    current: Lists,
}

/// Addresses that may change while packets flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// The host's: what outer packets are addressed to.
    pub locals: BTreeSet<IpAddr>,
    /// What inner packets are addressed to.
    pub vips: BTreeSet<Prefix>,
}

impl fmt::Debug for Decap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decap")
            .field("links", &self.links)
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

impl Decap {
    /// Loads the program, with empty lists but for the senders.
    ///
    /// # Errors
    /// The kernel refuses it, or there are more senders than fit.
    pub fn load(options: &DecapOptions) -> Result<Self, EngineError> {
        let settings = DecapSettings {
            check_sender: u32::from(!options.senders.is_empty()),
            gue_port: options.gue_port.into(),
        };
        let mut ebpf = EbpfLoader::new()
            .override_global(maps::DECAP_SETTINGS, settings.as_bytes(), true)
            .load(crate::object::DECAP)
            .map_err(dataplane::load_error)?;
        program(&mut ebpf)?.load().map_err(dataplane::load_error)?;
        let mut senders = map(&mut ebpf, maps::DECAP_SENDERS)?;
        fits("senders", options.senders.len())?;
        for prefix in &options.senders {
            insert(&mut senders, prefix).map_err(failed(maps::DECAP_SENDERS, "write"))?;
        }
        Ok(Self {
            locals: map(&mut ebpf, maps::DECAP_LOCALS)?,
            vips: map(&mut ebpf, maps::DECAP_VIPS)?,
            counters: map(&mut ebpf, maps::DECAP_COUNTERS)?,
            current: Lists::default(),
            links: Vec::new(),
            ebpf,
        })
    }

    /// Makes the lists these: what is new is entered first, what is gone removed last.
    ///
    /// # Errors
    /// They do not fit, or a map could not be written.
    pub fn set(&mut self, lists: &Lists) -> Result<(), EngineError> {
        fits("addresses of the host", lists.locals.len())?;
        fits("VIPs", lists.vips.len())?;
        for vip in lists.vips.difference(&self.current.vips) {
            insert(&mut self.vips, vip).map_err(failed(maps::DECAP_VIPS, "write"))?;
        }
        for address in lists.locals.difference(&self.current.locals) {
            self.locals
                .insert(address_bytes(*address), 1, 0)
                .map_err(failed(maps::DECAP_LOCALS, "write"))?;
        }
        for address in self.current.locals.difference(&lists.locals) {
            self.locals
                .remove(&address_bytes(*address))
                .map_err(failed(maps::DECAP_LOCALS, "delete"))?;
        }
        for vip in self.current.vips.difference(&lists.vips) {
            self.vips
                .remove(&prefix_key(vip))
                .map_err(failed(maps::DECAP_VIPS, "delete"))?;
        }
        self.current.clone_from(lists);
        Ok(())
    }

    /// Attaches to an interface.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn attach(
        &mut self,
        name: &str,
        index: u32,
        mode: AttachMode,
    ) -> Result<Attachment, EngineError> {
        let (link, attachment) = dataplane::attach(program(&mut self.ebpf)?, name, index, mode)?;
        self.links.push((name.into(), link));
        Ok(attachment)
    }

    /// Detaches from every interface.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn detach(&mut self) -> Result<(), EngineError> {
        for (name, link) in std::mem::take(&mut self.links) {
            dataplane::detach(program(&mut self.ebpf)?, name, link)?;
        }
        Ok(())
    }

    /// Packets by reason, over all CPUs.
    ///
    /// # Errors
    /// The map could not be read.
    pub fn counters(&self) -> Result<Vec<(DecapReason, u64)>, EngineError> {
        let read = |reason: &DecapReason| {
            let counts = self.counters.get(&(*reason as u32), 0);
            let counts = counts.map_err(failed(maps::DECAP_COUNTERS, "read"))?;
            Ok((*reason, counts.iter().sum()))
        };
        DecapReason::ALL.iter().map(read).collect()
    }

    /// Runs the program on a frame without any interface.
    ///
    /// # Errors
    /// The kernel refuses the frame.
    pub fn test_run(&mut self, frame: &[u8], repeat: u32) -> Result<TestOutcome, EngineError> {
        dataplane::run(program(&mut self.ebpf)?, frame, repeat)
    }
}

fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp, EngineError> {
    dataplane::program(ebpf, "decap")
}

/// Takes a map out of the object; the program keeps its own reference.
fn map<M: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<M, EngineError> {
    ebpf.take_map(name)
        .ok_or_else(|| EngineError::Load(format!("the object has no map {name}")))?
        .try_into()
        .map_err(dataplane::load_error)
}

fn fits(what: &'static str, found: usize) -> Result<(), EngineError> {
    let limit = MAX_DECAP_ADDRESSES as usize;
    if found > limit {
        return Err(EngineError::TooMany { what, found, limit });
    }
    Ok(())
}

fn insert(trie: &mut LpmTrie<MapData, PrefixBytes, u32>, prefix: &Prefix) -> Result<(), MapError> {
    trie.insert(&prefix_key(prefix), 1, 0)
}

fn failed(map: &'static str, operation: &'static str) -> impl Fn(MapError) -> EngineError {
    let failed = dataplane::map_error(map, operation);
    move |error| failed(std::io::Error::other(error))
}

fn address_bytes(address: IpAddr) -> AddressBytes {
    let (address, is_v6) = stored(address);
    zerocopy::transmute!(AddressKey::new(address, is_v6))
}

fn prefix_key(prefix: &Prefix) -> Key<PrefixBytes> {
    let (address, is_v6) = stored(prefix.address());
    let key = PrefixKey::new(address, is_v6, prefix.length().into());
    let (length, data): ([u8; 4], PrefixBytes) = zerocopy::transmute!(key);
    Key::new(u32::from_ne_bytes(length), data)
}

fn stored(address: IpAddr) -> (Address, bool) {
    match address {
        IpAddr::V4(v4) => (Address::v4(Be32::new(v4.to_bits())), false),
        IpAddr::V6(v6) => (Address::v6(ipv6::Address::new(v6.octets())), true),
    }
}
