//! The ledger, as JSON and as the last line at exit: what came in and what became of it, in points; what members gave the rules
//! that aggregate and what of that has left; what destinations got.
//!
//! Knows numbers and names; does not know where they are counted.

use crate::deliver::{BreakerRow, DestinationRow, Dropped};
use crate::ledger::{Effect, Tally};
use crate::log::quoted;
use crate::model::{Discard, Door, Kind, Reject};
use crate::telemetry::rules::{self, RuleRow};
use std::fmt::Write;
use std::sync::Arc;

/// Rules that the last line names; `/ledger` has all.
const RULES_TOLD_MAX: usize = 16;

/// Everything the page shows.
pub struct LedgerPage<'a> {
    /// The sum of all shards' rows.
    pub tally: &'a Tally,
    /// Destinations by name.
    pub destinations: &'a [(String, DestinationRow)],
    /// Breakers of destinations, by name.
    pub breakers: &'a [(String, BreakerRow)],
    /// Points put aside by rules and elections, by name; read beside the rows, so that they may be some points off.
    pub drops: &'a [(Discard, Arc<str>, u64)],
    /// Rules that aggregate.
    pub rules: &'a [RuleRow],
    /// With `?verify=1`: points counted in the cells.
    pub verified_open: Option<u64>,
}

impl LedgerPage<'_> {
    /// Every balance holds.
    pub fn balanced(&self) -> bool {
        self.tally.balanced()
            && self.destinations.iter().all(|(_, row)| row.balances())
            && self.rules.iter().all(RuleRow::balances)
    }

    /// The object: `received`, `applied`, `rejected`, `discarded`, `open`, `emitted` and its `effects` in input points,
    /// `destinations` in output points, `balanced`, and the same by door and kind under `by`.
    pub fn json(&self) -> String {
        let t = self.tally;
        let mut out = String::with_capacity(1024);
        let _ = write!(out, "{{\"received\":{},\"applied\":{},\"rejected\":{{", t.received_total(), t.applied_total());
        let mut first = true;
        for reason in Reject::ALL {
            if t.rejected(reason) > 0 {
                comma(&mut out, &mut first);
                let _ = write!(out, "\"{}\":{}", reason.word(), t.rejected(reason));
            }
        }
        out.push_str("},\"discarded\":{");
        let mut first = true;
        for why in Discard::ALL {
            if t.discarded(why) > 0 {
                comma(&mut out, &mut first);
                let _ = write!(out, "\"{}\":{}", why.word(), t.discarded(why));
            }
        }
        for why in Discard::ALL.into_iter().filter(|why| self.drops.iter().any(|(of, ..)| of == why)) {
            let _ = write!(out, "}},\"discarded_by_{}\":{{", why.word());
            let mut first = true;
            for (_, name, points) in self.drops.iter().filter(|(of, ..)| *of == why) {
                comma(&mut out, &mut first);
                let _ = write!(out, "{}:{points}", quoted(name));
            }
        }
        if !self.rules.is_empty() {
            out.push_str("},\"rules\":{");
            rules::put_members(self.rules, &mut out);
        }
        let _ = write!(out, "}},\"open\":{},\"emitted\":{},\"effects\":{{", t.open(), t.emitted());
        let mut first = true;
        for effect in Effect::ALL {
            comma(&mut out, &mut first);
            let _ = write!(out, "\"{}\":{}", effect.word(), t.settled(effect));
        }
        out.push_str("},\"destinations\":{");
        let mut first = true;
        for (name, row) in self.destinations {
            comma(&mut out, &mut first);
            let _ = write!(
                out,
                "{}:{{\"encoded\":{},\"delivered\":{},\"queued\":{},\"on_disk\":{},\"dead_lettered\":{},\"dropped\":{{",
                quoted(name),
                row.encoded,
                row.delivered,
                row.queued,
                row.on_disk,
                row.dead_lettered
            );
            let mut first = true;
            for reason in Dropped::ALL {
                if row.dropped(reason) > 0 {
                    comma(&mut out, &mut first);
                    let _ = write!(out, "\"{}\":{}", reason.word(), row.dropped(reason));
                }
            }
            out.push('}');
            if let Some((_, BreakerRow { state, since_unix_ms })) = self.breakers.iter().find(|(of, _)| of == name) {
                let state = state.word();
                let _ = write!(out, ",\"breaker\":{{\"state\":\"{state}\",\"since_unix_ms\":{since_unix_ms}}}");
            }
            out.push('}');
        }
        let _ = write!(out, "}},\"balanced\":{},", self.balanced());
        if let Some(open) = self.verified_open {
            let _ = write!(out, "\"open_counted_in_cells\":{open},");
        }
        out.push_str("\"by\":{");
        let mut first = true;
        for door in Door::ALL {
            comma(&mut out, &mut first);
            let _ = write!(out, "\"{}\":{{", door.word());
            let mut first = true;
            for kind in Kind::ALL {
                comma(&mut out, &mut first);
                let _ = write!(
                    out,
                    "\"{}\":{{\"received\":{},\"applied\":{},\"rejected\":{},\"discarded\":{}}}",
                    kind.word(),
                    t.received(door, kind),
                    t.applied(door, kind),
                    t.rejected_by(door, kind),
                    t.discarded_by(door, kind)
                );
            }
            out.push('}');
        }
        out.push_str("}}\n");
        out
    }

    /// Tells the last line at exit; in JSON an event that has the whole object, too.
    pub(crate) fn say(&self) {
        let level = if self.balanced() { tracing::Level::INFO } else { tracing::Level::ERROR };
        let fields = format!(",\"ledger\":{}", self.json().trim_end());
        crate::log::say(level, &format_args!("catchment: {}", self.line()), &fields);
    }

    /// The last line at exit.
    pub fn line(&self) -> String {
        let t = self.tally;
        let mut out = format!(
            "ledger: received {} = applied {} + rejected {} + discarded {}",
            t.received_total(),
            t.applied_total(),
            t.rejected_total(),
            t.discarded_total(),
        );
        let mut of =
            self.drops.iter().filter(|(.., points)| *points > 0).map(|(_, name, points)| format!("{name} {points}"));
        let mut named: Vec<String> = of.by_ref().take(RULES_TOLD_MAX).collect();
        match of.count() {
            0 => {}
            more => named.push(format!("{more} more")),
        }
        if !named.is_empty() {
            let _ = write!(out, " ({})", named.join(", "));
        }
        let _ = write!(out, "; applied = open {} + emitted {}", t.open(), t.emitted());
        let [with_effect, superseded, baseline, overlapping] = Effect::ALL.map(|effect| t.settled(effect));
        let _ = write!(
            out,
            "; emitted = with effect {with_effect} + superseded {superseded} + baseline {baseline} + overlapping {overlapping}"
        );
        for (name, row) in self.destinations {
            let _ = write!(
                out,
                "; {name}: encoded {} = delivered {} + queued {} + dropped {}",
                row.encoded,
                row.delivered,
                row.queued,
                row.dropped_total()
            );
        }
        for rule in self.rules.iter().filter(|rule| rule.is_closed && !rule.balances()) {
            let (given, left) = (rule.notes.given.as_f64(), rule.notes.left.as_f64());
            let _ = write!(out, "; rule {}: members gave {given}, outputs {left}", rule.name);
        }
        if self.rules.iter().any(|rule| rule.is_closed) {
            let balanced = self.rules.iter().filter(|rule| rule.is_closed && rule.balances()).count();
            let _ =
                write!(out, "; rules whose members gave what their outputs gave: {balanced} of {}", self.rules.len());
        }
        out.push_str(if self.balanced() { "; balanced" } else { "; NOT BALANCED: please report this" });
        out
    }
}

fn comma(out: &mut String, first: &mut bool) {
    if !std::mem::replace(first, false) {
        out.push(',');
    }
}
