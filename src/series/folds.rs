//! The folds that rules make: which groups of members there are over all shards, and who is in them.
//!
//! Knows identities and counts; does not know what members give, or what leaves (`flush`). A shard finds or makes a fold when
//! it links the first of its members into it; the shard that owns the fold by its hash keeps its state. Nothing here is
//! touched for a point, or at a cut.
//!
//! Invariants
//! 1. A fold is in the index exactly as long as somebody uses it: each shard that has members in it, until the owner has
//!    heard that they are gone, and the owner while it keeps its state.
//! 2. `series` counts the output series of the folds in the index that were let in under the limits; overflow folds are
//!    outside them, and there are at most `limits::OVERFLOW_FOLDS_MAX`.
//!
//! Progress: lock-free.
//!
//! Ordering: a key is published by the index (`index`), and who is in it is known by `sync::users`, whose changes order what its
//! owner did before the end. All words here are counts, limits and numbers, which publish nothing, or the owner's own.

use super::fold_sets::{FoldSet, FoldSets};
use super::index::{Leaf, Lookup, Trie};
use crate::identity::Set;
use crate::limits::OVERFLOW_FOLDS_MAX;
use crate::rules::{InputKind, OutputIdentity};
use crate::sync::users::Users;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

/// The first number of a group of outputs: those of input are below.
const GROUP_IDS: u32 = 1 << 31;

/// Bytes of a key beside its texts, its place in the index and in its owner's lists included.
pub const KEY_BYTES: usize = size_of::<FoldKey>() + 64;

/// No place yet.
const NOWHERE: u32 = u32::MAX;

/// Which fold: of a rule, a kind of input, and what its members have in common.
#[derive(Debug)]
pub struct FoldKey {
    hash: u64,
    /// Slot of the rule.
    pub rule: u32,
    /// Kind of its members.
    pub input: InputKind,
    /// The attributes of the resource, with the key byte 0x0a, in canonical order.
    pub resource: Arc<FoldSet>,
    /// The `InstrumentationScope` message, in canonical order.
    pub scope: Arc<FoldSet>,
    /// Name of the members' metric.
    pub name: Arc<str>,
    /// Its unit.
    pub unit: Arc<str>,
    /// The description of the member that made it.
    pub description: Box<str>,
    /// Attributes of points, with the key byte 0x0a, in canonical order.
    pub attributes: Box<[u8]>,
    /// It takes what had no room, and is outside the limits.
    pub is_overflow: bool,
    users: Users,
    /// Output series that it was counted with.
    outputs: AtomicUsize,
    /// Series in it, over all shards.
    members: AtomicU32,
    /// Where the owner keeps its state.
    place: AtomicU32,
    /// The number of the newest plan under which a member was asked and is in it.
    asked: AtomicU32,
}

impl Leaf for FoldKey {
    fn hash(&self) -> u64 {
        self.hash
    }
}

/// Who a fold is: as an output's identity, with its sets as all folds have them.
#[derive(Clone, Copy, Debug)]
pub struct FoldIdentity<'a> {
    /// Slot of the rule.
    pub rule: u32,
    /// Kind of its members.
    pub input: InputKind,
    /// Its resource, of which the caller is a user.
    pub resource: &'a Arc<FoldSet>,
    /// Its scope; the same.
    pub scope: &'a Arc<FoldSet>,
    /// Name of the members' metric.
    pub name: &'a str,
    /// Its unit.
    pub unit: &'a str,
    /// Attributes of points, with the key byte 0x0a, in canonical order.
    pub attributes: &'a [u8],
}

impl FoldIdentity<'_> {
    fn hash(&self, state: &ahash::RandomState) -> u64 {
        let FoldIdentity { rule, input, resource, scope, name, unit, attributes } = *self;
        state.hash_one((rule, input, &**resource.set(), &**scope.set(), name, unit, attributes))
    }
}

impl FoldKey {
    fn is(&self, identity: &FoldIdentity<'_>) -> bool {
        self.rule == identity.rule
            && self.input == identity.input
            && *self.attributes == *identity.attributes
            && *self.name == *identity.name
            && *self.unit == *identity.unit
            && Arc::ptr_eq(&self.resource, identity.resource)
            && Arc::ptr_eq(&self.scope, identity.scope)
    }

    /// Who its outputs are.
    pub fn identity(&self) -> OutputIdentity<'_> {
        let FoldKey { resource, scope, name, unit, attributes, .. } = self;
        OutputIdentity { resource: resource.set(), scope: scope.set(), name, unit, attributes }
    }

    /// Hash of the identity, keyed per process; its high bits choose the owner.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// One more who uses it; `false` when it is gone.
    pub fn enter(&self) -> bool {
        self.users.enter()
    }

    /// A series was linked into it.
    pub fn add_member(&self) {
        // ORDERING: a count for reports, publishes nothing
        self.members.fetch_add(1, Relaxed);
    }

    /// It is no more.
    pub fn remove_member(&self) {
        // ORDERING: as above
        self.members.fetch_sub(1, Relaxed);
    }

    /// A member was asked under the plan of this number, and is in it; the number of the newest one before, 0: there was none.
    pub fn ask(&self, number: u32) -> u32 {
        // ORDERING: of several that ask one alone sees a smaller number; publishes nothing
        self.asked.fetch_max(number, Relaxed)
    }

    /// The number of the newest plan under which a member was asked.
    pub fn asked(&self) -> u32 {
        // ORDERING: asked by the owner once everybody has left; each did after it asked (`users`)
        self.asked.load(Relaxed)
    }

    /// Series in it, over all shards.
    pub fn members(&self) -> u32 {
        // ORDERING: as above
        self.members.load(Relaxed)
    }

    /// Where its owner keeps its state. Owner only.
    pub fn place(&self) -> Option<u32> {
        // ORDERING: written and read by the owner alone
        Some(self.place.load(Relaxed)).filter(|place| *place != NOWHERE)
    }

    /// Its state is there from now on, or nowhere. Owner only.
    pub fn put_place(&self, place: Option<u32>) {
        // ORDERING: as above
        self.place.store(place.unwrap_or(NOWHERE), Relaxed);
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        // resource and scope are counted where they are held once
        KEY_BYTES + self.attributes.len() + self.description.len()
    }
}

/// Why a member is not folded where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoldRefusal {
    /// The rule has as many outputs as it may have.
    Rule,
    /// All rules together have.
    All,
    /// There are too many overflow folds.
    Overflow,
}

/// How a fold was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entering {
    /// It was there.
    Known,
    /// It was made: whoever entered it is the first.
    New,
}

/// What a rule may have, and has.
#[derive(Clone, Copy, Debug)]
pub struct FoldLimit<'a> {
    /// Output series that a fold has.
    pub outputs: usize,
    /// Output series that the rule may have.
    pub limit: usize,
    /// Those it has, over all shards.
    pub count: &'a AtomicUsize,
}

/// All folds of all shards.
#[derive(Debug)]
pub struct FoldIndex {
    trie: Trie<FoldKey>,
    sets: FoldSets,
    /// Of overflow folds, and what has neither resource nor scope.
    nothing: Arc<FoldSet>,
    state: ahash::RandomState,
    limit: usize,
    series: AtomicUsize,
    overflows: AtomicUsize,
    bytes: AtomicUsize,
    group_ids: AtomicU32,
}

impl FoldIndex {
    /// Empty; `limit`: output series over all rules.
    pub fn new(limit: usize, state: ahash::RandomState) -> FoldIndex {
        let sets = FoldSets::new(state.clone());
        FoldIndex {
            trie: Trie::new(),
            nothing: sets.enter(&Set::new(&[], &[], "", &state)),
            sets,
            state,
            limit,
            series: AtomicUsize::new(0),
            overflows: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            group_ids: AtomicU32::new(GROUP_IDS),
        }
    }

    /// Output series that were let in.
    pub fn series(&self) -> usize {
        // ORDERING: a count for reports and limits, publishes nothing
        self.series.load(Relaxed)
    }

    /// Bytes of keys.
    pub fn bytes(&self) -> usize {
        // ORDERING: as above
        self.bytes.load(Relaxed)
    }

    /// Resources and scopes.
    pub fn sets(&self) -> &FoldSets {
        &self.sets
    }

    /// The resource, or the scope, that has no attributes.
    pub fn nothing(&self) -> &Arc<FoldSet> {
        &self.nothing
    }

    /// A number for a group of outputs, unique while the process runs.
    pub fn next_group_id(&self) -> u32 {
        // ORDERING: a number, publishes nothing
        self.group_ids.fetch_add(1, Relaxed)
    }

    /// The fold of this identity, entered; made if it is new and there is room. `is_overflow` says that it takes what had no
    /// room.
    ///
    /// # Errors
    /// It is new, and there is no room.
    pub fn enter(
        &self,
        identity: &FoldIdentity<'_>,
        description: &str,
        limit: FoldLimit<'_>,
        is_overflow: bool,
    ) -> Result<(Arc<FoldKey>, Entering), FoldRefusal> {
        let hash = identity.hash(&self.state);
        loop {
            let (mut refused, mut made) = (FoldRefusal::All, None);
            let found = self.trie.get_or_insert(
                hash,
                |key| key.is(identity),
                || {
                    if made.is_none()
                        && let Err(why) = self.admit(&limit, is_overflow)
                    {
                        refused = why;
                        return None;
                    }
                    Some(
                        made.get_or_insert_with(|| self.make(hash, identity, description, &limit, is_overflow)).clone(),
                    )
                },
            );
            match found {
                Lookup::Inserted(key) => {
                    self.bytes.fetch_add(key.bytes(), Relaxed);
                    return Ok((key, Entering::New));
                }
                Lookup::Refused => return Err(refused),
                Lookup::Found(key) => {
                    if let Some(made) = made {
                        // another shard inserted it between: ours was never seen
                        self.count_out(&limit, is_overflow);
                        self.leave_sets(&made);
                    }
                    if key.enter() {
                        return Ok((key, Entering::Known));
                    }
                    // ended, and not yet out of the index: its owner counts it out; help, then look again
                    self.trie.remove(&key);
                }
            }
        }
    }

    fn make(
        &self,
        hash: u64,
        identity: &FoldIdentity<'_>,
        description: &str,
        limit: &FoldLimit<'_>,
        is_overflow: bool,
    ) -> Arc<FoldKey> {
        let FoldIdentity { rule, input, resource, scope, name, unit, attributes } = *identity;
        Arc::new(FoldKey {
            hash,
            rule,
            input,
            resource: self.sets.enter_known(resource),
            scope: self.sets.enter_known(scope),
            name: name.into(),
            unit: unit.into(),
            description: description.into(),
            attributes: attributes.into(),
            is_overflow,
            // the one who makes it
            users: Users::new(1),
            outputs: AtomicUsize::new(limit.outputs),
            members: AtomicU32::new(0),
            place: AtomicU32::new(NOWHERE),
            asked: AtomicU32::new(0),
        })
    }

    /// A fold is no more, or was never seen.
    fn leave_sets(&self, key: &FoldKey) {
        self.sets.leave(&key.resource);
        self.sets.leave(&key.scope);
    }

    fn admit(&self, limit: &FoldLimit<'_>, is_overflow: bool) -> Result<(), FoldRefusal> {
        // ORDERING: limits, publish nothing; the few that race past one are counted back
        if is_overflow {
            if self.overflows.fetch_add(1, Relaxed) >= OVERFLOW_FOLDS_MAX {
                self.overflows.fetch_sub(1, Relaxed);
                return Err(FoldRefusal::Overflow);
            }
            return Ok(());
        }
        if limit.count.fetch_add(limit.outputs, Relaxed) + limit.outputs > limit.limit {
            limit.count.fetch_sub(limit.outputs, Relaxed);
            return Err(FoldRefusal::Rule);
        }
        if self.series.fetch_add(limit.outputs, Relaxed) + limit.outputs > self.limit {
            self.series.fetch_sub(limit.outputs, Relaxed);
            limit.count.fetch_sub(limit.outputs, Relaxed);
            return Err(FoldRefusal::All);
        }
        Ok(())
    }

    fn count_out(&self, limit: &FoldLimit<'_>, is_overflow: bool) {
        // ORDERING: as in `admit`
        if is_overflow {
            self.overflows.fetch_sub(1, Relaxed);
        } else {
            limit.count.fetch_sub(limit.outputs, Relaxed);
            self.series.fetch_sub(limit.outputs, Relaxed);
        }
    }

    /// A shard has no members in it any more. Called by the owner, which is in itself, so it does not end here.
    pub fn leave(&self, key: &FoldKey) {
        let ended = key.users.leave();
        assert!(!ended, "a fold's owner is in it as long as shards leave it");
    }

    /// A fold has as many outputs as `limit` says from now on, whether there is room for them or not. Its owner only.
    pub fn recount(&self, key: &FoldKey, limit: FoldLimit<'_>) {
        // ORDERING: written by the owner alone; counts as in `admit`
        let before = key.outputs.swap(limit.outputs, Relaxed);
        if !key.is_overflow {
            for count in [limit.count, &self.series] {
                count.fetch_add(limit.outputs, Relaxed);
                count.fetch_sub(before, Relaxed);
            }
        }
    }

    /// Its owner forgets its state, if nobody else is in it.
    pub fn end(&self, key: &Arc<FoldKey>, limit: FoldLimit<'_>) -> bool {
        if !key.users.end_if_alone() {
            return false;
        }
        self.trie.remove(key);
        self.bytes.fetch_sub(key.bytes(), Relaxed);
        self.leave_sets(key);
        self.count_out(&FoldLimit { outputs: key.outputs.load(Relaxed), ..limit }, key.is_overflow);
        true
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Rig {
        index: FoldIndex,
        count: AtomicUsize,
        resource: Arc<FoldSet>,
        /// Folds that were made.
        new: usize,
    }

    impl Rig {
        fn new(limit: usize) -> Rig {
            let state = ahash::RandomState::with_seeds(1, 2, 3, 4);
            let index = FoldIndex::new(limit, state.clone());
            let resource = index.sets().enter(&Set::new(b"r", &[], "", &state));
            Rig { index, count: AtomicUsize::new(0), resource, new: 0 }
        }

        fn identity<'a>(&'a self, rule: u32, attributes: &'a [u8]) -> FoldIdentity<'a> {
            let (resource, scope) = (&self.resource, self.index.nothing());
            FoldIdentity { rule, input: InputKind::Counter, resource, scope, name: "m", unit: "1", attributes }
        }

        fn limit(&self, limit: usize) -> FoldLimit<'_> {
            FoldLimit { outputs: 2, limit, count: &self.count }
        }

        fn enter(&mut self, rule: u32, attributes: &[u8], limit: usize) -> Result<Arc<FoldKey>, FoldRefusal> {
            let entered = self.index.enter(&self.identity(rule, attributes), "", self.limit(limit), false);
            let (key, entering) = entered?;
            self.new += usize::from(entering == Entering::New);
            Ok(key)
        }
    }

    #[test]
    fn equal_identities_of_a_rule_are_one_fold_and_rules_never_share_one() {
        let mut rig = Rig::new(100);
        let a = rig.enter(0, b"a", 100).unwrap();
        assert!(Arc::ptr_eq(&a, &rig.enter(0, b"a", 100).unwrap()));
        let others = [rig.enter(0, b"b", 100).unwrap(), rig.enter(1, b"a", 100).unwrap()];
        assert!(others.iter().all(|other| !Arc::ptr_eq(other, &a)));
        assert!(Arc::ptr_eq(&a.resource, &others[0].resource), "a resource is held once");
        assert_eq!((rig.index.series(), rig.count.load(Relaxed), rig.new), (6, 6, 3));
    }

    #[test]
    fn a_fold_that_is_used_does_not_end_and_one_that_ended_is_made_anew() {
        let mut rig = Rig::new(100);
        let a = rig.enter(0, b"a", 100).unwrap();
        assert!(a.enter(), "its owner");
        assert!(!rig.index.end(&a, rig.limit(100)), "a shard has members in it");
        rig.index.leave(&a);
        assert!(rig.index.end(&a, rig.limit(100)));
        assert_eq!((rig.index.series(), rig.count.load(Relaxed), rig.index.bytes()), (0, 0, 0));
        let (bytes, resource) = (rig.index.sets().bytes(), rig.resource.clone());
        rig.index.sets().leave(&resource);
        assert!(rig.index.sets().bytes() < bytes, "it is no user of its resource");
        rig.resource = rig.index.sets().enter(resource.set());
        assert!(!a.enter());
        assert!(!Arc::ptr_eq(&a, &rig.enter(0, b"a", 100).unwrap()));
    }

    /// What was counted is counted out, whatever the rule says by then.
    #[test]
    fn a_fold_whose_rule_has_other_outputs_is_counted_with_those() {
        let mut rig = Rig::new(100);
        let a = rig.enter(0, b"a", 100).unwrap();
        rig.index.recount(&a, FoldLimit { outputs: 5, ..rig.limit(100) });
        assert_eq!((rig.index.series(), rig.count.load(Relaxed)), (5, 5));
        assert!(rig.index.end(&a, FoldLimit { outputs: 0, ..rig.limit(100) }));
        assert_eq!((rig.index.series(), rig.count.load(Relaxed)), (0, 0));
    }

    #[test]
    fn a_rule_and_all_rules_have_their_limits() {
        let mut rig = Rig::new(4);
        rig.enter(0, b"a", 3).unwrap();
        assert_eq!(rig.enter(0, b"b", 3).unwrap_err(), FoldRefusal::Rule, "four series are more than three");
        rig.enter(0, b"a", 3).unwrap();
        rig.enter(0, b"b", 4).unwrap();
        assert_eq!(rig.enter(0, b"c", 100).unwrap_err(), FoldRefusal::All);
        assert_eq!((rig.index.series(), rig.count.load(Relaxed)), (4, 4));
        let overflow = rig.index.enter(&rig.identity(0, b"o"), "", rig.limit(4), true);
        assert!(overflow.unwrap().0.is_overflow, "outside the limits");
    }
}
