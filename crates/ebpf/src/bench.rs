//! The programs that `./dev bench` times: the product's packet path, and the floors to compare it
//! with. Each restores its packet first, because `BPF_PROG_TEST_RUN` does not.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod balance;
mod floors;
mod maps;
mod packet;
mod restore;
mod route;
mod tables;
mod trailer;

use abi::family::{V4, V6};
use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use datapath::Packet as _;
use packet::Frame;
use restore::restore;

/// The call and nothing else. What a program costs before it does anything.
#[xdp(frags)]
fn bench_pass(_context: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// The wrapper of all others, alone.
#[xdp(frags)]
fn bench_wrapper(context: XdpContext) -> u32 {
    restore(context.ctx)
}

/// The wrapper, and the frame's start moved, which the wrapper undoes.
#[xdp(frags)]
fn bench_move(context: XdpContext) -> u32 {
    if restore(context.ctx) == xdp_action::XDP_ABORTED {
        return xdp_action::XDP_ABORTED;
    }
    moved(Frame::new(context.ctx).grow_front(20))
}

/// The same, and moved back and forth once more: what a move costs is half the difference.
#[xdp(frags)]
fn bench_move_thrice(context: XdpContext) -> u32 {
    if restore(context.ctx) == xdp_action::XDP_ABORTED {
        return xdp_action::XDP_ABORTED;
    }
    let mut frame = Frame::new(context.ctx);
    let there = frame.grow_front(20);
    let back = there.and_then(|()| frame.shrink_front(20));
    moved(back.and_then(|()| frame.grow_front(20)))
}

#[inline(always)]
fn moved(done: Option<()>) -> u32 {
    done.map_or(xdp_action::XDP_ABORTED, |()| xdp_action::XDP_TX)
}

/// Floor: parse, pass.
#[xdp(frags)]
fn bench_parse(context: XdpContext) -> u32 {
    floors::parse::<V4>(&context)
}

/// The same for IPv6.
#[xdp(frags)]
fn bench_parse_v6(context: XdpContext) -> u32 {
    floors::parse::<V6>(&context)
}

/// Floor: parse and rewrite to constants, without a single lookup, and send.
#[xdp(frags)]
fn bench_rewrite(context: XdpContext) -> u32 {
    floors::rewrite::<V4>(&context)
}

/// The same for IPv6.
#[xdp(frags)]
fn bench_rewrite_v6(context: XdpContext) -> u32 {
    floors::rewrite::<V6>(&context)
}

/// Floor: parse and encapsulate to constants, without a single lookup, and send.
#[xdp(frags)]
fn bench_encap(context: XdpContext) -> u32 {
    floors::encapsulate::<V4, V4>(&context)
}

/// The same, IPv4 in IPv6.
#[xdp(frags)]
fn bench_encap_4in6(context: XdpContext) -> u32 {
    floors::encapsulate::<V4, V6>(&context)
}

/// The same, IPv6 in IPv4.
#[xdp(frags)]
fn bench_encap_6in4(context: XdpContext) -> u32 {
    floors::encapsulate::<V6, V4>(&context)
}

/// The same, IPv6 in IPv6.
#[xdp(frags)]
fn bench_encap_v6(context: XdpContext) -> u32 {
    floors::encapsulate::<V6, V6>(&context)
}

/// The product's packet path.
#[xdp(frags)]
fn bench_balance(context: XdpContext) -> u32 {
    if restore(context.ctx) == xdp_action::XDP_ABORTED {
        return xdp_action::XDP_ABORTED;
    }
    balance::balance(&context)
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
