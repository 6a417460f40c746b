//! Against reading everything.

use proptest::prelude::*;

use super::*;
use crate::config::parse;

const HEAD: &str = "# A file.\ninterfaces = [\"eth0\"]\n\n";
const TAIL: &str = "\n[limits]\nflows = 1000\n";

/// Services of which no two have anything in common.
fn services(count: usize) -> String {
    let service = |index: usize| match index % 5 {
        0 => format!(
            "[[service]]\naddress = \"tcp://10.0.0.{index}:80\"\nbackends = [\"10.1.0.1\"]\n"
        ),
        1 => format!(
            "[[service]] # [[service]]\naddress = \"udp://10.0.0.{index}:53\"\n\
             backends = [\n  \"10.1.0.2\",\n  {{ address = \"10.1.0.3\", weight = 3 }},\n]\n\n"
        ),
        2 => format!(
            "  [[ service ]]\r\naddress = \"tcp://10.0.0.{index}:80\"\r\nbackends = [\"10.1.0.4\"]\r\n\
             [service.health]\r\ntype = \"http\"\r\n"
        ),
        3 => format!(
            "[[service]]\naddress = \"\"\"\\\n  tcp://10.0.0.{index}:443\"\"\"\n\
             backends = [\"10.1.0.5\"] # Grüße\nslow_start = \"5s\"\n"
        ),
        _ => format!(
            "# The next one.\n[[\"service\"]]\naddress = \"tcp://10.0.0.{index}:*\"\n\
             track = \"always\"\nbackends = [\"10.1.0.6\"]\n"
        ),
    };
    (1..=count).map(service).collect()
}

fn reading(text: &str) -> Reading {
    let (reading, checked) = Reading::of("lb.toml", text.into()).unwrap();
    assert_eq!(checked, parse("lb.toml", text).unwrap());
    reading
}

/// Reads a text again, which is to say what reading it says; second: only what changed was read.
fn assert_read_again(before: &Reading, text: &str) -> (Option<Reading>, bool) {
    let expected = Reading::of("lb.toml", text.into());
    let quick = before.only_what_changed(text);
    let is_quick = quick.is_some();
    if let Some((_, headers, checked)) = quick {
        let (whole, said) = match &expected {
            Ok(expected) => expected,
            Err(error) => panic!(
                "taken for good: {error}\nbefore: {}\nnow: {text}",
                before.text
            ),
        };
        assert_eq!(checked, *said, "before: {}\nnow: {text}", before.text);
        assert_eq!(
            headers, whole.headers,
            "before: {}\nnow: {text}",
            before.text
        );
    }
    match (before.again("lb.toml", text.into()), expected) {
        (Ok((reading, checked)), Ok((_, expected))) => {
            assert_eq!(checked, expected);
            assert_eq!(reading.text(), text);
            (Some(reading), is_quick)
        }
        (Err(error), Err(expected)) => {
            assert_eq!(error.to_string(), expected.to_string());
            (None, is_quick)
        }
        (found, expected) => panic!("{:?}, not {:?}", found.err(), expected.err()),
    }
}

#[test]
fn only_services_that_changed_are_read() {
    let text = format!("{HEAD}{}{TAIL}", services(12));
    let before = reading(&text);
    assert_eq!(before.headers.len(), 12);
    for (from, to) in [
        ("10.1.0.2", "10.1.7.2"),
        ("weight = 3", "weight = 4"),
        ("type = \"http\"", "type = \"tcp\""),
        // One more, one less, and one in the place of another.
        (
            "[[\"service\"]]",
            "[[service]]\naddress = \"tcp://10.0.1.1:1\"\nbackends = [\"10.1.0.1\"]\n[[\"service\"]]",
        ),
        (
            "[[service]]\naddress = \"tcp://10.0.0.5:80\"\nbackends = [\"10.1.0.1\"]\n",
            "",
        ),
        ("tcp://10.0.0.10:80", "tcp://10.0.2.10:80"),
        ("# Grüße", "# Gruß"),
        ("[\"10.1.0.5\"]", "[\"10.1.0.5\"]"),
    ] {
        let now = text.replacen(from, to, 1);
        // Nothing changed: what comes after the last service would be read, too.
        let expected = now != text;
        let (read, is_quick) = assert_read_again(&before, &now);
        assert_eq!((read.is_some(), is_quick), (true, expected), "{from}, {to}");
    }
}

#[test]
fn whatever_is_more_than_that_is_read_whole() {
    let text = format!("{HEAD}{}{TAIL}", services(6));
    let before = reading(&text);
    for (from, to) in [
        ("eth0", "eth1"),
        ("flows = 1000", "flows = 1001"),
        // Another service's address, an unknown field, a table that is not the service's.
        ("udp://10.0.0.6:53", "tcp://10.0.0.2:80"),
        ("weight = 3", "wait = 3"),
        ("slow_start = \"5s\"", "[nat]\naddress = \"10.0.0.99\""),
        // What follows is no longer what it was.
        ("slow_start = \"5s\"", "slow_start = \"\"\"5s"),
        ("[\"10.1.0.5\"]", "[\"10.1.0.5\""),
        ("10.1.0.1\"]\n[[", "10.1.0.1\"][["),
        ("10.1.0.1\"]\n[[", "10.1.0.1\"]\n [["),
        ("slow_start = \"5s\"", "slow_start = '''\n"),
    ] {
        let now = text.replacen(from, to, 1);
        assert_ne!(now, text, "{from}");
        let (_, is_quick) = assert_read_again(&before, &now);
        assert!(!is_quick, "{from}, {to}");
    }
    let inline = "interfaces = [\"eth0\"]\nservice = [{ address = \"tcp://10.0.0.1:80\", \
                  backends = [\"10.1.0.1\"] }]\n";
    let before = reading(inline);
    assert_eq!(before.headers, [0; 0]);
    assert!(!assert_read_again(&before, &inline.replace(".1:80", ".2:80")).1);
}

/// Something is put in the place of what is from here on.
#[derive(Clone, Debug)]
struct Edit {
    /// Where, in 65,536ths of the text.
    at: u16,
    /// Characters that go.
    gone: usize,
    /// What comes.
    come: &'static str,
    /// It begins where a line does.
    line: bool,
}

const PIECES: [&str; 16] = [
    "",
    "",
    "7",
    "\n",
    "\"",
    "\"\"\"",
    "'''\n",
    "#",
    "]",
    "[[service]]\n",
    "x[[service]]\n",
    "[[service]]\naddress = \"tcp://10.9.0.1:80\"\nbackends = [\"10.1.0.1\"]\n",
    "[service.health]\ntype = \"tcp\"\n",
    "[timeouts]\nudp = \"1s\"\n",
    "echo = false\n",
    "seed = 1\n",
];

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let length = prop_oneof![4 => Just(0_usize), 4 => 0_usize..4, 1 => 0_usize..200];
    let edit = (any::<u16>(), length, 0..PIECES.len(), any::<bool>());
    let edit = edit.prop_map(|(at, gone, come, line)| Edit {
        at,
        gone,
        come: PIECES[come],
        line,
    });
    prop::collection::vec(edit, 1..6)
}

fn edited(text: &str, edit: &Edit) -> String {
    let at = text.len() * usize::from(edit.at) / 65_536;
    let start = match edit.line {
        true => text.as_bytes()[..at]
            .iter()
            .rposition(|byte| *byte == b'\n'),
        false => Some(at),
    };
    let start = start.map_or(0, |start| start + usize::from(edit.line));
    let start = (start..=text.len()).find(|at| text.is_char_boundary(*at));
    let (before, rest) = text.split_at(start.expect("the end is one"));
    let kept = rest.chars().skip(edit.gone);
    before
        .chars()
        .chain(edit.come.chars())
        .chain(kept)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_is_changed_it_says_what_reading_all_of_it_says(
        count in 1_usize..9,
        tail in any::<bool>(),
        edits in edits(),
    ) {
        let tail = if tail { TAIL } else { "" };
        let mut before = reading(&format!("{HEAD}{}{tail}", services(count)));
        for edit in &edits {
            let now = edited(before.text(), edit);
            if let (Some(reading), _) = assert_read_again(&before, &now) {
                before = reading;
            }
        }
    }
}
