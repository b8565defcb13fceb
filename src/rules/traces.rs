//! Where changes act on a series, found from which keys stand where: what they make of a resource, of a scope and of a point
//! is made of each by itself then, and once for all series for which they act there alike.
//!
//! Knows keys and places; of values only a scope's name and version, which go when nothing is left of them.
//!
//! A change looks for its key on the point, in the scope, on the resource, and is made where it finds it, unless the key that
//! it leads to is anywhere. So what it does in one place depends on the other places by their keys alone, and of the keys of a
//! point few matter to scope and resource (`relevant`): those that a change could find there, those that it leads to, and
//! those that become such on the point itself.

use super::changes::{ChangeStep, Changes, Changing, Does};
use super::draft::{Draft, DraftAttribute, DraftValue};
use super::rule::KeyPlace;
use super::runs::{Acting, LimitAsked};
use crate::limits::RULE_CHANGES_MAX;
use std::borrow::Cow;
use std::sync::Arc;

const _: () = assert!(2 * RULE_CHANGES_MAX <= u128::BITS as usize, "each change has a key, and one that it leads to");

/// Where what is no point stands.
const ELSEWHERE: [KeyPlace; 2] = [KeyPlace::Scope, KeyPlace::Resource];

/// What a change does to the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnPoint {
    /// It is made, if it finds its key.
    Applies,
    /// It acts elsewhere, or is not made, whatever the point has.
    Blocked,
    /// If it finds its key, it is not made: what it leads to stands elsewhere.
    Taken,
}

/// Where changes act on series whose points have the same of the relevant keys.
#[derive(Debug, Default)]
pub(super) struct Trace {
    on_point: Box<[OnPoint]>,
    /// Changes that are not made, whatever else the point has.
    skipped: u64,
}

impl Changes {
    /// Whether there is none of attributes.
    pub(super) fn is_of_none(&self) -> bool {
        self.steps.is_empty()
    }

    /// The keys that make a difference to the scope and the resource of `draft` when a point has them.
    pub(super) fn relevant(&self, draft: &Draft<'_>) -> Box<[Arc<str>]> {
        let added = self.added_elsewhere(draft);
        let is_there =
            |step: &ChangeStep| step.place != Some(KeyPlace::Point) && is_elsewhere(&step.key, &added, draft);
        let mut keys: Vec<Arc<str>> = Vec::new();
        for step in self.steps.iter().filter(|step| !matches!(step.does, Does::Keep(_))) {
            let is_new = matches!(step.does, Does::SetNew(_)) && step.place.is_some_and(|at| at != KeyPlace::Point);
            if is_new || is_there(step) && step.place.is_none() {
                keys.push(step.key.clone());
            }
            if is_there(step) {
                keys.extend(step.does.target().cloned());
            }
        }
        // what becomes one of them on the point, or is kept from it by one
        loop {
            let before = keys.len();
            for step in &self.steps {
                let Some(target) = step.does.target() else { continue };
                match (keys.contains(&step.key), keys.contains(target)) {
                    (true, false) => keys.push(target.clone()),
                    (false, true) => keys.push(step.key.clone()),
                    _ => {}
                }
            }
            if keys.len() == before {
                break;
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys.into()
    }

    /// Keys that changes may bring to scope or resource, beside those that `draft` has there.
    fn added_elsewhere(&self, draft: &Draft<'_>) -> Vec<&str> {
        let mut added: Vec<&str> = Vec::new();
        loop {
            let before = added.len();
            for step in self.steps.iter().filter(|step| step.place != Some(KeyPlace::Point)) {
                let key = match &step.does {
                    Does::Set(_) | Does::SetNew(_) | Does::Default(_) if step.place.is_some() => Some(&step.key),
                    Does::Rename(to) | Does::Copy(to) if is_elsewhere(&step.key, &added, draft) => Some(to),
                    _ => None,
                };
                added.extend(key.filter(|key| !added.contains(&&***key)).map(|key| &**key));
            }
            if added.len() == before {
                return added;
            }
        }
    }

    /// Where they act on series with the scope and the resource of `draft`, and these keys on their points; with the numbers
    /// of those that act on the scope, and on the resource.
    pub(super) fn trace<'a>(
        &'a self,
        point: impl Iterator<Item = &'a Arc<str>>,
        draft: &mut Draft<'a>,
        changing: &mut Changing<'_>,
    ) -> (Trace, [Acting; 2]) {
        // values of points are those of no series
        draft.places[KeyPlace::Point as usize] =
            point.map(|key| DraftAttribute::new(key, DraftValue::Any(&[]))).collect();
        let (mut skipped, mut acting) = (0, [Vec::new(), Vec::new()]);
        let mut on_point = Vec::with_capacity(self.steps.len());
        for (step, number) in self.steps.iter().zip(0u32..) {
            let (does, acts_on) = step.trace(draft, changing, &mut skipped);
            on_point.push(does);
            for (acting, place) in acting.iter_mut().zip(ELSEWHERE) {
                if acts_on[place as usize] {
                    acting.push(number);
                }
            }
        }
        (Trace { on_point: on_point.into(), skipped }, acting.map(Vec::into_boxed_slice))
    }

    /// Makes those of these numbers on `draft`, which has nothing but what they act on; what limits were asked.
    pub(super) fn apply_elsewhere<'a>(
        &'a self,
        acting: &[u32],
        draft: &mut Draft<'a>,
        changing: &mut Changing<'_>,
    ) -> Box<[LimitAsked]> {
        let mut asked = Vec::new();
        for number in acting {
            let step = &self.steps[*number as usize];
            let (Does::Limit { values, other }, Some(at)) = (&step.does, draft.find(&step.key, step.place)) else {
                step.apply(draft, changing, &mut 0);
                continue;
            };
            if draft.at(at).is_overflow() {
                continue;
            }
            let mut value = Vec::new();
            draft.at(at).value.put(&mut value);
            let is_admitted = values.admits(&value);
            if !is_admitted {
                draft.set(at, DraftValue::Text(Cow::Borrowed(other)));
            }
            asked.push(LimitAsked { step: *number, value: value.into(), is_admitted });
        }
        asked.into()
    }

    /// Whether limits say of one more series what they said before.
    pub(super) fn say_the_same(&self, asked: &[LimitAsked]) -> bool {
        asked.iter().all(|LimitAsked { step, value, is_admitted }| match &self.steps[*step as usize].does {
            Does::Limit { values, .. } => values.admits(value) == *is_admitted,
            _ => true,
        })
    }

    /// Makes them on the point of `draft`, which has neither scope nor resource. `skipped` counts those that were not made.
    pub(super) fn apply_to_point<'a>(
        &'a self,
        trace: &Trace,
        draft: &mut Draft<'a>,
        changing: &mut Changing<'_>,
        skipped: &mut u64,
    ) {
        *skipped += trace.skipped;
        for (step, on_point) in self.steps.iter().zip(&trace.on_point) {
            match on_point {
                OnPoint::Applies => step.apply(draft, changing, skipped),
                OnPoint::Blocked => {}
                OnPoint::Taken => {
                    let found = draft.find(&step.key, step.place);
                    *skipped += u64::from(found.is_some_and(|at| !draft.at(at).is_overflow()));
                }
            }
        }
    }
}

/// Whether a key is, or may come to be, in scope or resource.
fn is_elsewhere(key: &str, added: &[&str], draft: &Draft<'_>) -> bool {
    added.contains(&key) || ELSEWHERE.iter().any(|place| draft.find(key, Some(*place)).is_some())
}

impl ChangeStep {
    /// What it does to the point, and where else it acts, by number of the place. `draft` has the keys that there are then,
    /// and `skipped` counts it where it is not made whatever else the point has.
    fn trace<'a>(
        &'a self,
        draft: &mut Draft<'a>,
        changing: &mut Changing<'_>,
        skipped: &mut u64,
    ) -> (OnPoint, [bool; 3]) {
        let found = draft.find(&self.key, self.place);
        let is_in = |place: KeyPlace| self.place.is_none_or(|only| only == place);
        if let Does::Keep(_) = self.does {
            self.apply(draft, changing, &mut 0);
            let on_point = if is_in(KeyPlace::Point) { OnPoint::Applies } else { OnPoint::Blocked };
            return (on_point, [false, is_in(KeyPlace::Scope), is_in(KeyPlace::Resource)]);
        }
        let adds = matches!(self.does, Does::Set(_) | Does::SetNew(_) | Does::Default(_));
        let new = adds.then(|| self.place.unwrap_or(KeyPlace::Point));
        match found.map(|(place, _)| place).or(new) {
            Some(place @ (KeyPlace::Scope | KeyPlace::Resource)) => {
                let mut not_made = 0;
                let is_of_value = found.is_some_and(|at| !draft.at(at).is_head) && self.does.is_of_value();
                if !is_of_value {
                    self.apply(draft, changing, &mut not_made);
                }
                *skipped += not_made;
                let mut acts_on = [false; 3];
                acts_on[place as usize] = not_made == 0;
                (OnPoint::Blocked, acts_on)
            }
            _ => {
                let stands = |key: &str| ELSEWHERE.iter().any(|place| draft.find(key, Some(*place)).is_some());
                if self.place == Some(KeyPlace::Point) && matches!(self.does, Does::SetNew(_)) && stands(&self.key) {
                    *skipped += 1;
                    return (OnPoint::Blocked, [false; 3]);
                }
                if self.does.target().is_some_and(|target| stands(target)) {
                    return (OnPoint::Taken, [false; 3]);
                }
                if !self.does.is_of_value() {
                    self.apply(draft, changing, &mut 0);
                }
                (OnPoint::Applies, [false; 3])
            }
        }
    }
}
