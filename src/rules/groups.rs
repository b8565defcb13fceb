//! What a rule makes of a resource and its scope, remembered: it is the same for nearly all series of them.
//!
//! Knows changes and what stays; does not know which rule takes what. What is remembered is one thread's.
//!
//! ```text
//!   rule, resource, scope ─► keys of a point that matter ─► those that the point has ─► where each change acts
//!                                                                     └─► the resource made so, the scope made so (`runs`)
//! ```
//!
//! A change looks for its key on the point first, so that a point can keep it from touching the resource: see `traces`.
//! What changes make of a resource is the same for all scopes and points for which the same ones act on it. Random rules and
//! series are held against the reference (`tests::random`).
//!
//! Bounds: `RULE_GROUPS_REMEMBERED`, each for `SHAPES_MAX` sets of keys on the point; what they hold is held by `runs`.

use super::changes::{Changes, Changing};
use super::draft::{Draft, DraftAttribute};
use super::identity::{MetricSeen, ScopeParts};
use super::rule::KeyPlace;
use super::runs::{Acting, MadeBy, MadeRun, RunMade, RunPlace, Runs, Under};
use super::stays::Stays;
use super::traces::Trace;
use crate::identity::Set;
use crate::limits::RULE_GROUPS_REMEMBERED;
use std::sync::Arc;

/// Sets of keys on the point that are remembered of a rule, a resource and a scope.
const SHAPES_MAX: usize = 16;

/// A rule that makes something of series.
#[derive(Clone, Copy)]
pub(super) struct MakingRule<'a> {
    pub rule: u32,
    pub changes: &'a Changes,
    /// What stays in its outputs, and by what their sets are hashed, if it has some.
    pub outputs: Option<(&'a Stays, &'a ahash::RandomState)>,
}

/// What is made of a resource and a scope for points with the same of the keys that matter.
#[derive(Debug)]
pub(super) struct PointShape {
    /// Which of them, by bits.
    keys: u128,
    /// Where changes act.
    pub trace: Trace,
    pub scope: Arc<RunMade>,
    pub resource: Arc<RunMade>,
}

/// What is remembered of a rule, a resource and a scope.
#[derive(Debug)]
struct RuleGroup {
    rule: u32,
    resource: u64,
    scope: u64,
    /// Keys of a point that matter.
    relevant: Box<[Arc<str>]>,
    shapes: Vec<PointShape>,
}

impl RuleGroup {
    /// Those of the keys that matter which a point has.
    fn keys_of(&self, point: &[DraftAttribute<'_>]) -> u128 {
        let has = |key: &Arc<str>| point.iter().any(|attribute| attribute.key == key.as_bytes());
        self.relevant.iter().enumerate().fold(0, |keys, (at, key)| keys | u128::from(has(key)) << at)
    }
}

/// What is remembered, by a hash.
#[derive(Debug)]
pub(super) struct RuleGroups {
    state: ahash::RandomState,
    slots: Box<[Option<Box<RuleGroup>>]>,
    recent: usize,
}

impl RuleGroups {
    pub(super) fn new() -> RuleGroups {
        RuleGroups {
            state: ahash::RandomState::new(),
            slots: (0..RULE_GROUPS_REMEMBERED).map(|_| None).collect(),
            recent: 0,
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| *slot = None);
    }

    /// What a rule makes of resource and scope of a series, whose point is this.
    pub(super) fn of(
        &mut self,
        maker: MakingRule<'_>,
        (under, runs): (Under, &mut Runs),
        point: &[DraftAttribute<'_>],
        changing: &mut Changing<'_>,
    ) -> &PointShape {
        let (rule, resource, scope) = (maker.rule, runs.number(under.resource), runs.number(under.scope));
        let is_it = |slot: &Option<Box<RuleGroup>>| {
            slot.as_ref().is_some_and(|group| (group.rule, group.resource, group.scope) == (rule, resource, scope))
        };
        if !is_it(&self.slots[self.recent]) {
            self.recent = self.state.hash_one((rule, resource, scope)) as usize % self.slots.len();
        }
        let slot = &mut self.slots[self.recent];
        if !is_it(slot) {
            *slot = None;
        }
        let group = slot.get_or_insert_with(|| {
            let relevant = if maker.changes.is_of_none() {
                Box::default()
            } else {
                maker.changes.relevant(&Draft::of(&elsewhere(under, runs), &[]))
            };
            Box::new(RuleGroup { rule, resource, scope, relevant, shapes: Vec::new() })
        });
        let keys = group.keys_of(point);
        let known = group.shapes.iter().position(|shape| shape.keys == keys);
        let holds = |made: &RunMade| maker.changes.say_the_same(&made.asked);
        let known = known.filter(|at| holds(&group.shapes[*at].scope) && holds(&group.shapes[*at].resource));
        let at = known.unwrap_or_else(|| {
            group.shapes.retain(|shape| shape.keys != keys);
            if group.shapes.len() == SHAPES_MAX {
                group.shapes.clear();
            }
            let shape = make(maker, (under, runs), (&group.relevant, keys), changing);
            group.shapes.push(shape);
            group.shapes.len() - 1
        });
        &group.shapes[at]
    }
}

/// Scope and resource, of whatever metric.
fn elsewhere(under: Under, runs: &Runs) -> MetricSeen<'_> {
    let (resource, scope) = (runs.run(under.resource), runs.run(under.scope));
    MetricSeen { resource, scope, name: "", unit: "", kind: crate::model::Kind::Gauge, monotonic: false, held: None }
}

fn make(
    maker: MakingRule<'_>,
    (under, runs): (Under, &mut Runs),
    (relevant, keys): (&[Arc<str>], u128),
    changing: &mut Changing<'_>,
) -> PointShape {
    let (trace, [on_scope, on_resource]) = if maker.changes.is_of_none() {
        (Trace::default(), Default::default())
    } else {
        let point = relevant.iter().enumerate().filter(|(at, _)| keys >> at & 1 == 1).map(|(_, key)| key);
        maker.changes.trace(point, &mut Draft::of(&elsewhere(under, runs), &[]), changing)
    };
    let scope = made(maker, (KeyPlace::Scope, under.scope), on_scope, runs, changing);
    let resource = made(maker, (KeyPlace::Resource, under.resource), on_resource, runs, changing);
    PointShape { keys, trace, scope, resource }
}

/// What changes, of which these act on it, make of a run.
fn made(
    maker: MakingRule<'_>,
    (place, at): (KeyPlace, RunPlace),
    acting: Acting,
    runs: &mut Runs,
    changing: &mut Changing<'_>,
) -> Arc<RunMade> {
    let by = match maker.outputs {
        Some((stays, _)) if acting.is_empty() => MadeBy::Stays(stays.number()),
        _ => MadeBy::Rule(maker.rule, acting),
    };
    if let Some(known) = runs.made(at, &by, |made| maker.changes.say_the_same(&made.asked)) {
        return known;
    }
    let run = runs.run(at).clone();
    let mut draft = Draft::of_run(place, &run);
    let (asked, mut bytes) = match &by {
        MadeBy::Rule(_, acting) => (maker.changes.apply_elsewhere(acting, &mut draft, changing), Vec::new()),
        MadeBy::Stays(_) => Default::default(),
    };
    let is_acted_on = matches!(&by, MadeBy::Rule(_, acting) if !acting.is_empty());
    if is_acted_on {
        draft.put_elsewhere(place, false, &mut bytes);
    }
    let is_changed = is_acted_on && *bytes != *run;
    let changed = Arc::new(MadeRun::new(if is_changed { Arc::from(&*bytes) } else { run.clone() }));
    let out = maker.outputs.map(|(stays, state)| {
        stays.apply(&mut draft, changing.caches, &mut changing.numbers, |_, _| {});
        draft.put_elsewhere(place, true, &mut bytes);
        let attributes = if place == KeyPlace::Scope { ScopeParts::of(&bytes).attributes.len() } else { bytes.len() };
        // as those that came in, so that an identity is one whoever has it
        let (head, attributes) = bytes.split_at(bytes.len() - attributes);
        Set::new(head, attributes, "", state)
    });
    let made = Arc::new(RunMade { changed, is_changed, out, asked });
    runs.put_made(at, by, made.clone());
    made
}
