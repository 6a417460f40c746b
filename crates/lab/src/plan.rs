//! From a topology to the commands that build it: pure, so it can be printed and tested.

use crate::id::{LabId, SWITCH};
use crate::step::Step;
use crate::topology::{HostSpec, InterfaceSpec, Role};

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
pub(crate) fn up(id: &LabId, offloads: Offloads) -> Vec<Step> {
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
            steps.extend(link(id, host, interface));
        }
    }
    for host in topology.hosts {
        steps.extend(routes(id, host));
    }
    steps.extend(offload_steps(id, offloads));
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

/// The switch's ends that receive what an XDP program sends: all links of load balancers.
pub(crate) fn balancer_ports(id: &LabId) -> Vec<String> {
    id.topology()
        .with_role(Role::Balancer)
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

/// Settings that must be there before the first interface is.
fn quiet(id: &LabId) -> Vec<Step> {
    let mut steps = Vec::new();
    for host in std::iter::once(SWITCH).chain(id.topology().hosts.iter().map(|host| host.name)) {
        steps.push(inside(
            id,
            host,
            "sysctl -qe net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1",
            "no IPv6 here: keeps solicitations out of captures and counters",
        ));
    }
    for host in id.topology().hosts {
        steps.push(inside(
            id,
            host.name,
            "sysctl -q net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0",
            "the same on every machine, whatever its default",
        ));
    }
    for host in id.topology().hosts {
        let line = format!("ip -n {} link set lo up", id.namespace(host.name));
        steps.push(Step::new(&line, "every host can reach itself"));
    }
    steps
}

fn link(id: &LabId, host: &HostSpec, interface: &InterfaceSpec) -> Vec<Step> {
    let switch = id.namespace(SWITCH);
    let namespace = id.namespace(host.name);
    let port = port_name(host, interface);
    let InterfaceSpec {
        name,
        mac,
        address,
        bridge,
    } = interface;
    vec![
        Step::new(
            &format!(
                "ip -n {switch} link add {port} type veth peer name {name} address {mac} netns {namespace}"
            ),
            format!("a cable from the switch to {}", host.name),
        ),
        Step::new(
            &format!("ip -n {switch} link set {port} master {bridge} up"),
            format!("plug it into {bridge}"),
        ),
        Step::new(
            &format!("ip -n {namespace} address add {address} dev {name}"),
            format!("address of {}", host.name),
        ),
        Step::new(
            &format!("ip -n {namespace} link set {name} up"),
            format!("address of {}", host.name),
        ),
    ]
}

fn routes(id: &LabId, host: &HostSpec) -> Vec<Step> {
    let mut steps = Vec::new();
    for (key, value) in host.sysctls {
        let why = format!("{} forwards between its networks", host.name);
        steps.push(inside(
            id,
            host.name,
            &format!("sysctl -q {key}={value}"),
            &why,
        ));
    }
    for route in host.routes {
        steps.push(Step::new(
            &format!(
                "ip -n {} route add {} via {}",
                id.namespace(host.name),
                route.to,
                route.via
            ),
            format!("{} reaches {} this way", host.name, route.to),
        ));
    }
    steps
}

fn offload_steps(id: &LabId, offloads: Offloads) -> Vec<Step> {
    match offloads {
        Offloads::Minimal => balancer_ports(id)
            .into_iter()
            .map(|port| {
                let why = "fill in checksums before the load balancer sees them";
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
    balancer_ports(id).into_iter().map(attach).collect()
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
    use crate::topology::{ALL, ROUTED, TUTORIAL};

    /// IFNAMSIZ - 1.
    const MAX_INTERFACE_NAME: usize = 15;

    fn lines(steps: &[Step]) -> Vec<String> {
        steps.iter().map(Step::line).collect()
    }

    #[test]
    fn the_tutorial_is_built_by_these_commands() {
        let steps = lines(&up(
            &LabId::new(&TUTORIAL, None).unwrap(),
            Offloads::Minimal,
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
                for step in up(&LabId::new(topology, Some("t1")).unwrap(), offloads) {
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
        assert_eq!(balancer_ports(&id), ["to-lb-eth0", "to-lb-eth1"]);
        let steps = lines(&up(&id, Offloads::Minimal));
        assert_eq!(
            steps.iter().filter(|line| line.contains("xdpdrv")).count(),
            2
        );
    }

    #[test]
    fn all_off_covers_both_ends_of_every_link() {
        let id = LabId::new(&TUTORIAL, None).unwrap();
        let steps = lines(&up(&id, Offloads::AllOff));
        assert_eq!(
            steps.iter().filter(|line| line.contains("gro off")).count(),
            8
        );
    }
}
