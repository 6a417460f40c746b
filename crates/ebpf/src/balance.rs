//! From a verdict to an XDP action: shared by the product's program and the one that is timed.

use abi::counters::Report;
use abi::reason::Action;
use aya_ebpf::bindings::xdp_action;
use aya_ebpf::programs::XdpContext;
use datapath::{Packet, Tables, Verdict};

use crate::maps;
use crate::packet::Frame;
use crate::tables::KernelTables;

/// Balances one packet.
#[inline(always)]
pub(crate) fn balance(context: &XdpContext) -> u32 {
    let Some(tables) = KernelTables::find() else {
        return xdp_action::XDP_PASS;
    };
    let mut frame = Frame::new(context.ctx);
    let verdict = datapath::process(&mut frame, &tables);
    if tables.settings().report != 0 {
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
