//! What is configured beside the data plane.

/// `[api]`: who may use the socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiSettings {
    /// Name or number of a group whose members may, beside root; `None`: nobody else.
    pub group: Option<String>,
}

/// `[daemon]`: what the process does by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DaemonSettings {
    /// The file is read again whenever it has changed.
    pub watch: bool,
}
