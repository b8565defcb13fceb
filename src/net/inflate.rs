//! Compressed bodies, whatever they are compressed with: one state for each, used again.
//!
//! Does not know where bytes come from; `gunzip` and `unzstd` know the formats, `members` how a body is gone through.

use super::gunzip::Gunzip;
use super::members::{InflateFault, InflateProgress, Members, advance};
use super::unzstd::Unzstd;
use crate::limits::{INFLATE_STATE_BYTES, ZSTD_STATE_BYTES};

/// How a body, or the message behind a gRPC prefix, is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Identity,
    /// `gzip`
    Gzip,
    /// `zstd`
    Zstd,
}

impl Coding {
    /// Bytes of the state that inflates it.
    pub const fn state_bytes(self) -> usize {
        match self {
            Coding::Identity => 0,
            Coding::Gzip => INFLATE_STATE_BYTES,
            Coding::Zstd => ZSTD_STATE_BYTES,
        }
    }
}

/// A state that inflates.
pub enum Inflate {
    /// gzip
    Gzip(Gunzip),
    /// zstd
    Zstd(Unzstd),
}

impl Inflate {
    /// The state for a coding; `None` for none, and when the system has no memory for it.
    pub fn new(coding: Coding) -> Option<Inflate> {
        match coding {
            Coding::Identity => None,
            Coding::Gzip => Some(Inflate::Gzip(Gunzip::default())),
            Coding::Zstd => Unzstd::new().map(Inflate::Zstd),
        }
    }

    /// Begins a body.
    pub fn begin(&mut self) {
        match self {
            Inflate::Gzip(state) => state.begin(),
            Inflate::Zstd(state) => state.begin(),
        }
    }

    /// Bytes of the body that are done.
    pub fn position(&self) -> usize {
        match self {
            Inflate::Gzip(state) => state.position(),
            Inflate::Zstd(state) => state.position(),
        }
    }

    /// Goes on with a body: see [`advance`].
    ///
    /// # Errors
    /// See [`InflateFault`].
    pub fn advance(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        limit: usize,
        slice: usize,
        grow: impl FnMut(usize) -> bool,
    ) -> Result<InflateProgress, InflateFault> {
        match self {
            Inflate::Gzip(state) => advance(state, input, output, limit, slice, grow),
            Inflate::Zstd(state) => advance(state, input, output, limit, slice, grow),
        }
    }
}
