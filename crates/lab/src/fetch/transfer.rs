//! Large transfers, with the contents checked.

use std::io::{Error, ErrorKind};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::connection::{Connection, Head};
use super::{Target, block_on, reason};
use crate::error::Result;
use crate::pattern::{self, Fnv64};

/// What became of a transfer.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Transfer {
    /// Bytes asked for.
    pub expected_bytes: u64,
    /// Bytes that arrived.
    pub found_bytes: u64,
    /// FNV-1a of what should have arrived.
    pub expected_hash: String,
    /// FNV-1a of what arrived.
    pub found_hash: String,
    /// Who was at the other end.
    pub server: Option<String>,
    /// Why it failed, if it did before its end.
    pub failure: Option<String>,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// Megabits per second.
    pub mbit_per_second: u64,
}

impl Transfer {
    /// True when everything arrived as it was sent.
    #[must_use]
    pub fn intact(&self) -> bool {
        self.failure.is_none()
            && self.found_bytes == self.expected_bytes
            && self.found_hash == self.expected_hash
    }
}

/// Gets `bytes` bytes from a server and checks them.
pub fn download(server: &Target, bytes: u64, timeout: Duration) -> Result<Transfer> {
    run(bytes, timeout, async |transfer: &mut Transfer| {
        let mut connection = Connection::open(server.address, None).await?;
        connection
            .request("GET", &server.at(format!("/bytes/{bytes}")), true, None)
            .await?;
        let head = accepted(connection.head().await?, transfer)?;
        let mut hash = Fnv64::default();
        let mut piece = Vec::with_capacity(pattern::CHUNK);
        while transfer.found_bytes < head.length {
            let length = connection
                .piece(&mut piece, head.length - transfer.found_bytes)
                .await?;
            if length == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            transfer.found_bytes += length as u64;
            hash.write(&piece);
        }
        transfer.found_hash = hash.hex();
        Ok(())
    })
}

/// Sends `bytes` bytes to a server and checks what it says it got.
pub fn upload(server: &Target, bytes: u64, timeout: Duration) -> Result<Transfer> {
    run(bytes, timeout, async |transfer: &mut Transfer| {
        let mut connection = Connection::open(server.address, None).await?;
        connection
            .request("POST", &server.at("/upload"), true, Some(bytes))
            .await?;
        for chunk in pattern::chunks(bytes) {
            connection.send(&chunk).await?;
        }
        let head = accepted(connection.head().await?, transfer)?;
        let body = connection.body(&head).await?;
        let text = String::from_utf8_lossy(&body);
        let (length, hash) = text
            .trim_end()
            .split_once(' ')
            .and_then(|(length, hash)| Some((length.parse().ok()?, hash.to_owned())))
            .ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("answer `{text}`")))?;
        (transfer.found_bytes, transfer.found_hash) = (length, hash);
        Ok(())
    })
}

fn accepted(head: Head, transfer: &mut Transfer) -> std::io::Result<Head> {
    transfer.server.clone_from(&head.server);
    if head.status == 200 {
        return Ok(head);
    }
    Err(Error::new(
        ErrorKind::InvalidData,
        format!("status {}", head.status),
    ))
}

fn run(
    bytes: u64,
    timeout: Duration,
    work: impl AsyncFnOnce(&mut Transfer) -> std::io::Result<()>,
) -> Result<Transfer> {
    let expected_hash = Fnv64::of_pattern(bytes).hex();
    let mut transfer = Transfer {
        expected_bytes: bytes,
        expected_hash,
        ..Transfer::default()
    };
    let start = Instant::now();
    let outcome = block_on(async { tokio::time::timeout(timeout, work(&mut transfer)).await })?;
    let elapsed = start.elapsed();
    transfer.failure = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(reason(&error)),
        Err(_) => Some("timed out".to_owned()),
    };
    transfer.elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let bits = u128::from(transfer.found_bytes) * 8;
    let rate = bits.checked_div(elapsed.as_micros()).unwrap_or(0);
    transfer.mbit_per_second = u64::try_from(rate).unwrap_or(u64::MAX);
    Ok(transfer)
}
