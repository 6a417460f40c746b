//! The decapsulation program, `evenkeel decap`: its entry point, its maps and its access to them.

#![no_std]
#![no_main]

mod packet;

use abi::decap::{AddressKey, DecapAction, DecapReason, DecapSettings, PrefixKey};
use abi::limits::MAX_DECAP_ADDRESSES;
use aya_ebpf::bindings::xdp_action;
use aya_ebpf::btf_maps::lpm_trie::Key as TrieKey;
use aya_ebpf::btf_maps::{HashMap, LpmTrie, PerCpuArray};
use aya_ebpf::macros::{btf_map, xdp};
use aya_ebpf::programs::XdpContext;
use datapath::DecapTables;
use packet::Frame;

/// Version and address of a [`PrefixKey`].
type Prefix = [u32; 5];
const _: () = assert!(size_of::<PrefixKey>() == size_of::<TrieKey<Prefix>>());

#[btf_map]
static DECAP_LOCALS: HashMap<AddressKey, u32, { MAX_DECAP_ADDRESSES as usize }> = HashMap::new();
#[btf_map]
static DECAP_SENDERS: LpmTrie<Prefix, u32, { MAX_DECAP_ADDRESSES as usize }> = LpmTrie::new();
#[btf_map]
static DECAP_VIPS: LpmTrie<Prefix, u32, { MAX_DECAP_ADDRESSES as usize }> = LpmTrie::new();
#[btf_map(name = "DECAP_COUNTS")]
static DECAP_COUNTERS: PerCpuArray<u64, { DecapReason::COUNT }> = PerCpuArray::new();

/// In `.rodata`; the loader writes the real values before the verifier sees them. These are what
/// other tools load.
#[unsafe(no_mangle)]
static DECAP_SETTINGS: DecapSettings = DecapSettings {
    check_sender: 1,
    gue_port: wire::gue::PORT as u32,
};

/// Takes the outer headers off what comes from a tunnel; everything else passes.
#[xdp(frags)]
fn decap(context: XdpContext) -> u32 {
    let reason = datapath::decapsulate(&mut Frame::new(context.ctx), &KernelTables);
    match reason.action() {
        DecapAction::Pass | DecapAction::Decapsulate => xdp_action::XDP_PASS,
        DecapAction::Drop => xdp_action::XDP_DROP,
    }
}

struct KernelTables;

impl DecapTables for KernelTables {
    #[inline(always)]
    fn settings(&self) -> DecapSettings {
        // SAFETY: a valid, aligned address of a static; volatile, so that the compiler does not
        // take the value it has at compile time.
        unsafe { (&raw const DECAP_SETTINGS).read_volatile() }
    }

    #[inline(always)]
    fn is_local(&self, address: &AddressKey) -> bool {
        let key = *address;
        DECAP_LOCALS.get_ptr(key).is_some()
    }

    #[inline(always)]
    fn is_sender(&self, address: &AddressKey) -> bool {
        matches(&DECAP_SENDERS, address)
    }

    #[inline(always)]
    fn is_vip(&self, address: &AddressKey) -> bool {
        matches(&DECAP_VIPS, address)
    }

    #[inline(always)]
    fn count(&self, reason: DecapReason) {
        if let Some(counter) = DECAP_COUNTERS.get_ptr_mut(reason as u32) {
            // SAFETY: this CPU's own counter, and the program does not migrate.
            unsafe { *counter += 1 };
        }
    }
}

#[inline(always)]
fn matches(
    prefixes: &LpmTrie<Prefix, u32, { MAX_DECAP_ADDRESSES as usize }>,
    address: &AddressKey,
) -> bool {
    let key = PrefixKey::single(address);
    // SAFETY: both are the length in bits and the words to match, without padding.
    let key = unsafe { &*(&raw const key).cast::<TrieKey<Prefix>>() };
    prefixes.get(key).is_some()
}

/// What [`packet`] asks for routes, which are none of this program's business.
mod route {
    use abi::family::Family;
    use aya_ebpf::bindings::xdp_md;
    use datapath::{RouteQuery, Way};

    #[inline(always)]
    pub(crate) fn ask<F: Family>(_: *mut xdp_md, _: u32, _: &RouteQuery<F>) -> Way {
        Way::Host
    }
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
