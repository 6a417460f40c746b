//! The page of keys.

use ratatui::text::Line;

use super::palette::Palette;

/// What keys do.
pub(in super::super) const KEYS: [(&str, &str); 12] = [
    (
        "Up, Down, j, k",
        "choose a service, or a backend of the open one",
    ),
    (
        "PgUp, PgDn",
        "the same by ten lines; Home and End: the first, the last",
    ),
    ("Enter", "open the chosen service: all of its backends"),
    ("Esc", "back; without a way back: clear the filter"),
    (
        "/",
        "show the services with a text in their names or backends",
    ),
    (
        "s",
        "next order: packets/s, new flows/s, name, as configured",
    ),
    ("d", "drain the chosen backend of the open service"),
    ("u", "undrain it"),
    ("p", "pause, and go on"),
    ("?", "this page; any key leaves it"),
    ("q, Ctrl-C", "quit"),
    (
        "",
        "Bytes are those of IP packets; k, M, G are powers of 1000.",
    ),
];

pub(super) fn lines(palette: Palette) -> Vec<Line<'static>> {
    let keys = KEYS
        .iter()
        .map(|(keys, what)| Line::raw(format!("  {keys:<14}  {what}")));
    std::iter::once(Line::styled("evenkeel top: keys", palette.title()))
        .chain(keys)
        .collect()
}
