//! The programs that `./dev bench` times: the product's packet path, and the floors to compare it
//! with. Each restores its packet first, because `BPF_PROG_TEST_RUN` does not.

#![no_std]
#![no_main]

mod balance;
mod maps;
mod packet;
mod route;
mod tables;
mod trailer;

use abi::backend::Link;
use abi::family::V4;
use abi::flow::{FlowKeyV4, RewriteV4};
use aya_ebpf::bindings::{xdp_action, xdp_md};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use datapath::{Packet, Parsed, Transport};
use packet::Frame;
use trailer::Trailer;
use wire::checksum::{self, Delta};
use wire::ethernet::{self, Addresses};
use wire::{Be16, Be32, ipv4, tcp};

/// Floor: the call and nothing else. What a program costs before it does anything.
#[xdp(frags)]
fn bench_pass(_context: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// The wrapper of all others, alone.
#[xdp(frags)]
fn bench_wrapper(context: XdpContext) -> u32 {
    restore(context.ctx)
}

/// Floor: parse, pass.
#[xdp(frags)]
fn bench_parse(context: XdpContext) -> u32 {
    if restore(context.ctx) == xdp_action::XDP_ABORTED {
        return xdp_action::XDP_ABORTED;
    }
    // Some use of the result, or the compiler would drop most of the parsing: RFC 5737 addresses.
    const NOBODY: FlowKeyV4 = FlowKeyV4::constant(
        Be32::new(0xc000_0201),
        Be32::new(0xc633_6401),
        (Be16::new(1), Be16::new(1)),
        ipv4::TCP,
    );
    match parse(&Frame::new(context.ctx)) {
        Some(parsed) if parsed.key == NOBODY => xdp_action::XDP_DROP,
        _ => xdp_action::XDP_PASS,
    }
}

/// Floor: parse and rewrite to constants, without a single lookup, and send.
#[xdp(frags)]
fn bench_rewrite(context: XdpContext) -> u32 {
    const BECOMES: RewriteV4 = RewriteV4 {
        source: Be32::new(0x0a00_000a),
        destination: Be32::new(0x0a00_0002),
        source_port: Be16::new(40_000),
        destination_port: Be16::new(8000),
        ip_delta: 0x1234,
        transport_delta: 0x5678,
    };
    const LINK: Link = Link::new(Addresses::from_words(0x0200_0000_2222_2222, 0x1111_1111), 1);
    if restore(context.ctx) == xdp_action::XDP_ABORTED {
        return xdp_action::XDP_ABORTED;
    }
    let mut frame = Frame::new(context.ctx);
    let Some(parsed) = parse(&frame) else {
        return xdp_action::XDP_PASS;
    };
    if parsed.segment.transport == Transport::LaterFragment {
        return xdp_action::XDP_PASS;
    }
    match datapath::rewrite(&mut frame, &parsed, &BECOMES, &LINK) {
        Some(()) => xdp_action::XDP_TX,
        None => xdp_action::XDP_DROP,
    }
}

#[inline(always)]
fn parse(frame: &Frame) -> Option<Parsed<V4>> {
    let carried = datapath::carried(frame).ok()?;
    if carried.ethertype != ethernet::IPV4 {
        return None;
    }
    datapath::parse(frame, carried.offset, 0).ok()
}

/// The product's packet path.
#[xdp(frags)]
fn bench_balance(context: XdpContext) -> u32 {
    if restore(context.ctx) == xdp_action::XDP_ABORTED {
        return xdp_action::XDP_ABORTED;
    }
    balance::balance(&context)
}

/// The wrapper: puts the original headers back, moved on to the next packet's index, with valid
/// checksums. `XDP_ABORTED` if there is no trailer, else `XDP_PASS`.
///
/// A function of its own, so that the compiler knows as little about the packet behind it as the
/// product's does: inlined, it would hand values and bounds checks on.
#[inline(never)]
fn restore(context: *mut xdp_md) -> u32 {
    match try_restore(&mut Frame::new(context)) {
        Some(()) => xdp_action::XDP_PASS,
        None => xdp_action::XDP_ABORTED,
    }
}

/// Fields are written in the pieces in which they are read, or larger: the processor forwards a
/// store to a load only if the store covers it.
#[inline(always)]
fn try_restore(frame: &mut Frame) -> Option<()> {
    const IP: usize = ethernet::HEADER_LENGTH;
    const ROUTE: usize = IP + ipv4::ROUTE_OFFSET;
    const TCP: usize = IP + ipv4::MIN_HEADER_LENGTH;
    let trailer: Trailer = frame.read(trailer::OFFSET)?;
    let index = trailer.counter.wrapping_mul(trailer.spread.stride) & trailer.spread.mask;
    let source = trailer.spread.source(trailer.source, index);
    let ports = trailer.spread.ports(trailer.ports, index);
    let delta = Delta::NONE.double_word(trailer.source, source);
    let ip_checksum = checksum::update(trailer.ip_checksum, delta);
    let delta = delta
        .word(trailer.ports.source, ports.source)
        .word(trailer.ports.destination, ports.destination);
    let checksum = checksum::update(trailer.checksum, delta);

    frame.write(0, &trailer.addresses)?;
    let ttl_checksum = u32::from(trailer.ttl_protocol.raw()) | u32::from(ip_checksum.raw()) << 16;
    frame.write(ROUTE, &ttl_checksum)?;
    let addresses = u64::from(source.raw()) | u64::from(trailer.destination.raw()) << 32;
    frame.write(ROUTE + 4, &addresses)?;
    frame.write(TCP, &ports)?;
    frame.write(TCP + tcp::CHECKSUM_OFFSET, &checksum)?;
    frame.write(
        trailer::OFFSET + core::mem::offset_of!(Trailer, counter),
        &trailer.counter.wrapping_add(1),
    )
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
