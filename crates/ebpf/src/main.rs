//! The load balancer's XDP program. Everything it decides is in `datapath`; here are its entry
//! points, its maps and its access to the packet, with all the unsafe code of the kernel side.

#![no_std]
#![no_main]

mod maps;
mod packet;
mod tables;

use abi::counters::Report;
use abi::reason::Action;
use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::bpf_jiffies64;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use datapath::{Packet, Tables, Verdict};
use packet::Frame;
use tables::KernelTables;

/// Balances what is for a service; everything else goes to the host's own stack.
#[xdp(frags)]
fn evenkeel(context: XdpContext) -> u32 {
    let mut frame = Frame::new(&context);
    let verdict = datapath::process(&mut frame, &KernelTables);
    if KernelTables.settings().report != 0 {
        report(&verdict);
    }
    match verdict.reason.action() {
        Action::Pass => xdp_action::XDP_PASS,
        Action::Drop => xdp_action::XDP_DROP,
        Action::Forward if verdict.interface == frame.ingress_interface() => xdp_action::XDP_TX,
        Action::Forward => maps::INTERFACES
            .redirect(verdict.interface, u64::from(xdp_action::XDP_DROP))
            .unwrap_or(xdp_action::XDP_DROP),
    }
}

/// The kernel's clock, as `evenkeel` sees it: user space needs it to tell a flow's age.
#[xdp]
fn clock(_context: XdpContext) -> u32 {
    // SAFETY: the helper takes nothing and reads a counter.
    unsafe { bpf_jiffies64() as u32 }
}

#[inline(always)]
fn report(verdict: &Verdict) {
    if let Some(report) = maps::REPORT.get_ptr_mut(0) {
        let value = Report {
            reason: verdict.reason as u32,
            service: verdict.service,
            backend: verdict.backend,
            interface: verdict.interface,
        };
        // SAFETY: the map's only entry, which lives as long as the map; test runs are one at a time.
        unsafe { *report = value };
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
