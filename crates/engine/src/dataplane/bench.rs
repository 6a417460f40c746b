//! What `./dev bench` needs of a data plane and the product does not.

use abi::control::Settings;

use super::{DataPlane, TestOutcome, load_error, program};
use crate::EngineError;
use crate::desired::Limits;
use crate::image::Image;

/// What the kernel says about a loaded program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramFacts {
    /// Instructions the verifier went through, over all paths.
    pub verified_instructions: u32,
    /// Instructions left when it was done.
    pub instructions: u32,
    /// Machine code in bytes.
    pub machine_code: u32,
}

impl DataPlane {
    /// [`DataPlane::load`] with these settings, of the programs in `object` in place of the product's:
    /// [`crate::object::BENCH`], or an earlier build of it.
    pub fn load_bench(
        object: &[u8],
        settings: Settings,
        limits: &Limits,
        image: &Image,
    ) -> Result<Self, EngineError> {
        Self::load_object(object, settings, limits, image)
    }

    /// [`DataPlane::test_run`] of the program `name`.
    pub fn test_run_program(
        &mut self,
        name: &str,
        frame: &[u8],
        repeat: u32,
    ) -> Result<TestOutcome, EngineError> {
        self.run(name, frame, repeat)
    }

    /// Facts about the program `name`; 0 for those that the kernel does not tell.
    pub fn program_facts(&mut self, name: &str) -> Result<ProgramFacts, EngineError> {
        /// `size_of::<struct bpf_insn>()`.
        const INSTRUCTION: u32 = 8;
        let info = program(&mut self.ebpf, name)?.info().map_err(load_error)?;
        Ok(ProgramFacts {
            verified_instructions: info.verified_instruction_count().unwrap_or(0),
            instructions: info.size_translated().unwrap_or(0) / INSTRUCTION,
            machine_code: info.size_jitted(),
        })
    }
}
