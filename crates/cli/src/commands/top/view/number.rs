//! Numbers that fit into a column.

use std::time::Duration;

/// Three digits and a unit: `0`, `0.5`, `999`, `1.23k`, `45.6M`; at most five characters for what
/// a machine can count.
pub(super) fn short(value: f64) -> String {
    if value < 9.95 {
        let text = format!("{value:.1}");
        return text.trim_end_matches(".0").to_owned();
    }
    let mut scaled = value;
    let mut units = ["", "k", "M", "G", "T", "P", "E"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while scaled >= 999.5 {
        let Some(next) = units.next() else { break };
        scaled /= 1000.0;
        unit = next;
    }
    match scaled {
        _ if unit.is_empty() => format!("{scaled:.0}"),
        ..9.995 => format!("{scaled:.2}{unit}"),
        ..99.95 => format!("{scaled:.1}{unit}"),
        _ => format!("{scaled:.0}{unit}"),
    }
}

/// A rate, or that there is none yet.
pub(super) fn rate(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), short)
}

/// A rate of bits.
pub(super) fn bits(value: Option<f64>) -> String {
    let number = rate(value);
    let unit = number.find(|c: char| c.is_ascii_alphabetic());
    let (number, unit) = number.split_at(unit.unwrap_or(number.len()));
    format!("{number} {unit}bit/s")
}

/// Part of a whole, in percent.
pub(super) fn percent(part: f64) -> String {
    format!("{:.1}%", part * 100.0)
}

/// A time in its two largest units.
pub(super) fn time(time: Duration) -> String {
    crate::commands::status::duration(time.as_secs())
}

/// Bars of values in a line, the latest at the right, against the largest that is shown.
pub(super) fn sparkline(values: impl DoubleEndedIterator<Item = f64>, width: usize) -> String {
    graph(values, width, 1).concat()
}

/// The same over several lines, the top one first.
pub(super) fn graph(
    values: impl DoubleEndedIterator<Item = f64>,
    width: usize,
    rows: usize,
) -> Vec<String> {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut shown: Vec<f64> = values.rev().take(width).collect();
    shown.reverse();
    let largest = shown.iter().copied().fold(0.0, f64::max);
    let eighths = |value: f64| match value {
        _ if largest <= 0.0 || value <= 0.0 => 0,
        // What is there is seen, however little it is.
        _ => ((value / largest * (rows * 8) as f64).ceil() as usize).max(1),
    };
    let bar = |value: f64, below: usize| BARS[eighths(value).saturating_sub(below * 8).min(8)];
    let row = |below| {
        let bars: String = shown.iter().map(|value| bar(*value, below)).collect();
        format!("{bars:>width$}")
    };
    (0..rows).rev().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_at_most_five_characters() {
        for (value, text) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (1.98, "2"),
            (0.01, "0"),
            (9.94, "9.9"),
            (9.96, "10"),
            (999.4, "999"),
            (999.6, "1.00k"),
            (9_994.0, "9.99k"),
            (9_996.0, "10.0k"),
            (99_960.0, "100k"),
            (1e9, "1.00G"),
            (1.8e19, "18.0E"),
        ] {
            assert_eq!(short(value), text);
        }
        assert_eq!(bits(Some(45_600_000.0)), "45.6 Mbit/s");
        assert_eq!(
            (bits(Some(0.0)), bits(None)),
            ("0 bit/s".into(), "- bit/s".into())
        );
        let mut value = 0.001;
        while value < 1e20 {
            let text = short(value);
            assert!(text.len() <= 5, "{value} is {text}");
            value *= 1.003;
        }
    }

    #[test]
    fn sparklines_end_with_the_latest_and_fill_the_width() {
        let line = |values: &[f64], width| sparkline(values.iter().copied(), width);
        assert_eq!(line(&[1.0, 2.0, 8.0], 5), "  ▁▂█");
        assert_eq!(line(&[1.0, 2.0, 8.0], 2), "▂█");
        assert_eq!(line(&[0.0, 0.0], 3), "   ");
        assert_eq!(line(&[0.001, 1000.0], 2), "▁█");
        assert_eq!(line(&[], 0), "");
        let two_rows = graph([1.0, 4.0, 8.0].into_iter(), 4, 2);
        assert_eq!(two_rows, ["   █", " ▂██"]);
    }
}
