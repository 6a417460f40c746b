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
pub(super) const SOCKET_ADDRESS: Form = Form {
    name: "`ADDRESS:PORT`",
    pattern: r"^(\[[0-9A-Fa-f:.]+\]|[0-9.]+):[0-9]+$",
    example: "127.0.0.1:9464",
};
pub(super) const SERVER_ID: Form = Form {
    name: "hexadecimal digits",
    pattern: r"^([0-9A-Fa-f]{2}){1,8}$",
    example: "0a0b0c0d",
};

const _: () = assert!(QuicServerId::MAX_LENGTH == 8, "the pattern above says so");
