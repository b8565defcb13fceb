//! What rules take in memory, as lines for people: a member, an output, windows, and how much all that may be there would take.
//!
//! Knows the plan and the sizes that the memory budget counts with; does not know how many series there will be. Estimates:
//! attributes are taken to be of a usual length.

use crate::config::Plan;
use crate::flush::{GroupBytes, MEMBER_BYTES, series_bytes};
use crate::model::{Kind, Temporality};
use crate::rules::{Action, Aggregation, InputKind};
use crate::runtime::{Memory, show_size};
use std::fmt::Write as _;

/// Rules of which outputs are sized: of ten thousand the others are like these.
const RULES_SIZED_MAX: usize = 200;
/// Lines of rules with windows.
const LINES_MAX: usize = 20;

/// What a group of each kind takes, with how many outputs.
fn groups(aggregation: &Aggregation) -> Vec<(InputKind, usize, GroupBytes)> {
    let of = |input: InputKind| {
        let outputs = aggregation.outputs[input as usize].len();
        GroupBytes::of(aggregation, input).map(|bytes| (input, outputs, bytes))
    };
    InputKind::ALL.into_iter().filter_map(of).collect()
}

/// The lines; nothing where no rule aggregates.
pub(super) fn text(plan: &Plan, memory: &Memory) -> String {
    let all = plan.rules.rules().iter().filter_map(|rule| match &rule.action {
        Action::Aggregate(aggregation) => Some((&rule.name, groups(aggregation))),
        _ => None,
    });
    let all: Vec<_> = all.take(RULES_SIZED_MAX).collect();
    // what a group takes, shared out to its outputs
    let of_output = |(_, outputs, bytes): &(InputKind, usize, GroupBytes)| bytes.on(plan.shards) / outputs.max(&1);
    let sizes = || all.iter().flat_map(|(_, groups)| groups);
    let (Some(least), Some(most)) = (sizes().map(of_output).min(), sizes().map(of_output).max()) else {
        return String::new();
    };
    let shard = sizes().map(|(_, _, bytes)| bytes.shard).min().unwrap_or(0);
    let delta = series_bytes(Kind::Sum, Temporality::Delta, 0) + MEMBER_BYTES;
    let cumulative = series_bytes(Kind::Sum, Temporality::Cumulative, 0) + MEMBER_BYTES;
    let outputs = if least == most { format!("{least} B") } else { format!("{least} B to {}", show_size(most)) };
    let more = sizes().map(|(_, _, bytes)| bytes.member).max().filter(|more| *more > 0);
    let more = more.map_or_else(String::new, |more| format!(", {more} B more of gauges whose min or max is asked"));
    let mut out = format!(
        "memory  a member {delta} B ({cumulative} B of cumulative input), {MEMBER_BYTES} B of them for rules{more}; an output {outputs}, \
         {shard} B or more of them on each shard\n"
    );
    let windowed = || all.iter().filter(|(_, groups)| groups.iter().any(|(_, _, bytes)| bytes.window + bytes.top > 0));
    for (name, groups) in windowed().take(LINES_MAX) {
        let mut parts = Vec::new();
        if let Some((input, _, bytes)) = groups.iter().max_by_key(|(_, _, bytes)| bytes.window)
            && bytes.window > 0
        {
            let (steps, size) = (bytes.steps, show_size(bytes.window));
            parts.push(format!("windows of up to {steps} steps {size} a group of {}s", input.word()));
        }
        if let Some(top) = groups.iter().map(|(_, _, bytes)| bytes.top).max().filter(|top| *top > 0) {
            parts.push(format!("topk {top} B each group that it tells apart"));
        }
        let _ = writeln!(out, "        {name}: {}", parts.join(", "));
    }
    let more = windowed().count().saturating_sub(LINES_MAX);
    if more > 0 {
        let _ = writeln!(out, "        and {more} more rules with windows");
    }
    let (members, outputs) = (plan.series_limit, plan.output_limit());
    let with = |each: usize| members.saturating_mul(delta).saturating_add(outputs.saturating_mul(each));
    let range = if least == most { String::new() } else { format!(" to {}", show_size(with(most))) };
    let _ = writeln!(
        out,
        "        {members} members and {outputs} outputs: about {}{range} of {} for series",
        show_size(with(least)),
        show_size(memory.series)
    );
    out
}
