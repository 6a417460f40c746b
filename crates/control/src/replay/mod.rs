//! `replay` and `explain`: the real program, run by `BPF_PROG_TEST_RUN`, on packets of a capture
//! or on one that is made up. Nothing of the network is touched, and no interface is needed.
//!
//! - `capture`: pcap and pcapng in, pcap out.
//! - `stand_in`: the next hops that a host would ask the kernel for.
//! - `trial`: one frame, one [`Record`].
//! - `explain`: one packet, and what became of it.
//! - `packet`: frames in words.

mod capture;
mod explain;
mod packet;
mod stand_in;
mod trial;

use std::path::Path;

use engine::EngineError;
use engine::desired::Desired;

pub use capture::CaptureError;
pub use explain::{Probe, ProbeEndpoint, ProbeTransport, explain};
pub use trial::Record;

use capture::{Reader, Writer};
use trial::Trial;

/// Why a replay stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The capture could not be read or written.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The program could not be loaded or run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A packet that cannot be made.
    #[error("{0}")]
    Probe(String),
    /// Whoever reads the records has stopped reading.
    #[error("writing the records: {0}")]
    Output(#[from] std::io::Error),
}

/// Runs every packet of `input` through the program, in order, with flow state kept between them.
/// `each` gets one record a packet; what comes out is written to `output`, if given.
///
/// # Errors
/// The capture is not readable, or not Ethernet; the kernel does not load or run the program.
pub fn replay(
    desired: &Desired,
    input: &Path,
    output: Option<&Path>,
    mut each: impl FnMut(&Record) -> std::io::Result<()>,
) -> Result<(), ReplayError> {
    let mut reader = Reader::open(input)?;
    let mut packets = reader.packets().peekable();
    let our_mac = match packets.peek() {
        Some(Ok(packet)) => stand_in::our_mac(&packet.frame),
        _ => stand_in::OUR_MAC,
    };
    let mut trial = Trial::new(desired, our_mac)?;
    let mut writer = output.map(Writer::create).transpose()?;
    for (index, packet) in packets.enumerate() {
        let packet = packet?;
        let outcome = trial.run(index as u64, &packet.frame)?;
        if let (Some(writer), Some(frame)) = (&mut writer, &outcome.frame) {
            writer.write(packet.timestamp, frame)?;
        }
        each(&outcome.record)?;
    }
    Ok(())
}
