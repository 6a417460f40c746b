//! Routing by QUIC connection ids (draft-ietf-quic-load-balancers-21, plaintext), natively: every
//! mode, both families. `tests/tests/network_quic` does it with a QUIC stack.

#![forbid(unsafe_code)]

mod backends;
mod ids;
mod moves;
mod packets;
mod scene;
