//! `health` and `agent` of a service.

use super::forms::{ADDRESS, ANY_TEXT, CHECK_TIMEOUT, FILE, INTERVAL, NAME, PATH, STATUS};
use super::service::PORT;
use crate::config::fields::Fallback::{Required, Value, Words};
use crate::config::fields::Kind::{Boolean, Choice, Either, Fraction, Integer, List, Text};
use crate::config::fields::{Field, Table, field, words};
use crate::config::raw::CheckWord;
use crate::health::Via;

const ADDRESS_FIELD: Field = field(
    "address",
    Text(ADDRESS),
    Words("the backend's"),
    "Address that is checked instead, this host's own for one. With `via = \"service\"`: which \
     address of the service's prefix.",
);
const INTERVAL_FIELD: Field = field(
    "interval",
    Text(INTERVAL),
    Value("\"2s\""),
    "From the beginning of a run to that of the next. Units `h`, `m`, `s`, `ms`.",
);
const TIMEOUT_FIELD: Field = field(
    "timeout",
    Text(CHECK_TIMEOUT),
    Words("the interval, at most `\"5s\"`"),
    "A run that takes longer has failed.",
);
const JITTER_FIELD: Field = field(
    "jitter",
    Fraction(500),
    Value("0.1"),
    "By up to this part of the interval a run comes earlier, at random.",
);
const SEND_FIELD: Field = field(
    "send",
    Text(ANY_TEXT),
    Words("nothing"),
    "Types `udp` and `agent`. Sent first: text, or `hex:` and two digits a byte; up to 1,024 bytes.",
);

pub(super) static HEALTH: Table = Table {
    name: "health",
    fields: &[
        field(
            "type",
            Choice(&words(&CheckWord::ALL)),
            Required,
            "What is done; see [health.md](health.md).",
        ),
        field(
            "port",
            PORT,
            Words("the backend's"),
            "Port that is checked. Required for `agent`, and in a service of every port (but for \
             `command`).",
        ),
        ADDRESS_FIELD,
        INTERVAL_FIELD,
        TIMEOUT_FIELD,
        field(
            "rise",
            Integer(1..=100),
            Value("2"),
            "Successes in a row until a backend that is down is up.",
        ),
        field(
            "fall",
            Integer(1..=100),
            Value("3"),
            "Failures in a row until a backend is down.",
        ),
        JITTER_FIELD,
        field(
            "via",
            Choice(&words(&Via::ALL)),
            Value("\"direct\""),
            "Types `tcp` and `udp`. `\"service\"`: to the service's address, the way clients' packets \
             go. Only in modes `l2-dsr`, `ipip` and `gue`; `udp` needs `expect`.",
        ),
        field(
            "method",
            Choice(&["GET", "HEAD", "OPTIONS"]),
            Value("\"GET\""),
            "Types `http`, `https` and `http2`.",
        ),
        field(
            "path",
            Text(PATH),
            Value("\"/\""),
            "Types `http`, `https` and `http2`: path of the request, with its query.",
        ),
        field(
            "host",
            Text(NAME),
            Words("address and port"),
            "Types `http`, `https` and `http2`: host of the request.",
        ),
        field(
            "status",
            Either(&[Integer(100..=599), Text(STATUS)]),
            Value("\"200-299\""),
            "Types `http`, `https` and `http2`: status codes that are good.",
        ),
        field(
            "body",
            Text(ANY_TEXT),
            Words("any"),
            "Types `http`, `https` and `http2`: text that has to be in the first 64 KiB of the body.",
        ),
        field(
            "tls",
            Boolean,
            Value("false"),
            "Types `http2` and `grpc`. Without it, HTTP/2 begins with prior knowledge (h2c).",
        ),
        field(
            "sni",
            Text(NAME),
            Words("`host`, else the address"),
            "With TLS: the name that is asked for, and that the certificate has to have.",
        ),
        field(
            "ca",
            Text(FILE),
            Words("the host's CAs"),
            "With TLS: PEM file of the CAs that may have signed the certificate; read at the start and \
             at each reload.",
        ),
        field(
            "verify",
            Boolean,
            Value("true"),
            "With TLS. `false`: neither signer, name nor date of the certificate are looked at.",
        ),
        SEND_FIELD,
        field(
            "expect",
            Text(ANY_TEXT),
            Words("anything"),
            "Type `udp`: what an answer has to contain, written like `send`. Without it whatever is \
             not refused is good.",
        ),
        field(
            "service",
            Text(ANY_TEXT),
            Value("\"\""),
            "Type `grpc`: the service that is asked for in grpc.health.v1; empty: the server as a whole.",
        ),
        field(
            "command",
            List(&Text(ANY_TEXT), 1..=64),
            Words("required with it"),
            "Type `command`: the program, with its whole path, and arguments.",
        ),
    ],
};

pub(super) static AGENT: Table = Table {
    name: "agent",
    fields: &[
        field("port", PORT, Required, "The agent's port."),
        ADDRESS_FIELD,
        SEND_FIELD,
        INTERVAL_FIELD,
        TIMEOUT_FIELD,
        JITTER_FIELD,
    ],
};
