//! From a topology to the commands that build it: pure, so it can be printed and tested.

use std::net::IpAddr;

use crate::id::{LabId, SWITCH};
use crate::step::Step;
use crate::topology::{Cidr, HostSpec, InterfaceSpec, RouteSpec, Sysctl, Topology};

/// Which links compute checksums in software.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Offloads {
    /// Off only where the load balancer needs it: on the far ends of its links.
    #[default]
    Minimal,
    /// Checksum, segmentation and receive merging off at every end, so that a capture
    /// anywhere shows the packets with the checksums that a wire would carry.
    AllOff,
}

/// What a lab's builder can choose.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) offloads: Offloads,
    /// Networks whose links have another MTU than 1,500.
    pub(crate) mtus: Vec<(&'static str, u16)>,
}

/// Name of the program in the pass object. Its section may be `xdp` or `xdp.frags`.
const PASS_PROGRAM: &str = "pass";

/// The switch's end of a host's link.
#[must_use]
pub fn port_name(host: &HostSpec, interface: &InterfaceSpec) -> String {
    if host.interfaces.len() == 1 {
        format!("to-{}", host.name)
    } else {
        format!("to-{}-{}", host.name, interface.name)
    }
}

/// The commands that build a lab, in order.
pub(crate) fn up(id: &LabId, settings: &Settings) -> Vec<Step> {
    let topology = id.topology();
    let mut steps = vec![namespace(
        id,
        SWITCH,
        "holds the bridges, away from your own network",
    )];
    for host in topology.hosts {
        steps.push(namespace(id, host.name, &format!("host {}", host.name)));
    }
    steps.extend(quiet(id));
    for host in topology.hosts {
        steps.extend(own_settings(id, host));
    }
    for bridge in topology.bridges {
        let switch = id.namespace(SWITCH);
        steps.push(Step::new(
            &format!("ip -n {switch} link add {bridge} type bridge stp_state 0 mcast_snooping 0"),
            format!("network {bridge}"),
        ));
        steps.push(Step::new(
            &format!("ip -n {switch} link set {bridge} up"),
            format!("network {bridge}"),
        ));
    }
    for host in topology.hosts {
        for interface in host.interfaces {
            steps.extend(link(id, host, interface, &settings.mtus));
        }
    }
    for host in topology.hosts {
        steps.extend(vips(id, host));
        steps.extend(routes(id, host));
    }
    steps.extend(offload_steps(id, settings.offloads));
    steps.extend(pass_programs(id));
    steps
}

/// The commands that remove these namespaces.
pub(crate) fn down(namespaces: &[String]) -> Vec<Step> {
    let delete = |name: &String| {
        Step::new(
            &format!("ip netns delete {name}"),
            "its links and addresses go with it",
        )
    };
    namespaces.iter().map(delete).collect()
}

/// The switch's ends that receive what an XDP program sends.
pub(crate) fn xdp_ports(id: &LabId) -> Vec<String> {
    let hosts = id.topology().hosts.iter().filter(|host| host.runs_xdp);
    hosts
        .flat_map(|host| host.interfaces.iter().map(move |i| port_name(host, i)))
        .collect()
}

fn namespace(id: &LabId, host: &str, why: &str) -> Step {
    let name = id.namespace(host);
    Step {
        makes: Some(name.clone()),
        ..Step::new(&format!("ip netns add {name}"), why)
    }
}

const NO_IPV6: &str =
    "sysctl -qe net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1";

/// Everything at once, and next to nothing to be heard: no probing for duplicates, no looking for
/// routers. What is left are the reports that an address's multicast group has a member, and they
/// come within milliseconds. Link-local addresses stay: without one the kernel forwards
/// nothing, since it solicits neighbours for others from no other address.
const QUIET_IPV6: &str = "sysctl -q net.ipv6.conf.default.addr_gen_mode=0 \
     net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
     net.ipv6.conf.default.accept_ra=0 net.ipv6.conf.default.router_solicitations=0 \
     net.ipv6.conf.default.mldv2_unsolicited_report_interval=1";

/// Settings that must be there before the first interface is.
fn quiet(id: &LabId) -> Vec<Step> {
    let names = || id.topology().hosts.iter().map(|host| host.name);
    let mut steps = Vec::new();
    let without = "no IPv6 here: keeps solicitations out of captures and counters";
    steps.push(inside(id, SWITCH, NO_IPV6, without));
    for host in names() {
        steps.push(if has_ipv6(id.topology()) {
            let why =
                "IPv6 at once and without noise: no probing for duplicates, no looking for routers";
            inside(id, host, QUIET_IPV6, why)
        } else {
            inside(id, host, NO_IPV6, without)
        });
    }
    for host in names() {
        steps.push(inside(
            id,
            host,
            "sysctl -q net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0",
            "the same on every machine, whatever its default",
        ));
    }
    for host in names() {
        let line = format!("ip -n {} link set lo up", id.namespace(host));
        steps.push(Step::new(&line, "every host can reach itself"));
    }
    steps
}

fn has_ipv6(topology: &Topology) -> bool {
    topology.vip6.is_some()
}

/// Settings that only this host has.
fn own_settings(id: &LabId, host: &HostSpec) -> Vec<Step> {
    let step = |sysctl: &Sysctl| {
        let why = format!("{} {}", host.name, sysctl.why);
        inside(
            id,
            host.name,
            &format!("sysctl -q {}", sysctl.setting),
            &why,
        )
    };
    host.sysctls.iter().map(step).collect()
}

fn link(id: &LabId, host: &HostSpec, interface: &InterfaceSpec, mtus: &[(&str, u16)]) -> Vec<Step> {
    let switch = id.namespace(SWITCH);
    let namespace = id.namespace(host.name);
    let port = port_name(host, interface);
    let InterfaceSpec {
        name, mac, bridge, ..
    } = interface;
    let mtu = mtus.iter().find(|(network, _)| network == bridge);
    let mtu = mtu.map_or_else(String::new, |(_, bytes)| format!("mtu {bytes}"));
    let why = format!("address of {}", host.name);
    let mut steps = vec![
        Step::new(
            &format!(
                "ip -n {switch} link add {port} {mtu} type veth peer name {name} {mtu} address {mac} netns {namespace}"
            ),
            format!("a cable from the switch to {}", host.name),
        ),
        Step::new(
            &format!("ip -n {switch} link set {port} master {bridge} up"),
            format!("plug it into {bridge}"),
        ),
    ];
    for address in interface.addresses() {
        steps.push(add_address(id, host, address, name, &why));
    }
    steps.push(Step::new(
        &format!("ip -n {namespace} link set {name} up"),
        why,
    ));
    steps
}

/// `nodad`: an IPv6 address can be used at once.
fn add_address(id: &LabId, host: &HostSpec, address: Cidr, to: &str, why: &str) -> Step {
    let namespace = id.namespace(host.name);
    let flags = if address.address.is_ipv6() {
        "nodad"
    } else {
        ""
    };
    Step::new(
        &format!("ip -n {namespace} address add {address} dev {to} {flags}"),
        why,
    )
}

/// The VIPs as further addresses of a host.
fn vips(id: &LabId, host: &HostSpec) -> Vec<Step> {
    let Some(interface) = host.vip_on else {
        return Vec::new();
    };
    let why = format!("{} takes packets to the VIP for its own", host.name);
    let step = |vip: IpAddr| {
        let prefix = if vip.is_ipv6() { 128 } else { 32 };
        let address = Cidr {
            address: vip,
            prefix,
        };
        let mut step = add_address(id, host, address, interface, &why);
        if vip.is_ipv6() {
            // Deprecated: otherwise a host would connect from it, as the address that shares
            // the longest prefix with a neighbour's (RFC 6724, rule 8).
            step.argv.extend(["preferred_lft", "0"].map(str::to_owned));
        }
        step
    };
    id.topology().vips().map(step).collect()
}

fn routes(id: &LabId, host: &HostSpec) -> Vec<Step> {
    let step = |route: &RouteSpec| {
        let family = if route.via.is_ipv6() { "-6" } else { "-4" };
        let (namespace, to, via) = (id.namespace(host.name), route.to, route.via);
        Step::new(
            &format!("ip -n {namespace} {family} route add {to} via {via}"),
            format!("{} reaches {to} this way", host.name),
        )
    };
    host.routes.iter().map(step).collect()
}

fn offload_steps(id: &LabId, offloads: Offloads) -> Vec<Step> {
    match offloads {
        Offloads::Minimal => xdp_ports(id)
            .into_iter()
            .map(|port| {
                let why = "fill in checksums before an XDP program sees them";
                inside(id, SWITCH, &format!("ethtool -K {port} tx off"), why)
            })
            .collect(),
        Offloads::AllOff => {
            let mut steps = Vec::new();
            for host in id.topology().hosts {
                for interface in host.interfaces {
                    let ends = [
                        (SWITCH, port_name(host, interface)),
                        (host.name, interface.name.to_owned()),
                    ];
                    for (place, end) in ends {
                        let line = format!("ethtool -K {end} tx off tso off gso off gro off");
                        steps.push(inside(
                            id,
                            place,
                            &line,
                            "captures show what a wire would carry",
                        ));
                    }
                }
            }
            steps
        }
    }
}

fn pass_programs(id: &LabId) -> Vec<Step> {
    let (switch, object) = (id.namespace(SWITCH), id.pass_object_path());
    let attach = |port: String| {
        Step::new(
            &format!(
                "ip -n {switch} link set dev {port} xdpdrv object {} program {PASS_PROGRAM}",
                object.display()
            ),
            "a veth loses XDP_TX frames unless the end that receives them runs XDP too",
        )
    };
    xdp_ports(id).into_iter().map(attach).collect()
}

/// A command inside a namespace; not `ip netns exec`, which hides `/sys/fs/bpf`.
fn inside(id: &LabId, host: &str, command: &str, why: &str) -> Step {
    Step::new(
        &format!("nsenter --net=/run/netns/{} {command}", id.namespace(host)),
        why,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{ALL, L2DSR, ROUTED, TUNNEL, TUTORIAL};

    /// IFNAMSIZ - 1.
    const MAX_INTERFACE_NAME: usize = 15;

    fn lines(steps: &[Step]) -> Vec<String> {
        steps.iter().map(Step::line).collect()
    }

    #[test]
    fn the_tutorial_is_built_by_these_commands() {
        let steps = lines(&up(
            &LabId::new(&TUTORIAL, None).unwrap(),
            &Settings::default(),
        ));
        for expected in [
            "ip netns add ek-tutorial-switch",
            "ip -n ek-tutorial-switch link add to-lb type veth peer name veth6 address de:ad:be:ef:00:10 netns ek-tutorial-lb",
            "ip -n ek-tutorial-lb address add 10.0.0.10/24 dev veth6",
            "nsenter --net=/run/netns/ek-tutorial-switch ethtool -K to-lb tx off",
            "ip -n ek-tutorial-switch link set dev to-lb xdpdrv object /run/ek-tutorial-pass.o program pass",
        ] {
            assert!(
                steps.iter().any(|line| line == expected),
                "{expected} is not in {steps:#?}"
            );
        }
    }

    #[test]
    fn no_command_touches_the_users_own_namespace() {
        for topology in ALL {
            for offloads in [Offloads::Minimal, Offloads::AllOff] {
                let settings = Settings {
                    offloads,
                    ..Settings::default()
                };
                for step in up(&LabId::new(topology, Some("t1")).unwrap(), &settings) {
                    let argv: Vec<_> = step.argv.iter().map(String::as_str).collect();
                    let prefix = format!("ek-{}-t1-", topology.name);
                    let confined = match argv.as_slice() {
                        ["ip", "netns", "add", name] => name.starts_with(&prefix),
                        ["ip", "-n", name, ..] => name.starts_with(&prefix),
                        ["nsenter", net, ..] => {
                            net.starts_with(&format!("--net=/run/netns/{prefix}"))
                        }
                        _ => false,
                    };
                    assert!(confined, "{}", step.line());
                    assert!(!step.why.is_empty(), "{}", step.line());
                }
            }
        }
    }

    #[test]
    fn interface_names_fit_the_kernel() {
        for host in ALL.iter().flat_map(|topology| topology.hosts) {
            for interface in host.interfaces {
                assert!(interface.name.len() <= MAX_INTERFACE_NAME);
                assert!(port_name(host, interface).len() <= MAX_INTERFACE_NAME);
            }
        }
    }

    #[test]
    fn every_link_of_the_routed_balancer_gets_a_pass_program() {
        let id = LabId::new(&ROUTED, None).unwrap();
        assert_eq!(xdp_ports(&id), ["to-lb-eth0", "to-lb-eth1"]);
        let steps = lines(&up(&id, &Settings::default()));
        assert_eq!(
            steps.iter().filter(|line| line.contains("xdpdrv")).count(),
            2
        );
    }

    #[test]
    fn all_off_covers_both_ends_of_every_link() {
        let id = LabId::new(&TUTORIAL, None).unwrap();
        let settings = Settings {
            offloads: Offloads::AllOff,
            ..Settings::default()
        };
        let steps = lines(&up(&id, &settings));
        assert_eq!(
            steps.iter().filter(|line| line.contains("gro off")).count(),
            8
        );
    }

    #[test]
    fn a_lab_without_a_second_vip_has_no_ipv6() {
        for topology in ALL {
            let id = LabId::new(topology, None).unwrap();
            let steps = lines(&up(&id, &Settings::default()));
            let six = steps.iter().any(|line| line.contains("nodad"));
            assert_eq!(six, topology.vip6.is_some(), "{}", topology.name);
        }
    }

    #[test]
    fn dsr_has_its_vips_where_they_belong() {
        let steps = lines(&up(
            &LabId::new(&L2DSR, None).unwrap(),
            &Settings::default(),
        ));
        for expected in [
            "ip -n ek-l2dsr-lb address add 10.4.0.100/32 dev eth0",
            "ip -n ek-l2dsr-lb address add fd00:4::100/128 dev eth0 nodad preferred_lft 0",
            "ip -n ek-l2dsr-h6 address add 10.4.0.100/32 dev lo",
            "nsenter --net=/run/netns/ek-l2dsr-h6 sysctl -q net.ipv4.conf.all.arp_ignore=1",
        ] {
            assert!(
                steps.iter().any(|line| line == expected),
                "{expected} is not in {steps:#?}"
            );
        }
    }

    #[test]
    fn an_mtu_is_set_at_both_ends_of_a_networks_links_and_nowhere_else() {
        let settings = Settings {
            mtus: vec![("backends", 1400)],
            ..Settings::default()
        };
        let steps = lines(&up(&LabId::new(&TUNNEL, None).unwrap(), &settings));
        let with: Vec<_> = steps.iter().filter(|line| line.contains("mtu")).collect();
        // r2 and four backends.
        assert_eq!(with.len(), 5, "{with:#?}");
        for line in with {
            assert_eq!(line.matches("mtu 1400").count(), 2, "{line}");
        }
    }
}
