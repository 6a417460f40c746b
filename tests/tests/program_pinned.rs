//! Pinned maps: what the next process finds in them, also of another version.

#![forbid(unsafe_code)]

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use abi::backend::Backend as BackendEntry;
use abi::family::{V4, V6};
use abi::maps::META;
use aya::maps::{Array, Map, MapData};
use engine::dataplane::{AttachMode, DataPlane};
use engine::desired::{
    Backend, BackendState, Desired, ForwardingMode, Mac, NextHop, Prefix, Protocol, Service,
    ServiceId, ServicePort,
};
use engine::image::Image;
use engine::live::Live;
use engine::maps::Maps as _;
use engine::pins::Pins;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};

/// Pins that go with the test.
struct Pinned(Pins);

impl Pinned {
    fn new(test: &str) -> Self {
        Self(Pins::of(&format!("test-{test}-{}", std::process::id())))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let removed = self.0.remove();
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

fn service(address: Prefix, protocol: Protocol, mode: ForwardingMode, hosts: &[u8]) -> Service {
    let id = ServiceId {
        protocol,
        address,
        port: ServicePort::Exact(443),
    };
    let backend = |host: &u8| match mode {
        ForwardingMode::Nat if address.is_ipv6() => {
            Backend::new([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(*host)])
        }
        _ => Backend::new([10, 0, 0, *host]),
    };
    Service {
        mode,
        ring_log2: Some(8),
        ..Service::new(id, hosts.iter().map(backend).collect())
    }
}

fn desired() -> Desired {
    let v4 = Prefix::from([192, 0, 2, 1]);
    let prefix = Prefix::around([198, 51, 100, 0].into(), 24).expect("a prefix");
    let v6 = Prefix::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]);
    let mut draining = service(v4, Protocol::Udp, ForwardingMode::Gue, &[2, 3, 4]);
    draining.backends[1].state = BackendState::Drain;
    Desired {
        services: vec![
            service(v4, Protocol::Tcp, ForwardingMode::Ipip, &[2, 3]),
            draining,
            service(prefix, Protocol::Tcp, ForwardingMode::L2Dsr, &[2]),
            service(v6, Protocol::Tcp, ForwardingMode::Nat, &[5, 6]),
        ],
        ..Desired::default()
    }
}

fn next_hop(_: &Service, backend: &Backend) -> Option<NextHop> {
    Some(NextHop {
        interface_index: 1,
        source_mac: Mac([2, 0, 0, 0, 0, 1]),
        destination_mac: Mac([2, 0, 0, 0, 0, 2]),
        source_address: match backend.address {
            IpAddr::V4(_) => Ipv4Addr::new(10, 0, 0, 1).into(),
            IpAddr::V6(_) => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 1]),
        },
        mtu: 1500,
    })
}

/// Loads and fills, and says what is in the maps.
fn fill(pins: &Pins, desired: &Desired) -> DataPlane {
    let image = Image::build(desired, next_hop).expect("an image");
    let mut plane = DataPlane::load_pinned(pins, desired, &image)
        .unwrap_or_else(|error| panic!("needs root and a BPF file system: {error}"));
    let mut live = Live::new(plane.settings(), plane.room(), engine::tick());
    live.apply(&mut plane, desired, &next_hop).expect("it fits");
    plane
}

fn adopt(pins: &Pins, desired: &Desired) -> Result<DataPlane, engine::EngineError> {
    let image = Image::build(desired, next_hop)?;
    DataPlane::adopt(pins, desired, &image)
}

fn set_meta(pins: &Pins, change: impl Fn(&mut [u8; 256])) {
    let path = pins.root().join("maps").join(META);
    let map = Map::from_map_data(MapData::from_pin(path).expect("a map")).expect("a kind of map");
    let mut map: Array<_, [u8; 256]> = map.try_into().expect("an array");
    let mut meta = map.get(&0, 0).expect("an entry");
    change(&mut meta);
    map.set(0, meta, 0).expect("an entry can be written");
}

fn set_version(pins: &Pins, version: u32) {
    set_meta(pins, |meta| {
        meta[8..12].copy_from_slice(&version.to_ne_bytes());
    });
}

#[test]
fn the_next_process_finds_the_same_and_changes_nothing() {
    let pinned = Pinned::new("same");
    let desired = desired();
    let before = fill(&pinned.0, &desired).found().expect("maps");
    let mut plane = adopt(&pinned.0, &desired).expect("adopted");
    assert_eq!(plane.found().expect("maps"), before);
    let mut live = Live::adopt_plane(&mut plane).expect("a live state");
    let applied = live
        .apply(&mut plane, &desired, &next_hop)
        .expect("it fits");
    assert_eq!((applied.entries_written, applied.slots_changed), (0, 0));
    assert_eq!(plane.found().expect("maps"), before);
}

#[test]
fn maps_of_version_3_become_this_versions() {
    let pinned = Pinned::new("older");
    let desired = desired();
    let mut plane = fill(&pinned.0, &desired);
    let now = plane.found().expect("maps");
    // What version 3 left alone.
    for (index, service) in (0..).zip(&now.services).take(16) {
        let mut older = *service;
        (older.protocol, older.prefix_length) = (0, 0);
        older.flags &= !abi::service::IPV6;
        if index == 2 {
            older.address = abi::backend::Address::default();
        }
        plane.write_service(index, &older).expect("written");
    }
    for (index, backend) in (0..).zip(&now.backends) {
        let older = BackendEntry {
            service: 0,
            ..*backend
        };
        plane.write_backend(index, &older).expect("written");
    }
    drop(plane);
    set_version(&pinned.0, 3);

    let mut plane = adopt(&pinned.0, &desired).expect("migrated");
    let mut live = Live::adopt_plane(&mut plane).expect("a live state");
    // Who drains has no slot: nothing tells whose it was, and it is entered anew.
    let found = plane.found().expect("maps");
    assert_eq!(found.services, now.services);
    let changed = found.backends.iter().zip(&now.backends);
    assert_eq!(changed.filter(|(found, now)| found != now).count(), 1);
    let applied = live
        .apply(&mut plane, &desired, &next_hop)
        .expect("it fits");
    assert_eq!((applied.services_added, applied.services_removed), (0, 0));
    assert_eq!((applied.slots_changed, applied.backends_added), (0, 1));
    drop(plane);
    adopt(&pinned.0, &desired).expect("it is this version's now");
}

#[test]
fn maps_of_version_4_become_this_versions() {
    let pinned = Pinned::new("sums");
    let desired = desired();
    let mut plane = fill(&pinned.0, &desired);
    let now = plane.found().expect("maps");
    let used = now.backends.iter().filter(|entry| entry.flags != 0).count();
    for (index, backend) in (0..).zip(&now.backends).take(used) {
        let older = BackendEntry {
            padding: 0x1234,
            ..*backend
        };
        plane.write_backend(index, &older).expect("written");
    }
    drop(plane);
    set_version(&pinned.0, 4);

    let mut plane = adopt(&pinned.0, &desired).expect("migrated");
    let mut live = Live::adopt_plane(&mut plane).expect("a live state");
    let applied = live
        .apply(&mut plane, &desired, &next_hop)
        .expect("it fits");
    assert_eq!(applied.entries_written, used as u64);
    assert_eq!((applied.services_added, applied.backends_added), (0, 0));
    assert_eq!(applied.slots_changed, 0);
    assert_eq!(plane.found().expect("maps"), now);
    drop(plane);
    adopt(&pinned.0, &desired).expect("it is this version's now");
}

#[test]
fn other_versions_and_other_maps_are_refused_and_stay() {
    let pinned = Pinned::new("foreign");
    let desired = desired();
    let plane = fill(&pinned.0, &desired);
    let before = plane.found().expect("maps");
    let refused = |expected: &str| {
        let error = adopt(&pinned.0, &desired).expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("evenkeel stop"), "{error}");
        assert_eq!(plane.found().expect("maps"), before);
    };
    for version in [0, 2, abi::VERSION + 1, u32::MAX] {
        set_version(&pinned.0, version);
        refused(&format!(
            "expected maps of version {}, found version {version}",
            abi::VERSION
        ));
    }
    set_version(&pinned.0, abi::VERSION);
    set_meta(&pinned.0, |meta| meta[0] ^= 1);
    refused("these are not maps of evenkeel");
    set_meta(&pinned.0, |meta| {
        meta[0] ^= 1;
        // The number of IPv4 buckets.
        meta[16] ^= 1;
    });
    refused("which are not laid out as it says");
    set_meta(&pinned.0, |meta| meta[16] ^= 1);
    let other_seed = Desired {
        seed: desired.seed + 1,
        ..desired.clone()
    };
    let error = adopt(&pinned.0, &other_seed).expect_err("refused");
    assert!(
        error.to_string().contains("every flow would move"),
        "{error}"
    );
    adopt(&pinned.0, &desired).expect("adopted");
}

#[test]
fn larger_tables_hold_what_the_smaller_ones_held() {
    let pinned = Pinned::new("larger");
    let mut desired = desired();
    desired.limits.exceptions = 1_000;
    let mut plane = fill(&pinned.0, &desired);
    let mut live = Live::adopt_plane(&mut plane).expect("a live state");
    live.apply(&mut plane, &desired, &next_hop)
        .expect("it fits");
    let client = |port: u16| {
        let address = |bits: u32| wire::Be32::new(bits);
        abi::flow::FlowKeyV4::constant(
            address(0x6440_0001),
            address(0xc000_0201),
            (wire::Be16::new(port), wire::Be16::new(443)),
            6,
        )
    };
    let entry = abi::exception::Exception {
        backend: 1,
        ..abi::exception::Exception::default()
    };
    for port in 1..=900 {
        plane
            .set_exception::<V4>(&client(port), &entry)
            .expect("room");
    }
    let slots: Vec<_> = (0..512).map(|index| plane.slot(index)).collect();
    let mut larger = desired.clone();
    larger.limits.exceptions = 5_000;
    let image = Image::build(&larger, next_hop).expect("an image");
    let settings = plane.settings();
    plane
        .replace(settings, &larger.limits, &image, true)
        .expect("exchanged");
    live.rebase(plane.settings(), plane.room());
    let mut entries = 0;
    plane
        .for_each_exception::<V4>(&mut |_, found| {
            assert_eq!(*found, entry);
            entries += 1;
        })
        .expect("a table");
    plane
        .for_each_exception::<V6>(&mut |_, _| panic!("there was nothing"))
        .expect("a table");
    assert_eq!(entries, 900);
    let found: Vec<_> = (0..512).map(|index| plane.slot(index)).collect();
    assert_eq!(found, slots);
    let applied = live.apply(&mut plane, &larger, &next_hop).expect("it fits");
    assert_eq!((applied.entries_written, applied.slots_changed), (0, 0));
    // A table that its entries do not fit is refused, and nothing has changed.
    let mut smaller = larger.clone();
    smaller.limits.exceptions = 10;
    let refused = plane.replace(plane.settings(), &smaller.limits, &image, false);
    let refused = refused.expect_err("refused").to_string();
    assert!(
        refused.contains("room for 10 entries, and holds 900"),
        "{refused}"
    );
    adopt(&pinned.0, &larger).expect("adopted");
}

#[test]
fn if_a_link_cannot_be_exchanged_all_run_what_they_ran() {
    // Nothing of it is left when this thread ends.
    unshare(CloneFlags::CLONE_NEWNET).expect("needs root");
    let made = Command::new("ip")
        .args(["link", "add", "one", "type", "veth", "peer", "name", "two"])
        .status();
    assert!(made.expect("ip runs").success());
    let pinned = Pinned::new("links");
    let desired = desired();
    let mut plane = fill(&pinned.0, &desired);
    let attach = |plane: &mut DataPlane, name: &str| {
        let index = if_nametoindex(name).expect("an interface");
        plane
            .attach(name, index, AttachMode::Generic)
            .expect("attached");
    };
    attach(&mut plane, "one");
    // Taken for the link of `lo`, and none: it says 1 where links say their interface. Whatever
    // their order, one link is exchanged before it.
    let no_link = pinned.0.root().join("links/1");
    let meta = MapData::from_pin(pinned.0.root().join("maps").join(META)).expect("a map");
    meta.pin(&no_link).expect("pinned");
    attach(&mut plane, "two");

    let before = pinned.0.pinned_links();
    assert_eq!(before.len(), 3, "{before:?}");
    let mut larger = desired.clone();
    larger.limits.exceptions += 1_000;
    let image = Image::build(&larger, next_hop).expect("an image");
    let settings = plane.settings();
    let mut replace = || plane.replace(settings, &larger.limits, &image, false);
    let error = replace().expect_err("no link").to_string();
    assert!(error.contains("exchange the program"), "{error}");
    assert_eq!(pinned.0.pinned_links(), before);

    fs::remove_file(no_link).expect("removed");
    replace().expect("exchanged");
    let after = pinned.0.pinned_links();
    assert_eq!(after.len(), 2, "{after:?}");
    assert!(after.iter().all(|link| !before.contains(link)), "{after:?}");
    plane.detach().expect("detached");
}
