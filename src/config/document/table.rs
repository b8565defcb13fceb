//! Which keys rules have: the one table that files are checked with, and that the schema and the reference are made of.
//!
//! Knows names, sorts, defaults and what each is for; does not know what becomes of them (`rule`).

use super::shape::{KeyShape, ValueShape};
use crate::limits::{
    ATTRIBUTE_VALUE_BYTES_LIMIT, DEDUPS_MAX, RULE_CHANGES_MAX, RULE_LIMIT_VALUES_MAX, RULE_LIST_MAX, RULE_OUTPUTS_MAX,
    RULES_MAX,
};

const fn field(name: &'static str, shape: ValueShape, default: &'static str, about: &'static str) -> KeyShape {
    KeyShape { name, shape, default, is_needed: false, about }
}

/// One that must be given.
const fn needed(name: &'static str, shape: ValueShape, about: &'static str) -> KeyShape {
    KeyShape { name, shape, default: "", is_needed: true, about }
}

/// The words of the kinds of input.
pub(super) const KINDS: [&str; 6] =
    ["counter", "updowncounter", "gauge", "histogram", "exponential_histogram", "summary"];

const KEY: ValueShape = ValueShape::Text("the key of an attribute");
const KEYS: ValueShape = ValueShape::List { of: &KEY, most: RULE_LIST_MAX, or_one: true };
const KEY_GLOB: ValueShape = ValueShape::Text("the key of an attribute, or a glob of keys");
const KEY_GLOBS: ValueShape = ValueShape::List { of: &KEY_GLOB, most: RULE_LIST_MAX, or_one: false };
const PATTERN: ValueShape = ValueShape::AnyText("a text, a glob, ~regex, or one of these behind !");
const PATTERNS: ValueShape = ValueShape::List { of: &PATTERN, most: RULE_LIST_MAX, or_one: true };
const ATTRIBUTES: ValueShape = ValueShape::AnyKeys(&PATTERNS, "the key of an attribute", RULE_LIST_MAX);
const KIND_WORDS: ValueShape = ValueShape::Words(&KINDS);

const SCOPE: [KeyShape; 3] = [
    field("name", PATTERNS, "", "names of scopes"),
    field("version", PATTERNS, "", "versions of scopes"),
    field("attributes", ATTRIBUTES, "", "attributes of the scope alone"),
];

const SELECTOR: [KeyShape; 6] = [
    field("metric", PATTERNS, "", "names of metrics"),
    field("unit", PATTERNS, "", "units, as they come in"),
    field("kind", ValueShape::List { of: &KIND_WORDS, most: KINDS.len(), or_one: true }, "", "kinds"),
    field("attributes", ATTRIBUTES, "", "attributes, looked for on the point, then the scope, then the resource"),
    field("resource", ATTRIBUTES, "", "attributes of the resource alone"),
    field("scope", ValueShape::Mapping(&SCOPE), "", "the scope that reports it"),
];

const PLACED_KEYS: [KeyShape; 3] = [
    field("point", KEY_GLOBS, "", "keys of points"),
    field("scope", KEY_GLOBS, "", "keys of scopes, scope.name and scope.version among them"),
    field("resource", KEY_GLOBS, "", "keys of resources"),
];
const GROUPING: ValueShape = ValueShape::Either(&[KEY_GLOBS, ValueShape::Mapping(&PLACED_KEYS)]);

const PLACE_WORDS: ValueShape = ValueShape::Words(&["point", "scope", "resource"]);
const AT: KeyShape = field("at", PLACE_WORDS, "where the key is found first", "where the attribute stands");
const AT_NEW: KeyShape = field("at", PLACE_WORDS, "point", "where the attribute is put");
const KEY_OF: KeyShape = needed("key", KEY, "the key");

const KEY_ONLY: [KeyShape; 2] = [KEY_OF, AT];
const CHANGED: ValueShape = ValueShape::Either(&[KEYS, ValueShape::Mapping(&KEY_ONLY)]);
const VALUED: [KeyShape; 3] = [KEY_OF, needed("value", ValueShape::AnyText("the value"), "what it gets"), AT_NEW];
const RENAMED: [KeyShape; 3] = [KEY_OF, needed("to", KEY, "the other key"), AT];
const REPLACED: [KeyShape; 4] = [
    KEY_OF,
    needed("regex", ValueShape::Text("a regular expression"), "what is looked for, anywhere in the value"),
    needed("with", ValueShape::AnyText("a text"), "what is put there; $1 and $${name} stand for groups"),
    AT,
];
const MAPPED_VALUES: ValueShape = ValueShape::AnyKeys(&ValueShape::AnyText("a text"), "a glob", RULE_LIST_MAX);
const MAPPED: [KeyShape; 4] = [
    KEY_OF,
    needed("values", MAPPED_VALUES, "globs of values, and what they become; the first that fits counts"),
    field("other", ValueShape::AnyText("a text"), "they stay", "what all others become"),
    AT,
];
const BUCKETED: [KeyShape; 3] = [
    KEY_OF,
    needed(
        "bounds",
        ValueShape::List { of: &ValueShape::Number, most: RULE_LIST_MAX, or_one: false },
        "ascending bounds",
    ),
    AT,
];
const TRUNCATED: [KeyShape; 3] =
    [KEY_OF, needed("length", ValueShape::Count(1, ATTRIBUTE_VALUE_BYTES_LIMIT as u64), "characters that stay"), AT];
const LIMITED: [KeyShape; 4] = [
    KEY_OF,
    needed("values", ValueShape::Count(1, RULE_LIMIT_VALUES_MAX as u64), "how many values stay as they are"),
    field("other", ValueShape::AnyText("a text"), "other", "what later ones become"),
    AT,
];
const NAMED: [KeyShape; 2] = [
    needed("regex", ValueShape::Text("a regular expression"), "over the whole name of the metric"),
    needed("with", ValueShape::Text("a text"), "the new name; $1 and $${name} stand for groups"),
];
const SCALED: [KeyShape; 2] = [
    needed("by", ValueShape::Number, "what values and bounds are multiplied by"),
    needed("unit", ValueShape::AnyText("a unit"), "the unit that this leads to"),
];

const CHANGES: [KeyShape; 17] = [
    field("drop", CHANGED, "", "the attribute goes"),
    field("keep", KEYS, "", "all other attributes go"),
    field("set", ValueShape::Mapping(&VALUED), "", "it gets this value"),
    field("default", ValueShape::Mapping(&VALUED), "", "it gets this value, if it is not there"),
    field("rename", ValueShape::Mapping(&RENAMED), "", "its key becomes another"),
    field("copy", ValueShape::Mapping(&RENAMED), "", "another key gets the same value"),
    field("hash", CHANGED, "", "its value becomes a short hash of it"),
    field("replace", ValueShape::Mapping(&REPLACED), "", "what a regular expression finds in its value is replaced"),
    field("map", ValueShape::Mapping(&MAPPED), "", "its value becomes another"),
    field("class", CHANGED, "", "a status code becomes its class: 503 becomes 5xx"),
    field("bucket", ValueShape::Mapping(&BUCKETED), "", "a number becomes the range that it lies in"),
    field("truncate", ValueShape::Mapping(&TRUNCATED), "", "its value is cut"),
    field("lower", CHANGED, "", "its value in small letters"),
    field("upper", CHANGED, "", "its value in large letters"),
    field("limit", ValueShape::Mapping(&LIMITED), "", "the first values stay, later ones become one"),
    field("name", ValueShape::Mapping(&NAMED), "", "the metric's name becomes another (relabel only)"),
    field("scale", ValueShape::Mapping(&SCALED), "", "values and bounds are multiplied (relabel only)"),
];

const OUTPUT: ValueShape = ValueShape::Text("an output, such as same, p99 or rate(5m)");
const OUTPUT_LIST: ValueShape = ValueShape::List { of: &OUTPUT, most: RULE_OUTPUTS_MAX, or_one: true };
const OUTPUTS_BY_KIND: [KeyShape; 6] = [
    field(KINDS[0], OUTPUT_LIST, "", "of counters"),
    field(KINDS[1], OUTPUT_LIST, "", "of counters that may fall"),
    field(KINDS[2], OUTPUT_LIST, "", "of gauges"),
    field(KINDS[3], OUTPUT_LIST, "", "of histograms with given bounds"),
    field(KINDS[4], OUTPUT_LIST, "", "of exponential histograms"),
    field(KINDS[5], OUTPUT_LIST, "", "of summaries"),
];

const LIMITS: [KeyShape; 1] = [field(
    "series",
    ValueShape::Count(1, u32::MAX as u64),
    "--series-limit",
    "series that leave; past it, one overflow series",
)];

const STALE: KeyShape = field("stale", ValueShape::Time(Some("auto")), "auto", "how long a silent member still counts");
const INITIAL_VALUE: KeyShape = field(
    "initial_value",
    ValueShape::Words(&["auto", "keep", "drop"]),
    "auto",
    "whether the first point of a cumulative counts",
);
const LIMITS_OF: KeyShape = field("limits", ValueShape::Mapping(&LIMITS), "", "how much it may be");
const INTERVAL: KeyShape = field(
    "interval",
    ValueShape::Time(None),
    "--interval",
    "how often it leaves: a multiple of --interval, at most 1h",
);

/// The actions.
pub(super) const ACTIONS: [&str; 4] = ["aggregate", "drop", "keep", "relabel"];

const RULE: [KeyShape; 20] = [
    needed("name", ValueShape::Text("a name: letters, digits, - _ ."), "unique among all rules; the ledger has it"),
    field(
        "was",
        ValueShape::Text("a name: letters, digits, - _ ."),
        "",
        "what it was called before a reload: totals, starts and windows of that name go on",
    ),
    field(
        "match",
        ValueShape::Mapping(&SELECTOR),
        "all",
        "which series it takes: all that is given must hold, of a list one",
    ),
    field("except", ValueShape::Mapping(&SELECTOR), "none", "which of these it does not take"),
    field(
        "action",
        ValueShape::Words(&ACTIONS),
        "aggregate",
        "aggregate; drop at the door; keep unchanged; relabel one to one",
    ),
    field("continue", ValueShape::Truth, "false", "later rules see what it took"),
    field("keep_input", ValueShape::Truth, "false", "what it took goes on as well"),
    field("by", GROUPING, "", "the attributes that stay"),
    field("without", GROUPING, "", "the attributes that go"),
    field(
        "attributes",
        ValueShape::List { of: &ValueShape::OneOf(&CHANGES), most: RULE_CHANGES_MAX, or_one: false },
        "",
        "changes of attributes, made in order and before by and without",
    ),
    field(
        "outputs",
        ValueShape::Either(&[OUTPUT_LIST, ValueShape::Mapping(&OUTPUTS_BY_KIND)]),
        "same, for counters and histograms",
        "what leaves in place of the members; a list, or lists by kind",
    ),
    INTERVAL,
    field("window", ValueShape::Time(None), "the interval; of a rate 1m", "how far evaluations look back"),
    field(
        "rename",
        ValueShape::Text("a name with {name}, {rule}, {output}, {interval}"),
        "{name}.{output}",
        "what outputs are called",
    ),
    STALE,
    INITIAL_VALUE,
    LIMITS_OF,
    field("time", ValueShape::Words(&["arrival"]), "arrival", "which time counts"),
    field("lateness", ValueShape::NotYet, "", "how late a point may be"),
    field("late", ValueShape::NotYet, "", "what becomes of later ones"),
];

const DEFAULTS: [KeyShape; 4] = [INTERVAL, STALE, INITIAL_VALUE, LIMITS_OF];

/// One rule.
pub(super) const RULE_SHAPE: ValueShape = ValueShape::Mapping(&RULE);

/// What a destination chooses.
pub(in crate::config) const CHOICE: [KeyShape; 4] = [
    field("match", ValueShape::Mapping(&SELECTOR), "all", "which series and outputs leave there"),
    field("except", ValueShape::Mapping(&SELECTOR), "none", "which of these do not"),
    field(
        "rules",
        ValueShape::Either(&[
            ValueShape::Words(&["all", "none"]),
            ValueShape::List { of: &ValueShape::Text("the name of a rule"), most: RULE_LIST_MAX, or_one: false },
        ]),
        "all",
        "the outputs of which rules leave there",
    ),
    field("input", ValueShape::Truth, "true", "series that no rule replaces leave there, too"),
];
/// The same as a mapping.
pub(in crate::config) const CHOICE_SHAPE: ValueShape = ValueShape::Mapping(&CHOICE);
const REPLICA_MATCH: [KeyShape; 1] = [field("resource", ATTRIBUTES, "", "attributes of the resource")];

const DEDUP: [KeyShape; 5] = [
    needed("name", ValueShape::Text("a name: letters, digits, - _ ."), "unique among them; the ledger has it"),
    field("match", ValueShape::Mapping(&REPLICA_MATCH), "all", "which resources are meant"),
    needed("by", KEYS, "attributes of the resource that tell replicas apart; they are no part of a series"),
    field("per", KEYS, "", "one replica is elected for each value of these attributes of the resource"),
    field(
        "failover",
        ValueShape::Time(Some("auto")),
        "auto",
        "silence after which another replica counts; auto: two and a half times its own period",
    ),
];
const DEDUP_SHAPE: ValueShape = ValueShape::Mapping(&DEDUP);

/// Settings that stand in files alone and have a shape.
pub(in crate::config) const STRUCTURED: [KeyShape; 3] = [
    field(
        "dedup",
        ValueShape::List { of: &DEDUP_SHAPE, most: DEDUPS_MAX, or_one: false },
        "",
        "which of several identical senders counts (needs --feature-gates=+dedup)",
    ),
    field("defaults", ValueShape::Mapping(&DEFAULTS), "", "what rules have that do not say otherwise"),
    field(
        "rules",
        ValueShape::List { of: &RULE_SHAPE, most: RULES_MAX, or_one: false },
        "",
        "which series are made fewer, dropped or changed; the first that matches a series takes it",
    ),
];
