//! Heads of resources and scopes: read at once, found again where they were, or read in steps if they are long.
//!
//! Knows how far a long head was read; does not know what is found by it.

use super::encoding::Otlp;
use super::position::HeadPlace;
use super::stage::{Long, Stage};
use crate::otlp::cut::{Cutter, Root};
use crate::otlp::request::{self, Head};
use crate::resolve::EnvelopeKey;
use crate::wire::Fault;
use bumpalo::Bump;

/// The head of a resource or a scope, found again where it was; nothing if it is read in steps, and is not at its end.
pub(super) fn head_of<'a>(
    message: &'a [u8],
    (level, root): (usize, Root),
    (place, checked): (&mut Option<HeadPlace>, &mut bool),
    (arena, room_ns): (&'a Bump, u64),
    stage: &mut Stage<'a>,
) -> Result<Option<EnvelopeKey<'a>>, Fault> {
    if let Some(place) = place {
        return Ok(Some(place.head(message)));
    }
    let before = arena.allocated_bytes();
    let mut head = None;
    if stage.longs[level].is_none() {
        head = request::head(message, arena)?.map(|head| {
            let Head { bytes, schema_url, is_cut } = head;
            Otlp::envelope(bytes, schema_url, is_cut)
        });
        *place = head.as_ref().and_then(|head| HeadPlace::of(head, message));
    }
    if head.is_none() {
        head = long_head(message, (level, root), (arena, room_ns), stage)?;
        *checked |= head.is_some();
    }
    stage.joined += arena.allocated_bytes() - before;
    Ok(head)
}

/// As `head_of`, of one that is read in steps.
#[cold]
#[inline(never)]
fn long_head<'a>(
    message: &'a [u8],
    (level, root): (usize, Root),
    (arena, room_ns): (&'a Bump, u64),
    stage: &mut Stage<'a>,
) -> Result<Option<EnvelopeKey<'a>>, Fault> {
    if !read_long(message, (level, root), room_ns, stage)? {
        return Ok(None);
    }
    let Some(Long::Read(cut)) = &stage.longs[level] else { return Ok(None) };
    Ok(Some(Otlp::envelope(arena.alloc_slice_copy(&cut.bytes), arena.alloc_slice_copy(&cut.schema_url), cut.is_cut)))
}

/// Reads on in what is long; whether it is at its end.
pub(super) fn read_long(
    message: &[u8],
    (level, root): (usize, Root),
    room_ns: u64,
    stage: &mut Stage<'_>,
) -> Result<bool, Fault> {
    let begin = || Long::Reading(Box::new(Cutter::new(root, message.len(), stage.limits)));
    let mut long = stage.longs[level].take().unwrap_or_else(begin);
    let mut left_ns = room_ns.max(1);
    if let Long::Reading(cutter) = &mut long {
        let is_over = cutter.advance(message, &mut left_ns)?;
        stage.work(room_ns.max(1) - left_ns);
        if !is_over {
            stage.longs[level] = Some(long);
            return Ok(false);
        }
    }
    if let Long::Reading(cutter) = long {
        long = Long::Read(cutter.end(message)?);
    }
    stage.longs[level] = Some(long);
    Ok(true)
}
