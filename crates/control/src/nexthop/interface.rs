//! One network interface, as the kernel describes it.

use std::fmt;

use engine::desired::Mac;
use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkInfo, LinkMessage, LinkXdp, XdpAttached};

use super::kernel;

/// A network interface of this namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its index in this namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `veth`, `bridge`, `vlan`, ...; `None` for hardware.
    pub kind: Option<String>,
    /// Its MAC; `None` unless Ethernet.
    pub mac: Option<Mac>,
    /// Largest IP packet in bytes.
    pub mtu: u32,
    /// Switched on.
    pub up: bool,
    /// Able to carry packets.
    pub carrier: bool,
    /// The XDP programs attached to it; one for each mode at most.
    pub xdp: Vec<AttachedXdp>,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachedXdp {
    /// How it is attached.
    pub mode: XdpMode,
    /// Its id, as `bpftool prog show id` takes it.
    pub program_id: u32,
}

/// Where in the receive path an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the stack, after the kernel has made a packet buffer.
    Generic,
    /// On the card.
    Offloaded,
}

impl fmt::Display for XdpMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Offloaded => "offloaded",
        })
    }
}

/// Why there is no description.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    /// No interface has that name.
    #[error("there is no interface {name:?}; there are: {}", present.join(", "))]
    NotFound {
        /// The name.
        name: String,
        /// Those that are there.
        present: Vec<String>,
    },
    /// No netlink socket.
    #[error("cannot open a netlink socket: {0}")]
    Socket(#[from] std::io::Error),
    /// The kernel did not list its interfaces.
    #[error("the kernel did not list its interfaces: {0}")]
    Dump(#[from] rtnetlink::Error),
}

/// Looks an interface up by its name, in the network namespace of the calling thread.
///
/// # Errors
/// There is no such interface, or netlink is not available.
pub async fn interface(name: &str) -> Result<Interface, InterfaceError> {
    let interfaces = interfaces().await?;
    match interfaces.iter().find(|interface| interface.name == name) {
        Some(found) => Ok(found.clone()),
        None => Err(InterfaceError::NotFound {
            name: name.to_owned(),
            present: interfaces
                .into_iter()
                .map(|interface| interface.name)
                .collect(),
        }),
    }
}

/// All interfaces of the network namespace of the calling thread.
///
/// # Errors
/// Netlink is not available.
pub async fn interfaces() -> Result<Vec<Interface>, InterfaceError> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let connection = tokio::spawn(connection);
    let messages = handle.link().get().execute().try_collect::<Vec<_>>().await;
    connection.abort();
    Ok(messages?.iter().map(describe).collect())
}

fn describe(message: &LinkMessage) -> Interface {
    let link = kernel::link(message);
    let mut kind = None;
    let mut xdp = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::LinkInfo(infos) => {
                kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            LinkAttribute::Xdp(attributes) => xdp = attached(attributes),
            _ => {}
        }
    }
    Interface {
        index: message.header.index,
        name: link.name,
        kind,
        mac: link.mac,
        mtu: link.mtu,
        up: link.up,
        carrier: link.carrier,
        xdp,
    }
}

/// The kernel gives the id of each mode; an old one (before 4.19) only the one program's.
fn attached(attributes: &[LinkXdp]) -> Vec<AttachedXdp> {
    let by_mode: Vec<AttachedXdp> = attributes
        .iter()
        .filter_map(|attribute| {
            let (mode, program_id) = match attribute {
                LinkXdp::DrvProgId(id) => (XdpMode::Native, *id),
                LinkXdp::SkbProgId(id) => (XdpMode::Generic, *id),
                LinkXdp::HwProgId(id) => (XdpMode::Offloaded, *id),
                _ => return None,
            };
            Some(AttachedXdp { mode, program_id })
        })
        .filter(|attached| attached.program_id != 0)
        .collect();
    if !by_mode.is_empty() {
        return by_mode;
    }
    let mode = attributes.iter().find_map(|attribute| match attribute {
        LinkXdp::Attached(XdpAttached::Driver) => Some(XdpMode::Native),
        LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(XdpMode::Generic),
        LinkXdp::Attached(XdpAttached::Hardware) => Some(XdpMode::Offloaded),
        _ => None,
    });
    let id = attributes.iter().find_map(|attribute| match attribute {
        LinkXdp::ProgId(id) if *id != 0 => Some(*id),
        _ => None,
    });
    match (mode, id) {
        (Some(mode), Some(program_id)) => vec![AttachedXdp { mode, program_id }],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(attributes: &[LinkXdp]) -> Vec<String> {
        attached(attributes)
            .iter()
            .map(|xdp| format!("{} {}", xdp.mode, xdp.program_id))
            .collect()
    }

    #[test]
    fn attached_programs_are_told_by_mode() {
        let none = [LinkXdp::Attached(XdpAttached::None)];
        assert_eq!(words(&none), [""; 0]);
        let driver = [
            LinkXdp::Attached(XdpAttached::Driver),
            LinkXdp::ProgId(7),
            LinkXdp::DrvProgId(7),
        ];
        assert_eq!(words(&driver), ["native 7"]);
        let both = [
            LinkXdp::Attached(XdpAttached::Multiple),
            LinkXdp::DrvProgId(7),
            LinkXdp::SkbProgId(8),
        ];
        assert_eq!(words(&both), ["native 7", "generic 8"]);
        let old = [
            LinkXdp::Attached(XdpAttached::SocketBuffer),
            LinkXdp::ProgId(9),
        ];
        assert_eq!(words(&old), ["generic 9"]);
    }
}
