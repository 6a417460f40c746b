//! The frame in the kernel's memory.

use core::ptr;

use abi::family::Family;
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::{
    bpf_check_mtu, bpf_csum_diff, bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len,
};
use datapath::{Packet, RouteQuery, Way};
use wire::checksum::Sum;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::route;

/// What `bpf_csum_diff` takes at once.
const LONGEST_SUM: usize = 512;

/// `BPF_MTU_CHK_RET_FRAG_NEEDED`.
const FRAGMENTATION_NEEDED: i64 = 1;

/// Start and end of the frame's first buffer, read once.
pub(crate) struct Frame {
    context: *mut xdp_md,
    data: usize,
    data_end: usize,
}

impl Frame {
    #[inline(always)]
    pub(crate) fn new(context: *mut xdp_md) -> Self {
        let mut frame = Self {
            context,
            data: 0,
            data_end: 0,
        };
        frame.find_ends();
        frame
    }

    /// Loads start and end, after a helper may have moved them.
    #[inline(always)]
    fn find_ends(&mut self) {
        // SAFETY: the context is the one the kernel called us with.
        let fields = unsafe { &*self.context };
        // Volatile, because the verifier knows the two for what they are only where they are
        // loaded: the compiler may not move the loads into a caller (LLVM's argument promotion).
        // SAFETY: a reference is valid and aligned.
        self.data = unsafe { ptr::from_ref(&fields.data).read_volatile() } as usize;
        // SAFETY: as above.
        self.data_end = unsafe { ptr::from_ref(&fields.data_end).read_volatile() } as usize;
    }

    /// Moves the frame's start by `bytes`; negative: to the front.
    #[inline(always)]
    fn move_front(&mut self, bytes: i32) -> Option<()> {
        // SAFETY: the context is the one the kernel called us with.
        let failed = unsafe { bpf_xdp_adjust_head(self.context, bytes) };
        self.find_ends();
        (failed == 0).then_some(())
    }

    /// The address of `offset`, if `length` bytes from there on are in the first buffer.
    #[inline(always)]
    fn at(&self, offset: usize, length: usize) -> Option<usize> {
        let start = self.data + offset;
        if start + length > self.data_end {
            return None;
        }
        Some(start)
    }
}

impl Packet for Frame {
    type Local<'p> = Frame;

    #[inline(always)]
    fn local(&mut self) -> Frame {
        Frame::new(self.context)
    }

    #[inline(always)]
    fn refresh(&mut self) {
        self.find_ends();
    }

    #[inline(always)]
    fn read<V: FromBytes>(&self, offset: usize) -> Option<V> {
        let start = self.at(offset, size_of::<V>())? as *const V;
        // SAFETY: `at` has compared the value's end with the frame's, the verifier checks that it
        // did, and every bit pattern is a valid `V`.
        Some(unsafe { start.read_unaligned() })
    }

    #[inline(always)]
    fn write<V: IntoBytes + Immutable>(&mut self, offset: usize, value: &V) -> Option<()> {
        let start = self.at(offset, size_of::<V>())? as *mut V;
        // SAFETY: as in `read`; the frame is ours until the program returns.
        unsafe {
            start
                .cast::<u8>()
                .copy_from_nonoverlapping(ptr::from_ref(value).cast(), size_of::<V>());
        };
        Some(())
    }

    #[inline(always)]
    fn is_at_least(&self, length: usize) -> bool {
        if self.at(0, length).is_some() {
            return true;
        }
        // Only frames of several buffers (or truncated ones) get here.
        // SAFETY: the context is the one the kernel called us with.
        unsafe { bpf_xdp_get_buff_len(self.context) >= length as u64 }
    }

    /// By the kernel's helper, in pieces that it takes: a loop over the packet would become
    /// arithmetic with the frame's end, which the verifier prohibits.
    #[inline(always)]
    fn sum<const LENGTH: usize>(&self, offset: usize) -> Option<Sum> {
        let start = self.at(offset, LENGTH)?;
        let mut sum = 0;
        let mut done = 0;
        while done < LENGTH {
            let length = if LENGTH - done < LONGEST_SUM {
                LENGTH - done
            } else {
                LONGEST_SUM
            };
            let piece = (start + done) as *mut u32;
            // SAFETY: `at` has compared the end of all of it with the frame's.
            let partial = unsafe { bpf_csum_diff(ptr::null_mut(), 0, piece, length as u32, sum) };
            sum = u32::try_from(partial).ok()?;
            done += length;
        }
        Some(Sum::of(sum))
    }

    #[inline(always)]
    fn ingress_interface(&self) -> u32 {
        // SAFETY: the context is the one the kernel called us with.
        unsafe { (*self.context).ingress_ifindex }
    }

    #[inline(always)]
    fn too_big_for(&self, interface: u32, length: u32) -> Option<u32> {
        let mut mtu = length;
        // SAFETY: the context is the one the kernel called us with; the helper reads the length
        // from the variable and leaves the MTU there.
        let answer = unsafe { bpf_check_mtu(self.context.cast(), interface, &raw mut mtu, 0, 0) };
        (answer == FRAGMENTATION_NEEDED).then_some(mtu)
    }

    #[inline(always)]
    fn grow_front(&mut self, bytes: usize) -> Option<()> {
        self.move_front(-(bytes as i32))
    }

    #[inline(always)]
    fn shrink_front(&mut self, bytes: usize) -> Option<()> {
        self.move_front(bytes as i32)
    }

    #[inline(always)]
    fn truncate(&mut self, length: usize) -> Option<()> {
        // SAFETY: the context is the one the kernel called us with.
        let now = unsafe { bpf_xdp_get_buff_len(self.context) };
        let change = length as i32 - now as i32;
        // SAFETY: as above.
        let failed = unsafe { bpf_xdp_adjust_tail(self.context, change) };
        self.find_ends();
        (failed == 0).then_some(())
    }

    #[inline(always)]
    fn route<F: Family>(&self, query: &RouteQuery<F>) -> Way {
        route::ask(self.context, self.ingress_interface(), query)
    }
}
