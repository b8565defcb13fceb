//! Resources and scopes that one thread was asked about last, and what was made of each: what a newborn series costs does not
//! depend on how large its resource and its scope are.
//!
//! Knows runs of bytes, and how long what was made of them is kept; does not know what rules say.
//!
//! Where others hold a run, too, it is found by where it lies: it stays there as long as it is remembered. Else its bytes are
//! compared.
//!
//! Invariant: a number is never another run's. What is remembered beside this is found by numbers.
//!
//! Bounds: `RULE_RUNS_REMEMBERED` of them, and `RULE_RUN_BYTES_MAX` of them and of what was made of them, but for the two that
//! are asked about: the one that was left first is forgotten.

use super::bits::Bits;
use super::identity::MetricSeen;
use super::rule::KeyPlace;
use crate::identity::Set;
use crate::limits::{RULE_RUN_BYTES_MAX, RULE_RUNS_REMEMBERED};
use hashbrown::{HashMap, HashTable};
use std::sync::{Arc, OnceLock};

/// Whether a selector says what is meant, or what is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SelectorSide {
    /// `match`
    Match,
    /// `except`
    Except,
}

/// What a field that is looked for anywhere finds in a scope or a resource.
#[derive(Debug)]
pub(super) enum FieldFound {
    /// Nothing: it is looked for elsewhere.
    Nothing,
    /// A value that satisfies these of the rules that mention it.
    Satisfies(Box<[u32]>),
}

impl FieldFound {
    /// Bytes it takes where it is remembered.
    fn bytes(&self) -> usize {
        match self {
            FieldFound::Nothing => 32,
            FieldFound::Satisfies(rules) => 32 + size_of_val(&**rules),
        }
    }
}

/// Numbers of the changes that act on a run.
pub(super) type Acting = Box<[u32]>;

/// A `limit` that was asked about a value of a scope or a resource: it has to be asked for each series.
#[derive(Debug)]
pub(super) struct LimitAsked {
    /// Its number among the changes.
    pub step: u32,
    pub value: Box<[u8]>,
    pub is_admitted: bool,
}

/// A resource or a scope that a rule made, as its sender might have ordered it.
#[derive(Debug)]
pub struct MadeRun {
    bytes: Arc<[u8]>,
    hash: OnceLock<u64>,
}

impl MadeRun {
    /// Of these bytes.
    pub fn new(bytes: Arc<[u8]>) -> MadeRun {
        MadeRun { bytes, hash: OnceLock::new() }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// Their hash, keyed by whoever asks first, who is the only one.
    pub fn hash(&self, state: &ahash::RandomState) -> u64 {
        *self.hash.get_or_init(|| state.hash_one(&*self.bytes))
    }
}

impl PartialEq for MadeRun {
    fn eq(&self, other: &MadeRun) -> bool {
        self.bytes == other.bytes
    }
}

/// What a rule makes of a run.
#[derive(Debug)]
pub(super) struct RunMade {
    /// After changes, whatever stays of it.
    pub changed: Arc<MadeRun>,
    /// That is something else.
    pub is_changed: bool,
    /// What outputs have of it; nothing where none was asked for.
    pub out: Option<Arc<Set>>,
    /// What `limit` was asked on the way.
    pub asked: Box<[LimitAsked]>,
}

impl RunMade {
    fn bytes(&self) -> usize {
        let changed = if self.is_changed { self.changed.bytes.len() } else { 0 };
        size_of::<RunMade>() + changed + self.out.as_ref().map_or(0, |out| out.bytes())
    }
}

/// How a run was made: by which changes, and by what stays.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum MadeBy {
    /// Nothing acts on it: by the number of what stays.
    Stays(u32),
    /// Changes of a rule do.
    Rule(u32, Acting),
}

/// A run that was asked about.
#[derive(Debug)]
struct Run {
    number: u64,
    run: Arc<[u8]>,
    place: KeyPlace,
    /// Others hold it.
    is_held: bool,
    hash: u64,
    left_at: u64,
    /// By side, the rules that its fields leave.
    left: [Option<Bits>; 2],
    /// By side, what fields that are looked for anywhere find in it.
    found: [HashMap<u32, FieldFound, ahash::RandomState>; 2],
    made: HashMap<MadeBy, Arc<RunMade>, ahash::RandomState>,
    bytes: usize,
}

/// What an entry takes beside its run.
const RUN_BYTES: usize = size_of::<Run>() + 64;
/// More is a large one.
const LARGE: usize = 8 << 10;

impl Run {
    fn is(&self, run: &[u8], held: Option<&Arc<[u8]>>) -> bool {
        match held {
            Some(held) => self.is_held && Arc::ptr_eq(&self.run, held),
            None => !self.is_held && *self.run == *run,
        }
    }
}

/// Scope and resource of a series, by place: good until others are entered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Under {
    pub scope: RunPlace,
    pub resource: RunPlace,
}

/// Where a run is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunPlace(u32);

/// See the file's head.
#[derive(Debug)]
pub(super) struct Runs {
    state: ahash::RandomState,
    all: Vec<Run>,
    free: Vec<u32>,
    table: HashTable<u32>,
    /// The scope and the resource that are asked about.
    recent: [Option<u32>; 2],
    bytes: usize,
    entered: u64,
    /// A large one was forgotten.
    has_lost_large: bool,
}

impl Runs {
    pub(super) fn new() -> Runs {
        Runs {
            state: ahash::RandomState::new(),
            all: Vec::new(),
            free: Vec::new(),
            table: HashTable::new(),
            recent: [None; 2],
            bytes: 0,
            entered: 0,
            has_lost_large: false,
        }
    }

    /// Scope and resource of a metric are asked about from now on.
    #[inline]
    pub(super) fn enter(&mut self, metric: &MetricSeen<'_>) -> Under {
        let [resource, scope] = metric.held.map_or([None, None], |held| held.map(Some));
        Under {
            scope: self.enter_run(KeyPlace::Scope, metric.scope, scope),
            resource: self.enter_run(KeyPlace::Resource, metric.resource, resource),
        }
    }

    #[inline]
    fn enter_run(&mut self, place: KeyPlace, run: &[u8], held: Option<&Arc<[u8]>>) -> RunPlace {
        debug_assert!(held.is_none_or(|held| std::ptr::eq(&**held, run)), "what is held is what is seen");
        match self.recent[usize::from(place == KeyPlace::Resource)] {
            Some(recent) if self.all[recent as usize].is(run, held) => RunPlace(recent),
            _ => self.find(place, run, held),
        }
    }

    fn find(&mut self, place: KeyPlace, run: &[u8], held: Option<&Arc<[u8]>>) -> RunPlace {
        let hash = match held {
            Some(held) => self.state.hash_one((place, held.as_ptr().addr(), held.len())),
            None => self.state.hash_one((place, run)),
        };
        self.entered += 1;
        let recent = usize::from(place == KeyPlace::Resource);
        if let Some(before) = self.recent[recent].take() {
            self.all[before as usize].left_at = self.entered;
        }
        let all = &self.all;
        let known = self.table.find(hash, |at| {
            let one = &all[*at as usize];
            one.hash == hash && one.place == place && one.is(run, held)
        });
        let known = known.copied();
        let at = known.unwrap_or_else(|| self.add(place, run, held, hash));
        self.recent[recent] = Some(at);
        RunPlace(at)
    }

    fn add(&mut self, place: KeyPlace, run: &[u8], held: Option<&Arc<[u8]>>, hash: u64) -> u32 {
        while (self.table.len() >= RULE_RUNS_REMEMBERED || self.bytes + run.len() > RULE_RUN_BYTES_MAX)
            && self.forget_one()
        {}
        let bytes = RUN_BYTES + run.len();
        let new = Run {
            number: self.entered,
            run: held.map_or_else(|| run.into(), Arc::clone),
            place,
            is_held: held.is_some(),
            hash,
            left_at: 0,
            left: [None, None],
            found: [HashMap::default(), HashMap::default()],
            made: HashMap::default(),
            bytes,
        };
        self.bytes += bytes;
        let at = crate::places::put(&mut self.all, &mut self.free, new);
        let all = &self.all;
        self.table.insert_unique(hash, at, |at| all[*at as usize].hash);
        at
    }

    /// Forgets the one that was left first; `false` where all that there are are asked about.
    fn forget_one(&mut self) -> bool {
        let others = self.table.iter().filter(|at| !self.recent.contains(&Some(**at)));
        let Some(at) = others.min_by_key(|at| self.all[**at as usize].left_at).copied() else { return false };
        let gone = &mut self.all[at as usize];
        self.has_lost_large |= gone.bytes > LARGE;
        self.bytes -= std::mem::take(&mut gone.bytes);
        (gone.run, gone.left, gone.found, gone.made) =
            (Arc::default(), [None, None], Default::default(), HashMap::default());
        if let Ok(entry) = self.table.find_entry(gone.hash, |other| *other == at) {
            entry.remove();
        }
        self.free.push(at);
        true
    }

    /// Whether a large one was forgotten since this was last asked: what was made of it may take much.
    pub(super) fn take_lost_large(&mut self) -> bool {
        std::mem::take(&mut self.has_lost_large)
    }

    /// Bytes of all that is remembered.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn at(&self, place: RunPlace) -> &Run {
        &self.all[place.0 as usize]
    }

    /// The number of a run.
    pub(super) fn number(&self, place: RunPlace) -> u64 {
        self.at(place).number
    }

    /// The run itself.
    pub(super) fn run(&self, place: RunPlace) -> &Arc<[u8]> {
        &self.at(place).run
    }

    fn grow(&mut self, place: RunPlace, bytes: usize) {
        self.all[place.0 as usize].bytes += bytes;
        self.bytes += bytes;
    }

    /// The rules that the fields of this side leave of all, `find` finds them.
    pub(super) fn left(&mut self, place: RunPlace, side: SelectorSide, find: impl FnOnce(&[u8]) -> Bits) -> &Bits {
        if self.at(place).left[side as usize].is_none() {
            let run = self.run(place).clone();
            let bits = find(&run);
            self.grow(place, 8 * bits.words());
            self.all[place.0 as usize].left[side as usize] = Some(bits);
        }
        self.all[place.0 as usize].left[side as usize].get_or_insert_default()
    }

    /// What a field of this side finds in it.
    pub(super) fn found(
        &mut self,
        place: RunPlace,
        (side, field): (SelectorSide, u32),
        find: impl FnOnce(&[u8]) -> FieldFound,
    ) -> &FieldFound {
        if !self.at(place).found[side as usize].contains_key(&field) {
            let run = self.run(place).clone();
            let found = find(&run);
            self.grow(place, found.bytes());
            self.all[place.0 as usize].found[side as usize].insert(field, found);
        }
        self.all[place.0 as usize].found[side as usize].entry(field).or_insert(FieldFound::Nothing)
    }

    /// What was made of it so, if it holds still.
    pub(super) fn made(
        &self,
        place: RunPlace,
        by: &MadeBy,
        holds: impl FnOnce(&RunMade) -> bool,
    ) -> Option<Arc<RunMade>> {
        self.at(place).made.get(by).filter(|made| holds(made)).cloned()
    }

    /// This was made of it so.
    pub(super) fn put_made(&mut self, place: RunPlace, by: MadeBy, made: Arc<RunMade>) {
        let run = &mut self.all[place.0 as usize];
        let bytes = |made: &RunMade| made.bytes() + 64;
        if run.bytes + bytes(&made) > RULE_RUN_BYTES_MAX {
            // of so many rules each makes another one
            let gone: usize = run.made.values().map(|made| bytes(made)).sum();
            run.made.clear();
            run.bytes -= gone;
            self.bytes -= gone;
        }
        let (more, run) = (bytes(&made), &mut self.all[place.0 as usize]);
        let less = run.made.insert(by, made).map_or(0, |before| bytes(&before));
        run.bytes = run.bytes + more - less;
        self.bytes = self.bytes + more - less;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;

    fn seen<'a>(resource: &'a [u8], held: Option<[&'a Arc<[u8]>; 2]>) -> MetricSeen<'a> {
        MetricSeen { resource, scope: b"s", name: "m", unit: "", kind: Kind::Sum, monotonic: true, held }
    }

    fn number(runs: &mut Runs, resource: &[u8]) -> u64 {
        let under = runs.enter(&seen(resource, None));
        runs.number(under.resource)
    }

    #[test]
    fn a_run_keeps_its_number_until_it_is_forgotten_and_gives_it_to_none() {
        let mut runs = Runs::new();
        let name = |n: usize| n.to_le_bytes();
        let first: Vec<u64> = (0..RULE_RUNS_REMEMBERED - 1).map(|n| number(&mut runs, &name(n))).collect();
        for (n, first) in first.iter().enumerate() {
            assert_eq!(number(&mut runs, &name(n)), *first);
        }
        // the one that was left first makes room
        let one_more = number(&mut runs, &name(RULE_RUNS_REMEMBERED));
        assert!(!first.contains(&one_more));
        assert_eq!(number(&mut runs, &name(1)), first[1]);
        let again = number(&mut runs, &name(0));
        assert!(again > one_more && !first.contains(&again));
        assert_eq!(runs.table.len(), RULE_RUNS_REMEMBERED);
    }

    #[test]
    fn what_others_hold_is_told_apart_by_where_it_lies() {
        let mut runs = Runs::new();
        let (a, b, scope): (Arc<[u8]>, Arc<[u8]>, Arc<[u8]>) = (b"r"[..].into(), b"r"[..].into(), b"s"[..].into());
        let enter = |runs: &mut Runs, run: &Arc<[u8]>| {
            let metric = MetricSeen { scope: &scope, ..seen(run, Some([run, &scope])) };
            let under = runs.enter(&metric);
            (runs.number(under.resource), runs.number(under.scope))
        };
        let (of_a, of_b) = (enter(&mut runs, &a), enter(&mut runs, &b));
        assert!(of_a.0 != of_b.0 && of_a.1 == of_b.1);
        assert_eq!(enter(&mut runs, &a), of_a);
        assert!(![of_a.0, of_b.0].contains(&number(&mut runs, b"r")));
    }

    /// However large what is asked about is, and what was made of it: the rest is bounded, and the sum is right.
    #[test]
    fn what_is_remembered_is_bounded_in_bytes() {
        let mut runs = Runs::new();
        let large = RULE_RUN_BYTES_MAX / 3;
        for n in 0..20u8 {
            let under = runs.enter(&seen(&vec![n; large], None));
            for rule in 0..4 {
                let changed = Arc::new(MadeRun::new(vec![n; large].into()));
                let made = RunMade { changed, is_changed: true, out: None, asked: Box::default() };
                runs.put_made(under.resource, MadeBy::Stays(rule), Arc::new(made));
            }
            assert!(runs.bytes() < 2 * RULE_RUN_BYTES_MAX, "{} of {RULE_RUN_BYTES_MAX}", runs.bytes());
            assert_eq!(runs.bytes(), runs.all.iter().map(|run| run.bytes).sum::<usize>());
        }
        assert!(runs.take_lost_large() && !runs.take_lost_large());
    }
}
