//! One rule as it is meant: every word of its document read, every default settled.
//!
//! Knows the words; does not know files, or what a rule does to a series (`matching`, `changes`).

use crate::model::Kind;
use std::sync::Arc;

/// A kind of input as rules tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InputKind {
    /// A monotonic sum.
    Counter,
    /// A sum that may fall.
    UpDownCounter,
    /// A gauge.
    Gauge,
    /// A histogram of explicit bounds.
    Histogram,
    /// An exponential histogram.
    ExponentialHistogram,
    /// A summary.
    Summary,
}

impl InputKind {
    /// How many there are.
    pub const COUNT: usize = 6;
    /// All of them, in the order of their numbers.
    pub const ALL: [InputKind; InputKind::COUNT] = [
        InputKind::Counter,
        InputKind::UpDownCounter,
        InputKind::Gauge,
        InputKind::Histogram,
        InputKind::ExponentialHistogram,
        InputKind::Summary,
    ];

    /// Of a metric.
    pub const fn of(kind: Kind, monotonic: bool) -> InputKind {
        match kind {
            Kind::Sum if monotonic => InputKind::Counter,
            Kind::Sum => InputKind::UpDownCounter,
            Kind::Gauge => InputKind::Gauge,
            Kind::Histogram => InputKind::Histogram,
            Kind::ExponentialHistogram => InputKind::ExponentialHistogram,
            Kind::Summary => InputKind::Summary,
        }
    }

    /// As data models tell them apart.
    pub const fn kind(self) -> Kind {
        match self {
            InputKind::Counter | InputKind::UpDownCounter => Kind::Sum,
            InputKind::Gauge => Kind::Gauge,
            InputKind::Histogram => Kind::Histogram,
            InputKind::ExponentialHistogram => Kind::ExponentialHistogram,
            InputKind::Summary => Kind::Summary,
        }
    }

    /// As rules write it.
    pub const fn word(self) -> &'static str {
        match self {
            InputKind::Counter => "counter",
            InputKind::UpDownCounter => "updowncounter",
            InputKind::Gauge => "gauge",
            InputKind::Histogram => "histogram",
            InputKind::ExponentialHistogram => "exponential_histogram",
            InputKind::Summary => "summary",
        }
    }
}

/// How a text of a pattern is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PatternKind {
    /// `*`, `?`, `{a,b}`; a text without any of them is only itself.
    Glob,
    /// A regular expression over the whole text.
    Regex,
}

/// A text that others are compared with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// Without the marks `!` and `~`.
    pub text: Arc<str>,
    /// How it is meant.
    pub kind: PatternKind,
    /// Whatever is not like it, what is not there included.
    pub is_negated: bool,
}

impl Pattern {
    /// As it is written. `!` in front: all that is not like it; then `~`: an expression.
    pub fn read(text: &str) -> Pattern {
        let (is_negated, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        let (kind, text) = text.strip_prefix('~').map_or((PatternKind::Glob, text), |rest| (PatternKind::Regex, rest));
        Pattern { text: text.into(), kind, is_negated }
    }
}

/// Which series are meant: all that is given must hold; of a list, one of it. What is empty holds for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    /// Names of metrics.
    pub metric: Vec<Pattern>,
    /// Units.
    pub unit: Vec<Pattern>,
    /// Kinds.
    pub kind: Vec<InputKind>,
    /// Attributes wherever they are: of the point, else of the scope, else of the resource.
    pub attributes: Vec<(Arc<str>, Vec<Pattern>)>,
    /// Attributes of the resource.
    pub resource: Vec<(Arc<str>, Vec<Pattern>)>,
    /// Names of scopes.
    pub scope_name: Vec<Pattern>,
    /// Versions of scopes.
    pub scope_version: Vec<Pattern>,
    /// Attributes of the scope.
    pub scope_attributes: Vec<(Arc<str>, Vec<Pattern>)>,
}

/// Where an attribute stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPlace {
    /// On the point.
    Point,
    /// On the scope.
    Scope,
    /// On the resource.
    Resource,
}

/// A key, or a glob of keys; `scope.name` and `scope.version` are keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyPattern {
    /// The glob.
    pub text: Arc<str>,
    /// Where it is looked for; nothing: everywhere.
    pub place: Option<KeyPlace>,
}

/// Which attributes stay.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Grouping {
    /// All: over time only.
    All,
    /// These alone; no scope unless named, no schema URL.
    By(Vec<KeyPattern>),
    /// All but these.
    Without(Vec<KeyPattern>),
}

/// What a change does to the value of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeChange {
    /// It goes.
    Drop,
    /// All keys but these go; the key of the change is not looked at.
    Keep(Vec<Arc<str>>),
    /// It gets this text, whether it was there or not.
    Set(Arc<str>),
    /// It gets this text, if it was not there.
    Default(Arc<str>),
    /// It is called that.
    Rename(Arc<str>),
    /// That key gets the same value.
    Copy(Arc<str>),
    /// Its value becomes a short hash of it, keyed for nobody.
    Hash,
    /// What the expression finds is replaced; `$1` and `${name}` stand for its groups.
    Replace {
        /// The expression, not anchored.
        regex: Arc<str>,
        /// What is put there.
        with: Arc<str>,
    },
    /// The first glob that is like the value says what it becomes.
    Map {
        /// Globs, and what they become.
        values: Vec<(Arc<str>, Arc<str>)>,
        /// What all others become; nothing: they stay.
        other: Option<Arc<str>>,
    },
    /// `503` becomes `5xx`; what is no status code stays.
    Class,
    /// A number becomes the range of these ascending bounds that it lies in: `(-inf,1]`, `(1,5]`, `(5,+inf)`.
    Bucket(Arc<[f64]>),
    /// At most so many characters stay.
    Truncate(usize),
    /// Small letters.
    Lower,
    /// Large letters.
    Upper,
    /// The first so many values of the rule stay; later ones become `other`.
    Limit {
        /// How many.
        values: u32,
        /// What later ones become.
        other: Arc<str>,
    },
}

/// One change of an identity; they are made in their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Of an attribute.
    Attribute {
        /// Its key.
        key: Arc<str>,
        /// Where it stands; nothing: where it is found first, and what is new stands on the point.
        place: Option<KeyPlace>,
        /// What is done.
        change: AttributeChange,
    },
    /// Of the metric's name, in `relabel` only: what the expression finds over the whole name, and what it becomes.
    Name {
        /// The expression, over the whole name.
        regex: Arc<str>,
        /// The new name, with `$1`.
        with: Arc<str>,
    },
    /// Of values and bounds, in `relabel` only: each is multiplied.
    Scale {
        /// By this.
        by: f64,
        /// The unit that it leads to.
        unit: Arc<str>,
    },
}

/// When a member that says nothing stops counting (S4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stale {
    /// After two and a half times its own reporting period.
    Auto,
    /// After so long, nanoseconds.
    After(u64),
}

/// Whether the first point of a cumulative member counts whole (S1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum InitialValue {
    /// If its start says that it is young (M12).
    #[default]
    Auto,
    /// Always.
    Keep,
    /// Never.
    Drop,
}

/// What a histogram is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Bucketing {
    /// These bounds, ascending.
    Explicit(Arc<[f64]>),
    /// At most so many buckets a side.
    Exponential(u16),
}

/// What is computed of a group.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// The merge, of the input's kind.
    Same,
    /// The sum of values.
    Sum,
    /// The running total, cumulative for everybody.
    Total,
    /// Points or observations.
    Count,
    /// Live members.
    CountSeries,
    /// The newest value.
    Last,
    /// The oldest value.
    First,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// The mean.
    Avg,
    /// The standard deviation of the population.
    Stddev,
    /// Its square.
    Stdvar,
    /// What was added in the window.
    Increase,
    /// The same, a second.
    Rate,
    /// How many different values these keys have together.
    Unique(Vec<Arc<str>>),
    /// A quantile, from 0 to 1.
    Quantile(f64),
    /// A histogram.
    Histogram(Bucketing),
    /// The largest of the groups that these keys make, and the rest as one.
    TopK {
        /// How many.
        k: u32,
        /// Keys.
        keys: Vec<Arc<str>>,
    },
}

/// An output of a rule for one kind of input, settled.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputSpec {
    /// What is computed.
    pub output: Output,
    /// Over how long, nanoseconds: a multiple of the rule's interval. Merges have the interval.
    pub window_ns: u64,
    /// The name that leaves, with `{name}` for the input's: `{name}`, `{name}.p99`.
    pub name: Arc<str>,
    /// As the document writes it: `p99`, `rate(5m)`.
    pub text: Arc<str>,
}

/// What an aggregating rule says.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregation {
    /// Made on the copy that becomes the output's identity, before grouping.
    pub changes: Vec<Change>,
    /// Which attributes stay.
    pub grouping: Grouping,
    /// By number of the kind of input; a kind without outputs is not taken.
    pub outputs: [Arc<[OutputSpec]>; InputKind::COUNT],
    /// How often it leaves, nanoseconds: a multiple of the base interval.
    pub interval_ns: u64,
    /// The input goes on as well.
    pub keeps_input: bool,
    /// When silent members stop counting.
    pub stale: Stale,
    /// How the first point of a cumulative counts.
    pub initial_value: InitialValue,
    /// How many output series it may have.
    pub series_limit: Option<u32>,
}

impl Aggregation {
    /// What leaves is still to be said; the rest is as where a document says nothing of it.
    pub fn new(grouping: Grouping, interval_ns: u64) -> Aggregation {
        Aggregation {
            changes: Vec::new(),
            grouping,
            outputs: Default::default(),
            interval_ns,
            keeps_input: false,
            stale: Stale::Auto,
            initial_value: InitialValue::Auto,
            series_limit: None,
        }
    }
}

/// What a rule does with what it matches.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Outputs leave in its place.
    Aggregate(Box<Aggregation>),
    /// It is dropped at the door.
    Drop,
    /// It passes on unchanged, and no later rule sees it.
    Keep,
    /// It is changed one to one, and goes on to later rules.
    Relabel(Vec<Change>),
}

impl Action {
    /// As it stands in a document.
    pub const fn word(&self) -> &'static str {
        match self {
            Action::Aggregate(_) => "aggregate",
            Action::Drop => "drop",
            Action::Keep => "keep",
            Action::Relabel(_) => "relabel",
        }
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Unique among the rules.
    pub name: Arc<str>,
    /// What it was called in the rules before: what they gathered under that name goes on.
    pub was: Option<Arc<str>>,
    /// What it takes.
    pub selector: Selector,
    /// What it does not take all the same.
    pub except: Option<Selector>,
    /// What it does.
    pub action: Action,
    /// Later rules see what it took as well.
    pub goes_on: bool,
}
