//! Another one says what becomes of what comes in: streams and resources ask again, each when it next comes.
//!
//! Knows what was answered before and what is answered now; does not know points, or what rules say.
//!
//! ```text
//!   asked by the one before ─► the same answer ─► stays, with its routes
//!                          └─► another one ─► found no more; what comes makes another stream, which asks for each route
//!                                              └─► its routes go, a part in each turn of the loop, and it with them
//! ```
//!
//! Invariants
//! 1. A stream whose routes have to ask is never confirmed: what each was told may be another thing now.
//! 2. A stream that is found no more keeps its number until the last of its routes is gone: a route names its stream.
//! 3. Nothing that was staged refers to a stream that is dismissed: another one is asked from between two slices on, which commit
//!    what they staged, and routes go between two turns. So one long request may go by both.
//!
//! Bounds: `limits::TIDY_PER_TURN` routes and streams in one go (`deaths`). Until then there are at most two of each.

use super::contexts::{Contexts, StreamFate, text};
use super::gate::{Doorkeeper, ReplicaOf};
use super::links::Links;
use super::routes::NONE;
use crate::model::Kind;
use crate::rules::{MetricSeen, StreamVerdict};
use crate::series::Group;
use crate::series::registry::Registry;
use std::sync::Arc;

/// A metric of a stream, as rules see it.
pub(super) fn metric<'a>(
    contexts: &'a Contexts,
    (resource, scope): (u32, u32),
    (name, unit, kind, monotonic): (&'a [u8], &'a [u8], Kind, bool),
) -> MetricSeen<'a> {
    let (resource, scope) = contexts.sets(resource, scope);
    let (name, unit) = (text(name), text(unit));
    let held = Some([&resource.run, &scope.run]);
    MetricSeen { resource: &resource.run, scope: &scope.run, name, unit, kind, monotonic, held }
}

/// The stream, if what was said of it holds; else nothing, and it is found no more.
#[inline]
pub(super) fn of_stream(
    contexts: &mut Contexts,
    gate: Option<&mut (dyn Doorkeeper + 'static)>,
    id: u32,
) -> Option<u32> {
    if contexts.is_asked(id) { Some(id) } else { asked_again(contexts, gate, id) }
}

#[cold]
#[inline(never)]
fn asked_again(contexts: &mut Contexts, gate: Option<&mut (dyn Doorkeeper + 'static)>, id: u32) -> Option<u32> {
    let ids = contexts.place_of(id);
    let stream = contexts.at(id);
    let seen = metric(contexts, ids, (stream.name(), stream.unit(), stream.kind, stream.monotonic));
    let verdict = gate.map_or(StreamVerdict::Pass, |gate| gate.of_stream(&seen));
    match (stream.fate(), verdict) {
        (StreamFate::Pass, StreamVerdict::Pass) => contexts.confirm(id, StreamFate::Pass),
        (StreamFate::Discard(_), StreamVerdict::Discard(rule)) => contexts.confirm(id, StreamFate::Discard(rule)),
        _ => {
            contexts.dismiss(id);
            return None;
        }
    }
    Some(id)
}

/// A resource of which another one says this: it stays if it is who it was, else it is found no more.
pub(super) fn of_resource(contexts: &mut Contexts, registry: &Registry, id: u32, now: Option<ReplicaOf>) {
    let is_same = match (contexts.replica(id), &now) {
        (None, None) => true,
        (Some(before), Some(now)) => {
            let election = registry.find_election(now.seen.of);
            before.hash == now.seen.replica && election.is_some_and(|now| Arc::ptr_eq(&before.election, &now))
        }
        _ => false,
    };
    if is_same {
        contexts.confirm_resource(id, now.map(|now| (now.silence, now.number)));
    } else {
        contexts.dismiss_resource(id);
    }
}

/// Streams that were dismissed, on their way out.
#[derive(Default)]
pub(super) struct Dismissed {
    /// Each, with the routes that it had.
    streams: Vec<(u32, Vec<u32>)>,
    /// Routes that go with their cells; those streams wait for them.
    waiting: Vec<(u32, Vec<u32>)>,
    /// Streams that are not yet looked at for resources that were dismissed.
    unseen: u32,
}

impl Dismissed {
    /// An interval begins: those that waited for cells are looked at again, and all for resources that were dismissed.
    pub(super) fn begin(&mut self, contexts: &Contexts) {
        if self.streams.is_empty() {
            std::mem::swap(&mut self.streams, &mut self.waiting);
        }
        if contexts.has_left() {
            self.unseen = contexts.places();
        }
    }

    /// Goes on, while there is some of `left`; the groups of streams that are gone.
    pub(super) fn go_on(&mut self, links: &mut Links, contexts: &mut Contexts, left: &mut usize) -> Vec<Arc<Group>> {
        let mut groups = Vec::new();
        while *left > 0 && self.unseen > 0 {
            *left -= 1;
            self.unseen -= 1;
            if contexts.is_left(self.unseen) {
                contexts.dismiss(self.unseen);
            }
        }
        for id in contexts.take_dismissed() {
            let table = std::mem::take(&mut contexts.at_mut(id).table);
            self.streams.push((id, table.into_routes()));
        }
        while *left > 0
            && let Some((id, routes)) = self.streams.last_mut()
        {
            *left -= 1;
            let (id, next) = (*id, routes.pop());
            let is_its = |route: &u32| links.routes().get(*route).is_some_and(|route| route.stream == id);
            match next {
                Some(NONE) => {}
                Some(route) if is_its(&route) => {
                    if !links.dismiss(route, contexts) {
                        match self.waiting.last_mut() {
                            Some((last, routes)) if *last == id => routes.push(route),
                            _ => self.waiting.push((id, vec![route])),
                        }
                    }
                }
                Some(_) => {}
                None => {
                    self.streams.pop();
                    if self.waiting.last().is_none_or(|(last, _)| *last != id) {
                        groups.extend(contexts.remove(id));
                    }
                }
            }
        }
        groups
    }

    /// Whether some are still on their way.
    pub(super) fn is_due(&self, contexts: &Contexts) -> bool {
        self.unseen > 0 || !self.streams.is_empty() || contexts.has_dismissed()
    }
}
