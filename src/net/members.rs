//! What compressed formats have in common: a body is members, or frames, one behind the other, and gone through in slices.
//!
//! Does not know a format, nor where bytes come from.
//!
//! Invariants: 1. the output never grows past `limit + 1` bytes, nor past what `grow` granted; 2. `grow` is asked before the
//! output grows, not after; 3. a call does about as much work as it is allowed, so that a body may take several turns of
//! the loop. Output is work, and so is input that makes none: there are blocks and frames with nothing in them.

use crate::limits::{GUNZIP_STEP_BYTES, INFLATE_INPUT_WEIGHT};

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
pub enum InflateProgress {
    /// All of it is out.
    Done,
    /// The slice is over, the body is not.
    More,
}

/// A format whose bodies are members (gzip) or frames (zstd), one behind the other.
pub(super) trait Members {
    /// Bytes of the input that are done.
    fn position(&self) -> usize;

    /// Whether the last member begun is over, or none is.
    fn is_between(&self) -> bool;

    /// Whether a member was there and nothing follows.
    fn is_at_end(&self, input: &[u8]) -> bool;

    /// Begins the next member, behind `made` bytes of output.
    fn begin_member(&mut self, input: &[u8], made: usize) -> Result<(), InflateFault>;

    /// Inflates at most `limits::GUNZIP_STEP_BYTES`, into the room there is, from at most
    /// `limits::INFLATE_INPUT_STEP_BYTES`.
    fn step(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<(), InflateFault>;
}

/// What taking so many bytes and making so many counts for, in bytes of output.
pub fn work(taken: usize, made: usize) -> usize {
    made.saturating_add(taken.saturating_sub(made).saturating_mul(INFLATE_INPUT_WEIGHT))
}

/// Does work for about `slice` bytes more of `input`, to the end of `output`; both are the same in every call for one body, and
/// `output` is empty before the first. `grow` is asked for each step of capacity.
///
/// # Errors
/// See [`InflateFault`]; `output` then holds a part that means nothing.
pub(super) fn advance(
    state: &mut impl Members,
    input: &[u8],
    output: &mut Vec<u8>,
    limit: usize,
    slice: usize,
    mut grow: impl FnMut(usize) -> bool,
) -> Result<InflateProgress, InflateFault> {
    let (begun_at, begun_with) = (state.position(), output.len());
    loop {
        if state.is_between() {
            if state.is_at_end(input) {
                return Ok(InflateProgress::Done);
            }
            state.begin_member(input, output.len())?;
        }
        if work(state.position() - begun_at, output.len() - begun_with) >= slice {
            return Ok(InflateProgress::More);
        }
        if output.len() == output.capacity() {
            let more = GUNZIP_STEP_BYTES.max(output.len()).min(limit + 1 - output.len());
            if !grow(more) {
                return Err(InflateFault::NoBudget);
            }
            if output.try_reserve_exact(more).is_err() {
                return Err(InflateFault::NoBudget);
            }
        }
        state.step(input, output)?;
        if output.len() > limit {
            return Err(InflateFault::TooLarge);
        }
    }
}
