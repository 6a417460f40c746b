//! Captures: pcap (either byte order, micro- or nanoseconds) and pcapng.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};
use pcap_file::pcapng::{Block, PcapNgReader};
use pcap_file::{DataLink, Endianness, PcapError};

/// First four bytes of a pcapng file, in either byte order (draft-ietf-opsawg-pcapng, 4.1).
const PCAPNG_MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// Largest packet that is written, which is also what tcpdump reads by default.
const SNAPLEN: u32 = 262_144;

/// What is wrong with a capture file.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// It cannot be opened or read.
    #[error("cannot read the capture {path}: {problem}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is in the way.
        problem: String,
    },
    /// It cannot be created or written.
    #[error("cannot write the capture {path}: {problem}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What is in the way.
        problem: String,
    },
    /// It is not a capture, or a damaged one.
    #[error("{path}: expected a pcap or pcapng capture, found: {found}; write one with `tcpdump -w FILE`", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
    /// Packets without Ethernet headers.
    #[error("{path}: expected packets with Ethernet headers, found link type {found}; capture on one interface (`tcpdump -i eth0`), not on `any`", path = path.display())]
    LinkType {
        /// The file.
        path: PathBuf,
        /// Name of the link type.
        found: String,
    },
}

impl CaptureError {
    fn reading(path: &Path, error: &PcapError) -> Self {
        let path = path.into();
        let found = match error {
            PcapError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                "a file that ends too early".into()
            }
            PcapError::IoError(error) => {
                let problem = match error.kind() {
                    io::ErrorKind::NotFound => "there is no such file".into(),
                    io::ErrorKind::IsADirectory => "it is a directory, expected a file".into(),
                    _ => error.to_string(),
                };
                return Self::Read { path, problem };
            }
            error => error.to_string(),
        };
        Self::Format { path, found }
    }

    fn writing(path: &Path, error: &PcapError) -> Self {
        let path = path.into();
        let problem = match error {
            PcapError::IoError(error) if error.kind() == io::ErrorKind::NotFound => {
                "there is no such directory".into()
            }
            PcapError::IoError(error) => error.to_string(),
            error => error.to_string(),
        };
        Self::Write { path, problem }
    }
}

/// A packet of a capture.
pub(super) struct Packet {
    /// Since 1970.
    pub(super) timestamp: Duration,
    /// From the Ethernet header on.
    pub(super) frame: Vec<u8>,
}

enum Format {
    Pcap(PcapReader<BufReader<File>>),
    PcapNg(PcapNgReader<BufReader<File>>),
}

/// A capture that is read.
pub(super) struct Reader {
    path: PathBuf,
    format: Format,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, CaptureError> {
        let io = |error| CaptureError::reading(path, &PcapError::IoError(error));
        let format = |error| CaptureError::reading(path, &error);
        let mut file = File::open(path).map_err(io)?;
        let mut magic = [0; 4];
        let read = file.read(&mut magic).map_err(io)?;
        file.rewind().map_err(io)?;
        let file = BufReader::new(file);
        let format = if read == 4 && magic == PCAPNG_MAGIC {
            Format::PcapNg(PcapNgReader::new(file).map_err(format)?)
        } else {
            let reader = PcapReader::new(file).map_err(format)?;
            check_link_type(path, reader.header().datalink)?;
            Format::Pcap(reader)
        };
        Ok(Self {
            path: path.into(),
            format,
        })
    }

    pub(super) fn packets(&mut self) -> impl Iterator<Item = Result<Packet, CaptureError>> {
        std::iter::from_fn(move || self.next().transpose())
    }

    fn next(&mut self) -> Result<Option<Packet>, CaptureError> {
        let path = &self.path;
        let format = |error| CaptureError::reading(path, &error);
        match &mut self.format {
            Format::Pcap(reader) => {
                let Some(packet) = reader.next_packet() else {
                    return Ok(None);
                };
                let packet = packet.map_err(format)?;
                Ok(Some(Packet {
                    timestamp: packet.timestamp,
                    frame: packet.data.into_owned(),
                }))
            }
            Format::PcapNg(reader) => next_of_pcapng(path, reader),
        }
    }
}

/// The next packet block; all others are passed over.
fn next_of_pcapng(
    path: &Path,
    reader: &mut PcapNgReader<BufReader<File>>,
) -> Result<Option<Packet>, CaptureError> {
    loop {
        let Some(block) = reader.next_block() else {
            return Ok(None);
        };
        let block = block.map_err(|error| CaptureError::reading(path, &error))?;
        let (interface, packet) = match block {
            Block::EnhancedPacket(packet) => {
                let frame = packet.data.into_owned();
                let timestamp = packet.timestamp;
                (packet.interface_id, Packet { timestamp, frame })
            }
            Block::SimplePacket(packet) => {
                let frame = packet.data.into_owned();
                let timestamp = Duration::ZERO;
                (0, Packet { timestamp, frame })
            }
            _ => continue,
        };
        if let Some(interface) = reader.interfaces().get(interface as usize) {
            check_link_type(path, interface.linktype)?;
        }
        return Ok(Some(packet));
    }
}

fn check_link_type(path: &Path, found: DataLink) -> Result<(), CaptureError> {
    if found == DataLink::ETHERNET {
        return Ok(());
    }
    Err(CaptureError::LinkType {
        path: path.into(),
        found: format!("{found:?}"),
    })
}

/// A capture that is written.
pub(super) struct Writer {
    path: PathBuf,
    writer: PcapWriter<BufWriter<File>>,
}

impl Writer {
    pub(super) fn create(path: &Path) -> Result<Self, CaptureError> {
        let failed = |error| CaptureError::writing(path, &error);
        let file = File::create(path).map_err(|error| failed(PcapError::IoError(error)))?;
        let header = PcapHeader {
            snaplen: SNAPLEN,
            datalink: DataLink::ETHERNET,
            ts_resolution: pcap_file::TsResolution::NanoSecond,
            endianness: Endianness::native(),
            ..PcapHeader::default()
        };
        let writer = PcapWriter::with_header(BufWriter::new(file), header).map_err(failed)?;
        Ok(Self {
            path: path.into(),
            writer,
        })
    }

    pub(super) fn write(&mut self, timestamp: Duration, frame: &[u8]) -> Result<(), CaptureError> {
        let packet = PcapPacket::new(timestamp, frame.len() as u32, frame);
        self.writer
            .write_packet(&packet)
            .map(|_| ())
            .map_err(|error| CaptureError::writing(&self.path, &error))
    }
}
