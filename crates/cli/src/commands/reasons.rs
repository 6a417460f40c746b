//! The table of packets by reason.

use std::io::{self, Write};

/// A reason's line.
pub(super) struct Counted {
    pub(super) name: &'static str,
    pub(super) count: u64,
    /// What its packets met.
    pub(super) action: &'static str,
}

/// Those that packets have met.
pub(super) fn write_reasons(
    out: &mut impl Write,
    reasons: impl Iterator<Item = Counted>,
) -> io::Result<()> {
    writeln!(out, "packets by reason")?;
    let mut met = reasons.filter(|reason| reason.count > 0).peekable();
    if met.peek().is_none() {
        writeln!(out, "  none yet")?;
    }
    for Counted {
        name,
        count,
        action,
    } in met
    {
        writeln!(out, "  {name:<22}  {count:>12}  {action}")?;
    }
    Ok(())
}
