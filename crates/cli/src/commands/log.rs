//! What commands that keep running tell on standard error.
//!
//! In systemd's journal each line carries its priority as `<4>` (sd-daemon(3)) and no time, which
//! the journal has itself. That needs no library and no second socket, keeps the order with
//! everything else on standard error, and is what other collectors of it understand, too.

use std::fmt;
use std::io::{self, IsTerminal};
use std::os::unix::fs::MetadataExt as _;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::arguments::LogFormat;
use crate::output::stderr;

/// Starts it; `EVENKEEL_LOG` says how much.
pub(super) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env("EVENKEEL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_target(false);
    match (format, is_journal()) {
        (LogFormat::Json, _) => log.json().init(),
        (LogFormat::Auto | LogFormat::Text, true) => log.event_format(Journal).init(),
        (LogFormat::Auto, false) if !terminal => log.json().init(),
        (LogFormat::Auto | LogFormat::Text, false) => log.with_ansi(terminal).init(),
    }
}

/// Whether standard error is the journal: systemd says which file that is (systemd.exec(5),
/// `$JOURNAL_STREAM`), and standard error may have been redirected since.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    std::fs::metadata("/proc/self/fd/2").is_ok_and(|it| names(&stream, it.dev(), it.ino()))
}

/// Whether `DEVICE:INODE` is this one.
fn names(stream: &str, device: u64, inode: u64) -> bool {
    stream
        .split_once(':')
        .is_some_and(|(of, number)| of.parse() == Ok(device) && number.parse() == Ok(inode))
}

/// A line for the journal.
struct Journal;

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = FormattedFields::<N>::new(String::new());
        context.format_fields(fields.as_writer(), event)?;
        let priority = priority(*event.metadata().level());
        // Each line is a record of its own there.
        let mut lines = fields.fields.lines();
        lines.try_for_each(|line| writeln!(writer, "<{priority}>{line}"))
    }
}

/// As syslog(3) has them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_in_the_journal_has_its_priority() {
        let written = Written::default();
        let writer = written.clone();
        let log = tracing_subscriber::fmt()
            .event_format(Journal)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(log, || {
            tracing::warn!("not applied\n  | here");
            tracing::info!(slots = 3, "applied");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "<4>not applied\n<4>  | here\n<6>applied slots=3\n");
    }

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        assert!(names("8:42", 8, 42));
        for other in ["8:43", "9:42", "8", "", "8:42:1"] {
            assert!(!names(other, 8, 42), "{other}");
        }
    }
}
