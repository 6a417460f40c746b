//! `[[service]]`, its backends, and `quic`.

use engine::desired::{Affinity, BackendState, ForwardingMode, NoBackend, QuicServerId, Track};

use super::forms::{BACKEND_TEXT, MAC, SERVER_ID, SERVICE_ADDRESS, SLOW_START};
use super::health::{AGENT, HEALTH};
use crate::config::fields::Fallback::{Required, Value, Words};
use crate::config::fields::Kind::{
    Boolean, Choice, Duration, Either, Integer, List, PowerOfTwo, Table as Inner, Text,
};
use crate::config::fields::{Kind, Table, field, words};
use crate::config::limits::{
    MAX_BACKENDS, MAX_QUIC_CONFIG, MAX_RING_SLOTS, MAX_TRANSITION_WINDOW, MAX_WEIGHT,
    MIN_RING_SLOTS,
};
use crate::health::OnDown;

pub(super) const PORT: Kind = Integer(1..=65_535);

pub(super) static SERVICE: Table = Table {
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
            "no_backend",
            Choice(&words(&NoBackend::ALL)),
            Value("\"reject\""),
            "What clients meet while every backend is down. `\"reject\"`: they are refused at once, \
             as by a host where nobody listens: TCP with a reset, UDP with ICMP \"port \
             unreachable\" (reason `rejected`). `\"drop\"`: they hear nothing and try again (reason \
             `no_backend`).",
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
        field(
            "health",
            Either(&[
                Choice(&["tcp", "http", "https", "http2", "udp", "grpc"]),
                Inner(&HEALTH),
            ]),
            Words("no check"),
            "How backends are checked: the type alone, or a table; see [Health](#health).",
        ),
        field(
            "agent",
            Inner(&AGENT),
            Words("none"),
            "An agent of HAProxy's kind on each backend that is asked, beside `health` or alone; see \
             [Health](#health).",
        ),
        field(
            "on_down",
            Choice(&words(&OnDown::ALL)),
            Value("\"move\""),
            "Connections of a backend that is down. `\"move\"`: it is dead, they go to others at once. \
             `\"keep\"`: it is treated as draining.",
        ),
        field(
            "slow_start",
            Text(SLOW_START),
            Value("\"0s\""),
            "The weight of a backend that comes back from down or maintenance rises from a tenth to \
             all of it over this time.",
        ),
        field(
            "panic_threshold",
            Integer(0..=100),
            Value("0"),
            "Percent. While a smaller part of the backends is up, all are used but those that the file \
             or an agent took out. 0: never.",
        ),
        field(
            "sorry",
            List(
                &Either(&[Text(BACKEND_TEXT), Inner(&BACKEND)]),
                0..=MAX_BACKENDS,
            ),
            Value("[]"),
            "Backends that are used only while no other takes new connections. They are not checked.",
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
            "`\"drain\"`: keeps its connections and takes no new ones, unless it was the last to take \
             any; `\"down\"`: it is dead, its connections go to others, and when it comes up again it \
             is a new one.",
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
