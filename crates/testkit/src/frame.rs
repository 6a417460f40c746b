//! A frame in memory.

use std::net::{IpAddr, Ipv6Addr};

use abi::backend::Link;
use abi::family::{Address as _, Family};
use datapath::{Packet, RouteQuery, Way};
use wire::checksum::{self, Sum};
use wire::ethernet::Addresses;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bytes and the interface they came in by. Every access is checked against the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// From the Ethernet header on.
    pub bytes: Vec<u8>,
    /// Index of the interface.
    pub ingress_interface: u32,
    /// The host's routes.
    pub routes: Routes,
}

/// Which way the host's routes show every packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routes {
    /// Back where it came from, as in the kernel's test runs.
    #[default]
    Back,
    /// Back where it came from, up to this length in bytes.
    Narrow(u32),
    /// The host's stack takes care.
    Host,
    /// The host itself is meant.
    Nowhere,
}

impl Routes {
    /// What they are for packets to `destination`.
    #[must_use]
    pub fn to(self, destination: IpAddr) -> Self {
        match destination {
            IpAddr::V6(address) if is_never_forwarded(address) => Self::Nowhere,
            _ => self,
        }
    }
}

/// Whether the kernel looks no route up for it (`rt6_need_strict` in net/core/filter.c).
fn is_never_forwarded(address: Ipv6Addr) -> bool {
    address.is_multicast() || address.is_unicast_link_local() || address.is_loopback()
}

/// Bytes that a frame may grow by at its front: what the kernel guarantees (`XDP_PACKET_HEADROOM`).
const HEADROOM: usize = 256;

impl Packet for Frame {
    type Local<'p> = &'p mut Frame;

    fn local(&mut self) -> &mut Frame {
        self
    }

    fn refresh(&mut self) {}

    fn read<V: FromBytes>(&self, offset: usize) -> Option<V> {
        let end = offset.checked_add(size_of::<V>())?;
        V::read_from_bytes(self.bytes.get(offset..end)?).ok()
    }

    fn write<V: IntoBytes + Immutable>(&mut self, offset: usize, value: &V) -> Option<()> {
        let end = offset.checked_add(size_of::<V>())?;
        let place = self.bytes.get_mut(offset..end)?;
        place.copy_from_slice(value.as_bytes());
        Some(())
    }

    fn is_at_least(&self, length: usize) -> bool {
        self.bytes.len() >= length
    }

    fn sum<const LENGTH: usize>(&self, offset: usize) -> Option<Sum> {
        let bytes = self.bytes.get(offset..offset.checked_add(LENGTH)?)?;
        Some(Sum::of(checksum::sum(bytes, 0).into()))
    }

    fn ingress_interface(&self) -> u32 {
        self.ingress_interface
    }

    /// As in the kernel's test runs, where frames come and go by the loopback.
    fn too_big_for(&self, _interface: u32, _length: u32) -> Option<u32> {
        None
    }

    fn grow_front(&mut self, bytes: usize) -> Option<()> {
        if bytes > HEADROOM {
            return None;
        }
        self.bytes.splice(0..0, std::iter::repeat_n(0, bytes));
        Some(())
    }

    fn shrink_front(&mut self, bytes: usize) -> Option<()> {
        if bytes > self.bytes.len() {
            return None;
        }
        self.bytes.drain(..bytes);
        Some(())
    }

    fn truncate(&mut self, length: usize) -> Option<()> {
        if length > self.bytes.len() {
            return None;
        }
        self.bytes.truncate(length);
        Some(())
    }

    fn route<F: Family>(&self, query: &RouteQuery<F>) -> Way {
        let destination = query.destination.stored().as_v6();
        if F::IS_V6 && is_never_forwarded(destination.octets().into()) {
            return Way::Nowhere;
        }
        match self.routes {
            Routes::Narrow(mtu) if query.length > mtu => return Way::TooBig(mtu),
            Routes::Host => return Way::Host,
            Routes::Nowhere => return Way::Nowhere,
            Routes::Back | Routes::Narrow(_) => {}
        }
        match self.read::<Addresses>(0) {
            Some(addresses) => Way::Link(Link::new(addresses.swapped(), self.ingress_interface)),
            None => Way::Host,
        }
    }
}

/// A borrowed frame is a frame.
impl Packet for &mut Frame {
    type Local<'p>
        = &'p mut Frame
    where
        Self: 'p;

    fn local(&mut self) -> &mut Frame {
        self
    }

    fn refresh(&mut self) {}

    fn read<V: FromBytes>(&self, offset: usize) -> Option<V> {
        (**self).read(offset)
    }

    fn write<V: IntoBytes + Immutable>(&mut self, offset: usize, value: &V) -> Option<()> {
        (**self).write(offset, value)
    }

    fn is_at_least(&self, length: usize) -> bool {
        (**self).is_at_least(length)
    }

    fn sum<const LENGTH: usize>(&self, offset: usize) -> Option<Sum> {
        (**self).sum::<LENGTH>(offset)
    }

    fn ingress_interface(&self) -> u32 {
        (**self).ingress_interface()
    }

    fn too_big_for(&self, interface: u32, length: u32) -> Option<u32> {
        (**self).too_big_for(interface, length)
    }

    fn grow_front(&mut self, bytes: usize) -> Option<()> {
        (**self).grow_front(bytes)
    }

    fn shrink_front(&mut self, bytes: usize) -> Option<()> {
        (**self).shrink_front(bytes)
    }

    fn truncate(&mut self, length: usize) -> Option<()> {
        (**self).truncate(length)
    }

    fn route<F: Family>(&self, query: &RouteQuery<F>) -> Way {
        (**self).route(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_or_written_past_the_end() {
        let mut frame = Frame {
            bytes: vec![1, 2, 3],
            ingress_interface: 1,
            routes: Routes::Back,
        };
        assert_eq!(frame.read::<[u8; 2]>(1), Some([2, 3]));
        assert_eq!(frame.read::<[u8; 2]>(2), None);
        assert_eq!(frame.read::<[u8; 2]>(usize::MAX), None);
        assert_eq!(frame.write(2, &[9_u8, 9]), None);
        assert_eq!(frame.bytes, [1, 2, 3]);
        assert_eq!(frame.write(1, &[8_u8, 9]), Some(()));
        assert_eq!(frame.bytes, [1, 8, 9]);
    }
}
