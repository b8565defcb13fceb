//! Compressed bodies, whatever they are compressed with: one state for each, used again, and slices of output.
//!
//! Does not know where bytes come from; `gunzip` and `unzstd` know the formats.

use super::gunzip::Gunzip;
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

/// Why a body could not be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InflateFault {
    /// Not of its format, broken, or cut off.
    Corrupt(&'static str),
    /// More than the limit comes out.
    TooLarge,
    /// The budget did not grow.
    NoBudget,
}

/// How far inflating came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All of it is out.
    Done,
    /// The slice is over, the body is not.
    More,
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

    /// Inflates about `slice` bytes more of `input` to the end of `output`; see `Gunzip::advance`.
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
    ) -> Result<Progress, InflateFault> {
        match self {
            Inflate::Gzip(state) => state.advance(input, output, limit, slice, grow),
            Inflate::Zstd(state) => state.advance(input, output, limit, slice, grow),
        }
    }
}
