//! The host's routes and neighbours: `bpf_fib_lookup`.

use abi::backend::Link;
use abi::family::Family;
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::bpf_fib_lookup;
use datapath::{RouteQuery, Way};
use wire::ethernet::Addresses;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::maps;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// `BPF_FIB_LKUP_RET_SUCCESS`, `_NOT_FWDED` and `_FRAG_NEEDED`.
const SUCCESS: i64 = 0;
const NOT_FORWARDED: i64 = 4;
const FRAGMENTATION_NEEDED: i64 = 8;

/// `struct bpf_fib_lookup` without its unions (include/uapi/linux/bpf.h).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct FibParameters {
    family: u8,
    protocol: u8,
    ports: [u16; 2],
    /// In: length of the packet. Out: the way's MTU.
    length: u16,
    /// In: where the packet came from. Out: where it leaves.
    interface: u32,
    /// Traffic class; flow information in IPv6.
    class: u32,
    source: [u32; 4],
    destination: [u32; 4],
    vlan: u32,
    /// Out.
    source_mac: [u8; 6],
    /// Out.
    destination_mac: [u8; 6],
}

const _: () = assert!(size_of::<FibParameters>() == 64);

/// Asks which way a packet takes.
#[inline(always)]
pub(crate) fn ask<F: Family>(context: *mut xdp_md, ingress: u32, query: &RouteQuery<F>) -> Way {
    let Some(scratch) = maps::FIB_SCRATCH.get_ptr_mut(0) else {
        return Way::Host;
    };
    // SAFETY: this CPU's own entry, and the program does not migrate.
    let parameters = unsafe { &mut *scratch };
    fill(parameters, ingress, query);
    // SAFETY: the context is the one the kernel called us with, and the parameters are as long as
    // the helper is told.
    let answer = unsafe {
        bpf_fib_lookup(
            context.cast(),
            core::ptr::from_mut(parameters).cast(),
            size_of::<FibParameters>() as i32,
            0,
        )
    };
    match answer {
        SUCCESS => Way::Link(Link::new(
            Addresses::new(parameters.destination_mac, parameters.source_mac),
            parameters.interface,
        )),
        FRAGMENTATION_NEEDED => Way::TooBig(u32::from(parameters.length)),
        NOT_FORWARDED => Way::Nowhere,
        _ => Way::Host,
    }
}

#[inline(always)]
fn fill<F: Family>(parameters: &mut FibParameters, ingress: u32, query: &RouteQuery<F>) {
    let (family, class) = if F::IS_V6 {
        (AF_INET6, (u32::from(query.traffic_class) << 20).to_be())
    } else {
        (AF_INET, u32::from(query.traffic_class))
    };
    parameters.family = family;
    parameters.protocol = query.protocol;
    parameters.ports = [0; 2];
    parameters.length = query.length as u16;
    parameters.interface = ingress;
    parameters.class = class;
    parameters.source = words(&query.source);
    parameters.destination = words(&query.destination);
    parameters.vlan = 0;
}

/// An address in the first words, zeros behind.
#[inline(always)]
fn words<A: IntoBytes + Immutable>(address: &A) -> [u32; 4] {
    let mut words = [0; 4];
    // Four bytes of IPv4, sixteen of IPv6.
    if let Ok((first, _)) = u32::read_from_prefix(address.as_bytes()) {
        words[0] = first;
    }
    if let Ok(all) = <[u32; 4]>::read_from_bytes(address.as_bytes()) {
        words = all;
    }
    words
}
