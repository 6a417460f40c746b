//! What colours mean. Without colours, bold and reverse are left.

use ratatui::style::{Color, Modifier, Style};

/// Styles by meaning.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Palette {
    has_colours: bool,
}

impl Palette {
    /// With colours, unless the user wants none (<https://no-color.org>).
    pub(in super::super) fn of_environment() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self::new(!unwanted)
    }

    pub(in super::super) const fn new(has_colours: bool) -> Self {
        Self { has_colours }
    }

    fn coloured(self, colour: Color) -> Style {
        match self.has_colours {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    /// All is well.
    pub(super) fn good(self) -> Style {
        self.coloured(Color::Green)
    }

    /// Worth a look.
    pub(super) fn notable(self) -> Style {
        self.coloured(Color::Yellow)
    }

    /// Something is wrong.
    pub(super) fn bad(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What explains the rest.
    pub(super) fn quiet(self) -> Style {
        self.coloured(Color::DarkGray)
    }

    /// Bars.
    pub(super) fn graph(self) -> Style {
        self.coloured(Color::Cyan)
    }

    /// Headlines.
    pub(super) fn title(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The chosen line.
    pub(super) fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A backend's state.
    pub(super) fn state(self, state: &str) -> Style {
        match state {
            "up" => self.good(),
            "drain" | "leaving" => self.notable(),
            _ => self.bad(),
        }
    }
}
