//! What the doors hand bodies to.
//!
//! Knows what a body may take and what may become of it; does not know what it means.

use crate::clock::Now;
use crate::ingest::Sliced;
use crate::model::{Origin, Peer, Receipt, Refusal};

/// What one call of `Intake::export` did.
#[derive(Debug)]
pub struct Exported {
    /// What became of the request; nothing when it takes another call.
    pub end: Option<Result<Receipt, Refusal>>,
    /// What it took, by estimate, nanoseconds.
    pub cost_ns: u64,
}

/// What the doors of a shard hand whole, decompressed request bodies to. Called on the shard's own thread.
pub trait Intake {
    /// Decodes, checks and applies one protobuf `ExportMetricsServiceRequest`: all or nothing when malformed,
    /// point by point when single points are invalid.
    ///
    /// A large one takes several calls with the same body: what became of it comes with the last one. `part` is nothing
    /// before the first call and is kept by the caller from one to the next; once it is being applied, it must be brought to
    /// its end.
    fn export(&mut self, origin: Origin, body: &[u8], part: &mut Option<Box<Sliced>>, now: Now) -> Exported;

    /// Asks for `bytes` of the memory budget before a body is read or inflated; `false` refuses it retryably.
    fn reserve(&mut self, peer: Peer, bytes: usize) -> bool;

    /// Gives back what `reserve` granted.
    fn release(&mut self, peer: Peer, bytes: usize);

    /// Whether some peer has to give others room.
    fn is_wanted(&self) -> bool {
        false
    }

    /// Whether this peer has to: its bodies that are not whole are ended.
    fn gives_way(&self, _: Peer) -> bool {
        false
    }
}
