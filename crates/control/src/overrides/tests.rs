//! Overrides of small configurations.

use engine::desired::BackendState;
use proptest::prelude::*;

use super::*;
use crate::config::parse;

const FILE: &str = r#"# What the operator wrote.
interfaces = ["eth0"]
seed = 0x7fffffffffffffff

[[service]]
address = "tcp://10.0.0.10:80"
backends = ["10.0.0.2", { address = "10.0.0.3", port = 8080, weight = 3 }, "10.0.0.4@de:ad:be:ef:00:04"]

[[service]]
address = "tcp://10.0.0.10:*"
backends = ["10.0.0.2", "10.0.0.5"]

[timeouts]
udp = "7s"
"#;
const WEB: &str = "tcp://10.0.0.10:80";
const ANY: &str = "tcp://10.0.0.10:*";

fn base(text: &str) -> Base {
    Base::parse("lb.toml", text.into(), Vec::new()).unwrap()
}

fn state(service: &str, backend: &str, state: StateWord) -> Override {
    Override::BackendState {
        service: service.into(),
        backend: backend.into(),
        state,
    }
}

fn weight(service: &str, backend: &str, weight: u32) -> Override {
    Override::BackendWeight {
        service: service.into(),
        backend: backend.into(),
        weight,
    }
}

fn add(service: &str, address: &str) -> Override {
    Override::BackendAdded {
        service: service.into(),
        spec: BackendSpec {
            address: address.into(),
            ..BackendSpec::default()
        },
    }
}

fn remove(service: &str, backend: &str) -> Override {
    Override::BackendRemoved {
        service: service.into(),
        backend: backend.into(),
    }
}

fn add_service(address: &str, backends: &[&str]) -> Override {
    let backends = backends.iter().map(|address| BackendSpec {
        address: (*address).into(),
        ..BackendSpec::default()
    });
    Override::ServiceAdded {
        spec: ServiceSpec {
            address: address.into(),
            backends: backends.collect(),
            ..ServiceSpec::default()
        },
    }
}

fn remove_service(service: &str) -> Override {
    let service = service.into();
    Override::ServiceRemoved { service }
}

/// Changes one after the other.
struct Hand {
    base: Base,
    overrides: Overrides,
    now: Effective,
}

impl Hand {
    fn new() -> Self {
        let base = base(FILE);
        Self {
            now: Effective::of(&base),
            overrides: Overrides::default(),
            base,
        }
    }

    fn change(&mut self, change: Override) -> Result<(), OverrideError> {
        let (overrides, now) = self.overrides.with(&self.base, &self.now, change)?;
        let said = parse("effective", &overrides.text(&self.base)).unwrap();
        assert_eq!(
            said.desired, now.checked.desired,
            "the text says what is in force"
        );
        let mut again = overrides.clone();
        let (effective, dropped) = again.fit(&self.base);
        assert_eq!((effective.checked, dropped), (now.checked.clone(), vec![]));
        (self.overrides, self.now) = (overrides, now);
        Ok(())
    }

    fn told(&self) -> Vec<String> {
        let overrides = self.overrides.as_slice().iter();
        overrides.map(ToString::to_string).collect()
    }
}

#[test]
fn without_overrides_the_text_is_the_file_with_its_comments() {
    let hand = Hand::new();
    assert_eq!(hand.overrides.text(&hand.base), FILE);
}

#[test]
fn a_state_and_a_weight_take_the_place_of_earlier_ones_and_go_with_the_difference() {
    let mut hand = Hand::new();
    hand.change(state(WEB, "10.0.0.2", StateWord::Drain))
        .unwrap();
    hand.change(weight(WEB, "10.0.0.3", 5)).unwrap();
    hand.change(weight(WEB, "10.0.0.3:8080", 7)).unwrap();
    assert_eq!(
        hand.told(),
        [
            "backend 10.0.0.2:80 of tcp://10.0.0.10:80: state drain",
            "backend 10.0.0.3:8080 of tcp://10.0.0.10:80: weight 7"
        ]
    );
    let backends = &hand.now.checked.desired.services[0].backends;
    assert_eq!(backends[0].state, BackendState::Drain);
    assert_eq!(backends[1].weight, 7);
    hand.change(state(WEB, "10.0.0.2", StateWord::Up)).unwrap();
    hand.change(weight(WEB, "10.0.0.3", 3)).unwrap();
    assert_eq!(hand.told(), [""; 0]);
    assert_eq!(hand.now.checked, hand.base.checked);
}

#[test]
fn what_was_added_and_removed_again_leaves_nothing() {
    let mut hand = Hand::new();
    hand.change(add(ANY, "10.0.0.9")).unwrap();
    hand.change(state(ANY, "10.0.0.9", StateWord::Drain))
        .unwrap();
    hand.change(add_service("udp://10.0.0.10:53", &["10.0.0.2:5353"]))
        .unwrap();
    hand.change(add("udp://10.0.0.10:53", "10.0.0.8")).unwrap();
    assert_eq!(hand.told().len(), 4);
    hand.change(remove(ANY, "10.0.0.9")).unwrap();
    hand.change(remove_service("udp://10.0.0.10:53")).unwrap();
    assert_eq!(hand.told(), [""; 0]);
    hand.change(remove(WEB, "10.0.0.4")).unwrap();
    hand.change(add(WEB, "10.0.0.4")).unwrap();
    hand.change(remove_service(ANY)).unwrap();
    assert_eq!(hand.told().len(), 3);
    hand.change(remove(WEB, "10.0.0.4")).unwrap();
    assert_eq!(
        hand.told(),
        [
            "service tcp://10.0.0.10:* removed",
            "backend 10.0.0.4:80 of tcp://10.0.0.10:80 removed"
        ]
    );
}

#[test]
fn what_cannot_be_is_refused_and_says_why() {
    let mut hand = Hand::new();
    for (change, error) in [
        (
            state("tcp://10.0.0.11:80", "10.0.0.2", StateWord::Up),
            "no service tcp://10.0.0.11:80",
        ),
        (state(WEB, "10.0.0.9", StateWord::Up), "no backend 10.0.0.9"),
        (
            state(WEB, "10.0.0.3:80", StateWord::Up),
            "no backend 10.0.0.3:80",
        ),
        (state(WEB, "ten", StateWord::Up), "ten"),
        (state("web", "10.0.0.2", StateWord::Up), "no protocol"),
        (
            weight(WEB, "10.0.0.2", 65_536),
            "expected an integer from 0 to 65535",
        ),
        (add(WEB, "10.0.0.2"), "is there already"),
        (add(WEB, "10.0.0.10"), "the service's own address"),
        (add(ANY, "10.0.0.2:80"), "is given twice"),
        (add(ANY, "10.0.0.9:80"), "in a service of every port"),
        (add_service(WEB, &["10.0.0.2"]), "is there already"),
        (add_service("udp://10.0.0.10:53", &[]), "no backends"),
        (remove(WEB, "10.0.0.9"), "no backend 10.0.0.9"),
        (remove_service("udp://10.0.0.10:53"), "no service"),
    ] {
        let text = change.to_string();
        let found = hand.change(change).map_err(|error| error.to_string());
        let found = found.expect_err(&text);
        // In a service of every port the same address is one backend, whatever is said of ports.
        let accepted = found.contains(error)
            || (error == "is given twice" && found.contains("in a service of every port"));
        assert!(accepted, "{text}: {found}");
    }
    assert_eq!(hand.told(), [""; 0]);
    hand.change(remove(ANY, "10.0.0.5")).unwrap();
    let last = hand.change(remove(ANY, "10.0.0.2")).unwrap_err();
    assert!(last.to_string().contains("no backends"), "{last}");
    hand.change(weight(WEB, "10.0.0.2", 0)).unwrap();
    hand.change(weight(WEB, "10.0.0.3", 0)).unwrap();
    let last = hand.change(weight(WEB, "10.0.0.4", 0)).unwrap_err();
    assert!(last.to_string().contains("would have weight 0"), "{last}");
}

#[test]
fn what_no_longer_fits_another_file_is_dropped_and_told() {
    let mut hand = Hand::new();
    hand.change(state(WEB, "10.0.0.2", StateWord::Drain))
        .unwrap();
    hand.change(state(WEB, "10.0.0.4", StateWord::Drain))
        .unwrap();
    hand.change(add(WEB, "10.0.0.9")).unwrap();
    hand.change(remove(ANY, "10.0.0.5")).unwrap();
    hand.change(add_service("udp://10.0.0.10:53", &["10.0.0.2"]))
        .unwrap();
    let other = base(
        "[[service]]\naddress = \"tcp://10.0.0.10:80\"\nbackends = [\"10.0.0.2\", \"10.0.0.9\"]\n\
         [[service]]\naddress = \"udp://10.0.0.2:53\"\nbackends = [\"10.0.0.3\"]",
    );
    let mut overrides = hand.overrides.clone();
    let (now, dropped) = overrides.fit(&other);
    let [first] = overrides.as_slice() else {
        panic!("{overrides:?}")
    };
    assert_eq!(
        first.to_string(),
        "backend 10.0.0.2:80 of tcp://10.0.0.10:80: state drain"
    );
    assert_eq!(dropped.len(), 4, "{dropped:?}");
    assert!(dropped[0].starts_with("dropped what was changed by hand: "));
    assert_eq!(
        now.checked.desired.services[0].backends[0].state,
        BackendState::Drain
    );
}

#[test]
fn interfaces_of_the_command_line_stay() {
    let base = Base::parse("lb.toml", FILE.into(), vec!["eth7".into()]).unwrap();
    let change = add(WEB, "10.0.0.9");
    let (_, now) = Overrides::default()
        .with(&base, &Effective::of(&base), change)
        .unwrap();
    assert_eq!(now.checked.desired.interfaces, ["eth7"]);
}

fn any_change() -> impl Strategy<Value = Override> {
    let service = prop_oneof![Just(WEB), Just(ANY), Just("udp://10.0.0.10:53")];
    let backend = (2_u8..8).prop_map(|last| format!("10.0.0.{last}"));
    let states = prop_oneof![
        Just(StateWord::Up),
        Just(StateWord::Drain),
        Just(StateWord::Down)
    ];
    (service, backend, states, 0_u32..4, 0_u8..6).prop_map(
        |(service, backend, to, number, kind)| match kind {
            0 => state(service, &backend, to),
            1 => weight(service, &backend, number),
            2 => add(service, &backend),
            3 => remove(service, &backend),
            4 => add_service(service, &[&backend]),
            _ => remove_service(service),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// [`Hand::change`] compares after each change.
    #[test]
    fn whatever_is_changed_the_text_says_what_is_in_force(
        changes in prop::collection::vec(any_change(), 0..20)
    ) {
        let mut hand = Hand::new();
        for change in changes {
            // Those that cannot be change nothing.
            let _ = hand.change(change);
        }
    }
}
