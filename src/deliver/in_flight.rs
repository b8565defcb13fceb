//! A batch on its way: the part of it that is sent now, what that is packed with, and when it is tried.
//!
//! Does not know: queues, exporters, what an answer means, which batches may go together.
//!
//! Bounds: a batch and its packed copy, or its parts, which together are about as large.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::destination::Compression;
use super::exporter::Job;
use super::queue::Encoded;
use crate::otlp::split::halves;

/// See `Compression::Zstd`.
const ZSTD_LEVEL: i32 = 1;

/// A batch on its way.
pub(super) struct BatchInFlight {
    pub(super) batch: Arc<Encoded>,
    /// What is sent now: all of the batch, unless that was too large.
    pub(super) part: Encoded,
    /// Parts that come after it, the next one last.
    pub(super) rest: Vec<Encoded>,
    pub(super) job: Job,
    /// Tries of this part that have begun.
    pub(super) tries: u32,
    /// The destination may have taken it already.
    pub(super) ambiguous: bool,
    /// What it is packed with.
    pub(super) packed: Compression,
    /// Number of the way on which it was tried last.
    pub(super) way: usize,
    /// Which of the batches that this lane took on: the lowest is the oldest.
    pub(super) sequence: u64,
    pub(super) stage: TryStage,
}

impl BatchInFlight {
    /// Points without an outcome.
    pub(super) fn points(&self) -> u64 {
        self.part.points + self.rest.iter().map(|part| part.points).sum::<u64>()
    }

    /// Halves the part; false if it is a single point, or nothing that can be halved.
    pub(super) fn split(&mut self) -> bool {
        let Some([(first, points), (second, others)]) = halves(&self.part.bytes) else { return false };
        if points + others != self.part.points {
            // a part whose points are not those it was queued with: better whole than wrong
            return false;
        }
        let flushed = self.part.flushed;
        self.part = Encoded { bytes: first.into(), points, flushed };
        self.rest.push(Encoded { bytes: second.into(), points: others, flushed });
        true
    }
}

/// What goes out, and what it is packed with: once for all tries (E7).
pub(super) fn pack(compression: Compression, bytes: &Bytes) -> (Option<&'static str>, Bytes) {
    const FITS: &str = "a vector takes every byte";
    match compression {
        Compression::None => (None, bytes.clone()),
        Compression::Gzip => {
            let sink = Vec::with_capacity(bytes.len() / 4 + 64);
            let mut encoder = flate2::write::GzEncoder::new(sink, flate2::Compression::fast());
            let packed = encoder.write_all(bytes).and_then(|()| encoder.finish());
            (Some("gzip"), Bytes::from(packed.expect(FITS)))
        }
        Compression::Zstd => (Some("zstd"), zstd::bulk::compress(bytes, ZSTD_LEVEL).expect(FITS).into()),
    }
}

/// Why a part is tried again.
#[derive(Clone, Copy)]
pub(super) enum Retry {
    /// The answer asks for it, perhaps after a time.
    Asked(Option<Duration>),
    /// The answer says that the credentials are not taken.
    Unauthorized,
    /// There was no answer; the request may have been sent.
    Failed { is_sent: bool },
}

pub(super) enum TryStage {
    /// With the exporter until this time, ns.
    Flying { until_ns: u64 },
    /// Tried again at this time, ns.
    Waiting { until_ns: u64 },
}
