//! The lines at the top and at the bottom.

use std::time::Duration;

use control::status::{Status, TransitionStatus};
use ratatui::text::{Line, Span};

use super::super::app::{App, Focus};
use super::number::{bits, rate, short, time};
use super::palette::Palette;
use super::table::left;

/// Who it is, and how much passes through it. The first two lines are for every terminal.
pub(super) fn header(app: &App, palette: Palette) -> Vec<Line<'static>> {
    let Some(status) = app.model.status() else {
        return vec![Line::styled("evenkeel: no status yet", palette.title())];
    };
    vec![
        identity(app, status, palette),
        totals(app, palette),
        tables(status, palette),
    ]
}

fn identity(app: &App, status: &Status, palette: Palette) -> Line<'static> {
    let mut spans = vec![Span::styled(status.instance.clone(), palette.title())];
    if let Some(problem) = &app.problem {
        spans.push(Span::styled(format!("  {problem}"), palette.bad()));
        return Line::from(spans);
    }
    if app.is_paused {
        spans.push(Span::styled("  PAUSED", palette.notable()));
    }
    let up = time(Duration::from_secs(status.uptime_seconds));
    let mut rest = format!("  evenkeel {}  up {up}", status.version);
    for interface in &status.interfaces {
        rest += &format!("  {} {}", interface.name, interface.mode);
    }
    spans.push(Span::raw(rest));
    Line::from(spans)
}

fn totals(app: &App, palette: Palette) -> Line<'static> {
    let rates = app.model.rates();
    let packets = rate(rates.map(|rates| rates.packets));
    let bits = bits(rates.map(|rates| rates.all.bits()));
    let flows = rate(rates.map(|rates| rates.all.new_flows));
    let drops = rates.map(|rates| rates.drops);
    let style = match drops {
        Some(drops) if drops > 0.0 => palette.bad(),
        _ => ratatui::style::Style::new(),
    };
    Line::from(vec![
        Span::styled(packets, palette.title()),
        Span::raw(" packets/s  "),
        Span::styled(bits, palette.title()),
        Span::raw("  "),
        Span::styled(flows, palette.title()),
        Span::raw(" new flows/s  "),
        Span::styled(format!("{} drops/s", rate(drops)), style),
    ])
}

fn tables(status: &Status, palette: Palette) -> Line<'static> {
    let flows = &status.flows;
    let of = |count: u64, limit: u64| format!("{}/{}", short(count as f64), short(limit as f64));
    let established = of(flows.established, flows.established_limit);
    let half_open = of(flows.half_open, flows.half_open_limit);
    let text = format!("flows of nat: {established} established, {half_open} half-open");
    Line::styled(text, palette.quiet())
}

/// How changes of the configuration are getting on.
pub(super) fn transitions(now: &TransitionStatus, palette: Palette) -> Line<'static> {
    let TransitionStatus {
        slots_in_transition,
        slots_settling,
        backends_leaving,
        exceptions,
        ..
    } = now;
    if (slots_in_transition, slots_settling, backends_leaving) == (&0, &0, &0) {
        return Line::styled("no slot is changing", palette.quiet());
    }
    let text = format!(
        "slots in transition: {slots_in_transition}, settling: {slots_settling}; \
         backends leaving: {backends_leaving}; exceptions: {exceptions}"
    );
    Line::styled(text, palette.notable())
}

/// What was said last, or what can be done.
pub(super) fn footer(app: &App, palette: Palette, width: usize) -> Line<'static> {
    if app.focus == Focus::Filter {
        return Line::from(vec![
            Span::styled("filter: ", palette.title()),
            Span::raw(app.filter.clone()),
            Span::styled("▏ Enter keeps it, Esc clears it", palette.quiet()),
        ]);
    }
    if let Some(message) = &app.message {
        return Line::styled(left(message, width), palette.notable());
    }
    let keys = if app.is_open {
        "q quit  ? help  Esc back  d drain  u undrain  p pause  j/k choose"
    } else {
        "q quit  ? help  Enter open  / filter  s sort  p pause  j/k choose"
    };
    Line::styled(keys, palette.quiet())
}
