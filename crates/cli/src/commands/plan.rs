//! `evenkeel plan`. A plan comes from the running instance.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Result;
use control::api;
use control::api::model::PlanRequest;
use control::plan::PlanReport;

use super::apply::text;
use super::live::{name, wait};
use crate::arguments::live::Plan;
use crate::output::stdout;

/// The exit code when flows would break, or might.
pub(crate) const BREAKS: u8 = 2;

pub(crate) fn plan(arguments: &Plan) -> Result<ExitCode> {
    let (config, source) = text(arguments.file.as_deref())?;
    let request = PlanRequest {
        config,
        name: source,
    };
    let report = wait(api::plan(&name(&arguments.of), &request))??;
    print(&report, arguments.json)
}

/// Tells a plan on standard output, and by the exit code whether it would break flows.
fn print(report: &PlanReport, json: bool) -> Result<ExitCode> {
    // https://no-color.org: set and not empty.
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let coloured = io::stdout().is_terminal() && !plain;
    write(&mut stdout(), report, json, coloured)?;
    Ok(match report.breaks_anything() {
        true => ExitCode::from(BREAKS),
        false => ExitCode::SUCCESS,
    })
}

fn write(out: &mut impl Write, report: &PlanReport, json: bool, coloured: bool) -> Result<()> {
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(report)?)?;
        return Ok(());
    }
    for line in report.to_string().lines() {
        match colour(line).filter(|_| coloured) {
            Some(colour) => writeln!(out, "\x1b[{colour}m{line}\x1b[0m")?,
            None => writeln!(out, "{line}")?,
        }
    }
    Ok(())
}

/// The colour of a line, by the sign that it begins with (ECMA-48, "select graphic rendition").
fn colour(line: &str) -> Option<u8> {
    match line.trim_start().get(..2)? {
        "+ " => Some(32),
        "~ " => Some(33),
        "- " => Some(31),
        // Bold and red is two codes; magenta tells it from what merely goes.
        "! " => Some(35),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use control::plan::{BackendFate, BackendPlan, FieldPlan, FlowPlan, ServiceFate, ServicePlan};

    use super::*;

    fn backend(name: &str, change: BackendFate, shares: [f64; 2], flows: u64) -> BackendPlan {
        BackendPlan {
            backend: name.into(),
            change,
            loses_answers: false,
            fields: Vec::new(),
            share_before: shares[0],
            share: shares[1],
            flows,
            flows_unknown: false,
        }
    }

    fn report() -> PlanReport {
        let mut heavier = backend("10.0.0.2:80", BackendFate::Changed, [0.25, 0.5], 1_000);
        let (field, old, new) = ("weight".into(), "1".into(), "2".into());
        heavier.fields.push(FieldPlan { field, old, new });
        let service = ServicePlan {
            service: "tcp://10.0.0.10:80".into(),
            mode: "nat".into(),
            change: ServiceFate::Changed,
            fields: Vec::new(),
            backends: vec![
                heavier,
                backend("10.0.0.3:80", BackendFate::Same, [0.25; 2], 9),
                backend("10.0.0.4:8080", BackendFate::Added, [0.0, 0.25], 0),
                backend("10.0.0.5:80", BackendFate::Leaves, [0.25, 0.0], 12),
                backend("10.0.0.6:80", BackendFate::Dies, [0.25, 0.0], 1),
            ],
            slots_before: 4096,
            slots: 4096,
            slots_moved: 1024,
            share_moved: 0.25,
            transitions: false,
            takes_from: Vec::new(),
            flows: FlowPlan {
                drain: 12,
                breaks: 1,
                ..FlowPlan::default()
            },
        };
        PlanReport {
            services: vec![service],
            services_changed: 1,
            backends_added: 1,
            backends_removed: 1,
            backends_died: 1,
            slots_moved: 1024,
            breaks: 1,
            ..PlanReport::default()
        }
    }

    fn written(report: &PlanReport, json: bool, coloured: bool) -> String {
        let mut text = Vec::new();
        write(&mut text, report, json, coloured).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_plan_is_told_in_aligned_lines() {
        let expected = "\
services: 0 added, 1 changed, 0 removed; backends: 1 added, 1 leaving, 1 dying

~ tcp://10.0.0.10:80  nat
    25.0 % of its slots get another owner: new flows only
    backend                     share       flows
  ~ 10.0.0.2:80     25.0 % ->  50.0 %        1000  weight: 1 -> 2
    10.0.0.3:80                25.0 %           9
  + 10.0.0.4:8080    0.0 % ->  25.0 %           0  new
  - 10.0.0.5:80     25.0 % ->   0.0 %          12  leaves
  ! 10.0.0.6:80     25.0 % ->   0.0 %           1  dies
  ! breaks 1 flow
    12 flows stay until they are over

! in all: breaks 1 flow
";
        assert_eq!(written(&report(), false, false), expected);
    }

    #[test]
    fn colours_change_nothing_but_the_colour() {
        let coloured = written(&report(), false, true);
        let mut plain = coloured.replace("\x1b[0m", "");
        assert!(coloured.contains("\x1b[32m  + 10.0.0.4:8080"), "{coloured}");
        for code in [31, 32, 33, 35] {
            let without = plain.replace(&format!("\x1b[{code}m"), "");
            assert_ne!(without, plain, "{code}");
            plain = without;
        }
        assert_eq!(plain, written(&report(), false, false));
    }

    #[test]
    fn json_is_the_whole_report() {
        let json = written(&report(), true, true);
        assert_eq!(serde_json::from_str::<PlanReport>(&json).unwrap(), report());
    }

    #[test]
    fn the_exit_code_says_whether_flows_would_break() {
        let code = |report: &PlanReport| format!("{:?}", print(report, false).unwrap());
        assert_eq!(code(&report()), format!("{:?}", ExitCode::from(2)));
        let unknown = PlanReport {
            breaks_unknown: true,
            ..PlanReport::default()
        };
        assert_eq!(code(&unknown), format!("{:?}", ExitCode::from(2)));
        let success = format!("{:?}", ExitCode::SUCCESS);
        assert_eq!(code(&PlanReport::default()), success);
    }
}
