//! Colours: the sixteen that every terminal lets its user choose, or none.

use ratatui::style::{Color, Modifier, Style};

/// How things look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Theme {
    has_colour: bool,
}

impl Theme {
    /// Colours, unless `NO_COLOR` is set to anything (no-color.org) or the terminal is dumb.
    pub(crate) fn of_environment() -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { has_colour: !is_set("NO_COLOR") && !is_dumb }
    }

    #[cfg(test)]
    pub(crate) fn with_colour(has_colour: bool) -> Self {
        Self { has_colour }
    }

    pub(crate) fn has_colour(&self) -> bool {
        self.has_colour
    }

    pub(crate) fn plain(&self) -> Style {
        Style::new()
    }

    pub(crate) fn strong(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Lines, times, hints.
    pub(crate) fn faint(&self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(crate) fn accent(&self) -> Style {
        self.coloured(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// The bar at our own messages.
    pub(crate) fn ours(&self) -> Style {
        self.coloured(Color::Cyan)
    }

    /// The bar at theirs.
    pub(crate) fn theirs(&self) -> Style {
        self.coloured(Color::Magenta)
    }

    /// The ticks of a message that was read.
    pub(crate) fn read(&self) -> Style {
        self.coloured(Color::LightBlue).add_modifier(Modifier::BOLD)
    }

    pub(crate) fn good(&self) -> Style {
        self.coloured(Color::Green)
    }

    pub(crate) fn warning(&self) -> Style {
        self.coloured(Color::Yellow)
    }

    pub(crate) fn trouble(&self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What was searched for.
    pub(crate) fn found(&self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Light modules of a QR code on dark ones, whatever the terminal's own colours are.
    pub(crate) fn code(&self) -> Style {
        if self.has_colour { Style::new().fg(Color::White).bg(Color::Black) } else { Style::new() }
    }

    /// A count that wants to be seen.
    pub(crate) fn badge(&self) -> Style {
        self.coloured(Color::Green).add_modifier(Modifier::REVERSED | Modifier::BOLD)
    }

    fn coloured(&self, colour: Color) -> Style {
        if self.has_colour { Style::new().fg(colour) } else { Style::new() }
    }
}
