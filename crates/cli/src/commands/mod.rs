//! One file a command.

pub(crate) mod apply;
pub(crate) mod backend;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod decap;
pub(crate) mod events;
pub(crate) mod flows;
pub(crate) mod generate;
pub(crate) mod lab;
mod live;
mod log;
pub(crate) mod plan;
mod reasons;
pub(crate) mod reload;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod service;
mod source;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod top;
