//! Columns beside each other: as many as fit.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A column of numbers or short words, beside the first one, which takes what is left.
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) width: usize,
    /// Of those that do not fit, the ones with the largest numbers are left out.
    pub(super) rank: u8,
}

/// A cell's text and how it looks.
pub(super) type Cell = (String, Style);

/// Which columns are shown, and how wide the first one is.
pub(super) struct Fit<'a> {
    columns: &'a [Column],
    is_shown: Vec<bool>,
    first: usize,
}

impl<'a> Fit<'a> {
    /// Fits columns into a width, of which the first column gets `least` or all.
    pub(super) fn new(columns: &'a [Column], least: usize, width: usize) -> Self {
        let mut order: Vec<usize> = (0..columns.len()).collect();
        order.sort_by_key(|&index| columns[index].rank);
        let mut is_shown = vec![false; columns.len()];
        let mut first = width;
        for index in order {
            let wanted = columns[index].width + 1;
            if first < least + wanted {
                break;
            }
            first -= wanted;
            is_shown[index] = true;
        }
        Self {
            columns,
            is_shown,
            first,
        }
    }

    /// The titles.
    pub(super) fn titles(&self, first: &str, style: Style) -> Line<'static> {
        let titles = self.columns.iter();
        let cells = titles.map(|column| (column.title.to_owned(), style));
        self.line((first.to_owned(), style), cells)
    }

    /// A row; `cells` has one for each column, shown or not.
    pub(super) fn line(&self, first: Cell, cells: impl Iterator<Item = Cell>) -> Line<'static> {
        let mut spans = vec![Span::styled(left(&first.0, self.first), first.1)];
        let cells = cells.zip(self.columns).zip(&self.is_shown);
        for (((text, style), column), is_shown) in cells {
            if *is_shown {
                spans.push(Span::raw(" "));
                spans.push(Span::styled(right(&text, column.width), style));
            }
        }
        Line::from(spans)
    }
}

/// A text at the left of a width; a longer one ends with `…`.
pub(super) fn left(text: &str, width: usize) -> String {
    let (text, filled) = cut(text, width);
    text + &" ".repeat(width - filled)
}

/// A text at the right of a width.
pub(super) fn right(text: &str, width: usize) -> String {
    let (text, filled) = cut(text, width);
    " ".repeat(width - filled) + &text
}

/// A text of at most a width, and how wide it is.
fn cut(text: &str, width: usize) -> (String, usize) {
    let whole = text.width();
    if whole <= width {
        return (text.to_owned(), whole);
    }
    let mut kept = String::new();
    let mut filled = 0;
    for c in text.chars() {
        let next = c.width().unwrap_or(0);
        if filled + next + 1 > width {
            break;
        }
        kept.push(c);
        filled += next;
    }
    if width > 0 {
        kept.push('…');
        filled += 1;
    }
    (kept, filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_says_so() {
        assert_eq!(left("10.0.0.2:80", 13), "10.0.0.2:80  ");
        assert_eq!(left("10.0.0.2:80", 8), "10.0.0.…");
        assert_eq!(right("12", 4), "  12");
        assert_eq!(right("漢字", 3), "漢…");
        assert_eq!((left("x", 0), left("xy", 1)), (String::new(), "…".into()));
    }

    #[test]
    fn columns_go_by_their_rank_when_there_is_no_room() {
        let column = |title, rank| Column {
            title,
            width: 4,
            rank,
        };
        let columns = [column("a", 2), column("b", 1)];
        let titles = |width| {
            let fit = Fit::new(&columns, 3, width);
            fit.titles("it", Style::new()).to_string()
        };
        assert_eq!(titles(14), "it      a    b");
        assert_eq!(titles(13), "it     a    b");
        assert_eq!(titles(12), "it         b");
        assert_eq!(titles(8), "it     b");
        assert_eq!(titles(7), "it     ");
        assert_eq!(titles(1), "…");
        assert_eq!(titles(0), "");
    }
}
