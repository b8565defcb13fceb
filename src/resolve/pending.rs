//! What a request asks to be born, before anything of it is applied.
//!
//! Knows attributes that were read, and whose they are; does not know series. What is pending lies in the request's arena and
//! dies with it.

use super::encoding::Encoding;
use super::keys::{EnvelopeKey, StreamKey};
use super::routes::NONE;
use crate::identity::attributes::Bad;
use bumpalo::Bump;
use bumpalo::collections::Vec as ArenaVec;

/// Where a point goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PointTarget {
    /// To a route that was there.
    Route(u32),
    /// To the route of the birth at this place of [`Pending`].
    Birth(u32),
}

/// The stream of points that had no route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    /// Resource part.
    pub resource: EnvelopeKey<'a>,
    /// Scope part.
    pub scope: EnvelopeKey<'a>,
    /// The rest.
    pub key: StreamKey<'a>,
    /// Set once it is resolved.
    pub stream: u32,
    /// The stream is that of an overflow group.
    pub overflows: bool,
}

/// A route that must be made for a point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Birth<'a> {
    /// Place of its context.
    pub context: u32,
    /// Attributes as they came.
    pub raw: &'a [u8],
    /// Attributes normalised, and the hash of their set.
    pub normal: &'a [u8],
    pub set: u64,
    /// The series' hash, once its group is known.
    pub hash: Option<u64>,
    /// Its route, once it is made.
    pub route: u32,
}

/// Births of a request, in the order of their points.
pub(crate) struct Pending<'a> {
    pub(super) births: ArenaVec<'a, Birth<'a>>,
    pub(super) contexts: ArenaVec<'a, Context<'a>>,
    /// What was cut when a resource or scope was born, for the answer: the first one.
    pub(super) cut: Option<String>,
}

impl<'a> Pending<'a> {
    /// None.
    pub(crate) fn new(arena: &'a Bump) -> Self {
        Pending { births: ArenaVec::new_in(arena), contexts: ArenaVec::new_in(arena), cut: None }
    }

    /// Births.
    #[inline]
    pub(crate) fn births(&self) -> usize {
        self.births.len()
    }

    /// Streams that they are of.
    #[inline]
    pub(crate) fn streams(&self) -> usize {
        self.contexts.len()
    }

    /// What was cut, for the answer.
    pub(crate) const fn cut(&self) -> Option<&String> {
        self.cut.as_ref()
    }

    /// As `cut`, at the end.
    pub(crate) fn take_cut(&mut self) -> Option<String> {
        self.cut.take()
    }

    /// Resource and name of the metric that a birth is of.
    pub(crate) fn metric_of(&self, birth: u32) -> (&'a [u8], &'a [u8]) {
        let context = &self.contexts[self.births[birth as usize].context as usize];
        (context.resource.bytes, context.key.name)
    }

    /// The last birth, if it is of the same stream and attributes: a series that comes twice, one behind the other, is born
    /// once.
    pub(crate) fn again(&self, context: Option<u32>, raw: &[u8]) -> Option<u32> {
        let last = self.births.last()?;
        (Some(last.context) == context && last.raw == raw).then(|| self.births.len() as u32 - 1)
    }

    /// Adds a birth. Its attributes are read here, so that commit cannot fault. `context` is the place of its stream, once
    /// something is to be born in it. The birth's place; `Bad` if the attributes are not acceptable.
    pub(super) fn add<E: Encoding>(
        &mut self,
        raw: &'a [u8],
        (resource, scope, key): (&EnvelopeKey<'a>, &EnvelopeKey<'a>, &StreamKey<'a>),
        context: &mut Option<u32>,
        (encoding, state): (&E, &ahash::RandomState),
        arena: &'a Bump,
    ) -> Result<Result<u32, Bad>, E::Fault> {
        let mut written = Vec::new();
        let read = match encoding.attributes(key.kind, raw, state, &mut written)? {
            Ok(read) => read,
            Err(bad) => return Ok(Err(bad)),
        };
        let normal = if read.is_written { arena.alloc_slice_copy(&written) } else { raw };
        let context = *context.get_or_insert_with(|| self.context(resource, scope, key));
        self.births.push(Birth { context, raw, normal, set: read.hash, hash: None, route: NONE });
        Ok(Ok(self.births.len() as u32 - 1))
    }

    /// A metric that comes again, one behind the other, is one stream, and keeps its longest description.
    fn context(&mut self, resource: &EnvelopeKey<'a>, scope: &EnvelopeKey<'a>, key: &StreamKey<'a>) -> u32 {
        let is_again = self.contexts.last_mut().is_some_and(|last| {
            let again = last.resource.is_in_place_of(resource)
                && last.scope.is_in_place_of(scope)
                && last.key.is_same_stream(key);
            if again && last.key.about.description.len() < key.about.description.len() {
                last.key.about.description = key.about.description;
            }
            again
        });
        if !is_again {
            let (resource, scope) = (*resource, *scope);
            self.contexts.push(Context { resource, scope, key: *key, stream: NONE, overflows: false });
        }
        self.contexts.len() as u32 - 1
    }
}
