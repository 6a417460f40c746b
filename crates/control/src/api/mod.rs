//! The API of an instance, and of `evenkeel decap`: HTTP/JSON on a Unix socket that only root can
//! reach, and a group if one is configured.
//!
//! - `socket`: where it is and who may use it.
//! - `server`: what is answered, and by what.
//! - `routes`: the answers, a file a subject.
//! - `limits`: connections that cannot hold anything up.
//! - `failure`: the one shape of errors; `strict`: requests with nothing unknown in them.
//! - `model`: what requests and answers are made of, beside [`crate::status`].
//! - `client`: the other side.

mod client;
mod error;
mod failure;
mod limits;
pub mod model;
mod routes;
mod server;
mod socket;
mod strict;
#[cfg(test)]
mod tests;

pub(crate) use client::ask;
pub use client::{
    EventStream, add_backend, add_service, apply, discard_overrides, fetch_config, fetch_flows,
    fetch_overrides, fetch_service, fetch_services, fetch_status, flush, follow_events,
    patch_backend, plan, remove_backend, remove_service, request_reload, request_stop,
};
pub use error::ApiError;
pub use failure::Failure;
pub use server::description;
pub(crate) use server::{Served, Told, serve, serve_routes};
pub use socket::Role;
pub(crate) use socket::{Listener, listen};
