//! One file a command.

pub(crate) mod check;
pub(crate) mod decap;
pub(crate) mod generate;
pub(crate) mod lab;
mod log;
mod reasons;
pub(crate) mod reload;
pub(crate) mod replay;
pub(crate) mod run;
mod source;
pub(crate) mod status;
pub(crate) mod stop;
