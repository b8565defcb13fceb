//! Series and rules as tests write them. Knows no patterns.

use crate::identity::attributes::{Records, key_byte};
use crate::model::Kind;
use crate::rules::*;
use crate::wire::{Reader, put_bytes, put_varint};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    Text(String),
    Int(i64),
    Bool(bool),
    /// `[]`, which has no text.
    Array,
}

impl Value {
    /// Whole numbers and truths are such, `[]` is an array, all else is a text.
    pub(super) fn read(text: &str) -> Value {
        match text {
            "true" | "false" => Value::Bool(text == "true"),
            "[]" => Value::Array,
            _ => text.parse().map_or_else(|_| Value::Text(text.into()), Value::Int),
        }
    }

    pub(super) fn text(&self) -> Option<String> {
        match self {
            Value::Text(text) => Some(text.clone()),
            Value::Int(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            Value::Array => None,
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut any = Vec::new();
        match self {
            Value::Text(text) => put_bytes(&mut any, 0x0a, text.as_bytes()),
            Value::Int(number) => {
                any.push(0x18);
                put_varint(&mut any, *number as u64);
            }
            Value::Bool(truth) => any.extend([0x10, u8::from(*truth)]),
            Value::Array => any.extend([0x2a, 0]),
        }
        any
    }

    fn of(any: &[u8]) -> Value {
        let mut reader = Reader::new(any);
        match reader.field().unwrap().number {
            1 => Value::Text(String::from_utf8(reader.bytes().unwrap().into()).unwrap()),
            2 => Value::Bool(reader.varint().unwrap() == 1),
            3 => Value::Int(reader.varint().unwrap() as i64),
            _ => Value::Array,
        }
    }
}

pub(super) type Attributes = BTreeMap<String, Value>;

/// Attributes by place: point, scope, resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Series {
    pub name: String,
    pub unit: String,
    pub kind: InputKind,
    pub scope_name: String,
    pub scope_version: String,
    pub places: [Attributes; 3],
}

/// `a=1,b=x`
pub(super) fn attributes(text: &str) -> Attributes {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').expect(pair)).map(|(key, value)| (key.into(), Value::read(value))).collect()
}

/// A counter: `name{point attributes} scope{its attributes} @ resource attributes`; of the scope `name/version`.
pub(super) fn series(text: &str) -> Series {
    let (rest, resource) = text.split_once(" @ ").unwrap_or((text, ""));
    let (rest, scope) = rest.split_once(' ').unwrap_or((rest, ""));
    let set = |text: &str| {
        let (name, rest) = text.split_once('{').unwrap_or((text, "}"));
        (name.to_string(), attributes(rest.strip_suffix('}').expect(rest)))
    };
    let ((name, point), (scope, scope_attributes)) = (set(rest), set(scope));
    let (scope_name, scope_version) = scope.split_once('/').unwrap_or((&scope, ""));
    Series {
        name,
        unit: "s".into(),
        kind: InputKind::Counter,
        scope_name: scope_name.into(),
        scope_version: scope_version.into(),
        places: [point, scope_attributes, attributes(resource)],
    }
}

impl Series {
    pub(super) fn of(self, kind: InputKind) -> Series {
        Series { kind, ..self }
    }

    fn model_kind(&self) -> (Kind, bool) {
        match self.kind {
            InputKind::Counter => (Kind::Sum, true),
            InputKind::UpDownCounter => (Kind::Sum, false),
            InputKind::Gauge => (Kind::Gauge, false),
            InputKind::Histogram => (Kind::Histogram, false),
            InputKind::ExponentialHistogram => (Kind::ExponentialHistogram, false),
            InputKind::Summary => (Kind::Summary, false),
        }
    }

    /// As runs: resource, scope, attributes of the point.
    pub(super) fn runs(&self) -> [Vec<u8>; 3] {
        let run = |attributes: &Attributes, key_byte: u8, out: &mut Vec<u8>| {
            // the wrong way round: order says nothing
            for (key, value) in attributes.iter().rev() {
                let mut record = Vec::new();
                put_bytes(&mut record, 0x0a, key.as_bytes());
                put_bytes(&mut record, 0x12, &value.bytes());
                put_bytes(out, key_byte, &record);
            }
        };
        let [mut resource, mut scope, mut point] = <[Vec<u8>; 3]>::default();
        run(&self.places[2], 0x0a, &mut resource);
        for (key_byte, text) in [(0x0a, &self.scope_name), (0x12, &self.scope_version)] {
            if !text.is_empty() {
                put_bytes(&mut scope, key_byte, text.as_bytes());
            }
        }
        run(&self.places[1], 0x1a, &mut scope);
        run(&self.places[0], key_byte(self.model_kind().0), &mut point);
        [resource, scope, point]
    }

    /// As rules see it.
    pub(super) fn seen<'a>(&'a self, runs: &'a [Vec<u8>; 3]) -> MetricSeen<'a> {
        let (kind, monotonic) = self.model_kind();
        let [resource, scope, _] = runs;
        MetricSeen { resource, scope, name: &self.name, unit: &self.unit, kind, monotonic, held: None }
    }

    /// Of runs.
    pub(super) fn read(
        like: &Series,
        (resource, scope, point): (&[u8], &[u8], &[u8]),
        name: &str,
        unit: &str,
    ) -> Series {
        let run = |run: &[u8]| -> Attributes {
            let pairs = Records::new(run).map(|record| (record.key(), Value::of(record.value())));
            let all: Vec<_> = pairs.map(|(key, value)| (String::from_utf8(key.into()).unwrap(), value)).collect();
            let (count, all) = (all.len(), all.into_iter().collect::<Attributes>());
            assert_eq!(count, all.len(), "a key twice");
            all
        };
        let (mut scope_name, mut scope_version, mut attributes) = (String::new(), String::new(), scope);
        let mut reader = Reader::new(scope);
        while !reader.is_empty() {
            let number = reader.field().unwrap().number;
            let text = reader.bytes().unwrap();
            match number {
                1 => scope_name = String::from_utf8(text.into()).unwrap(),
                2 => scope_version = String::from_utf8(text.into()).unwrap(),
                _ => break,
            }
            attributes = reader.rest();
        }
        let places = [run(point), run(attributes), run(resource)];
        Series { name: name.into(), unit: unit.into(), kind: like.kind, scope_name, scope_version, places }
    }
}

impl std::fmt::Display for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let set = |attributes: &Attributes| -> String {
            let text = |value: &Value| value.text().unwrap_or("[]".into());
            attributes.iter().map(|(key, value)| format!("{key}={}", text(value))).collect::<Vec<_>>().join(",")
        };
        let braced = |attributes: &Attributes| {
            if attributes.is_empty() { "".into() } else { format!("{{{}}}", set(attributes)) }
        };
        write!(f, "{}{}", self.name, braced(&self.places[0]))?;
        let slash = if self.scope_version.is_empty() { "" } else { "/" };
        let scope = format!("{}{slash}{}{}", self.scope_name, self.scope_version, braced(&self.places[1]));
        if !scope.is_empty() {
            write!(f, " {scope}")?;
        }
        if self.places[2].is_empty() { Ok(()) } else { write!(f, " @ {}", set(&self.places[2])) }
    }
}

/// A pattern as documents write it.
pub(super) fn pattern(text: &str) -> Pattern {
    let (is_negated, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
    let (kind, text) = text.strip_prefix('~').map_or((PatternKind::Glob, text), |rest| (PatternKind::Regex, rest));
    Pattern { text: text.into(), kind, is_negated }
}

pub(super) fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| pattern(text)).collect()
}

/// A selector: `metric`, `unit`, `kind`, `scope.name`, `scope.version`, `attributes.K`, `resource.K`, `scope.attributes.K`, each
/// with a list.
pub(super) fn selector(fields: &[(&str, &[&str])]) -> Selector {
    let mut selector = Selector::default();
    for (field, list) in fields {
        let all = patterns(list);
        match *field {
            "metric" => selector.metric = all,
            "unit" => selector.unit = all,
            "kind" => {
                let kind = |word: &&str| InputKind::ALL.into_iter().find(|kind| kind.word() == *word).expect(word);
                selector.kind = list.iter().map(kind).collect();
            }
            "scope.name" => selector.scope_name = all,
            "scope.version" => selector.scope_version = all,
            field => {
                let (into, key) = [
                    ("attributes.", &mut selector.attributes),
                    ("resource.", &mut selector.resource),
                    ("scope.attributes.", &mut selector.scope_attributes),
                ]
                .into_iter()
                .find_map(|(start, into)| Some((into, field.strip_prefix(start)?)))
                .expect(field);
                into.push((key.into(), all));
            }
        }
    }
    selector
}

pub(super) fn rule(name: &str, selector: Selector, action: Action) -> Rule {
    Rule { name: name.into(), was: None, selector, except: None, action, goes_on: false }
}

pub(super) fn output(output: Output) -> OutputSpec {
    OutputSpec { output, window_ns: 10_000_000_000, name: "{name}".into(), text: "".into() }
}

/// All kinds have these outputs.
pub(super) fn aggregation(grouping: Grouping, outputs: &[Output]) -> Aggregation {
    let outputs: Arc<[OutputSpec]> = outputs.iter().cloned().map(output).collect();
    Aggregation { outputs: std::array::from_fn(|_| outputs.clone()), ..Aggregation::new(grouping, 10_000_000_000) }
}

/// Keys: `k`, `point:k`, `scope:k`, `resource:k`.
pub(super) fn keys(texts: &[&str]) -> Vec<KeyPattern> {
    let read = |text: &&str| {
        let (place, key) = place(text);
        KeyPattern { text: key.into(), place }
    };
    texts.iter().map(read).collect()
}

pub(super) fn place(text: &str) -> (Option<KeyPlace>, &str) {
    let places = [("point:", KeyPlace::Point), ("scope:", KeyPlace::Scope), ("resource:", KeyPlace::Resource)];
    let found = places.into_iter().find_map(|(start, place)| Some((Some(place), text.strip_prefix(start)?)));
    found.unwrap_or((None, text))
}

pub(super) fn by(texts: &[&str]) -> Grouping {
    Grouping::By(keys(texts))
}

pub(super) fn without(texts: &[&str]) -> Grouping {
    Grouping::Without(keys(texts))
}

pub(super) fn change(key: &str, change: AttributeChange) -> Change {
    let (place, key) = place(key);
    Change::Attribute { key: key.into(), place, change }
}

pub(super) fn matcher(rules: &[Rule]) -> RuleMatcher {
    RuleMatcher::new(Arc::new(RulePlan::new(rules.to_vec()).unwrap_or_else(|faults| panic!("{}", faults[0]))))
}

/// A fold that a series was linked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub rule: u32,
    pub identity: Series,
    /// For each output `topk` the attributes that tell its groups apart.
    pub top: Vec<Attributes>,
    /// For each output `unique` the values of its keys, if there is one of them.
    pub distinct: Vec<Option<Vec<Option<Value>>>>,
}

/// What becomes of a series: its passage, the folds, and of each the hashes of distinct values.
pub(super) fn ask_all(
    matcher: &mut RuleMatcher,
    series: &Series,
) -> (Passage, Vec<(u32, Series, Vec<Attributes>, Vec<u64>)>) {
    let runs = series.runs();
    let seen = series.seen(&runs);
    let candidates = matcher.of_metric(&seen);
    let mut linked = Vec::new();
    let state = ahash::RandomState::with_seeds(1, 2, 3, 4);
    let passage = matcher.of_series(&candidates, &seen, &runs[2], &state, &mut |fold| {
        assert_eq!(fold.input, series.kind);
        let OutputIdentity { resource, scope, name, unit, attributes } = fold.identity;
        let identity = Series::read(series, (&resource.run, &scope.run, attributes), name, unit);
        let top = fold.top.iter().map(|records| Series::read(series, (&[], &[], records), "", "").places[0].clone());
        linked.push((fold.rule, identity, top.collect(), fold.distinct.to_vec()));
    });
    (passage, linked)
}

/// The number of each rule that takes it, and what it makes of it.
pub(super) type Linked = Vec<(u32, Series)>;

/// What becomes of a series.
pub(super) fn ask(matcher: &mut RuleMatcher, series: &Series) -> (Passage, Linked) {
    let (passage, linked) = ask_all(matcher, series);
    (passage, linked.into_iter().map(|(rule, identity, ..)| (rule, identity)).collect())
}
