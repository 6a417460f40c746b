//! What a plan says, on map contents in memory.

use std::time::Duration;

use engine::desired::{Mac, NextHop, Service};
use engine::image::Image;
use engine::settings;

use super::*;
use crate::config::{Checked, parse};

fn next_hop(_: &Service, _: &engine::desired::Backend) -> Option<NextHop> {
    Some(NextHop {
        interface_index: 1,
        source_mac: Mac([2, 0, 0, 0, 0, 1]),
        destination_mac: Mac([2, 0, 0, 0, 0, 2]),
        source_address: [10, 0, 0, 1].into(),
        mtu: 1500,
    })
}

/// What the second file would change in an instance that runs the first.
fn plan(old: &str, new: &str) -> PlanReport {
    let read = |text| parse("lb.toml", text).unwrap().desired;
    let (old, new) = (read(old), read(new));
    let mut maps = Image::build(&Desired::default(), next_hop).unwrap();
    let tick = Duration::from_millis(1);
    let mut live = Live::new(settings(&old, false), maps.room(), tick);
    live.apply(&mut maps, &old, &next_hop).unwrap();
    let before = maps.clone();
    let report = report(&live, &maps, &new, &next_hop).unwrap();
    assert_eq!(maps, before);
    // The shorter way to what would break.
    let disrupting = report.breaks_anything().then(|| report.clone());
    let preview = live.preview(&maps, &new, &next_hop).unwrap();
    let found = disruption(&preview, [live.desired(), &new], &maps).unwrap();
    assert_eq!(found, disrupting);
    report
}

#[test]
fn settings_are_told_and_an_interface_that_goes_breaks_flows() {
    let service = "[[service]]\naddress = \"tcp://10.0.0.10:80\"\nbackends = [\"10.0.0.2\"]\n";
    let both = format!("interfaces = [\"eth0\", \"eth1\"]\n{service}");
    let limits = format!("{both}[limits]\nflows = 1000\n");
    let report = plan(&both, &limits);
    assert!(!report.breaks_anything());
    let text = report.to_string();
    assert!(text.contains("~ [limits] flows: 262144 -> 1000"), "{text}");
    let one = format!("interfaces = [\"eth1\"]\n{service}");
    let report = plan(&both, &one);
    assert!(report.breaks_anything());
    assert_eq!(report.interfaces_released, ["eth0"]);
    let text = report.to_string();
    assert!(text.contains("~ interfaces: eth0, eth1 -> eth1"), "{text}");
    assert!(text.contains("! packets of eth0 are not"), "{text}");
    assert!(!plan(&one, &both).breaks_anything());
    assert_eq!(plan(&both, &both).to_string(), "nothing would change");
}

#[test]
fn what_the_process_does_is_told_too() {
    let with = |health: &str, rest: &str| {
        let text = format!(
            "[[service]]\naddress = \"tcp://10.0.0.10:80\"\nbackends = [\"10.0.0.2\"]\n{health}\n{rest}"
        );
        parse("lb.toml", &text).unwrap()
    };
    let tell = |old: &Checked, new: &Checked| -> Vec<String> {
        let fields = of_the_process(old, new);
        fields.iter().map(ToString::to_string).collect()
    };
    let plain = with("", "");
    let tcp = with("health = \"tcp\"", "");
    let slow = with("health = \"tcp\"\nslow_start = \"3s\"", "");
    let open = with("", "[metrics]\nlisten = \"127.0.0.1:9464\"\n");
    let health = "health of tcp://10.0.0.10:80";
    assert_eq!(
        tell(&plain, &tcp),
        [format!("{health}: not checked -> tcp")]
    );
    assert_eq!(
        tell(&tcp, &slow),
        [format!("{health}: tcp -> the same, configured otherwise")]
    );
    assert_eq!(
        tell(&open, &plain),
        ["[metrics] listen: 127.0.0.1:9464 -> none"]
    );
    assert_eq!(tell(&slow, &slow), [""; 0]);
}

const OLD: &str = r#"
[[service]]
address = "tcp://10.0.0.10:80"
mode = "ipip"
backends = ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]
[[service]]
address = "udp://10.0.0.10:53"
mode = "ipip"
track = "never"
backends = ["10.0.0.2", "10.0.0.3"]
[[service]]
address = "tcp://10.0.0.10:25"
backends = ["10.0.0.2"]
[[service]]
address = "tcp://10.0.0.10:22"
backends = ["10.0.0.2"]
"#;

const NEW: &str = r#"
[[service]]
address = "tcp://10.0.0.10:80"
mode = "ipip"
echo = false
backends = [
    { address = "10.0.0.2", weight = 2 },
    { address = "10.0.0.3", state = "drain" },
    { address = "10.0.0.4", state = "down" },
    "10.0.0.6",
]
[[service]]
address = "udp://10.0.0.10:53"
mode = "ipip"
track = "never"
backends = ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
[[service]]
address = "tcp://10.0.0.10:22"
backends = ["10.0.0.2"]
[[service]]
address = "tcp://10.0.0.11:443"
backends = ["10.0.0.2"]
"#;

#[test]
fn a_plan_for_people() {
    let expected = "\
services: 1 added, 3 changed, 1 removed; backends: 3 added, 1 leaving, 1 dying

~ tcp://10.0.0.10:80  ipip
    echo: true -> false
    78.0 % of its slots get another owner: new flows only
    backend                   share       flows
  ~ 10.0.0.2:80   25.0 % ->  66.7 %           ?  weight: 1 -> 2
  ~ 10.0.0.3:80   25.0 % ->   0.0 %           ?  state: up -> drain
  ! 10.0.0.4:80   25.0 % ->   0.0 %           ?  dies, state: up -> down
  + 10.0.0.6:80    0.0 % ->  33.3 %           0  new
  - 10.0.0.5:80   25.0 % ->   0.0 %           ?  leaves
  ! may break flows, nobody knows how many
    flows stay until they are over, nobody knows how many

~ udp://10.0.0.10:53  ipip
    echo: true -> false
    slots: 1024 -> 4096
    66.8 % of its slots get another owner: all flows, because it tracks none
    backend                   share       flows
    10.0.0.2:53   50.0 % ->  33.3 %           ?
    10.0.0.3:53   50.0 % ->  33.3 %           ?
  + 10.0.0.4:53    0.0 % ->  33.3 %           0  new
    may move flows, as its `track` says

~ tcp://10.0.0.10:22  nat
    echo: true -> false

+ tcp://10.0.0.11:443  nat
    backend                    share       flows
  + 10.0.0.2:443    0.0 % -> 100.0 %           0  new

- tcp://10.0.0.10:25  nat
    backend                   share       flows
  ! 10.0.0.2:25  100.0 % ->   0.0 %           0  dies

! in all: may break flows, nobody knows how many";
    assert_eq!(plan(OLD, NEW).to_string(), expected);
}

#[test]
fn a_file_that_changes_nothing_says_so() {
    let report = plan(OLD, OLD);
    assert_eq!(report, PlanReport::default());
    assert_eq!(report.to_string(), "nothing would change");
    assert!(!report.breaks_anything());
}

#[test]
fn a_plan_is_the_same_after_json() {
    let report = plan(OLD, NEW);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["services"][0]["change"], "changed");
    assert_eq!(json["services"][0]["backends"][2]["change"], "dies");
    assert_eq!(serde_json::from_value::<PlanReport>(json).unwrap(), report);
}

#[test]
fn what_needs_a_restart_is_an_error() {
    let new = format!("seed = 7\n{OLD}");
    let read = |text: &str| parse("lb.toml", text).unwrap().desired;
    let (old, new) = (read(OLD), read(&new));
    let maps = Image::build(&old, next_hop).unwrap();
    let live = Live::new(settings(&old, false), maps.room(), Duration::from_millis(1));
    let error = report(&live, &maps, &new, &next_hop).unwrap_err();
    assert!(
        matches!(error, EngineError::RestartNeeded { .. }),
        "{error}"
    );
}
