//! `evenkeel replay` and `evenkeel explain`.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use anyhow::Result;
use control::replay::{self, Probe, ProbeTransport, Record, ReplayError};

use super::source::desired;
use crate::arguments::{Explain, Replay};
use crate::output;

const HEADINGS: &str = "packet  action    reason                  service                     backend                bytes out";

pub(crate) fn replay(arguments: Replay) -> Result<ExitCode> {
    let checked = desired(&arguments.source, &[])?;
    // The capture that is written is wanted whole, whoever reads along.
    let mut out: BufWriter<Box<dyn Write>> = BufWriter::new(match arguments.output {
        Some(_) => Box::new(output::stdout()),
        None => Box::new(io::stdout().lock()),
    });
    let mut each = |record: &Record| {
        if arguments.json {
            serde_json::to_writer(&mut out, record)?;
            return writeln!(out);
        }
        if record.index == 0 {
            writeln!(out, "{HEADINGS}")?;
        }
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
        writeln!(
            out,
            "{:>6}  {:<8}  {:<22}  {:<26}  {:<21}  {}",
            record.index,
            record.action,
            record.reason,
            or_dash(&record.service),
            or_dash(&record.backend),
            record.out_len
        )
    };
    let result = replay::replay(
        &checked.desired,
        &arguments.input,
        arguments.output.as_deref(),
        &mut each,
    );
    // What was found before an error is worth showing.
    let shown = out.flush().map_err(ReplayError::Output);
    match result.and(shown) {
        // `evenkeel replay ... | head` is not an error.
        Err(ReplayError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
        result => result?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn explain(arguments: Explain) -> Result<ExitCode> {
    let checked = desired(&arguments.source, &[])?;
    let probe = Probe {
        from: arguments.from,
        to: arguments.to,
        payload: arguments.payload,
        transport: if arguments.udp {
            ProbeTransport::Udp
        } else if arguments.echo {
            ProbeTransport::Echo
        } else {
            ProbeTransport::Tcp(arguments.tcp)
        },
    };
    let steps = replay::explain(&checked.desired, &probe)?;
    write!(output::stdout(), "{steps}")?;
    Ok(ExitCode::SUCCESS)
}
