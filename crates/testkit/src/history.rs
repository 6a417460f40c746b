//! Random histories of a service, and the promise that they test: **no flow whose backend lives ever
//! changes backend, except one that was silent for longer than the window** (DESIGN: 3.2).
//!
//! Servers come, go, drain, die, come back and change weight; the ring grows; flows begin, talk, fall
//! silent and end; floods of SYNs and of ACKs meet a small table; and flows are taken over by another
//! instance. Who does the balancing is a [`Subject`]: a model, the native data path or the program
//! in the kernel. Everything follows from a seed.
//!
//! A client's ports come round: a connection that begins between the ports of one that was seen to end
//! begins with a server that takes new ones, as any other does.
//!
//! UDP has no SYN, so its promise is less: a flow may move, too, once its backend does not take new
//! flows, or when the table refused it; unless every flow is tracked.

mod play;

pub use play::run;

/// Number of servers there can be; their names are the numbers below it.
pub const SERVERS: u8 = 10;

/// What the operator says about a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Takes new flows.
    Up,
    /// Keeps its flows only.
    Draining,
    /// Dead.
    Down,
}

/// A server behind the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// Below [`SERVERS`].
    pub name: u8,
    /// At least 1.
    pub weight: u32,
    /// See there.
    pub state: State,
}

/// What is configured at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// At least one.
    pub servers: Vec<Server>,
    /// log2 of the ring's length.
    pub ring_log2: u8,
}

/// What is the same all through a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Ticks after which a silent flow may move.
    pub window: u32,
    /// Flows that the table has room for.
    pub table: u32,
    /// Flows that may be entered in each [`abi::pace`] window.
    pub pace: u32,
    /// Whether every flow is entered.
    pub track_always: bool,
    /// Seed of the flow hash.
    pub seed: u64,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP, first.
    Syn,
    /// TCP, later.
    Ack,
    /// TCP, the client's last.
    Fin,
    /// UDP.
    Datagram,
}

/// Where a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The server, if any.
    pub server: Option<u8>,
    /// The table had no room for the flow, or no pace left.
    pub refused: bool,
}

/// One instance.
pub trait Subject {
    /// Sets the clock, in ticks from the beginning of the history.
    fn set_time(&mut self, now: u32);
    /// Takes a changed configuration over.
    fn apply(&mut self, fleet: &Fleet);
    /// Balances one packet of the flow with this number.
    fn packet(&mut self, flow: u32, kind: Kind) -> Answer;
    /// What happens every now and then.
    fn sweep(&mut self);
    /// The owner of the flow's slot, if that is steady.
    fn steady(&mut self, flow: u32, kind: Kind) -> Option<u8>;
}

/// How long and how rough a history is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// Its length in ticks.
    pub ticks: u32,
    /// Ticks between sweeps.
    pub sweep_every: u32,
    /// Packets in a flood.
    pub flood: u32,
    /// A change happens once in so many ticks.
    pub change_one_in: usize,
}

/// What happened, so that a test can see that something did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets of flows that were judged.
    pub judged: u64,
    /// Judged packets on slots that were not steady.
    pub unsteady: u64,
    /// Changes of the configuration.
    pub changes: u64,
    /// Flows refused by the table.
    pub refused: u64,
    /// Flows that moved and were allowed to.
    pub moved: u64,
    /// Flows that died with their server.
    pub died: u64,
    /// Flows taken over by another instance.
    pub taken_over: u64,
    /// Connections between the ports of one that had ended.
    pub again: u64,
}

impl Tally {
    /// Adds another history's.
    pub fn add(&mut self, other: &Self) {
        self.judged += other.judged;
        self.unsteady += other.unsteady;
        self.changes += other.changes;
        self.refused += other.refused;
        self.moved += other.moved;
        self.died += other.died;
        self.taken_over += other.taken_over;
        self.again += other.again;
    }
}

/// The course of tests that run in memory.
pub const COURSE: Course = Course {
    ticks: 180,
    sweep_every: 4,
    flood: 40,
    change_one_in: 12,
};
