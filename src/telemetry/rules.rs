//! What rules make, for the ledger, the metrics and the page of rules.
//!
//! Knows names and counts; does not know members or outputs themselves. Pure.

use crate::fold::Notes;
use crate::log::quoted;
use std::fmt::Write;
use std::sync::Arc;

/// A rule that aggregates, as its last cut left it.
#[derive(Clone, Debug)]
pub struct RuleRow {
    /// Its name.
    pub name: Arc<str>,
    /// Its fingerprint: rules that mean the same have the same.
    pub fingerprint: u32,
    /// Series that it takes and that are alive.
    pub members: u64,
    /// Output series that it may hold now.
    pub outputs: usize,
    /// How many it may have.
    pub series_limit: Option<u32>,
    /// How often it leaves, nanoseconds.
    pub interval_ns: u64,
    /// What was noticed.
    pub notes: Notes,
    /// Of how many series a value became another one, because `limit` had let in as many as it may.
    pub values_limited: u64,
    /// What else leaves with the identity of an output of it.
    pub conflicts: Vec<RuleConflict>,
    /// The last cut of the process closed its interval: what was given has left.
    pub is_closed: bool,
}

/// An output that leaves with the identity of something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleConflict {
    /// The output and its rule, and what else leaves, as people read it.
    pub of: [String; 2],
    /// An identity that they share.
    pub series: String,
    /// How many of them were found.
    pub count: u64,
}

/// A rule in force, on the page of rules.
#[derive(Clone, Debug)]
pub enum ListedRule {
    /// It aggregates.
    Aggregates(Box<RuleRow>),
    /// It does something else.
    Other {
        /// Its name.
        name: Arc<str>,
        /// What it does, as its document has it.
        action: &'static str,
        /// Rules that mean the same have the same.
        fingerprint: u32,
        /// Points that it put aside, if it drops.
        discarded: Option<u64>,
    },
}

/// A counter of a rule: its name, what it counts, and where it is.
type RuleCounter = (&'static str, &'static str, fn(&Notes) -> u64);

/// Counters of each rule.
pub const RULE_COUNTERS: [RuleCounter; 11] = [
    ("not_finite", "Values that were left out of sums, means and quantiles because they were not finite", |n| {
        n.not_finite
    }),
    ("int_overflows", "Sums of ints that left as doubles because they left 64 bits", |n| n.int_overflows),
    ("count_overflows", "Totals that began anew because a count would leave 64 bits", |n| n.count_overflows),
    ("no_sum", "Sums and means that did not leave because a member had no sum", |n| n.no_sum),
    ("no_extremes", "Minima and maxima that did not leave because a member had none", |n| n.no_extremes),
    ("mixed_bounds", "Histograms whose bounds differed from those of others that they were joined with", |n| {
        n.mixed_bounds
    }),
    ("unbounded_rebucketed", "Observations of an unbounded bucket that were put at its finite bound", |n| {
        n.unbounded_rebucketed
    }),
    ("table_full", "Values that went to the rest of a table because it was full", |n| n.table_full),
    (
        "output_conflicts",
        "Outputs found to leave with the identity of another output, or of a series that passes on: both leave",
        |n| n.output_conflicts,
    ),
    (
        "over_series_limit",
        "Series that went to the rule's overflow series because it had as many outputs as limits.series allows",
        |n| n.over_series_limit,
    ),
    (
        "over_all_outputs",
        "Series that went to the rule's overflow series because all rules together had as many outputs as there is room for",
        |n| n.over_all_outputs,
    ),
];

impl RuleRow {
    /// What members gave is what outputs gave, once the last interval is closed: ints exactly, doubles as far as their order
    /// lets them.
    pub fn balances(&self) -> bool {
        let (given, left) = (&self.notes.given, &self.notes.left);
        let (a, b) = (given.as_f64(), left.as_f64());
        let near = a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
        !self.is_closed || given.int() == left.int() && near
    }

    /// What stands between the brackets of its object: `members`, `outputs`, `given`, `left`, and what was noticed.
    fn put_members(&self, out: &mut String) {
        let number = |value: f64| if value.is_finite() { format!("{value}") } else { "null".into() };
        let _ = write!(
            out,
            "\"fingerprint\":\"{:08x}\",\"members\":{},\"outputs\":{},\"series_limit\":{},\"interval_s\":{},\"given\":{},\"left\":{}",
            self.fingerprint,
            self.members,
            self.outputs,
            self.series_limit.map_or("null".into(), |limit| limit.to_string()),
            self.interval_ns as f64 / 1e9,
            number(self.notes.given.as_f64()),
            number(self.notes.left.as_f64()),
        );
        for (name, _, of) in RULE_COUNTERS {
            let _ = write!(out, ",\"{name}\":{}", of(&self.notes));
        }
        let _ = write!(out, ",\"values_limited\":{},\"conflicts\":[", self.values_limited);
        for (at, RuleConflict { of, series, count }) in self.conflicts.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let [a, b] = of.each_ref().map(|side| quoted(side));
            let _ = write!(out, "{comma}{{\"of\":[{a},{b}],\"series\":{},\"count\":{count}}}", quoted(series));
        }
        out.push(']');
    }
}

impl ListedRule {
    /// What stands between the brackets of its object, but for its place.
    fn put_members(&self, out: &mut String) {
        match self {
            ListedRule::Aggregates(row) => {
                out.push_str("\"action\":\"aggregate\",");
                row.put_members(out);
            }
            ListedRule::Other { action, fingerprint, discarded, .. } => {
                let _ = write!(out, "\"action\":\"{action}\",\"fingerprint\":\"{fingerprint:08x}\"");
                if let Some(points) = discarded {
                    let _ = write!(out, ",\"discarded\":{points}");
                }
            }
        }
    }

    fn name(&self) -> &str {
        match self {
            ListedRule::Aggregates(row) => &row.name,
            ListedRule::Other { name, .. } => name,
        }
    }
}

/// All rules as one object, by name, in their order.
pub fn json(rules: &[ListedRule]) -> String {
    let mut out = String::from("{");
    for (at, rule) in rules.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{}:{{\"place\":{},", quoted(rule.name()), at + 1);
        rule.put_members(&mut out);
        out.push('}');
    }
    out.push('}');
    out
}

/// Rules that aggregate, by name: what stands between the brackets of an object.
pub(super) fn put_members(rows: &[RuleRow], out: &mut String) {
    for (at, row) in rows.iter().enumerate() {
        let _ = write!(out, "{}{}:{{", if at > 0 { "," } else { "" }, quoted(&row.name));
        row.put_members(out);
        out.push('}');
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::aggregate::number::Value;

    #[test]
    fn a_rule_balances_when_what_was_given_has_left() {
        let mut row = RuleRow {
            name: "a \"b\"".into(),
            fingerprint: 0xab,
            members: 2,
            outputs: 1,
            series_limit: Some(5),
            interval_ns: 30_000_000_000,
            notes: Notes::default(),
            values_limited: 4,
            conflicts: vec![RuleConflict {
                of: ["what passes on".into(), "same of a \"b\"".into()],
                series: "m{k=\"v\"}".into(),
                count: 3,
            }],
            is_closed: false,
        };
        row.notes.given.add(Value::Int(7));
        assert!(row.balances(), "its interval is open");
        row.is_closed = true;
        assert!(!row.balances());
        row.notes.left.add(Value::Int(7));
        row.notes.given.add(Value::Double(0.1));
        assert!(!row.balances());
        row.notes.left.add(Value::Double(0.1 + 1e-14));
        assert!(row.balances());
        let other = |name: &str, action, discarded| ListedRule::Other {
            name: name.into(),
            action,
            fingerprint: 0xcd,
            discarded,
        };
        let all = [other("d", "drop", Some(3)), ListedRule::Aggregates(Box::new(row)), other("k", "keep", None)];
        let told: serde_json::Value = serde_json::from_str(&json(&all)).unwrap();
        assert_eq!(
            told["d"],
            serde_json::json!({"place": 1, "action": "drop", "fingerprint": "000000cd", "discarded": 3})
        );
        assert_eq!(told["k"], serde_json::json!({"place": 3, "action": "keep", "fingerprint": "000000cd"}));
        let of = &told["a \"b\""];
        assert_eq!((&of["action"], &of["fingerprint"]), (&"aggregate".into(), &"000000ab".into()));
        assert_eq!((&of["members"], &of["interval_s"], &of["series_limit"]), (&2.into(), &30.into(), &5.into()));
        assert_eq!((&of["given"], &of["table_full"]), (&7.1.into(), &0.into()));
        assert_eq!(of["values_limited"], 4);
        let conflict =
            serde_json::json!({"of": ["what passes on", "same of a \"b\""], "series": "m{k=\"v\"}", "count": 3});
        assert_eq!(of["conflicts"], serde_json::json!([conflict]));
    }
}
