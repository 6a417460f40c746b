//! Maps in memory with a clock and exceptions, and with calls that fail when they are told to.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::ops::Range;

use abi::exception::Exception;
use abi::family::{Family, V4};
use abi::flow::{FlowKeyV4, FlowV4};
use abi::prefix::PrefixKey as _;
use abi::quic::ServerKey;
use abi::service::Service;
use abi::slot::Slot;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::EngineError;
use crate::dataplane::{Found, sources};
use crate::desired::{Desired, Prefix};
use crate::directory::{Directory, keys};
use crate::image::Image;
use crate::live::PrefixKey;
use crate::maps::{FlowTable, Maps, Room};

/// Maps whose flows are IPv4.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub(super) image: Image,
    pub(super) exceptions: BTreeMap<FlowKeyV4, Exception>,
    /// Established ones of `nat`, both halves.
    pub(super) flows: BTreeMap<FlowKeyV4, FlowV4>,
    /// jiffies.
    pub(super) now: u32,
    pub(super) refusals: u64,
    pub(super) room: Room,
    /// Which of the calls that can fail do so, from the first one after this was set.
    failing: Range<u64>,
    /// And from which one on all do.
    failing_from: u64,
    calls: Cell<u64>,
    /// How many slots are written before the process dies.
    slots_left: u64,
}

impl Memory {
    pub(super) fn new() -> Self {
        let image = Image::build(&Desired::default(), |_, _| None).unwrap();
        Self {
            room: image.room(),
            image,
            exceptions: BTreeMap::new(),
            flows: BTreeMap::new(),
            now: 0,
            refusals: 0,
            failing: 0..0,
            failing_from: u64::MAX,
            calls: Cell::new(0),
            slots_left: u64::MAX,
        }
    }

    /// The process dies: no call succeeds from this one on, or no slot is written after so many.
    pub(super) fn die(&mut self, call: u64, slots: u64) {
        self.fail(0..0);
        self.failing_from = call;
        self.slots_left = slots;
    }

    /// Whether it has died: a call did not succeed, or a slot was not written.
    pub(super) fn has_died(&self) -> bool {
        self.calls.get() > self.failing_from
    }

    /// The next process works with the same maps.
    pub(super) fn revive(&mut self) {
        self.die(u64::MAX, u64::MAX);
    }

    pub(super) fn found(&self) -> Found {
        let prefixes = self.image.prefixes.iter();
        let servers = self.image.quic_servers.iter();
        Found {
            services: self.image.services.clone(),
            backends: self.image.backends.clone(),
            prefixes: prefixes
                .map(|(key, service)| {
                    let (address, bits, port, protocol) = key.parts();
                    let address = IpAddr::from(address.get().to_be_bytes());
                    let prefix = Prefix::around(address, bits as u8).unwrap();
                    let port = port.get();
                    let key = PrefixKey {
                        prefix,
                        port,
                        protocol,
                    };
                    (key, *service)
                })
                .collect(),
            quic_servers: servers
                .map(|(key, backend)| ((key.service, key.id), *backend))
                .collect(),
            sources: sources(keys::<V4>(&self.image.directory.buckets)).collect(),
        }
    }

    pub(super) fn fail(&mut self, calls: Range<u64>) {
        self.failing = calls;
        self.failing_from = u64::MAX;
        self.calls.set(0);
    }

    /// One call fails, and so do all from a later one on.
    pub(super) fn fail_twice(&mut self, call: u64, from: u64) {
        self.fail(call..call + 1);
        self.failing_from = from;
    }

    /// Whether a call has failed since this was set.
    pub(super) fn has_failed(&self) -> bool {
        !self.failing.is_empty() && self.calls.get() > self.failing.start
    }

    /// Every call that can fail comes through here.
    fn call(&self) -> Result<(), EngineError> {
        let call = self.calls.replace(self.calls.get() + 1);
        if self.failing.contains(&call) || call >= self.failing_from {
            return Err(EngineError::Map {
                map: "any",
                operation: "call",
                source: io::Error::other("told to fail"),
            });
        }
        Ok(())
    }
}

/// A value of one family as that of another: both are IPv4, which the compiler cannot know.
fn same<A: IntoBytes + Immutable, B: FromBytes>(value: &A) -> B {
    B::read_from_bytes(value.as_bytes()).unwrap_or_else(|_| panic!("both are IPv4"))
}

impl Maps for Memory {
    fn room(&self) -> Room {
        self.room
    }

    fn now(&mut self) -> Result<u32, EngineError> {
        self.call()?;
        Ok(self.now)
    }

    fn slot(&self, index: u32) -> Slot {
        self.image.slot(index)
    }

    fn write_slots(&mut self, first: u32, slots: &[Slot]) {
        let left = usize::try_from(self.slots_left).unwrap_or(usize::MAX);
        let written = slots.len().min(left);
        self.slots_left -= written as u64;
        if written < slots.len() {
            self.failing_from = 0;
        }
        self.image.write_slots(first, &slots[..written]);
    }

    fn write_service(&mut self, index: u32, service: &Service) -> Result<(), EngineError> {
        self.call()?;
        self.image.write_service(index, service)
    }

    fn write_backend(
        &mut self,
        index: u32,
        backend: &abi::backend::Backend,
    ) -> Result<(), EngineError> {
        self.call()?;
        self.image.write_backend(index, backend)
    }

    fn clear_counters(&mut self, _: u32) -> Result<(), EngineError> {
        self.call()
    }

    fn write_directory<F: Family>(&mut self, directory: &Directory<F>) -> Result<(), EngineError> {
        self.call()?;
        self.image.write_directory(directory)
    }

    fn write_prefix<F: Family>(
        &mut self,
        key: &F::PrefixKey,
        service: Option<u32>,
    ) -> Result<(), EngineError> {
        self.call()?;
        self.image.write_prefix::<F>(key, service)
    }

    fn write_quic_server(
        &mut self,
        key: &ServerKey,
        backend: Option<u32>,
    ) -> Result<(), EngineError> {
        self.call()?;
        self.image.write_quic_server(key, backend)
    }

    fn refusals(&self) -> Result<u64, EngineError> {
        self.call()?;
        Ok(self.refusals)
    }

    fn for_each_exception<F: Family>(
        &self,
        visit: &mut dyn FnMut(&F::FlowKey, &Exception),
    ) -> Result<(), EngineError> {
        self.call()?;
        if !F::IS_V6 {
            for (key, entry) in &self.exceptions {
                visit(&same(key), entry);
            }
        }
        Ok(())
    }

    fn exception<F: Family>(&self, key: &F::FlowKey) -> Result<Option<Exception>, EngineError> {
        self.call()?;
        Ok(self.exceptions.get(&same(key)).copied())
    }

    fn remove_exception<F: Family>(&mut self, key: &F::FlowKey) -> Result<bool, EngineError> {
        self.call()?;
        Ok(self.exceptions.remove(&same(key)).is_some())
    }

    fn for_each_flow<F: Family>(
        &self,
        table: FlowTable,
        visit: &mut dyn FnMut(&F::FlowKey, &F::Flow),
    ) -> Result<(), EngineError> {
        self.call()?;
        if !F::IS_V6 && table == FlowTable::Established {
            for (key, flow) in &self.flows {
                visit(&same(key), &same(flow));
            }
        }
        Ok(())
    }

    fn flow<F: Family>(
        &self,
        _: FlowTable,
        key: &F::FlowKey,
    ) -> Result<Option<F::Flow>, EngineError> {
        self.call()?;
        Ok(self.flows.get(&same(key)).map(same))
    }

    fn remove_flow<F: Family>(
        &mut self,
        _: FlowTable,
        key: &F::FlowKey,
    ) -> Result<bool, EngineError> {
        self.call()?;
        Ok(self.flows.remove(&same(key)).is_some())
    }
}
