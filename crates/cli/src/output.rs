//! Standard output and standard error, whose readers may go before everything is said, as in
//! `evenkeel status | head -1`.

use std::io::{self, ErrorKind, Stderr, Stdout, Write};

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
}
