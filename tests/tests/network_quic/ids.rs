//! Connection ids that a load balancer can route by.

use std::time::Duration;

use quinn::{ConnectionId, ConnectionIdGenerator};
use testkit::random::{Random, seed};

/// Bytes behind the server id, no fewer than four (draft-ietf-quic-load-balancers-21, section 5.3).
const NONCE: usize = 7;

/// Makes the ids of one server, as section 5.4 of the draft asks: first octet, server id, nonce.
#[derive(Debug)]
pub(crate) struct RoutableIds {
    config: u8,
    server_id: [u8; 4],
    random: Random,
}

impl RoutableIds {
    pub(crate) fn new(config: u8, server_id: [u8; 4]) -> Self {
        Self {
            config,
            server_id,
            random: Random::new(seed()),
        }
    }
}

impl ConnectionIdGenerator for RoutableIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let [octet, nonce @ ..]: [u8; 1 + NONCE] = self.random.number().to_be_bytes();
        let first = self.config << 5 | octet & 0x1f;
        ConnectionId::new(&[&[first][..], &self.server_id, &nonce].concat())
    }

    fn cid_len(&self) -> usize {
        1 + self.server_id.len() + NONCE
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
