//! `evenkeel events`.

use std::io::stdout;
use std::process::ExitCode;

use anyhow::Result;
use control::api::model::EventQuery;
use control::api::{self, EventStream};
use control::event::Event;

use super::live::{name, wait};
use crate::arguments::live::Events;
use crate::output::{is_read, unread};

pub(crate) fn events(arguments: Events) -> Result<ExitCode> {
    let name = name(&arguments.of);
    let query = EventQuery {
        follow: arguments.follow,
        since: 0,
    };
    wait(async {
        let stream = api::follow_events(&name, query).await?;
        tokio::select! {
            result = tell(stream, arguments.json) => result,
            () = unread(stdout()) => Ok(()),
        }
    })??;
    Ok(ExitCode::SUCCESS)
}

/// Tells of events until there are none any more, or nobody who reads them.
async fn tell(mut stream: EventStream, json: bool) -> Result<()> {
    while let Some((line, event)) = stream.next().await? {
        let line = match event {
            Some(event) if !json => text(&event),
            _ => line,
        };
        if !is_read(&line)? {
            break;
        }
    }
    Ok(())
}

fn text(event: &Event) -> String {
    format!("{}  {}", time(event.time_ms), event.what)
}

/// As RFC 3339 has it, in UTC.
fn time(ms: u64) -> String {
    let (days, second) = (ms / 86_400_000, ms / 1_000 % 86_400);
    let (year, month, day) = date(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60,
        ms % 1_000
    )
}

/// Year, month and day of a day since 1970-01-01. Years are counted from March here, so that the
/// day that not every year has comes last.
fn date(days: u64) -> (u64, u64, u64) {
    // 0000-03-01 is 719,468 days before; 400 years have 146,097 days.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_rfc_3339() {
        // `date -u -d @SECONDS +%FT%T` says so.
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(time(4_107_542_399_999), "2100-02-28T23:59:59.999Z");
        assert_eq!(time(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
        assert_eq!(time(1_795_755_601_000), "2026-11-27T05:00:01.000Z");
    }
}
