//! The lists: services, the backends of one of them, reasons.

use control::health::State;
use control::status::{BackendStatus, ServiceStatus};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::app::App;
use super::super::model::{HISTORY, Traffic, action, is_drop};
use super::number::{self, percent, rate, short, sparkline};
use super::palette::Palette;
use super::table::{Column, Fit, left};
use abi::reason::Action;

/// A headline, titles, and lines of which one may be chosen.
pub(super) struct Section {
    pub(super) title: Line<'static>,
    pub(super) columns: Line<'static>,
    pub(super) lines: Vec<Line<'static>>,
    pub(super) chosen: Option<usize>,
}

const fn column(title: &'static str, width: usize, rank: u8) -> Column {
    Column { title, width, rank }
}

const SERVICE_COLUMNS: [Column; 6] = [
    column("packets/s", 9, 1),
    column("bit/s", 6, 3),
    column("new/s", 6, 2),
    column("up", 7, 4),
    column("changing", 8, 6),
    column("mode", 6, 5),
];
/// Least width of a service's name.
const SERVICE_WIDTH: usize = 20;
/// Bars of a sparkline beside a service that long names leave, where there is any room.
const LEAST_BARS: usize = 8;

pub(super) fn services(app: &App, palette: Palette, width: usize) -> Section {
    let all = app
        .model
        .status()
        .map_or(&[][..], |status| &status.services);
    let shown = app.services();
    let names = shown.iter().map(|&index| all[index].service.len());
    let longest = names.max().unwrap_or(0).max(SERVICE_WIDTH);
    // Names as long as they are, and sparklines in the rest of the line.
    let used: usize = SERVICE_COLUMNS.iter().map(|column| column.width + 1).sum();
    let beside = |name: usize| width.saturating_sub(name + used + 1);
    let least = beside(SERVICE_WIDTH).min(LEAST_BARS);
    let bars = beside(longest).clamp(least, HISTORY);
    let table_width = match bars {
        0 => width,
        bars => (width - bars - 1).min(longest + used),
    };
    let fit = Fit::new(&SERVICE_COLUMNS, SERVICE_WIDTH, table_width);
    let line = |&index: &usize| {
        let mut line = service_line(app, &all[index], index, &fit, palette);
        let history = app.model.history(&all[index].service);
        line.push_span(Span::styled(
            format!(" {}", sparkline(history, bars)),
            palette.graph(),
        ));
        line
    };
    let counted = match shown.len() {
        some if some == all.len() => format!("{some}"),
        some => format!("{some} of {}", all.len()),
    };
    let filter = match &*app.filter {
        "" => String::new(),
        filter => format!(", with \"{filter}\""),
    };
    Section {
        title: Line::styled(
            format!("Services: {counted}, {}{filter}", app.order.name()),
            palette.title(),
        ),
        columns: fit.titles("service", palette.quiet()),
        lines: shown.iter().map(line).collect(),
        chosen: Some(app.place(&shown)),
    }
}

fn service_line(
    app: &App,
    service: &ServiceStatus,
    index: usize,
    fit: &Fit<'_>,
    palette: Palette,
) -> Line<'static> {
    let all = app.model.service(index).map(|rates| rates.all);
    let number = |of: fn(Traffic) -> f64| (rate(all.map(of)), Style::new());
    let backends = service.backends.len();
    let up = service
        .backends
        .iter()
        .filter(|backend| backend.state == "up");
    let up = up.count();
    let style = match up {
        0 => palette.bad(),
        some if some < backends => palette.notable(),
        _ => palette.good(),
    };
    let changing = match service.slots_changing {
        0 => String::new(),
        slots => slots.to_string(),
    };
    let cells = [
        number(Traffic::both_ways),
        number(Traffic::bits),
        number(|all| all.new_flows),
        (format!("{up}/{backends}"), style),
        (changing, palette.notable()),
        (service.mode.clone(), palette.quiet()),
    ];
    fit.line((service.service.clone(), Style::new()), cells.into_iter())
}

const BACKEND_COLUMNS: [Column; 9] = [
    column("state", 11, 1),
    column("health", 6, 8),
    column("share", 6, 6),
    column("weight", 6, 7),
    column("new/s", 6, 3),
    column("packets/s", 9, 2),
    column("B/s to", 7, 4),
    column("B/s from", 8, 5),
    column("replies/s", 9, 9),
];
/// Least width of a backend's address: `10.0.0.2:8000` fits.
const BACKEND_WIDTH: usize = 13;
/// Most of it, so that numbers stay near.
const BACKEND_WIDEST: usize = 47;

pub(super) fn backends(app: &App, palette: Palette, width: usize) -> Section {
    let chosen = app.chosen();
    let service = app.chosen_service();
    let backends = service.map_or(&[][..], |service| &service.backends);
    let used: usize = BACKEND_COLUMNS.iter().map(|column| column.width + 1).sum();
    let fit = Fit::new(
        &BACKEND_COLUMNS,
        BACKEND_WIDTH,
        width.min(used + BACKEND_WIDEST),
    );
    let rates = chosen.and_then(|index| app.model.service(index));
    let lines = backends.iter().enumerate().map(|(index, backend)| {
        let traffic = rates.and_then(|rates| rates.backends.get(index).copied());
        backend_line(backend, traffic, &fit, palette)
    });
    let title = service.map_or_else(
        || "Backends".into(),
        |service| {
            format!(
                "Backends of {}: {}, {} slots{}",
                service.service,
                service.mode,
                service.slots,
                match service.slots_changing {
                    0 => String::new(),
                    slots => format!(", {slots} changing"),
                }
            )
        },
    );
    Section {
        title: Line::styled(left(&title, width), palette.title()),
        columns: fit.titles("backend", palette.quiet()),
        lines: lines.collect(),
        chosen: app.is_open.then(|| app.backend_place(backends)),
    }
}

fn backend_line(
    backend: &BackendStatus,
    traffic: Option<Traffic>,
    fit: &Fit<'_>,
    palette: Palette,
) -> Line<'static> {
    let number = |of: fn(Traffic) -> f64| (rate(traffic.map(of)), Style::new());
    let (health, health_style) = health(backend, palette);
    let cells = [
        (backend.state.clone(), palette.state(&backend.state)),
        (health, health_style),
        (percent(backend.share), Style::new()),
        (backend.weight.to_string(), Style::new()),
        number(|traffic| traffic.new_flows),
        number(|traffic| traffic.packets),
        number(|traffic| traffic.bytes),
        number(|traffic| traffic.reply_bytes),
        number(|traffic| traffic.reply_packets),
    ];
    fit.line((backend.address.clone(), Style::new()), cells.into_iter())
}

/// What health checks found of a backend.
fn health(backend: &BackendStatus, palette: Palette) -> (String, Style) {
    let Some(health) = &backend.health else {
        return ("-".into(), palette.quiet());
    };
    let style = match health.state {
        State::Up => palette.good(),
        State::Down => palette.bad(),
        State::Unknown => palette.quiet(),
        State::Starting | State::Drain | State::Maintenance => palette.notable(),
    };
    (health.state.to_string(), style)
}

/// Rows of a service's graph.
const GRAPH_ROWS: usize = 4;

/// Packets in a second of the chosen service, as far back as there is room.
pub(super) fn graph(app: &App, palette: Palette, width: usize) -> Section {
    let service = app.chosen_service();
    let history = || {
        let service = service.into_iter();
        service.flat_map(|service| app.model.history(&service.service))
    };
    let now = rate(history().next_back());
    let most = rate(history().reduce(f64::max));
    let rows = number::graph(history(), width.min(HISTORY), GRAPH_ROWS);
    Section {
        title: Line::styled(
            format!("Packets/s, to and from backends: {now}, at most {most}"),
            palette.title(),
        ),
        columns: Line::raw(""),
        lines: rows
            .into_iter()
            .map(|row| Line::styled(row, palette.graph()))
            .collect(),
        chosen: None,
    }
}

const REASON_COLUMNS: [Column; 3] = [
    column("packets/s", 9, 1),
    column("packets", 9, 2),
    column("", 18, 3),
];
/// Least width of a reason's name.
const REASON_WIDTH: usize = 24;

/// The reasons that packets have met: drops first, then by rate.
pub(super) fn reasons(app: &App, palette: Palette, width: usize) -> Section {
    let rates = app.model.rates();
    let rate_of = |reason: &str| Some(*rates?.reasons.get(reason)?);
    let counts = app.model.status().map(|status| &status.reasons);
    let mut met: Vec<(&String, u64)> = counts
        .into_iter()
        .flatten()
        .map(|(reason, count)| (reason, *count))
        .filter(|(_, count)| *count > 0)
        .collect();
    let order = |reason: &str| (is_drop(reason), rate_of(reason).unwrap_or(0.0));
    met.sort_by(|(a, count), (b, other)| {
        let ((is_drop, rate), (other_is, other_rate)) = (order(a), order(b));
        let by_rate = other_rate.total_cmp(&rate);
        let drops_first = other_is.cmp(&is_drop);
        drops_first.then(by_rate).then(other.cmp(count))
    });
    let fit = Fit::new(&REASON_COLUMNS, REASON_WIDTH, width.min(72));
    let line = |(reason, count): (&String, u64)| {
        let rate_now = rate_of(reason);
        let style = match is_drop(reason) {
            true if rate_now.unwrap_or(0.0) > 0.0 => palette.bad(),
            true => palette.notable(),
            false => Style::new(),
        };
        let done = match action(reason) {
            Some(Action::Pass) => "passed to the host",
            Some(Action::Forward) => "forwarded",
            Some(Action::Drop) => "DROPPED",
            None => "",
        };
        let cells = [
            (rate(rate_now), style),
            (short(count as f64), style),
            (done.into(), style),
        ];
        fit.line((reason.clone(), style), cells.into_iter())
    };
    Section {
        title: Line::styled("Packets by reason", palette.title()),
        columns: fit.titles("reason", palette.quiet()),
        lines: met.into_iter().map(line).collect(),
        chosen: None,
    }
}
