//! The tables and their fields.

use engine::desired::{Affinity, BackendState, ForwardingMode, QuicServerId, Track};

use super::Fallback::{Required, Value, Words};
use super::Kind::{
    Boolean, Choice, Duration, Either, Integer, List, PowerOfTwo, Table as Inner, Tables, Text,
};
use super::{Form, Kind, Table, field, words};
use crate::config::limits::{
    MAX_BACKENDS, MAX_FLOWS, MAX_INTERFACES, MAX_QUIC_CONFIG, MAX_RATE, MAX_RING_SLOTS,
    MAX_SERVICES, MAX_TIMEOUT, MAX_TRANSITION_WINDOW, MAX_WEIGHT, MIN_RING_SLOTS,
};

pub(in crate::config) static ROOT: Table = Table {
    name: "the configuration",
    fields: &[
        field(
            "interfaces",
            List(&Text(INTERFACE), 0..=MAX_INTERFACES),
            Value("[]"),
            "Names of the interfaces whose packets are balanced, e.g. `[\"eth0\", \"eth1\"]`. \
             `run` needs at least one; `check`, `replay` and `explain` need none. A backend may \
             be behind any of them.",
        ),
        field(
            "seed",
            Integer(0..=u64::MAX),
            Value("0x6576656e6b65656c"),
            "Seed of the flow hash and of the rings. Instances with the same services, backends \
             and seed send every flow to the same backend, so a cluster shares it; the default is \
             the same everywhere. Choose another to keep others from predicting it.",
        ),
        field(
            "service",
            Tables(&SERVICE, MAX_SERVICES),
            Value("[]"),
            "What clients reach, and the backends behind it.",
        ),
        field(
            "nat",
            Inner(&NAT),
            Value("{}"),
            "Where connections to backends come from in mode `nat`.",
        ),
        field(
            "tunnel",
            Inner(&TUNNEL),
            Value("{}"),
            "Outer headers of modes `ipip` and `gue`.",
        ),
        field(
            "timeouts",
            Inner(&TIMEOUTS),
            Value("{}"),
            "How long a flow may be silent before it is forgotten.",
        ),
        field(
            "limits",
            Inner(&LIMITS),
            Value("{}"),
            "Room in the kernel's tables, and what the data plane may do in a second.",
        ),
    ],
};

static SERVICE: Table = Table {
    name: "a service",
    fields: &[
        field(
            "address",
            Text(SERVICE_ADDRESS),
            Required,
            "What clients reach; see below. No two services may be the same.",
        ),
        field(
            "backends",
            List(
                &Either(&[Text(BACKEND_TEXT), Inner(&BACKEND)]),
                1..=MAX_BACKENDS,
            ),
            Required,
            "The servers behind it; see [Backends](#backends).",
        ),
        field(
            "mode",
            Choice(&words(&ForwardingMode::ALL)),
            Value("\"nat\""),
            "How packets get to the backends; see [Modes](#modes).",
        ),
        field(
            "affinity",
            Choice(&words(&Affinity::ALL)),
            Value("\"none\""),
            "`\"none\"`: each connection is spread on its own. `\"source\"`: all connections of \
             one client address reach one backend. `\"source-destination\"`: all connections of \
             one client address to one address of the service; with a prefix, a client may have a \
             backend for each address.",
        ),
        field(
            "ring_slots",
            PowerOfTwo(MIN_RING_SLOTS as u64..=MAX_RING_SLOTS as u64),
            Words("by backends"),
            "Length of the service's ring. By default at least 128 slots for each backend, and at \
             least 1,024. More slots follow the weights more closely, and fewer of them change \
             when a backend comes or goes; they take 8 bytes each, and thousands of services with \
             long rings do not fit a CPU's caches ([bench.md](bench.md)).",
        ),
        field(
            "track",
            Choice(&words(&Track::ALL)),
            Value("\"auto\""),
            "Which flows are remembered one by one. `\"auto\"`: those whose slot of the ring is \
             changing, so that no change of the configuration breaks one. `\"always\"`: every \
             flow, at the cost of a table lookup a packet. `\"never\"`: none; a change moves the \
             flows of the slots it touches. No effect in mode `nat`, which has a table of all its \
             flows.",
        ),
        field(
            "transition_window",
            Duration(MAX_TRANSITION_WINDOW),
            Value("\"15m\""),
            "How long a changed slot takes note of the flows it finds: flows that are not silent \
             for longer keep their backend. No effect in mode `nat`.",
        ),
        field(
            "echo",
            Boolean,
            Value("true"),
            "Answer pings to the address while it has a live service. It is about the address: \
             one service says it for all services of the address.",
        ),
        field(
            "quic",
            Either(&[Boolean, Inner(&QUIC)]),
            Value("false"),
            "UDP only. Route by the server id in QUIC connection IDs, so that a client that \
             changes its address stays on its backend; see [QUIC](#quic).",
        ),
        field(
            "gue_port",
            PORT,
            Value("6080"),
            "Mode `gue` only: UDP port of the outer header. A backend may have its own.",
        ),
    ],
};

static BACKEND: Table = Table {
    name: "a backend",
    fields: &[
        field(
            "address",
            Text(BACKEND_TEXT),
            Required,
            "The backend's address, or the text form; what the text says must not be said again \
             beside it. It may be in several services, but only once with the same port in each. \
             Not the service's own address, nor one that packets to it would be balanced at again.",
        ),
        field(
            "port",
            PORT,
            Words("the service's"),
            "Only in modes `nat` and `dnat`, and not in a service of every port: its backends get \
             the port the client asked for.",
        ),
        field(
            "mac",
            Text(MAC),
            Words("looked up"),
            "MAC that packets for this backend are sent to, its own or its gateway's. Interface \
             and source address still come from the route. By default the kernel is asked and its \
             answers are followed; give a MAC only where the kernel cannot know it. One address \
             has one MAC in all services.",
        ),
        field(
            "weight",
            Integer(0..=MAX_WEIGHT as u64),
            Value("1"),
            "Share of new connections relative to the other backends. 0 takes none; not all may \
             be 0.",
        ),
        field(
            "state",
            Choice(&words(&BackendState::ALL)),
            Value("\"up\""),
            "`\"drain\"`: keeps its connections and takes no new ones; `\"down\"`: it is dead, its \
             connections go to others, and when it comes up again it is a new one.",
        ),
        field(
            "gue_port",
            PORT,
            Words("the service's"),
            "Mode `gue` only: UDP port of the outer header.",
        ),
        field(
            "quic_server_id",
            Text(SERVER_ID),
            Words("none"),
            "Required in a service with `quic`, and nowhere else: its id in connection IDs. No \
             other backend of the service may have it.",
        ),
    ],
};

static QUIC: Table = Table {
    name: "quic",
    fields: &[
        field(
            "server_id_length",
            Integer(1..=QuicServerId::MAX_LENGTH as u64),
            Value("4"),
            "Bytes of a server id.",
        ),
        field(
            "config",
            Integer(0..=MAX_QUIC_CONFIG as u64),
            Value("0"),
            "The config rotation of these connection IDs; 7 is reserved for IDs that cannot be \
             routed.",
        ),
    ],
};

static NAT: Table = Table {
    name: "nat",
    fields: &[
        field(
            "address",
            Text(IPV4),
            Words("the route's"),
            "Source address towards IPv4 backends. Backends answer to it, so it has to lead back \
             to this host. By default the address that the host's route to each backend prefers.",
        ),
        field(
            "address6",
            Text(IPV6),
            Words("the route's"),
            "The same towards IPv6 backends.",
        ),
        field(
            "ports",
            Text(PORTS),
            Value("\"10240-32767\""),
            "Source ports used when the client's own port is taken: from 1024 to 65535. A warning \
             tells when they overlap the ports that the host's own connections use (`sysctl \
             net.ipv4.ip_local_port_range`, normally 32768 to 60999).",
        ),
    ],
};

static TUNNEL: Table = Table {
    name: "tunnel",
    fields: &[
        field(
            "source",
            Text(IPV4),
            Words("the route's"),
            "Outer source address towards IPv4 backends. By default the address that the host's \
             route to each backend prefers.",
        ),
        field(
            "source6",
            Text(IPV6),
            Words("the route's"),
            "The same towards IPv6 backends.",
        ),
        field(
            "ttl",
            Integer(1..=255),
            Value("64"),
            "TTL or hop limit of the outer header.",
        ),
        field(
            "entropy",
            Boolean,
            Value("false"),
            "Put the flow's hash into the lowest bits of the outer source address, so that a \
             backend's network card spreads flows over its CPUs. Some networks filter sources \
             they do not know.",
        ),
    ],
};

static TIMEOUTS: Table = Table {
    name: "timeouts",
    fields: &[
        field(
            "half_open",
            TIMEOUT,
            Value("\"30s\""),
            "TCP before its handshake is complete; UDP before the backend has answered.",
        ),
        field(
            "established",
            TIMEOUT,
            Value("\"2h4m\""),
            "TCP afterwards. RFC 5382 asks for no less than the default.",
        ),
        field(
            "udp",
            TIMEOUT,
            Value("\"5m\""),
            "UDP once answered (RFC 4787).",
        ),
        field(
            "rest",
            TIMEOUT,
            Value("\"60s\""),
            "How long the port of a closed connection rests before another client may have it. \
             The backend holds the old connection in TIME_WAIT for as long, and may refuse a new \
             one on the same port.",
        ),
    ],
};

static LIMITS: Table = Table {
    name: "limits",
    fields: &[
        field(
            "flows",
            FLOWS,
            Value("262144"),
            "Established flows, about 260 bytes each. None is ever pushed out: when they are all \
             taken, new connections stay among the half-open ones (reason \
             `forwarded_table_full`).",
        ),
        field(
            "half_open_flows",
            FLOWS,
            Value("32768"),
            "Flows that are not established. When there are more (a SYN flood), the oldest give \
             way.",
        ),
        field(
            "exceptions",
            FLOWS,
            Value("262144"),
            "Flows remembered beside the rings while slots change (`track`). None is ever pushed \
             out: without room, packets go where their slot alone says.",
        ),
        field(
            "exceptions_per_second",
            Integer(1..=MAX_RATE as u64),
            Value("100000"),
            "How many each CPU may enter in a second, so that a flood cannot fill the table.",
        ),
        field(
            "icmp_errors_per_second",
            Integer(0..=MAX_RATE as u64),
            Value("1000"),
            "How many \"packet too big\" each CPU may send in a second.",
        ),
    ],
};

const PORT: Kind = Integer(1..=65_535);
const FLOWS: Kind = Integer(1..=MAX_FLOWS as u64);
const TIMEOUT: Kind = Duration(MAX_TIMEOUT);

const INTERFACE: Form = Form {
    name: "names",
    pattern: r"^[^/:\s]{1,15}$",
    example: "eth0",
};
const SERVICE_ADDRESS: Form = Form {
    name: "`PROTOCOL://ADDRESS:PORT`",
    pattern: r"^(tcp|udp)://(\[[0-9A-Fa-f:.]+(/[0-9]+)?\]|[0-9.]+(/[0-9]+)?):([0-9]+|\*)$",
    example: "tcp://10.0.0.10:8000",
};
const BACKEND_TEXT: Form = Form {
    name: "`ADDRESS[:PORT][@MAC]`",
    pattern: concat!(
        r"^(\[[0-9A-Fa-f:.]+\](:[0-9]+)?|[0-9.]+(:[0-9]+)?|[0-9A-Fa-f:.]+)",
        r"(@[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5})?$"
    ),
    example: "10.0.0.2",
};
const IPV4: Form = Form {
    name: "an IPv4 address",
    pattern: r"^[0-9]+(\.[0-9]+){3}$",
    example: "10.0.0.10",
};
const IPV6: Form = Form {
    name: "an IPv6 address",
    pattern: r"^[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*$",
    example: "2001:db8::10",
};
const MAC: Form = Form {
    name: "a MAC",
    pattern: r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$",
    example: "de:ad:be:ef:00:02",
};
const PORTS: Form = Form {
    name: "`FIRST-LAST`",
    pattern: r"^[0-9]+-[0-9]+$",
    example: "10240-32767",
};
const SERVER_ID: Form = Form {
    name: "hexadecimal digits",
    pattern: r"^([0-9A-Fa-f]{2}){1,8}$",
    example: "0a0b0c0d",
};

const _: () = assert!(QuicServerId::MAX_LENGTH == 8, "the pattern above says so");
