//! HAProxy's agent-check: a connection, and a line of words (its configuration manual, 5.2,
//! "agent-check").

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connect::{connect, failed};
use super::limit::Limit;
use crate::health::machine::Asked;
use crate::health::outcome::{AgentWords, Found};

/// Bytes of the line that are read; HAProxy reads no more than its buffer.
const MAX_LINE: usize = 1_024;
/// The largest weight in percent; HAProxy's own bound depends on the configured weight.
const MAX_PERCENT: u16 = 25_600;

pub(super) async fn run(to: SocketAddr, send: &[u8], limit: &Limit) -> Result<Found, Found> {
    let mut stream = connect(to, limit).await?;
    let exchange = async {
        stream.write_all(send).await.map_err(|e| failed(&e))?;
        let mut line = Vec::new();
        let mut piece = [0; MAX_LINE];
        while line.len() < MAX_LINE && !line.iter().any(|byte| ends_line(*byte)) {
            match stream.read(&mut piece).await.map_err(|e| failed(&e))? {
                0 => break,
                length => line.extend_from_slice(&piece[..length]),
            }
        }
        Ok(line)
    };
    let bytes = limit.wait("answer of the agent", exchange).await?;
    let line = bytes.split(|byte| ends_line(*byte)).next();
    let text = String::from_utf8_lossy(line.unwrap_or_default());
    let words = words(&text);
    let shown: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    match words == AgentWords::default() {
        true => Err(Found::Bad(format!(
            "the agent says {shown:?}, which has no word of an agent's"
        ))),
        false => Ok(Found::Agent(words, format!("the agent says {shown:?}"))),
    }
}

fn ends_line(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// What a line says. What follows a `#` is a remark; words that are not known mean nothing.
fn words(line: &str) -> AgentWords {
    let line = line.split('#').next().unwrap_or_default();
    let mut said = AgentWords::default();
    for word in line.split([' ', '\t', ',']).filter(|word| !word.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "up" => said.down = Some(false),
            "down" | "fail" | "failed" | "stopped" => said.down = Some(true),
            "ready" => said.asked = Some(Asked::Nothing),
            "drain" => said.asked = Some(Asked::Drain),
            "maint" => said.asked = Some(Asked::Maintenance),
            word => said.percent = percent(word).or(said.percent),
        }
    }
    said
}

fn percent(word: &str) -> Option<u16> {
    let digits = word.strip_suffix('%')?;
    let all = digits.bytes().all(|digit| digit.is_ascii_digit());
    let percent = digits.parse::<u16>().ok().filter(|_| all)?;
    Some(percent.min(MAX_PERCENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_in_any_order_and_with_any_separator() {
        let said = |line| {
            let words = words(line);
            (words.down, words.asked, words.percent)
        };
        for (line, expected) in [
            ("", (None, None, None)),
            ("75%", (None, None, Some(75))),
            ("0%", (None, None, Some(0))),
            ("up", (Some(false), None, None)),
            ("down", (Some(true), None, None)),
            ("failed # disk full, up", (Some(true), None, None)),
            ("stopped", (Some(true), None, None)),
            (
                "READY,Up 50%",
                (Some(false), Some(Asked::Nothing), Some(50)),
            ),
            ("\tdrain  10%", (None, Some(Asked::Drain), Some(10))),
            ("maint", (None, Some(Asked::Maintenance), None)),
            ("maxconn:30 up", (Some(false), None, None)),
            ("% +5% 70000% 1.5% 50", (None, None, None)),
        ] {
            assert_eq!(said(line), expected, "{line:?}");
        }
    }
}
