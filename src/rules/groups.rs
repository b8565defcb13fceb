//! What a rule makes of a resource and its scope, remembered: it is the same for nearly all series of them.
//!
//! Knows changes and what stays; does not know which rule takes what. What is remembered is one thread's.
//!
//! A change looks for its key on the point first, so that a point can keep it from touching the resource. Hence all changes
//! are made once with no attribute on the point, and it is noted which of them found their key, or the key that they lead
//! to, in scope or resource. What that gives holds for each point
//! - if no change touched scope or resource; or
//! - if no change renames or copies, and the point has none of the keys that were found there.
//!
//! In all other cases the identity is made as a whole (`matcher`). Random rules and series are held against the reference
//! with both (`tests::random`).
//!
//! Bounds: `RULE_GROUPS_REMEMBERED` of at most `RULE_GROUP_BYTES_MAX` each.

use super::changes::{Changes, Changing, StepSeen};
use super::draft::{Draft, DraftAttribute};
use super::identity::MetricSeen;
use super::patterns::Caches;
use super::stays::Stays;
use crate::limits::{RULE_GROUP_BYTES_MAX, RULE_GROUPS_REMEMBERED};

/// What is remembered of a rule, a resource and a scope.
#[derive(Debug)]
pub(super) struct RuleGroup {
    rule: u32,
    resource: Box<[u8]>,
    scope: Box<[u8]>,
    /// What each change found there.
    pub seen: Box<[StepSeen]>,
    /// Some change touched it: points with one of the keys that it found are others.
    is_touched: bool,
    /// The resource of the output, canonical.
    pub out_resource: Box<[u8]>,
    /// Its scope.
    pub out_scope: Box<[u8]>,
    /// Resource and scope after changes, whatever stays of them.
    pub changed_resource: Box<[u8]>,
    pub changed_scope: Box<[u8]>,
}

impl RuleGroup {
    fn is(&self, rule: u32, metric: &MetricSeen<'_>) -> bool {
        self.rule == rule && *self.resource == *metric.resource && *self.scope == *metric.scope
    }

    /// Whether it holds for a series with these attributes on its point.
    pub(super) fn holds_for(&self, changes: &Changes, point: &[DraftAttribute<'_>]) -> bool {
        !self.is_touched || !changes.would_touch(&self.seen, point)
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

    /// What `rule` makes of the resource and scope of `metric`; nothing where that differs from point to point.
    pub(super) fn of(
        &mut self,
        (rule, changes, stays): (u32, &Changes, &Stays),
        metric: &MetricSeen<'_>,
        caches: &mut Caches,
        numbers: &mut Vec<u32>,
    ) -> Option<&RuleGroup> {
        let is_it = |slot: &Option<Box<RuleGroup>>| slot.as_ref().is_some_and(|group| group.is(rule, metric));
        if !is_it(&self.slots[self.recent]) {
            if metric.resource.len() + metric.scope.len() > RULE_GROUP_BYTES_MAX {
                return None;
            }
            let hash = self.state.hash_one((rule, metric.resource, metric.scope));
            self.recent = hash as usize % self.slots.len();
            if !is_it(&self.slots[self.recent]) {
                let made = make((rule, changes, stays), metric, caches, numbers)?;
                self.slots[self.recent] = Some(Box::new(made));
            }
        }
        self.slots[self.recent].as_deref()
    }
}

fn make(
    (rule, changes, stays): (u32, &Changes, &Stays),
    metric: &MetricSeen<'_>,
    caches: &mut Caches,
    numbers: &mut Vec<u32>,
) -> Option<RuleGroup> {
    let mut draft = Draft::of(metric, &[]);
    let mut changing = Changing { caches, numbers: std::mem::take(numbers), made: String::new() };
    let looked = changes.apply_to_group(&mut draft, &mut changing);
    *numbers = changing.numbers;
    let (seen, is_touched) = looked?;
    let (mut resource, mut scope) = (Vec::new(), Vec::new());
    let mut runs = |draft: &Draft<'_>, is_canonical: bool| {
        draft.put_resource(is_canonical, &mut resource);
        draft.put_scope(is_canonical, &mut scope);
        (Box::from(&*resource), Box::from(&*scope))
    };
    let (changed_resource, changed_scope) = runs(&draft, false);
    stays.apply(&mut draft, caches, numbers, |_, _| {});
    let (out_resource, out_scope) = runs(&draft, true);
    Some(RuleGroup {
        rule,
        resource: metric.resource.into(),
        scope: metric.scope.into(),
        seen,
        is_touched,
        out_resource,
        out_scope,
        changed_resource,
        changed_scope,
    })
}
