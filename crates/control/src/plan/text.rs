//! A plan for people: each line begins with what it is about, so that it can be coloured.
//!
//! `+` comes, `~` changes, `-` goes, `!` costs flows; two more columns for a backend than for its
//! service.

use std::fmt::{self, Formatter};

use super::{BackendFate, BackendPlan, FieldPlan, PlanReport, ServiceFate, ServicePlan};

impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.services.is_empty() && self.settings.is_empty() {
            return f.write_str("nothing would change");
        }
        writeln!(
            f,
            "services: {} added, {} changed, {} removed; backends: {} added, {} leaving, {} dying",
            self.services_added,
            self.services_changed,
            self.services_removed,
            self.backends_added,
            self.backends_removed,
            self.backends_died,
        )?;
        if !self.settings.is_empty() {
            writeln!(f)?;
        }
        for setting in &self.settings {
            writeln!(f, "~ {setting}")?;
        }
        for interface in &self.interfaces_released {
            writeln!(f, "! packets of {interface} are not balanced any more")?;
        }
        for service in &self.services {
            writeln!(f, "\n{service}")?;
        }
        match breaks(self.breaks, self.breaks_unknown) {
            Some(breaks) => write!(f, "\n! in all: {breaks}"),
            None => f.write_str("\nbreaks no flow"),
        }
    }
}

impl fmt::Display for ServicePlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sign = match self.change {
            ServiceFate::Added => '+',
            ServiceFate::Changed => '~',
            ServiceFate::Removed => '-',
        };
        write!(f, "{sign} {}  {}", self.service, self.mode)?;
        for field in &self.fields {
            write!(f, "\n    {field}")?;
        }
        self.write_slots(f)?;
        if self.backends.iter().any(BackendPlan::is_touched) {
            let name = |backend: &BackendPlan| backend.backend.len();
            let width = self.backends.iter().map(name).max().unwrap_or(0);
            write!(
                f,
                "\n    {:<width$}  {:>18}  {:>10}",
                "backend", "share", "flows"
            )?;
            for backend in &self.backends {
                backend.write(f, width)?;
            }
        }
        self.write_flows(f)
    }
}

impl ServicePlan {
    fn write_slots(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.change != ServiceFate::Changed {
            return Ok(());
        }
        if self.slots != self.slots_before {
            write!(f, "\n    slots: {} -> {}", self.slots_before, self.slots)?;
        }
        if self.slots_moved > 0 {
            let of = match (self.transitions, self.mode.as_str()) {
                (_, "nat") | (true, _) => "new flows only",
                (false, _) => "all flows, because it tracks none",
            };
            let share = percent(self.share_moved);
            write!(f, "\n    {share} of its slots get another owner: {of}")?;
        }
        Ok(())
    }

    fn write_flows(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let effects = self.flows;
        if !self.takes_from.is_empty() {
            write!(f, "\n  ! takes packets from {}", self.takes_from.join(", "))?;
        }
        if let Some(breaks) = breaks(effects.breaks, effects.breaks_unknown) {
            write!(f, "\n  ! {breaks}")?;
        }
        let stays = match (effects.drain, effects.drain_unknown) {
            (0, false) => None,
            (0, true) => Some("flows stay until they are over, nobody knows how many".into()),
            (1, false) => Some("1 flow stays until it is over".into()),
            (known, false) => Some(format!("{known} flows stay until they are over")),
            (known, true) => Some(format!("{known} or more flows stay until they are over")),
        };
        if let Some(stays) = stays {
            write!(f, "\n    {stays}")?;
        }
        if effects.may_move {
            f.write_str("\n    may move flows, as its `track` says")?;
        }
        Ok(())
    }
}

impl BackendPlan {
    fn is_touched(&self) -> bool {
        let same = self.share_before.total_cmp(&self.share).is_eq();
        self.change != BackendFate::Same || !same || self.loses_answers || !self.fields.is_empty()
    }

    fn write(&self, f: &mut Formatter<'_>, width: usize) -> fmt::Result {
        let (sign, what) = match self.change {
            BackendFate::Same => (' ', None),
            BackendFate::Added => ('+', Some("new")),
            BackendFate::Changed => ('~', None),
            BackendFate::Leaves => ('-', Some("leaves")),
            BackendFate::Dies => ('!', Some("dies")),
        };
        let share = match self.share_before.total_cmp(&self.share).is_eq() {
            true => percent(self.share),
            false => format!(
                "{} -> {:>7}",
                percent(self.share_before),
                percent(self.share)
            ),
        };
        let flows = match (self.flows, self.flows_unknown) {
            (0, true) => "?".into(),
            (known, true) => format!("{known} or more"),
            (known, false) => known.to_string(),
        };
        let (sign, lost) = match self.loses_answers {
            true => ('!', Some("its answers are not found any more")),
            false => (sign, None),
        };
        let what = what.into_iter().chain(lost).map(ToString::to_string);
        let fields = self.fields.iter().map(ToString::to_string);
        let words: Vec<String> = what.chain(fields).collect();
        let name = &self.backend;
        let line = format!(
            "  {sign} {name:<width$}  {share:>18}  {flows:>10}  {}",
            words.join(", ")
        );
        write!(f, "\n{}", line.trim_end())
    }
}

impl fmt::Display for FieldPlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.field, self.old, self.new)
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// What breaks, or `None` if nothing does.
fn breaks(known: u64, unknown: bool) -> Option<String> {
    match (known, unknown) {
        (0, false) => None,
        (0, true) => Some("may break flows, nobody knows how many".into()),
        (1, false) => Some("breaks 1 flow".into()),
        (known, false) => Some(format!("breaks {known} flows")),
        (known, true) => Some(format!("breaks {known} or more flows")),
    }
}
