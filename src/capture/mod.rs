//! A recording of requests: what `catchment run --capture FILE` writes and `catchment tune --capture FILE` and
//! `catchment plan --capture FILE` read.
//!
//! Knows bytes on disk and a queue in front of them; does not know what a request means.
//!
//! ```text
//!  shards ─► recorder (a queue, a thread) ─► format ─► file ─► format ─► tune, plan
//! ```
//!
//! Invariants
//! 1. A file of ours is never longer than `--capture-limit`, and ends after a whole record unless the process was killed
//!    or a write failed, which is warned of at once.
//! 2. Recording never holds a shard up: what the queue has no room for is dropped and counted.
//!
//! Bounds: `limits::CAPTURE_*`.

mod format;
mod recorder;

pub use format::{Capture, FILE_HEAD_BYTES, RECORD_HEAD_BYTES, Recorded, parse, read, read_asked};
pub use recorder::{CaptureProgress, CaptureSummary, CaptureWatch, Recorder, Tap};
