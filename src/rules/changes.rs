//! Changes of an identity, compiled.
//!
//! Knows what each change does to an attribute; does not know which rule makes it, nor which attributes stay.
//!
//! Invariants
//! 1. A change touches the first that it finds: on the point, in the scope, on the resource, or in the place it names. What
//!    is new stands on the point, or there; a copy where its source is.
//! 2. No key is there twice in a place: what would be called like something the series has stays as it is, and is counted.
//!    In a rule that relabels the same holds of `set`: two series that differ in that attribute would become one. A scope's name and version can be set, changed and dropped as attributes so called; nothing is renamed into or out of
//!    them.
//! 3. What has no text (arrays, maps, bytes) keeps its value, but for `hash`, `set` and `limit`.
//! 4. The attribute of an overflow series stays, and keeps its value, whatever is asked.
//!
//! Progress: `limit` blocks on its rule's set of values, for one look-up, when a series is born. Nothing else waits.
//! Bounds: values at most `ATTRIBUTE_VALUE_BYTES_LIMIT` bytes, `limit` as many values as it says.

use super::draft::{Draft, DraftAttribute, DraftValue, is_head_key};
use super::fault::Faults;
use super::identity::{FoundValue, MetricSeen, OutputIdentity};
use super::patterns::{Caches, Patterns, PatternsBuilder, expression};
use super::rule::{AttributeChange, Change, KeyPlace, PatternKind};
use super::selectors::Compiling;
use crate::limits::ATTRIBUTE_VALUE_BYTES_LIMIT;
use crate::model::Kind;
use hashbrown::HashMap;
use regex_automata::nfa::thompson::pikevm::PikeVM;
use regex_automata::util::captures::Captures;
use regex_automata::util::interpolate;
use ring::digest::{SHA256, digest};
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A part of what a find becomes.
#[derive(Debug)]
enum ReplacingPart {
    Text(Box<str>),
    /// What the group of this number found.
    Group(usize),
}

/// A text while it is made: what is beyond `ATTRIBUTE_VALUE_BYTES_LIMIT` is cut off before it is copied.
#[derive(Debug, Default)]
struct MadeText {
    text: String,
    is_full: bool,
}

impl MadeText {
    fn put(&mut self, part: &str) {
        let room = if self.is_full { 0 } else { ATTRIBUTE_VALUE_BYTES_LIMIT - self.text.len() };
        let end = part.floor_char_boundary(room);
        self.is_full |= end < part.len();
        self.text.push_str(&part[..end]);
    }
}

/// An expression with its groups, and what its finds become.
#[derive(Debug)]
pub(super) struct Replacing {
    engine: PikeVM,
    with: Box<[ReplacingPart]>,
    /// Which cache is its own.
    cache: usize,
}

impl Replacing {
    fn new(regex: &str, with: &str, is_whole: bool, compiling: &mut Compiling) -> Result<Replacing, String> {
        let nfa = expression(regex, is_whole)?;
        compiling.take(nfa.memory_usage());
        let engine = PikeVM::new_from_nfa(nfa).map_err(|error| format!("cannot be compiled: {error}"))?;
        compiling.caches += 1;
        let with = replacing_parts(&engine, with);
        Ok(Replacing { engine, with, cache: compiling.caches - 1 })
    }

    /// `text` with each find replaced, or nothing if there is none.
    fn replaced(&self, text: &str, caches: &mut Caches) -> Option<String> {
        let cache = caches.branches(self.cache, &self.engine);
        let mut made: Option<MadeText> = None;
        let mut from = 0;
        for found in self.engine.captures_iter(cache, text) {
            let Some(whole) = found.get_match() else { continue };
            let made = made.get_or_insert_default();
            made.put(&text[from..whole.start()]);
            from = whole.end();
            put_parts(&self.with, &found, text, made);
            if made.is_full {
                break;
            }
        }
        let mut made = made?;
        made.put(&text[from..]);
        Some(made.text)
    }
}

/// `with` in parts, groups in place of `$1` and `${name}`.
fn replacing_parts(engine: &PikeVM, with: &str) -> Box<[ReplacingPart]> {
    let groups = engine.get_nfa().group_info();
    let pattern = regex_automata::PatternID::ZERO;
    let (mut parts, mut text) = (Vec::new(), String::new());
    interpolate::string(
        with,
        |number, text| {
            parts.push(ReplacingPart::Text(std::mem::take(text).into()));
            parts.push(ReplacingPart::Group(number));
        },
        |name| groups.to_index(pattern, name),
        &mut text,
    );
    parts.push(ReplacingPart::Text(text.into()));
    parts.into()
}

/// Appends what a find becomes, as far as there is room for it.
fn put_parts(parts: &[ReplacingPart], found: &Captures, text: &str, out: &mut MadeText) {
    for part in parts {
        match part {
            ReplacingPart::Text(text) => out.put(text),
            ReplacingPart::Group(number) => {
                out.put(found.get_group(*number).map_or("", |span| &text[span.range()]));
            }
        }
    }
}

/// What a value that was let in is for.
#[derive(Clone, Copy, Debug, Default)]
struct ValueUse {
    /// Groups that have it.
    groups: u32,
    /// There was one: without any, another value may have its place.
    had_one: bool,
}

impl ValueUse {
    const fn is_idle(self) -> bool {
        self.had_one && self.groups == 0
    }
}

#[derive(Debug, Default)]
struct ValueUses {
    by_value: HashMap<Box<[u8]>, ValueUse, ahash::RandomState>,
    idle: usize,
}

/// What plans that follow one another share of a `limit`.
#[derive(Debug)]
struct SharedLimit {
    /// The number of the first plan that has it: groups that no member was asked about since then are not counted.
    since: u32,
    uses: Mutex<ValueUses>,
    /// Series whose value became another one, as there was no room for it.
    refused: AtomicU64,
}

impl SharedLimit {
    fn new(since: u32) -> Arc<SharedLimit> {
        Arc::new(SharedLimit { since, uses: Mutex::default(), refused: AtomicU64::new(0) })
    }
}

/// The values that a `limit` let in first. One whose last group is gone makes room when another value comes.
#[derive(Debug)]
pub(super) struct LimitedValues {
    values_max: usize,
    shared: OnceLock<Arc<SharedLimit>>,
}

impl LimitedValues {
    fn shared(&self) -> &Arc<SharedLimit> {
        self.shared.get_or_init(|| SharedLimit::new(FIRST_PLAN))
    }

    fn values(&self) -> MutexGuard<'_, ValueUses> {
        self.shared().uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the value is one of them, or becomes one.
    pub(super) fn admits(&self, value: &[u8]) -> bool {
        let mut values = self.values();
        let ValueUses { by_value, idle } = &mut *values;
        if by_value.contains_key(value) {
            return true;
        }
        if by_value.len() >= self.values_max {
            let found = if *idle == 0 { None } else { by_value.iter().find(|(_, uses)| uses.is_idle()) };
            let Some(gone) = found.map(|(value, _)| value.clone()) else {
                // ORDERING: a count for reports, publishes nothing
                self.shared().refused.fetch_add(1, Relaxed);
                return false;
            };
            by_value.remove(&gone);
            *idle -= 1;
        }
        by_value.insert(value.into(), ValueUse::default());
        true
    }

    /// A group with this value began, or ended.
    fn count(&self, value: &[u8], begins: bool) {
        let mut values = self.values();
        let ValueUses { by_value, idle } = &mut *values;
        // what became something else behind the limit is none of its values
        let Some(uses) = by_value.get_mut(value) else { return };
        let was_idle = uses.is_idle();
        uses.had_one = true;
        uses.groups = if begins { uses.groups + 1 } else { uses.groups.saturating_sub(1) };
        *idle = *idle + usize::from(uses.is_idle()) - usize::from(was_idle);
    }
}

/// How many values of a key a rule lets in, and what came of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitedKey<'a> {
    /// The attribute.
    pub key: &'a str,
    /// How many.
    pub values_max: usize,
    /// Series whose value became another one, as often as rules were asked about them.
    pub refused: u64,
}

/// The number of the plan of the start.
const FIRST_PLAN: u32 = 1;

/// What became of a group, by the numbers of the plans under which members were asked about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedGroup {
    /// A member came to it, or was asked again; before that one was asked under the plan `before`, 0: none.
    Asked {
        /// The number of the plan.
        before: u32,
    },
    /// It is gone; a member was asked under the plan `last` the last time.
    Ended {
        /// The number of the plan.
        last: u32,
    },
}

/// What is done to one attribute.
#[derive(Debug)]
pub(super) enum Does {
    Drop,
    Keep(Vec<Arc<str>>),
    Set(Arc<str>),
    /// `set` of a rule that relabels: where the series has no such attribute.
    SetNew(Arc<str>),
    Default(Arc<str>),
    Rename(Arc<str>),
    Copy(Arc<str>),
    Hash,
    Replace(Replacing),
    /// The first pattern, by what it becomes; then what all others become.
    Map {
        patterns: Patterns,
        numbers: Vec<(u32, Arc<str>)>,
        other: Option<Arc<str>>,
    },
    Class,
    Bucket {
        bounds: Arc<[f64]>,
        ranges: Box<[Box<str>]>,
    },
    Truncate(usize),
    Lower,
    Upper,
    Limit {
        values: LimitedValues,
        other: Arc<str>,
    },
}

/// A change of attributes.
#[derive(Debug)]
pub(super) struct ChangeStep {
    pub key: Arc<str>,
    pub place: Option<KeyPlace>,
    pub does: Does,
}

/// Whose changes they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangesOf {
    /// A rule that aggregates: what becomes equal is one group.
    Aggregate,
    /// A rule that relabels: what it finds in place is not overwritten.
    Relabel,
}

/// All changes of a rule, in their order.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub steps: Vec<ChangeStep>,
    names: Vec<Replacing>,
    /// What values are multiplied by, and the unit that it leads to.
    pub scale: Option<(f64, Arc<str>)>,
}

impl Changes {
    /// Compiles them; faults stand under `attributes`, as they do in the document.
    pub(super) fn new(changes: &[Change], of: ChangesOf, faults: &mut Faults, compiling: &mut Compiling) -> Changes {
        let mut made = Changes::default();
        faults.under("attributes", |faults| {
            for (at, change) in changes.iter().enumerate() {
                faults.item(at, |faults| made.add(change, of, faults, compiling));
            }
        });
        made
    }

    fn add(&mut self, change: &Change, of: ChangesOf, faults: &mut Faults, compiling: &mut Compiling) {
        match change {
            Change::Attribute { key, place, change: AttributeChange::Set(text) } if of == ChangesOf::Relabel => {
                self.steps.push(ChangeStep { key: key.clone(), place: *place, does: Does::SetNew(text.clone()) });
            }
            Change::Attribute { key, place, change } => {
                if let Some(does) = Does::of(change, faults, compiling) {
                    self.steps.push(ChangeStep { key: key.clone(), place: *place, does });
                }
            }
            Change::Name { regex, with } => match Replacing::new(regex, with, true, compiling) {
                Ok(replacing) => self.names.push(replacing),
                Err(words) => faults.under("name", |faults| faults.under("regex", |faults| faults.add(words))),
            },
            Change::Scale { by, unit } => {
                let before = self.scale.as_ref().map_or(1.0, |(by, _)| *by);
                self.scale = Some((before * by, unit.clone()));
            }
        }
    }

    /// Makes them; `skipped` counts those that were not made (invariant 2).
    pub(super) fn apply<'a>(&'a self, draft: &mut Draft<'a>, changing: &mut Changing, skipped: &mut u64) {
        for step in &self.steps {
            step.apply(draft, changing, skipped);
        }
    }

    /// The values of each `limit` are those of the first one of the same key in the changes before; one that has none begins
    /// with the plan of this number. Before anybody asks.
    pub(super) fn take_over_limits(&self, before: Option<&Changes>, number: u32) {
        for step in &self.steps {
            let Does::Limit { values, .. } = &step.does else { continue };
            let all = before.iter().flat_map(|before| &before.steps);
            let found =
                all.filter(|old| old.key == step.key && old.place == step.place).find_map(|old| match &old.does {
                    Does::Limit { values, .. } => Some(values.shared().clone()),
                    _ => None,
                });
            // a plan that is offered twice keeps its own
            let _ = values.shared.set(found.unwrap_or_else(|| SharedLimit::new(number)));
        }
    }

    /// Each `limit`: its key, how many values it lets in, and of how many series the value became another one.
    pub(super) fn limits(&self) -> impl Iterator<Item = LimitedKey<'_>> {
        self.steps.iter().filter_map(|step| match &step.does {
            Does::Limit { values, .. } => Some(LimitedKey {
                key: &step.key,
                values_max: values.values_max,
                // ORDERING: as in `admits`
                refused: values.shared().refused.load(Relaxed),
            }),
            _ => None,
        })
    }

    /// A group of this identity began, or ended: values that are limited are counted.
    pub(super) fn count_group(&self, identity: &OutputIdentity<'_>, counted: CountedGroup) {
        for step in &self.steps {
            let Does::Limit { values, .. } = &step.does else { continue };
            let since = values.shared().since;
            let begins = match counted {
                CountedGroup::Asked { before } if before < since => true,
                CountedGroup::Ended { last } if last >= since => false,
                CountedGroup::Asked { .. } | CountedGroup::Ended { .. } => continue,
            };
            let OutputIdentity { resource, scope, name, unit, attributes } = *identity;
            let (resource, scope, held) = (&*resource.run, &*scope.run, None);
            let group = MetricSeen { resource, scope, name, unit, kind: Kind::Gauge, monotonic: false, held };
            match FoundValue::of(&group, attributes, &step.key, step.place) {
                FoundValue::Value(value) => values.count(value, begins),
                FoundValue::Text(text) => {
                    let mut value = Vec::new();
                    DraftValue::Text(Cow::Borrowed(text)).put(&mut value);
                    values.count(&value, begins);
                }
                FoundValue::Nothing => {}
            }
        }
    }

    /// The name of the metric that these lead to, if another.
    pub(super) fn name(&self, name: &str, caches: &mut Caches) -> Option<String> {
        let mut made: Option<String> = None;
        for replacing in &self.names {
            if let Some(next) = replacing.replaced(made.as_deref().unwrap_or(name), caches) {
                made = Some(next);
            }
        }
        made
    }
}

impl Does {
    fn of(change: &AttributeChange, faults: &mut Faults, compiling: &mut Compiling) -> Option<Does> {
        Some(match change {
            AttributeChange::Drop => Does::Drop,
            AttributeChange::Keep(keys) => Does::Keep(keys.clone()),
            AttributeChange::Set(text) => Does::Set(text.clone()),
            AttributeChange::Default(text) => Does::Default(text.clone()),
            AttributeChange::Rename(key) => Does::Rename(key.clone()),
            AttributeChange::Copy(key) => Does::Copy(key.clone()),
            AttributeChange::Hash => Does::Hash,
            AttributeChange::Replace { regex, with } => match Replacing::new(regex, with, false, compiling) {
                Ok(replacing) => Does::Replace(replacing),
                Err(words) => {
                    faults.under("replace", |faults| faults.under("regex", |faults| faults.add(words)));
                    return None;
                }
            },
            AttributeChange::Map { values, other } => {
                let (mut builder, mut numbers) = (PatternsBuilder::default(), Vec::new());
                faults.under("map", |faults| {
                    faults.under("values", |faults| {
                        for (glob, becomes) in values {
                            match builder.add_text(glob, PatternKind::Glob) {
                                Ok(number) => numbers.push((number, becomes.clone())),
                                Err(words) => faults.under(glob, |faults| faults.add(words)),
                            }
                        }
                    });
                });
                let patterns = compiling.build(builder);
                Does::Map { patterns, numbers, other: other.clone() }
            }
            AttributeChange::Class => Does::Class,
            AttributeChange::Bucket(bounds) => Does::Bucket { bounds: bounds.clone(), ranges: ranges(bounds) },
            AttributeChange::Truncate(characters) => Does::Truncate(*characters),
            AttributeChange::Lower => Does::Lower,
            AttributeChange::Upper => Does::Upper,
            AttributeChange::Limit { values, other } => Does::Limit {
                values: LimitedValues { values_max: *values as usize, shared: OnceLock::new() },
                other: other.clone(),
            },
        })
    }
}

/// The words of each range between ascending bounds, the last one's upper edge included.
fn ranges(bounds: &[f64]) -> Box<[Box<str>]> {
    let edge = |at: Option<usize>| at.and_then(|at| bounds.get(at)).map(f64::to_string);
    let range = |at: usize| -> Box<str> {
        let low = edge(at.checked_sub(1)).unwrap_or("-inf".into());
        match edge(Some(at)) {
            Some(high) => format!("({low},{high}]").into(),
            None => format!("({low},+inf)").into(),
        }
    };
    (0..=bounds.len()).map(range).collect()
}

/// What a thread needs for changes.
#[derive(Debug)]
pub(super) struct Changing<'c> {
    pub caches: &'c mut Caches,
    pub numbers: Vec<u32>,
    pub made: String,
}

impl ChangeStep {
    /// Makes it; `skipped` counts it if it is not made (invariant 2).
    pub(super) fn apply<'a>(&'a self, draft: &mut Draft<'a>, changing: &mut Changing<'_>, skipped: &mut u64) {
        let found = draft.find(&self.key, self.place);
        match (&self.does, found) {
            (Does::Keep(keys), _) => {
                for (place, attributes) in super::draft::PLACES.into_iter().zip(&mut draft.places) {
                    if self.place.is_none_or(|only| only == place) {
                        let is_kept = |key: &[u8]| keys.iter().any(|kept| kept.as_bytes() == key);
                        attributes.retain(|attribute| is_kept(attribute.key) || attribute.is_overflow());
                    }
                }
            }
            (Does::SetNew(_), _) if draft.find(&self.key, None).is_some() => *skipped += 1,
            (_, Some(at)) if draft.at(at).is_overflow() => {}
            (Does::Set(text), Some(at)) => draft.set(at, DraftValue::Text(Cow::Borrowed(text))),
            (Does::Set(text) | Does::SetNew(text) | Does::Default(text), None) => {
                let attribute = DraftAttribute::new(&self.key, DraftValue::Text(Cow::Borrowed(text)));
                draft.add(self.place.unwrap_or(KeyPlace::Point), attribute);
            }
            (Does::Default(_), Some(_)) | (_, None) => {}
            (Does::Drop, Some((place, number))) => drop(draft.places[place as usize].remove(number)),
            (Does::Rename(key) | Does::Copy(key), Some(at)) => {
                let is_head = draft.at(at).is_head;
                let is_taken = draft.find(key, None).is_some() || at.0 == KeyPlace::Scope && is_head_key(key);
                if is_taken || is_head && matches!(self.does, Does::Rename(_)) {
                    *skipped += 1;
                } else if matches!(self.does, Does::Rename(_)) {
                    draft.at(at).rename(key);
                } else {
                    let value = draft.at(at).value.clone();
                    draft.add(at.0, DraftAttribute::new(key, value));
                }
            }
            (does, Some(at)) => {
                if let Some(value) = does.value(&draft.at(at).value, changing) {
                    draft.set(at, DraftValue::Text(value));
                }
            }
        }
    }
}

impl Does {
    /// The key that it leads to.
    pub(super) fn target(&self) -> Option<&Arc<str>> {
        match self {
            Does::Rename(key) | Does::Copy(key) => Some(key),
            _ => None,
        }
    }

    /// Whether it makes another value of a value.
    pub(super) const fn is_of_value(&self) -> bool {
        use Does::{Copy, Default, Drop, Keep, Rename, Set, SetNew};
        !matches!(self, Drop | Keep(_) | Set(_) | SetNew(_) | Default(_) | Rename(_) | Copy(_))
    }

    /// What a value becomes; nothing: it stays.
    fn value<'a>(&'a self, value: &DraftValue<'_>, changing: &mut Changing<'_>) -> Option<Cow<'a, str>> {
        if let Does::Limit { values, other } = self {
            let mut bytes = Vec::new();
            value.put(&mut bytes);
            return (!values.admits(&bytes)).then(|| Cow::Borrowed(&**other));
        }
        let Changing { caches, numbers, made } = changing;
        let text = value.text(made);
        if let Does::Hash = self {
            let mut bytes = Vec::new();
            value.put(&mut bytes);
            // any tool finds what became of a known value, and two processes agree; no secret is in it
            let digest = digest(&SHA256, text.map_or(&bytes, |text| text.as_bytes()));
            return Some(digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>().into());
        }
        let text = text?;
        match self {
            Does::Replace(replacing) => replacing.replaced(text, caches).map(Cow::Owned),
            Does::Map { patterns, numbers: becomes, other } => {
                numbers.clear();
                patterns.like(text, caches, numbers);
                let first = becomes.iter().find(|(number, _)| numbers.contains(number)).map(|(_, becomes)| becomes);
                first.or(other.as_ref()).map(|becomes| Cow::Borrowed(&**becomes))
            }
            Does::Class => match text.as_bytes() {
                [class @ b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'] => {
                    Some(Cow::Borrowed(["1xx", "2xx", "3xx", "4xx", "5xx"][usize::from(class - b'1')]))
                }
                _ => None,
            },
            Does::Bucket { bounds, ranges } => {
                let number = text.parse::<f64>().ok().filter(|number| !number.is_nan())?;
                Some(Cow::Borrowed(&*ranges[bounds.partition_point(|bound| *bound < number)]))
            }
            Does::Truncate(characters) => {
                let (end, _) = text.char_indices().nth(*characters)?;
                Some(text[..end].to_string().into())
            }
            Does::Lower => Some(text.to_lowercase().into()),
            Does::Upper => Some(text.to_uppercase().into()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replacing(regex: &str, with: &str) -> (Replacing, Caches) {
        let mut compiling = Compiling::new();
        let replacing = Replacing::new(regex, with, false, &mut compiling).unwrap();
        (replacing, Caches::new(compiling.caches))
    }

    #[test]
    fn what_is_made_is_cut_before_it_grows() {
        let text = "ab".repeat(ATTRIBUTE_VALUE_BYTES_LIMIT / 2);
        let check = |regex: &str, with: &str, want: &str| {
            let (replacing, mut caches) = replacing(regex, with);
            let made = replacing.replaced(&text, &mut caches).unwrap();
            assert!(made.starts_with(want) && made.len() <= ATTRIBUTE_VALUE_BYTES_LIMIT, "{regex} by {with}");
            // a text doubles its room when it grows
            assert!(made.capacity() <= 2 * ATTRIBUTE_VALUE_BYTES_LIMIT, "{regex} by {with}: {}", made.capacity());
            made.len()
        };
        assert_eq!(check("(.*)", &"$1".repeat(500), "abab"), ATTRIBUTE_VALUE_BYTES_LIMIT);
        assert_eq!(check("a", &"x".repeat(1_000), "xxx"), ATTRIBUTE_VALUE_BYTES_LIMIT);
        // nothing stands behind what is cut, though it would have room
        let length = check("(?s)^a(.*)$", "ä-$1é", "ä-babab");
        assert_eq!(length, ATTRIBUTE_VALUE_BYTES_LIMIT);
        assert_eq!(check("(?s)^..(.*)$", "$1é.", "abab"), ATTRIBUTE_VALUE_BYTES_LIMIT);
        assert_eq!(check("(?s)^.(.*)$", "$1é.", "baba"), ATTRIBUTE_VALUE_BYTES_LIMIT - 1);
        assert_eq!(check("(?s)^.*$", "", ""), 0);
    }

    /// They stay in memory as those of `match` do.
    #[test]
    fn expressions_count_towards_what_all_patterns_may_take() {
        let mut compiling = Compiling::new();
        let before = compiling.nfa_bytes;
        let make = |compiling: &mut Compiling| drop(Replacing::new("(?:[a-m]{200}){50}", "", true, compiling).unwrap());
        make(&mut compiling);
        let taken = before - compiling.nfa_bytes;
        assert!(taken > 100_000, "{taken}");
        for _ in 1..before / taken {
            make(&mut compiling);
        }
        assert_eq!(compiling.too_large, None);
        make(&mut compiling);
        assert!(compiling.too_large.is_some(), "{} of {before} are left", compiling.nfa_bytes);
    }
}
