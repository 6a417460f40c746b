//! One file a command.

pub(crate) mod check;
pub(crate) mod decap;
pub(crate) mod lab;
mod log;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the command needs a route of the API that asks for a plan"
    )
)]
pub(crate) mod plan;
mod reasons;
pub(crate) mod reload;
pub(crate) mod replay;
pub(crate) mod run;
mod source;
pub(crate) mod status;
pub(crate) mod stop;
