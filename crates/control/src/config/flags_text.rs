//! A service given by flags, as a configuration file would say it.

use super::FlagInput;
use super::tree::{Fields, Node};

/// The text that means what the flags do, if they are right.
#[must_use]
pub fn flags_text(input: FlagInput<'_>) -> String {
    let text = |text: &str| Node::Text(text.to_owned());
    let backends = input.backends.iter().enumerate().map(|(index, backend)| {
        let mut fields = Fields::default();
        fields.set("address", text(backend));
        if let Some(weight) = input.weights.get(index) {
            fields.set("weight", Node::Word(weight.clone()));
        }
        Node::Table(fields)
    });
    let mut service = Fields::default();
    service.set("address", text(input.service));
    if let Some(mode) = input.mode {
        service.set("mode", text(mode));
    }
    if let Some(health) = input.health {
        service.set("health", text(health));
    }
    service.set("backends", Node::List(backends.collect()));
    let mut all = Fields::default();
    let interfaces = input.interfaces.iter().map(|name| text(name));
    all.set("interfaces", Node::List(interfaces.collect()));
    all.set("service", Node::List(vec![Node::Table(service)]));
    all.to_string()
}

#[cfg(test)]
mod tests {
    use super::super::{from_flags, parse};
    use super::*;

    #[test]
    fn a_file_says_the_same_as_the_flags() {
        let words = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let input = FlagInput {
            interfaces: &words(&["eth0", "eth1"]),
            service: "tcp://10.0.0.10:80",
            mode: Some("l2-dsr"),
            backends: &words(&["10.0.0.2", "10.0.0.3@de:ad:be:ef:00:03"]),
            weights: &words(&["3", "1"]),
            health: Some("http"),
        };
        let text = flags_text(input);
        assert_eq!(
            parse("flags", &text).unwrap(),
            from_flags(input).unwrap(),
            "{text}"
        );
    }
}
