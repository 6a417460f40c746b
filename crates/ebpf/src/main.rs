//! The load balancer's XDP program. Everything it decides is in `datapath`; here are its entry
//! points, its maps and its access to the packet, with all the unsafe code of the kernel side.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod balance;
mod maps;
mod packet;
mod route;
mod tables;

use aya_ebpf::helpers::bpf_jiffies64;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;

/// Balances what is for a service; everything else goes to the host's own stack.
#[xdp(frags)]
fn evenkeel(context: XdpContext) -> u32 {
    balance::balance(&context)
}

/// The kernel's clock, as `evenkeel` sees it: user space needs it to tell a flow's age.
#[xdp]
fn clock(_context: XdpContext) -> u32 {
    // SAFETY: the helper takes nothing and reads a counter.
    unsafe { bpf_jiffies64() as u32 }
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
