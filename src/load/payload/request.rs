//! One request of a plan and the forms that it leaves in.
//!
//! Knows what a request holds; does not know how that changes.

use super::expected::MetricTotal;
use super::run::Run;
use super::text::Text;

/// One request: what it holds now and how often it was sent.
pub(crate) struct Request {
    pub bytes: Box<[u8]>,
    pub runs: Vec<Run>,
    pub points: u32,
    pub sends: u64,
    /// Time of the last send, and of the one before it.
    pub time_ns: u64,
    pub before_ns: u64,
    /// The same as JSON, if that is sent.
    pub text: Option<Text>,
    /// Compressed, if so sent.
    pub packed: Vec<u8>,
    pub variants: Vec<Variant>,
}

/// A send that was compressed ahead, and what it adds to the totals.
pub(crate) struct Variant {
    pub packed: Vec<u8>,
    pub adds: Vec<(usize, MetricTotal)>,
}
