//! One frame, drawn from an [`App`]. Pure: what is drawn follows from the app and the size alone.
//!
//! - `header`: the lines at the top and at the bottom.
//! - `section`: the lists.
//! - `help`: the page of keys.
//! - `table`, `number`, `palette`: columns, numbers, colours.

mod header;
mod help;
mod number;
mod palette;
mod section;
mod table;

#[cfg(test)]
mod tests;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::app::{App, Focus};
pub(super) use palette::Palette;
use section::Section;

/// Lines from which on there is room for more than the essential.
const ROOMY: u16 = 16;
/// Lines of a section's headline and titles.
const HEAD: u16 = 2;

/// Draws all of a frame.
pub(super) fn draw(frame: &mut Frame<'_>, app: &App, palette: Palette) {
    let area = frame.area();
    let mut canvas = Canvas { frame, left: area };
    if app.focus == Focus::Help {
        canvas.lines(help::lines(palette));
        return;
    }
    let is_roomy = area.height >= ROOMY;
    let mut top = header::header(app, palette);
    top.truncate(if is_roomy { 3 } else { 2 });
    canvas.lines(top);
    let width = usize::from(area.width);
    canvas.bottom_line(header::footer(app, palette, width));
    if is_roomy && let Some(status) = app.model.status() {
        canvas.bottom_line(header::transitions(&status.transitions, palette));
    }
    let sections = if app.is_open {
        let backends = section::backends(app, palette, width);
        match is_roomy {
            true => vec![backends, section::graph(app, palette, width)],
            false => vec![backends],
        }
    } else {
        vec![
            section::services(app, palette, width),
            section::backends(app, palette, width),
            section::reasons(app, palette, width),
        ]
    };
    canvas.sections(sections, palette);
}

/// Lines that a frame needs so that nothing is left out.
pub(super) fn wanted_height(app: &App, width: u16) -> u16 {
    let palette = Palette::new(false);
    let width = usize::from(width);
    let sections = [
        section::services(app, palette, width),
        section::backends(app, palette, width),
        section::reasons(app, palette, width),
    ];
    let lines: usize = sections
        .iter()
        .map(|section| section.lines.len() + usize::from(HEAD))
        .sum();
    u16::try_from(lines + 5).unwrap_or(u16::MAX).max(ROOMY)
}

/// What is left to draw on.
struct Canvas<'a, 'f> {
    frame: &'a mut Frame<'f>,
    left: Rect,
}

impl Canvas<'_, '_> {
    /// Lines from the top on, as far as there is room.
    fn lines(&mut self, lines: Vec<Line<'static>>) {
        let height = u16::try_from(lines.len())
            .unwrap_or(u16::MAX)
            .min(self.left.height);
        let area = Rect {
            height,
            ..self.left
        };
        self.frame.render_widget(Paragraph::new(lines), area);
        self.left.y += height;
        self.left.height -= height;
    }

    fn bottom_line(&mut self, line: Line<'static>) {
        let Some(above) = self.left.height.checked_sub(1) else {
            return;
        };
        let area = Rect {
            y: self.left.y + above,
            height: 1,
            ..self.left
        };
        self.frame.render_widget(line, area);
        self.left.height = above;
    }

    /// Sections one below the other, the first ones first where there is no room for all.
    fn sections(&mut self, mut sections: Vec<Section>, palette: Palette) {
        // A headline, titles and two lines each, or none of it.
        let fitting = usize::from(self.left.height / (HEAD + 2)).max(1);
        sections.truncate(fitting);
        let wanted: Vec<u16> = sections
            .iter()
            .map(|section| u16::try_from(section.lines.len()).unwrap_or(u16::MAX))
            .map(|lines| lines.saturating_add(HEAD))
            .collect();
        let heights = share(self.left.height, &wanted);
        for (section, height) in sections.into_iter().zip(heights) {
            self.lines(visible(section, height, palette));
        }
    }
}

/// The part of a section that fits, with the chosen line in it.
fn visible(section: Section, height: u16, palette: Palette) -> Vec<Line<'static>> {
    let room = usize::from(height.saturating_sub(HEAD));
    let chosen = section.chosen.unwrap_or(0);
    // In the middle, unless that would leave lines empty.
    let last = section.lines.len().saturating_sub(room);
    let first = chosen.saturating_sub(room / 2).min(last);
    let lines = section.lines.into_iter().enumerate();
    let lines = lines.skip(first).take(room).map(|(index, line)| {
        if section.chosen == Some(index) {
            line.patch_style(palette.chosen())
        } else {
            line
        }
    });
    let heads = [section.title, section.columns];
    let lines = heads.into_iter().chain(lines);
    lines.take(usize::from(height)).collect()
}

/// Shares lines out in turns until everybody has what they want.
fn share(mut lines: u16, wanted: &[u16]) -> Vec<u16> {
    let mut given = vec![0; wanted.len()];
    loop {
        let mut is_content = true;
        for (given, wanted) in given.iter_mut().zip(wanted) {
            if *given < *wanted && lines > 0 {
                *given += 1;
                lines -= 1;
                is_content = false;
            }
        }
        if is_content {
            return given;
        }
    }
}
