//! Runs without an interface: `BPF_PROG_TEST_RUN`.

use aya::programs::{TestRun, TestRunOptions, Xdp};

use super::{DataPlane, chain, program};
use crate::EngineError;

/// Room for what a program may add in front of a frame under test.
const TEST_HEADROOM: usize = 256;

/// XDP actions, from the kernel's include/uapi/linux/bpf.h.
pub mod action {
    /// `XDP_ABORTED`.
    pub const ABORTED: u32 = 0;
    /// `XDP_DROP`.
    pub const DROP: u32 = 1;
    /// `XDP_PASS`.
    pub const PASS: u32 = 2;
    /// `XDP_TX`.
    pub const TX: u32 = 3;
    /// `XDP_REDIRECT`.
    pub const REDIRECT: u32 = 4;
}

/// What one frame became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestOutcome {
    /// One of [`action`].
    pub action: u32,
    /// The frame after the program.
    pub frame: Vec<u8>,
    /// Mean run time in nanoseconds, of all repetitions.
    pub nanoseconds: u32,
}

impl DataPlane {
    /// Runs the program on a frame without any interface, `repeat` times.
    pub fn test_run(&mut self, frame: &[u8], repeat: u32) -> Result<TestOutcome, EngineError> {
        self.run("evenkeel", frame, repeat)
    }

    /// The kernel's jiffies (low 32 bits), which flows carry as their age.
    pub fn now(&mut self) -> Result<u32, EngineError> {
        self.run("clock", &[0; 14], 1).map(|outcome| outcome.action)
    }

    pub(super) fn run(
        &mut self,
        name: &str,
        frame: &[u8],
        repeat: u32,
    ) -> Result<TestOutcome, EngineError> {
        run(program(&mut self.ebpf, name)?, frame, repeat)
    }
}

/// Runs a program on a frame, `repeat` times.
pub(crate) fn run(
    program: &mut Xdp,
    frame: &[u8],
    repeat: u32,
) -> Result<TestOutcome, EngineError> {
    let mut output = vec![0; frame.len() + TEST_HEADROOM];
    let mut options = TestRunOptions::new();
    options.data_in = Some(frame);
    options.data_out = Some(&mut output);
    options.repeat = repeat;
    let result = program
        .test_run(options)
        .map_err(|error| EngineError::TestRun {
            length: frame.len(),
            reason: chain(&error),
        })?;
    output.truncate(result.data_size_out as usize);
    Ok(TestOutcome {
        action: result.return_value,
        frame: output,
        nanoseconds: u32::try_from(result.duration.as_nanos()).unwrap_or(u32::MAX),
    })
}
