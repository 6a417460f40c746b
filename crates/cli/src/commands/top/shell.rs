//! The terminal, the clock and the instance: everything about `top` that is not pure. One thread
//! asks the instance, the other one draws.

use std::io;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use control::api::{ApiError, fetch_status};
use control::status::Status;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use super::INTERVAL;
use super::app::{App, Drain, Request};
use super::drain::request_drain;
use super::view::{self, Palette};

/// How long a key or a status waits for the other kind, at most.
const PATIENCE: Duration = Duration::from_millis(50);

/// What the thread that asks tells the one that draws.
enum News {
    /// The instance, this long after the start.
    Status(Duration, Box<Status>),
    /// Why there is no status.
    Problem(String),
    /// What came of a request.
    Answer(String),
    /// Somebody asked the process to end.
    End,
}

/// Shows the instance until the user quits.
pub(super) fn run(name: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // An instance that is not there is told of before the screen changes.
    let start = Instant::now();
    let first = runtime.block_on(fetch_status(name))?;
    let (news, incoming) = channel();
    let (requests, outgoing) = unbounded_channel();
    let at = start.elapsed();
    // It cannot be closed yet.
    let _ = news.send(News::Status(at, Box::new(first)));
    let asked = name.to_owned();
    thread::Builder::new()
        .name("ask".into())
        .spawn(move || runtime.block_on(ask(&asked, start, &news, outgoing)))?;
    let mut screen = Screen::open()?;
    let result = show(&mut screen.terminal, &incoming, &requests);
    drop(screen);
    result
}

/// The terminal in the state that drawing needs; as it was, however this ends.
struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal over. A panic gives it back before it is told.
    fn open() -> Result<Self> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                ratatui::restore();
                Err(error).context("the terminal cannot be drawn on; try `evenkeel top --once`")
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = ratatui::try_restore();
    }
}

/// Draws whatever is new, and has keys do what they do.
fn show(
    terminal: &mut DefaultTerminal,
    news: &Receiver<News>,
    requests: &UnboundedSender<Drain>,
) -> Result<()> {
    let palette = Palette::of_environment();
    let mut app = App::default();
    let mut is_stale = true;
    loop {
        loop {
            match news.try_recv() {
                Ok(News::End) => return Ok(()),
                Ok(News::Status(at, status)) => app.take(at, *status),
                Ok(News::Problem(problem)) => app.problem = Some(problem),
                Ok(News::Answer(answer)) => app.message = Some(answer),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => bail!("the thread that asks has ended"),
            }
            is_stale = true;
        }
        if is_stale {
            draw(terminal, &app, palette)?;
            is_stale = false;
        }
        if !event::poll(PATIENCE).context("keys cannot be read")? {
            continue;
        }
        let request = match event::read().context("keys cannot be read")? {
            Event::Key(key) if key.kind != KeyEventKind::Release => app.press(key),
            _ => None,
        };
        is_stale = true;
        match request {
            Some(Request::Quit) => return Ok(()),
            // If nobody takes it, the thread has ended, and that is noticed above.
            Some(Request::Drain(drain)) => drop(requests.send(drain)),
            None => {}
        }
    }
}

fn draw(terminal: &mut DefaultTerminal, app: &App, palette: Palette) -> io::Result<()> {
    terminal
        .draw(|frame| view::draw(frame, app, palette))
        .map(drop)
}

/// Asks the instance once a second, and for what else is wanted, until nobody listens.
async fn ask(
    name: &str,
    start: Instant,
    news: &Sender<News>,
    mut requests: UnboundedReceiver<Drain>,
) -> io::Result<()> {
    tokio::spawn(ended(news.clone())?);
    let mut pause = INTERVAL;
    loop {
        let told = tokio::select! {
            Some(drain) = requests.recv() => News::Answer(request_drain(name, &drain).await),
            () = sleep(pause) => {
                let asked = Instant::now();
                let answer = fetch_status(name).await;
                // An instance that is slow to answer is not kept busy with answering.
                pause = INTERVAL.max(asked.elapsed());
                look(start, answer)
            }
        };
        if news.send(told).is_err() {
            return Ok(());
        }
    }
}

/// Tells when somebody asks the process to end; on its own, so that an instance that does not
/// answer holds nothing up.
fn ended(news: Sender<News>) -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Without a listener the end has come already.
        let _ = news.send(News::End);
    })
}

fn look(start: Instant, answer: Result<Status, ApiError>) -> News {
    match answer {
        Ok(status) => News::Status(start.elapsed(), Box::new(status)),
        Err(problem) => {
            let text = problem.to_string();
            News::Problem(text.lines().next().unwrap_or_default().to_owned())
        }
    }
}
