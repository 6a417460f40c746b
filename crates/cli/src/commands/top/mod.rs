//! `evenkeel top`.
//!
//! - `model`: one status after the other becomes rates; pure.
//! - `app`: what is looked at, and what keys do; pure.
//! - `view`: a frame; pure.
//! - `shell`: the terminal, the clock and the instance.
//! - `drain`: draining backends.

mod app;
mod drain;
mod model;
mod shell;
mod view;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use control::api::{ApiError, fetch_status};
use control::instance::default_name;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Cell;
use tokio::time::sleep;

use crate::arguments::Top;
use crate::output::stdout;
use app::App;
use view::Palette;

/// Time between two looks at the instance.
const INTERVAL: Duration = Duration::from_secs(1);
/// Columns of a frame that is not for a terminal.
const COLUMNS: u16 = 100;

pub(crate) fn top(arguments: &Top) -> Result<ExitCode> {
    let name = arguments.instance.clone().unwrap_or_else(default_name);
    if arguments.once || !io::stdout().is_terminal() {
        once(&name)?;
    } else {
        shell::run(&name)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints one frame, of rates over a second, as long as it takes to show everything.
fn once(name: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut app = App::default();
    runtime.block_on(async {
        let start = Instant::now();
        let first = fetch_status(name).await?;
        app.take(start.elapsed(), first);
        sleep(INTERVAL).await;
        let second = fetch_status(name).await?;
        app.take(start.elapsed(), second);
        Ok::<_, ApiError>(())
    })?;
    let width = match ratatui::crossterm::terminal::size() {
        Ok((width, _)) if io::stdout().is_terminal() => width,
        _ => COLUMNS,
    };
    // There are no keys to tell of.
    app.message = Some(String::new());
    let text = text(&app, width, view::wanted_height(&app, width));
    write!(stdout(), "{text}")?;
    Ok(())
}

/// A frame as lines of text.
fn text(app: &App, width: u16, height: u16) -> String {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(_) = terminal.draw(|frame| view::draw(frame, app, Palette::new(false)));
    let buffer = terminal.backend().buffer();
    let cells: Vec<&str> = buffer.content().iter().map(Cell::symbol).collect();
    let lines = cells.chunks(usize::from(width.max(1))).map(|line| {
        let line = line.concat();
        line.trim_end().to_owned() + "\n"
    });
    lines.collect::<String>().trim_end().to_owned() + "\n"
}
