//! Draining backends of a running instance.

use super::app::Drain;

/// Has the instance drain a backend, or take it back into use. The answer is a line for the
/// screen. The one place to connect to the API, which has no such request yet.
pub(super) async fn request_drain(_instance: &str, drain: &Drain) -> String {
    let verb = if drain.on { "drain" } else { "undrain" };
    format!(
        "{verb} {}: not supported yet; set its state in the file, then reload",
        drain.backend
    )
}
