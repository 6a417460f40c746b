//! docs/operations.md explains every reason, in the words of `abi::reason`.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use abi::reason::{Action, Reason};

const HEADLINE: &str = "\n| reason | packet | meaning | what to do |\n|---|---|---|---|\n";

/// The table as it should be, with what the document says is to be done.
fn table(what_to_do: &BTreeMap<&str, &str>) -> String {
    let rows = Reason::ALL.iter().map(|reason| {
        let action = match reason.action() {
            Action::Pass => "passed to the host",
            Action::Forward => "forwarded",
            Action::Drop => "dropped",
        };
        let (name, meaning) = (reason.name(), reason.explanation());
        let what_to_do = what_to_do.get(name).unwrap_or(&"");
        format!("| `{name}` | {action} | {meaning} | {what_to_do} |\n")
    });
    rows.collect()
}

/// With `UPDATE_EXPECT=1` it writes the table anew; what is to be done for a new reason is then
/// left for you to say.
#[test]
fn the_operator_is_told_what_each_reason_means_and_what_to_do() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(HEADLINE).expect("the table's headline");
    let end = rest.find("\n\n").expect("an empty line behind it") + 1;
    let (found, after) = rest.split_at(end);
    let cells = found.lines().filter_map(|line| {
        let mut cells = line.split('|').map(str::trim);
        let name = cells.nth(1)?.trim_matches('`');
        Some((name, cells.nth(2)?))
    });
    let what_to_do: BTreeMap<_, _> = cells.collect();
    let expected = table(&what_to_do);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let text = format!("{before}{HEADLINE}{expected}{after}");
        fs::write(&path, text).unwrap();
    } else {
        assert_eq!(found, expected, "write it anew: UPDATE_EXPECT=1");
    }
    for reason in Reason::ALL {
        let name = reason.name();
        let what_to_do = what_to_do.get(name);
        assert!(
            what_to_do.is_some_and(|text| !text.is_empty()),
            "what to do about {name} is for you to say in {}",
            path.display()
        );
    }
}
