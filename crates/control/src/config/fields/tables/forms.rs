//! Forms of texts. A pattern may let pass what is wrong, never refuse what is right.

use engine::desired::QuicServerId;

use crate::config::fields::Form;

pub(super) const INTERFACE: Form = Form {
    name: "names",
    pattern: r"^[^/:\s]{1,15}$",
    example: "eth0",
};
pub(super) const SERVICE_ADDRESS: Form = Form {
    name: "`PROTOCOL://ADDRESS:PORT`",
    pattern: r"^(tcp|udp)://(\[[0-9A-Fa-f:.]+(/[0-9]+)?\]|[0-9.]+(/[0-9]+)?):([0-9]+|\*)$",
    example: "tcp://10.0.0.10:8000",
};
pub(super) const BACKEND_TEXT: Form = Form {
    name: "`ADDRESS[:PORT][@MAC]`",
    pattern: concat!(
        r"^(\[[0-9A-Fa-f:.]+\](:[0-9]+)?|[0-9.]+(:[0-9]+)?|[0-9A-Fa-f:.]+)",
        r"(@[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5})?$"
    ),
    example: "10.0.0.2",
};
pub(super) const IPV4: Form = Form {
    name: "an IPv4 address",
    pattern: r"^[0-9]+(\.[0-9]+){3}$",
    example: "10.0.0.10",
};
pub(super) const IPV6: Form = Form {
    name: "an IPv6 address",
    pattern: r"^[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*$",
    example: "2001:db8::10",
};
pub(super) const MAC: Form = Form {
    name: "a MAC",
    pattern: r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$",
    example: "de:ad:be:ef:00:02",
};
pub(super) const PORTS: Form = Form {
    name: "`FIRST-LAST`",
    pattern: r"^[0-9]+-[0-9]+$",
    example: "10240-32767",
};
pub(super) const ADDRESS: Form = Form {
    name: "an address",
    pattern: r"^[0-9A-Fa-f:.]+$",
    example: "10.0.0.2",
};
pub(super) const INTERVAL: Form = Form {
    name: "`\"100ms\"` to `\"1h\"`",
    pattern: TIME,
    example: "2s",
};
pub(super) const CHECK_TIMEOUT: Form = Form {
    name: "`\"10ms\"` to the interval",
    pattern: TIME,
    example: "1s",
};
pub(super) const SLOW_START: Form = Form {
    name: "`\"0s\"` to `\"1h\"`",
    pattern: TIME,
    example: "30s",
};
const TIME: &str = r"^([0-9]+(h|ms|m|s))+$";
pub(super) const STATUS: Form = Form {
    name: "codes and ranges",
    pattern: r"^\s*[0-9]+(-[0-9]+)?(\s*,\s*[0-9]+(-[0-9]+)?)*\s*$",
    example: "200-299",
};
pub(super) const PATH: Form = Form {
    name: "a path",
    pattern: r"^/",
    example: "/healthz",
};
pub(super) const NAME: Form = Form {
    name: "a name",
    pattern: r"^\S+$",
    example: "www.example.org",
};
pub(super) const FILE: Form = Form {
    name: "a file",
    pattern: r"",
    example: "/etc/evenkeel/ca.pem",
};
pub(super) const ANY_TEXT: Form = Form {
    name: "text",
    pattern: r"",
    example: "ok",
};
pub(super) const SOCKET_ADDRESS: Form = Form {
    name: "`ADDRESS:PORT`",
    pattern: r"^(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]+$",
    example: "127.0.0.1:9464",
};
pub(super) const GROUP: Form = Form {
    name: "a group's name",
    pattern: r"^\S+$",
    example: "evenkeel",
};
pub(super) const SERVER_ID: Form = Form {
    name: "hexadecimal digits",
    pattern: r"^([0-9A-Fa-f]{2}){1,8}$",
    example: "0a0b0c0d",
};

const _: () = assert!(QuicServerId::MAX_LENGTH == 8, "the pattern above says so");
