//! The end of an instance, whether or not a process works on it.

use engine::EngineError;
use engine::pins::Pins;

use super::lock::InstanceLock;
use super::name::socket_path;
use super::saved::SavedFiles;
use crate::api::{self, ApiError};

/// What was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The process and its balancing.
    Both,
    /// The process; packets are balanced on.
    Process,
    /// The balancing that an earlier process left.
    Balancing,
}

/// Why it goes on.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The process.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// There is none to end, and what it left is to stay.
    #[error(
        "no process of instance {0} is running, and its packets are balanced without one: nothing to do; without --keep that ends, too"
    )]
    KeptAlready(String),
    /// What an earlier process left.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Ends the process of an instance, if there is one, and its balancing unless that is to be kept.
///
/// # Errors
/// There is neither, or it goes on.
pub async fn stop(name: &str, keep: bool) -> Result<Stopped, StopError> {
    match api::request_stop(name, keep).await {
        Ok(()) if keep => return Ok(Stopped::Process),
        Ok(()) => return Ok(Stopped::Both),
        Err(ApiError::NotRunning { .. }) if Pins::of(name).exist() => {}
        Err(error) => return Err(error.into()),
    }
    // Nobody starts one meanwhile.
    let _lock = InstanceLock::take(name)?;
    if keep {
        return Err(StopError::KeptAlready(name.into()));
    }
    Pins::of(name).remove()?;
    SavedFiles::of(name).remove();
    // A process that was killed could not. If it cannot be removed, the next one does.
    let _ = std::fs::remove_file(socket_path(name));
    Ok(Stopped::Balancing)
}
