//! The tables and their fields: a new field is an entry here.

mod forms;
mod health;
mod service;

use super::Fallback::{Value, Words};
use super::Kind::{Boolean, Duration, Integer, List, Table as Inner, Tables, Text};
use super::{Kind, Table, field};
use crate::config::limits::{MAX_FLOWS, MAX_INTERFACES, MAX_RATE, MAX_SERVICES, MAX_TIMEOUT};
use forms::{GROUP, INTERFACE, IPV4, IPV6, PORTS, SOCKET_ADDRESS};
use service::SERVICE;

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
        field(
            "metrics",
            Inner(&METRICS),
            Value("{}"),
            "What Prometheus scrapes, and where.",
        ),
        field(
            "api",
            Inner(&API),
            Value("{}"),
            "Who may use the socket of the instance.",
        ),
        field(
            "daemon",
            Inner(&DAEMON),
            Value("{}"),
            "What the process does by itself.",
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
             net.ipv4.ip_local_port_range`, normally 32768 to 60999). The last 1,024 of a range of \
             4,096 or more are left to health checks, not even a client keeps one of them.",
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
        field(
            "rejections_per_second",
            Integer(0..=MAX_RATE as u64),
            Value("10000"),
            "How many packets each CPU may refuse in a second (`no_backend = \"reject\"`); those \
             beyond are dropped.",
        ),
    ],
};

static API: Table = Table {
    name: "api",
    fields: &[field(
        "group",
        Text(GROUP),
        Words("nobody"),
        "A group, by name or number, whose members may use the instance's socket, beside root: \
         all of [the API](api.md), so they can change where packets go. It takes effect when the \
         process starts, which has to be root's or in that group: \
         [operations.md](operations.md#privileges).",
    )],
};

static DAEMON: Table = Table {
    name: "daemon",
    fields: &[field(
        "watch",
        Boolean,
        Value("false"),
        "Read the file again whenever it has changed, as with `evenkeel run --watch`: it is looked \
         at once a second, and applied when it has stayed the same for one. A file with an error \
         changes nothing, and the log and `evenkeel events` say why.",
    )],
};

static METRICS: Table = Table {
    name: "metrics",
    fields: &[
        field(
            "listen",
            Text(SOCKET_ADDRESS),
            Words("nowhere"),
            "Where an HTTP server answers `/metrics`, such as `\"127.0.0.1:9464\"` or \
             `\"[::1]:9464\"`. It asks nobody for a password: an address that others reach is worth \
             a firewall, and `check` warns of it.",
        ),
        field(
            "per_backend",
            Boolean,
            Value("true"),
            "Samples of each backend, beside those of its service. With tens of thousands of \
             backends `false` keeps scrapes small.",
        ),
    ],
};

const FLOWS: Kind = Integer(1..=MAX_FLOWS as u64);
const TIMEOUT: Kind = Duration(MAX_TIMEOUT);
