//! Standard output and standard error, whose readers may go before everything is said, as in
//! `evenkeel status | head -1`.

use std::io::{self, ErrorKind, Stderr, Stdout, Write};
use std::os::fd::AsFd;

use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

/// A stream that takes everything and says nothing once nobody reads it any more: a command goes on
/// and ends as it would have, and what runs for long runs on.
#[derive(Debug)]
pub(crate) struct Output<W>(W);

/// Standard output.
pub(crate) fn stdout() -> Output<Stdout> {
    Output(io::stdout())
}

/// Standard error.
pub(crate) fn stderr() -> Output<Stderr> {
    Output(io::stderr())
}

/// Whether standard output has taken a line: no longer, once its reader has gone. For commands that
/// go on for as long as somebody reads what they say.
pub(crate) fn is_read(line: &str) -> io::Result<bool> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        result => result.map(|()| true),
    }
}

/// Waits until the reader of a pipe has gone, while nothing is written there; for ever if it is no
/// pipe.
pub(crate) async fn unread(stream: impl AsFd) {
    let stream = stream.as_fd().try_clone_to_owned();
    // Unchecked: what else it looks at and sets is for those who write by way of it.
    if let Ok(stream) = stream.and_then(Sender::from_owned_fd_unchecked)
        && stream.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Tells something on standard error, if that is there.
pub(crate) fn tell(text: &str) {
    // An error about errors helps nobody.
    let _ = writeln!(stderr(), "{text}");
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(bytes.len()),
            result => result,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_reader_that_is_gone_is_no_error_and_a_full_disk_is() {
        let mut gone = Output(Failing(ErrorKind::BrokenPipe));
        writeln!(gone, "text").and_then(|()| gone.flush()).unwrap();
        let mut full = Output(Failing(ErrorKind::StorageFull));
        let error = writeln!(full, "text").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert!(full.flush().is_err());
    }

    #[test]
    fn a_reader_that_goes_is_missed_while_nothing_is_written() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let within = |time, writer: &io::PipeWriter| {
            let gone = unread(writer);
            runtime.block_on(async { tokio::time::timeout(time, gone).await.is_ok() })
        };
        let (reader, writer) = io::pipe().unwrap();
        assert!(!within(Duration::from_millis(50), &writer), "it is there");
        drop(reader);
        assert!(within(Duration::from_secs(60), &writer), "it is gone");
    }
}
