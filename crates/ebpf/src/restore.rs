//! The wrapper around everything that is timed: makes the next packet of the one before.

use abi::family::{Address as _, Family, V4, V6};
use aya_ebpf::bindings::{xdp_action, xdp_md};
use datapath::Packet as _;
use wire::checksum::{self, Delta};
use wire::{Be32, ethernet, ipv4, ipv6, tcp, udp};

use crate::packet::Frame;
use crate::trailer::{self, Trailer, Vary};

const IP: usize = ethernet::HEADER_LENGTH;

/// Undoes an encapsulation, puts the original headers back, moved on to the next packet's index,
/// with valid checksums. `XDP_ABORTED` if there is no trailer, else `XDP_PASS`.
///
/// A function of its own, so that the compiler knows as little about the packet behind it as the
/// product's does: inlined, it would hand values and bounds checks on.
#[inline(never)]
pub(crate) fn restore(context: *mut xdp_md) -> u32 {
    match try_restore(context) {
        Some(()) => xdp_action::XDP_PASS,
        None => xdp_action::XDP_ABORTED,
    }
}

#[inline(always)]
fn try_restore(context: *mut xdp_md) -> Option<()> {
    let mut frame = Frame::new(context);
    let added = length(context).wrapping_sub(trailer::FRAME_LENGTH);
    if added != 0 {
        frame.shrink_front(added)?;
    }
    let trailer: Trailer = frame.read(trailer::OFFSET)?;
    if trailer.ethertype == ethernet::IPV4 {
        write::<V4>(&mut frame, &trailer)?;
    } else {
        write::<V6>(&mut frame, &trailer)?;
    }
    frame.write(
        trailer::OFFSET + core::mem::offset_of!(Trailer, counter),
        &trailer.counter.wrapping_add(1),
    )
}

/// Of the frame's first buffer. The subtraction takes `CAP_PERFMON`, but no call to a helper.
#[inline(always)]
fn length(context: *mut xdp_md) -> usize {
    // SAFETY: the context is the one the kernel called us with.
    let fields = unsafe { &*context };
    // SAFETY: a reference is valid and aligned; volatile as in `Frame`.
    let data = unsafe { core::ptr::from_ref(&fields.data).read_volatile() };
    // SAFETY: as above.
    let data_end = unsafe { core::ptr::from_ref(&fields.data_end).read_volatile() };
    (data_end as usize).wrapping_sub(data as usize)
}

/// Fields are written in the pieces in which they are read, or larger: the processor forwards a
/// store to a load only if the store covers it.
#[inline(always)]
fn write<F: Restore>(frame: &mut Frame, trailer: &Trailer) -> Option<()>
where
    F::Address: Vary,
{
    let index = trailer.counter.wrapping_mul(trailer.spread.stride) & trailer.spread.mask;
    let first_source = F::Address::from_stored(&trailer.source);
    let first_destination = F::Address::from_stored(&trailer.destination);
    let source = trailer.spread.source(first_source, index);
    let destination = trailer.spread.destination(first_destination, index);
    let ports = trailer.spread.ports(trailer.ports, index);
    let delta = F::Address::delta(Delta::NONE, first_source, source);
    let delta = F::Address::delta(delta, first_destination, destination);

    frame.write(0, &trailer.addresses)?;
    frame.write(ethernet::ETHERTYPE_OFFSET, &trailer.ethertype)?;
    let transport = F::write(frame, trailer, (source, destination), delta)?;
    let delta = delta
        .word(trailer.ports.source, ports.source)
        .word(trailer.ports.destination, ports.destination);
    let checksum = checksum::update(trailer.checksum, delta);
    frame.write(transport, &ports)?;
    if trailer.protocol == u32::from(ipv4::TCP) {
        frame.write(transport + tcp::CHECKSUM_OFFSET, &checksum)
    } else {
        frame.write(transport + udp::CHECKSUM_OFFSET, &checksum)
    }
}

/// What differs between the families' headers.
trait Restore: Family {
    /// Writes the header; `delta` is what the addresses do to a checksum. Returns the offset of
    /// the transport header.
    fn write(
        frame: &mut Frame,
        trailer: &Trailer,
        addresses: (Self::Address, Self::Address),
        delta: Delta,
    ) -> Option<usize>;
}

impl Restore for V4 {
    #[inline(always)]
    fn write(
        frame: &mut Frame,
        trailer: &Trailer,
        (source, destination): (Be32, Be32),
        delta: Delta,
    ) -> Option<usize> {
        const ROUTE: usize = IP + ipv4::ROUTE_OFFSET;
        let checksum = checksum::update(trailer.ip_checksum, delta);
        let word = u32::from(trailer.ttl_protocol.raw()) | u32::from(checksum.raw()) << 16;
        frame.write(ROUTE, &word)?;
        let addresses = u64::from(source.raw()) | u64::from(destination.raw()) << 32;
        frame.write(IP + ipv4::SOURCE_OFFSET, &addresses)?;
        Some(IP + ipv4::MIN_HEADER_LENGTH)
    }
}

impl Restore for V6 {
    #[inline(always)]
    fn write(
        frame: &mut Frame,
        trailer: &Trailer,
        (source, destination): (ipv6::Address, ipv6::Address),
        _delta: Delta,
    ) -> Option<usize> {
        const DESTINATION: usize = IP + ipv6::SOURCE_OFFSET + size_of::<ipv6::Address>();
        frame.write(IP, &trailer.head)?;
        frame.write(IP + ipv6::SOURCE_OFFSET, &source)?;
        frame.write(DESTINATION, &destination)?;
        Some(IP + ipv6::HEADER_LENGTH)
    }
}
