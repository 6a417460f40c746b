//! A connection is opened, and closed at once.

use std::net::SocketAddr;

use super::connect::connect;
use super::limit::Limit;
use crate::health::outcome::Found;

pub(super) async fn run(to: SocketAddr, limit: &Limit) -> Result<Found, Found> {
    connect(to, limit).await?;
    Ok(Found::Good("connected".to_owned()))
}
