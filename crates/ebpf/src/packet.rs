//! The frame in the kernel's memory.

use core::ptr;

use aya_ebpf::helpers::bpf_xdp_get_buff_len;
use aya_ebpf::programs::XdpContext;
use datapath::Packet;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Start and end of the frame's first buffer, read once.
pub(crate) struct Frame<'c> {
    context: &'c XdpContext,
    data: usize,
    data_end: usize,
}

impl<'c> Frame<'c> {
    #[inline(always)]
    pub(crate) fn new(context: &'c XdpContext) -> Self {
        // SAFETY: the context is the one the kernel called us with, and outlives the frame.
        let fields = unsafe { &*context.ctx };
        // Volatile, because the verifier knows the two for what they are only where they are
        // loaded: the compiler may not move the loads into a caller (LLVM's argument promotion).
        // SAFETY: a reference is valid and aligned.
        let data = unsafe { ptr::from_ref(&fields.data).read_volatile() };
        // SAFETY: as above.
        let data_end = unsafe { ptr::from_ref(&fields.data_end).read_volatile() };
        Self {
            context,
            data: data as usize,
            data_end: data_end as usize,
        }
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

impl Packet for Frame<'_> {
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
        unsafe { bpf_xdp_get_buff_len(self.context.ctx) >= length as u64 }
    }

    #[inline(always)]
    fn ingress_interface(&self) -> u32 {
        self.context.ingress_ifindex() as u32
    }
}
