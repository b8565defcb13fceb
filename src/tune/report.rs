//! Rounds in, a recommendation and texts out. Knows no clock, no machine, no files.

use super::machine::Machine;
use serde_json::{Value, json};
use std::fmt::Write;

/// A count is good enough if it reaches this share of the best throughput: rounds differ by as much by themselves.
pub const GOOD_ENOUGH: f64 = 0.95;

/// One round of one count.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// Shards of the server.
    pub shards: usize,
    /// Points acknowledged in a second (in process: applied).
    pub points_per_s: f64,
    /// User and system time of the server for a million points.
    pub cpu_s_per_million_points: f64,
    /// Latency of a request, 99th percentile, microseconds; none in process.
    pub p99_us: Option<f64>,
    /// Resident bytes of the server; in process without the recorded requests.
    pub rss_bytes: u64,
    /// The generator could not send more.
    pub generator_limited: bool,
}

/// Everything there is to say.
#[derive(Clone, Debug)]
pub struct TuneReport {
    pub(super) machine: Machine,
    pub(super) source: String,
    pub(super) traffic: String,
    pub(super) note: Option<String>,
    pub(super) rounds: Vec<Round>,
    pub(super) recommended: usize,
    pub(super) why: String,
}

/// The medians of a count's rounds.
pub(super) struct ReportRow {
    pub shards: usize,
    pub points_per_s: f64,
    pub cpu: f64,
    pub p99_us: Option<f64>,
    pub rss: f64,
    pub efficiency: f64,
    pub limited: bool,
}

/// The middle one, or the mean of the two in the middle; 0 of nothing.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    let n = all.len();
    if n == 0 { 0.0 } else { (all[(n - 1) / 2] + all[n / 2]) / 2.0 }
}

/// One row a count, fewest shards first. Efficiency: throughput of a shard, of what one shard alone has.
pub(super) fn rows(rounds: &[Round]) -> Vec<ReportRow> {
    let mut counts: Vec<usize> = rounds.iter().map(|round| round.shards).collect();
    counts.sort_unstable();
    counts.dedup();
    let one = base(rounds);
    let row = |shards| {
        let mine = || rounds.iter().filter(move |round| round.shards == shards);
        let points_per_s = median(mine().map(|round| round.points_per_s));
        let p99: Vec<f64> = mine().filter_map(|round| round.p99_us).collect();
        ReportRow {
            shards,
            points_per_s,
            cpu: median(mine().map(|round| round.cpu_s_per_million_points)),
            p99_us: (!p99.is_empty()).then(|| median(p99.into_iter())),
            rss: median(mine().map(|round| round.rss_bytes as f64)),
            efficiency: points_per_s / shards as f64 / one,
            limited: mine().any(|round| round.generator_limited),
        }
    };
    counts.into_iter().map(row).collect()
}

/// Throughput of a shard at the fewest shards measured.
fn base(rounds: &[Round]) -> f64 {
    let fewest = rounds.iter().map(|round| round.shards).min().unwrap_or(1);
    let mine = rounds.iter().filter(|round| round.shards == fewest).map(|round| round.points_per_s);
    (median(mine) / fewest as f64).max(f64::MIN_POSITIVE)
}

/// The rule: the fewest shards whose median throughput is within 5 % of the best one's. With its reason.
pub fn recommend(rounds: &[Round]) -> (usize, String) {
    let rows = rows(rounds);
    let Some(best) = rows.iter().max_by(|a, b| a.points_per_s.total_cmp(&b.points_per_s)) else {
        return (1, "nothing was measured".into());
    };
    let chosen = rows.iter().find(|row| row.points_per_s >= GOOD_ENOUGH * best.points_per_s).unwrap_or(best);
    let share = 100.0 * chosen.points_per_s / best.points_per_s.max(f64::MIN_POSITIVE);
    let mut why = if chosen.shards == best.shards {
        format!(
            "{} had the best throughput, {} points/s, and none with fewer came within 5 % of it",
            shards(chosen.shards),
            human(chosen.points_per_s)
        )
    } else {
        format!(
            "{} reached {share:.0} % of the best throughput ({} points/s with {}); more add less than 5 %",
            shards(chosen.shards),
            human(best.points_per_s),
            shards(best.shards)
        )
    };
    if chosen.shards == 1 && rows.len() == 1 {
        why = "only one shard was measured".into();
    }
    if chosen.limited {
        why += "; the generator was the limit there, so the server can do more than is shown";
    }
    (chosen.shards, why)
}

fn shards(n: usize) -> String {
    format!("{n} {}", if n == 1 { "shard" } else { "shards" })
}

impl TuneReport {
    /// For people.
    pub fn table(&self) -> String {
        let Machine { processor, cores } = &self.machine;
        let mut out =
            format!("catchment tune: {} on {processor}, {cores} cores; source: {}\n\n", self.traffic, self.source);
        out += "shards    points/s   CPU-s/M points        p99      memory   efficiency\n";
        for row in rows(&self.rounds) {
            let p99 = row.p99_us.map_or("-".into(), |us| format!("{:.2} ms", us / 1e3));
            let _ = writeln!(
                out,
                "{:>6} {:>11} {:>16.3} {p99:>10} {:>11} {:>10.0} %{}{}",
                row.shards,
                human(row.points_per_s),
                row.cpu,
                format!("{:.1} MiB", row.rss / f64::from(1 << 20)),
                row.efficiency * 100.0,
                if row.shards == self.recommended { "  <- recommended" } else { "" },
                if row.limited { "  (limited by the generator)" } else { "" },
            );
        }
        let _ = writeln!(out, "\nrecommended: --shards {}\nwhy: {}", self.recommended, self.why);
        if let Some(note) = &self.note {
            let _ = writeln!(out, "note: {note}");
        }
        out
    }

    /// For programs.
    pub fn json(&self) -> String {
        self.value().to_string()
    }

    pub(super) fn value(&self) -> Value {
        let one = base(&self.rounds);
        let round = |round: &Round| {
            json!({
                "shards": round.shards,
                "points_per_s": round.points_per_s.round(),
                "cpu_s_per_million_points": (round.cpu_s_per_million_points * 1e6).round() / 1e6,
                "p99_us": round.p99_us,
                "rss_bytes": round.rss_bytes,
                "efficiency": (round.points_per_s / round.shards as f64 / one * 1e4).round() / 1e4,
                "generator_limited": round.generator_limited,
            })
        };
        json!({
            "rounds": self.rounds.iter().map(round).collect::<Vec<_>>(),
            "recommended": self.recommended,
            "why": self.why,
            "source": self.source,
            "traffic": self.traffic,
            "note": self.note,
            "processor": self.machine.processor,
            "cores": self.machine.cores,
        })
    }
}

/// Three significant figures and a letter.
pub fn human(number: f64) -> String {
    match number {
        n if n >= 1e9 => format!("{:.2} G", n / 1e9),
        n if n >= 1e6 => format!("{:.2} M", n / 1e6),
        n if n >= 1e3 => format!("{:.1} k", n / 1e3),
        n => format!("{n:.0}"),
    }
}
