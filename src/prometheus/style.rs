//! How a page is written, and how much of it at once.
//!
//! Knows what the operator chose and the scraper asked for; does not know families or rows.

use crate::limits;
use crate::prometheus::label_encoding::LabelEncoding;
use crate::prometheus::name::{Naming, Translation};
use crate::prometheus::negotiate::{Format, Negotiated};

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// The format.
    pub format: Format,
    /// How names are made.
    pub naming: Naming,
    /// OpenMetrics has `_created` series.
    pub created: bool,
}

impl Style {
    /// What the operator chose and the scraper asked for.
    pub const fn new(strategy: Translation, created: bool, negotiated: Negotiated) -> Self {
        Style { format: negotiated.format, naming: Naming { strategy, escaping: negotiated.escaping }, created }
    }

    pub(super) fn encoding(self) -> LabelEncoding {
        if self.format == Format::Protobuf { LabelEncoding::Message } else { LabelEncoding::Text }
    }
}

/// How much at once.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes after which a chunk is handed out.
    pub chunk_bytes: usize,
    /// Bytes of colliding rows held at once.
    pub merge_bytes: usize,
    /// Rows, groups or merged rows one step visits.
    pub rows_per_step: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            chunk_bytes: limits::PAGE_CHUNK_BYTES,
            merge_bytes: limits::PAGE_MERGE_BYTES,
            rows_per_step: limits::PAGE_ROWS_PER_STEP,
        }
    }
}
