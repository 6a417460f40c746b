//! Draining backends of a running instance.

use control::api;
use control::api::model::BackendPatch;
use control::overrides::StateWord;

use super::app::Drain;

/// Has the instance drain a backend, or take it back into use. The answer is a line for the
/// screen.
pub(super) async fn request_drain(instance: &str, drain: &Drain) -> String {
    let (verb, state) = match drain.on {
        true => ("drain", StateWord::Drain),
        false => ("undrain", StateWord::Up),
    };
    let patch = BackendPatch {
        state: Some(state),
        weight: None,
    };
    let Drain {
        service, backend, ..
    } = drain;
    match api::patch_backend(instance, (service, backend), &patch).await {
        Ok(_) => format!("{verb} {backend}: done"),
        Err(error) => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            format!("{verb} {backend}: {line}")
        }
    }
}
