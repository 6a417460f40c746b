//! Questions to the kernel over rtnetlink, and its answers in our own words.

use std::net::IpAddr;

use engine::desired::Mac;
use futures_util::TryStreamExt;
use rtnetlink::packet_core::ErrorMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteType, RouteVia,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::facts::{Event, Link, Neighbour, NeighbourKey, Prefix, Route};
use super::resolution::Reason;

// errno.h
const EACCES: i32 = 13;
const EINVAL: i32 = 22;
const ENETUNREACH: i32 = 101;
const EHOSTUNREACH: i32 = 113;

/// All links of the namespace.
pub(super) async fn links(handle: &Handle) -> Result<Vec<(u32, Link)>, rtnetlink::Error> {
    let links = handle.link().get().execute();
    links
        .map_ok(|message| (message.header.index, link(&message)))
        .try_collect()
        .await
}

/// All neighbour entries of the namespace.
pub(super) async fn neighbours(
    handle: &Handle,
) -> Result<Vec<(NeighbourKey, Neighbour)>, rtnetlink::Error> {
    let neighbours = handle.neighbours().get().execute();
    neighbours
        .try_filter_map(|message| std::future::ready(Ok(neighbour(&message))))
        .try_collect()
        .await
}

/// The route that a packet of this host to `address` would take. Its MTU is the configured one: what
/// the kernel has learnt from routers expires, and whoever reaches any UDP socket of this host can
/// forge it.
pub(super) async fn route(handle: &Handle, address: IpAddr) -> Result<Route, Reason> {
    let found = look_up(handle, address, RouteFlags::empty()).await?;
    let mut route = route_of(address, &found)?;
    if route.mtu.is_some() && expires(&found) {
        let configured = look_up(handle, address, RouteFlags::FibMatch).await?;
        route.mtu = mtu_of(&configured);
    }
    Ok(route)
}

/// With [`RouteFlags::FibMatch`] the route as it was configured, without it what became of it for
/// this address.
async fn look_up(
    handle: &Handle,
    address: IpAddr,
    flags: RouteFlags,
) -> Result<RouteMessage, Reason> {
    let mut request = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(address, if address.is_ipv4() { 32 } else { 128 })
        .map_err(|error| Reason::LookupFailed {
            address,
            error: error.to_string(),
        })?
        .build();
    request.header.flags = flags;
    let mut routes = std::pin::pin!(handle.route().get(request).execute());
    match routes.try_next().await {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(Reason::NoRoute(address)),
        Err(rtnetlink::Error::NetlinkError(error)) => Err(refusal(address, &error)),
        Err(error) => Err(Reason::LookupFailed {
            address,
            error: error.to_string(),
        }),
    }
}

/// Routes that take no packets are errors of the lookup: fib_props[] of net/ipv4/fib_semantics.c.
fn refusal(address: IpAddr, error: &ErrorMessage) -> Reason {
    let kind = match -error.raw_code() {
        ENETUNREACH => return Reason::NoRoute(address),
        EHOSTUNREACH => "unreachable",
        EACCES => "prohibit",
        EINVAL => "blackhole",
        _ => {
            return Reason::LookupFailed {
                address,
                error: error.to_io().to_string(),
            };
        }
    };
    Reason::Forbidden { address, kind }
}

fn route_of(address: IpAddr, message: &RouteMessage) -> Result<Route, Reason> {
    let kind = match message.header.kind {
        RouteType::Unicast => None,
        RouteType::Local => return Err(Reason::Local(address)),
        RouteType::Broadcast => Some("broadcast"),
        RouteType::Multicast => Some("multicast"),
        RouteType::Anycast => Some("anycast"),
        RouteType::BlackHole => Some("blackhole"),
        RouteType::Unreachable => Some("unreachable"),
        RouteType::Prohibit => Some("prohibit"),
        _ => Some("unknown"),
    };
    if let Some(kind) = kind {
        return Err(Reason::Forbidden { address, kind });
    }
    let mut interface_index = None;
    let mut next_hop = address;
    let mut source_address = None;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => interface_index = Some(*index),
            RouteAttribute::Gateway(gateway) => next_hop = ip_of(gateway).unwrap_or(next_hop),
            // An IPv4 route through an IPv6 gateway (RFC 5549).
            RouteAttribute::Via(RouteVia::Inet(v4)) => next_hop = IpAddr::V4(*v4),
            RouteAttribute::Via(RouteVia::Inet6(v6)) => next_hop = IpAddr::V6(*v6),
            RouteAttribute::PrefSource(source) => source_address = ip_of(source),
            _ => {}
        }
    }
    Ok(Route {
        interface_index: interface_index.ok_or(Reason::NoRoute(address))?,
        next_hop,
        source_address,
        mtu: mtu_of(message),
    })
}

fn mtu_of(route: &RouteMessage) -> Option<u32> {
    let metrics = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Metrics(metrics) => Some(metrics),
            _ => None,
        });
    metrics?.iter().find_map(|metric| match metric {
        RouteMetric::Mtu(mtu) if *mtu > 0 => Some(*mtu),
        _ => None,
    })
}

/// Whether a route is only for some time, as one with a learnt MTU is.
fn expires(route: &RouteMessage) -> bool {
    let mut attributes = route.attributes.iter();
    attributes
        .any(|attribute| matches!(attribute, RouteAttribute::CacheInfo(info) if info.expires > 0))
}

fn ip_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

/// Makes the kernel resolve a neighbour, or confirm the entry it has, as if a packet were sent.
///
/// `NTF_USE` calls `neigh_event_send()` and sets no state (net/core/neighbour.c, `neigh_add`):
/// a new or failed entry becomes INCOMPLETE and is asked for by broadcast, a stale one is probed
/// after 5 s, a reachable one stays as it is. Needs CAP_NET_ADMIN.
pub(super) async fn ask(handle: &Handle, key: NeighbourKey) -> Result<(), String> {
    let result = handle
        .neighbours()
        .add(key.interface_index, key.address)
        .state(NeighbourState::None)
        .flags(NeighbourFlags::Use)
        .replace()
        .execute()
        .await;
    result.map_err(|error| match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io().to_string(),
        other => other.to_string(),
    })
}

/// What a notification says, if it is of interest.
pub(super) fn event(message: &RouteNetlinkMessage) -> Option<Event> {
    match message {
        RouteNetlinkMessage::NewLink(message) => {
            // A bridge tells about its ports in messages of its own family, deletions too.
            (message.header.interface_family == AddressFamily::Unspec)
                .then(|| Event::Link(message.header.index, Some(link(message))))
        }
        RouteNetlinkMessage::DelLink(message) => (message.header.interface_family
            == AddressFamily::Unspec)
            .then_some(Event::Link(message.header.index, None)),
        RouteNetlinkMessage::NewNeighbour(message) => {
            neighbour(message).map(|(key, entry)| Event::Neighbour(key, Some(entry)))
        }
        RouteNetlinkMessage::DelNeighbour(message) => {
            neighbour(message).map(|(key, _)| Event::Neighbour(key, None))
        }
        RouteNetlinkMessage::NewRoute(message) | RouteNetlinkMessage::DelRoute(message) => {
            prefix(message).map(Event::Route)
        }
        RouteNetlinkMessage::NewAddress(_)
        | RouteNetlinkMessage::DelAddress(_)
        | RouteNetlinkMessage::NewRule(_)
        | RouteNetlinkMessage::DelRule(_) => Some(Event::AnyRoute),
        _ => None,
    }
}

pub(super) fn mac_of(bytes: &[u8]) -> Option<Mac> {
    let mac: [u8; 6] = bytes.try_into().ok()?;
    (mac != [0; 6]).then_some(Mac(mac))
}

pub(super) fn link(message: &LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        name: String::new(),
        mac: None,
        mtu: 0,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Address(bytes)
                if message.header.link_layer_type == LinkLayerType::Ether =>
            {
                link.mac = mac_of(bytes);
            }
            _ => {}
        }
    }
    link
}

fn neighbour(message: &NeighbourMessage) -> Option<(NeighbourKey, Neighbour)> {
    let mut address = None;
    let mut mac = None;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                address = Some(IpAddr::V4(*v4));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                address = Some(IpAddr::V6(*v6));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = mac_of(bytes),
            _ => {}
        }
    }
    let key = NeighbourKey {
        interface_index: message.header.ifindex,
        address: address?,
    };
    let entry = match message.header.state {
        NeighbourState::Reachable | NeighbourState::Permanent | NeighbourState::Noarp => {
            mac.map_or(Neighbour::Unknown, Neighbour::Confirmed)
        }
        NeighbourState::Stale => mac.map_or(Neighbour::Unknown, Neighbour::Stale),
        // The kernel is confirming it, and uses the old MAC meanwhile.
        NeighbourState::Delay | NeighbourState::Probe => {
            mac.map_or(Neighbour::Unknown, Neighbour::Confirmed)
        }
        NeighbourState::Failed => Neighbour::Failed,
        _ => Neighbour::Unknown,
    };
    Some((key, entry))
}

fn prefix(message: &RouteMessage) -> Option<Prefix> {
    let destination = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(address) => ip_of(address),
            _ => None,
        });
    let family = message.header.address_family;
    let address = match (destination, family) {
        (Some(address), _) => address,
        (None, AddressFamily::Inet) => IpAddr::from([0; 4]),
        (None, AddressFamily::Inet6) => IpAddr::from([0; 16]),
        _ => return None,
    };
    Some(Prefix {
        address,
        length: message.header.destination_prefix_length,
    })
}
