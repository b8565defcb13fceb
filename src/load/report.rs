//! What a run came to, in words, on one line and as JSON.
//!
//! Deliberately does not know sockets or terminals: it is given numbers and gives text.

use super::payload::{Expected, SeriesTotals};
use super::send::{Limit, Tally};
use super::verify::Verified;
use super::words::{decimal, quoted};
use crate::limits::VERIFY_SERIES_MAX;
use std::fmt::Write;

/// Metrics of a difference that are named.
const METRICS_SHOWN: usize = 5;

/// What to look at where nothing arrived.
const DOORS: &str = "check that --endpoint names the right port and its protocol: grpc:// (usually 4317) or http:// (usually \
                     4318)";

/// A finished run.
pub struct Outcome {
    /// The counts.
    pub tally: Tally,
    /// What a correct server holds, if the run was exact.
    pub expected: Expected,
    /// What kept it from going faster.
    pub limit: Limit,
    /// Totals of every series, if they were asked for.
    pub series: Option<SeriesTotals>,
    /// What reached the sink, with `--verify`.
    pub verified: Option<Verified>,
}

impl Outcome {
    /// Whether anything was sent, everything acknowledged and, where that was checked, arrived.
    pub fn is_exact(&self) -> bool {
        self.tally.sent_points > 0
            && self.tally.is_exact()
            && self.tally.gone.is_none()
            && self.verified.as_ref().is_none_or(Verified::is_whole)
    }

    /// What is wrong with the run as a whole, and what to check.
    pub fn complaints(&self) -> Vec<String> {
        let tally = &self.tally;
        let lost = (tally.warm_up_lost_points > 0).then(|| {
            format!(
                "{} of the warm-up's {} points were not acknowledged",
                tally.warm_up_lost_points, tally.warm_up_points
            )
        });
        let sent = tally.warm_up_points + tally.sent_points;
        let acknowledged = tally.warm_up_points - tally.warm_up_lost_points + tally.acknowledged_points;
        let heard: Vec<String> = tally.heard.keys().map(|why| tally.told(why)).collect();
        let nothing = match (sent, acknowledged, tally.sent_points) {
            (0, _, _) => Some(format!("nothing was sent: {DOORS}")),
            (_, 0, _) if heard.is_empty() => Some(format!("nothing was acknowledged: {DOORS}")),
            (_, 0, _) => Some(format!("nothing was acknowledged; the server answered: {}", heard.join("; "))),
            (_, _, 0) => Some("nothing was measured: no request was sent after the warm-up".to_owned()),
            _ => None,
        };
        tally.silence().into_iter().chain(lost).chain(nothing).collect()
    }

    /// One JSON object.
    pub fn json(&self) -> String {
        let tally = &self.tally;
        let mut failures = String::new();
        for (reason, count) in &tally.failures {
            let comma = if failures.is_empty() { "" } else { "," };
            write!(failures, "{comma}{}:{count}", quoted(reason)).expect("strings take everything");
        }
        let us = |quantile| micros(tally.latencies.quantile_ns(quantile));
        let verified = self.verified.as_ref().map_or(String::new(), Verified::json);
        format!(
            "{{\"warm_up_points\":{},\"sent_requests\":{},\"sent_points\":{},\"acknowledged_points\":{},\"rejected_points\":{},\
             \"failed_points\":{},\"failures\":{{{failures}}},\"exact\":{},{verified}\"elapsed_s\":{:.6},\"points_per_s\":{:.0},\
             \"mb_per_s\":{:.3},\"latency_us\":{{\"p50\":{},\"p99\":{},\"p999\":{},\"max\":{}}},\"limited_by\":\"{}\",\
             \"waited_for_server_share\":{:.4},\"sender_cpu_s\":{:.6},\"expected\":{}}}",
            tally.warm_up_points,
            tally.sent_requests,
            tally.sent_points,
            tally.acknowledged_points,
            tally.rejected_points,
            tally.failed_points,
            self.is_exact(),
            tally.seconds(),
            tally.points_per_s(),
            tally.mb_per_s(),
            us(0.5),
            us(0.99),
            us(0.999),
            micros(tally.latencies.max_ns()),
            self.limit.word(),
            tally.waited_share(),
            tally.sender_cpu_ns as f64 / 1e9,
            self.expected.json(),
        )
    }

    /// A summary for people.
    pub fn summary(&self) -> String {
        let tally = &self.tally;
        let us = |quantile| human_time(tally.latencies.quantile_ns(quantile));
        let mut out = match tally.warm_up_points {
            0 => String::new(),
            points => format!("warm-up       {points} points, not counted below\n"),
        };
        write!(
            out,
            "sent          {} points in {} requests, {:.1} s, {:.1} MB/s, {:.3} CPU-s of the sender\n\
             acknowledged  {} points, {} points/s\n\
             rejected      {} points; failed {} points\n\
             latency       p50 {}, p99 {}, p99.9 {}, max {}\n",
            tally.sent_points,
            tally.sent_requests,
            tally.seconds(),
            tally.mb_per_s(),
            tally.sender_cpu_ns as f64 / 1e9,
            tally.acknowledged_points,
            human(tally.points_per_s()),
            tally.rejected_points,
            tally.failed_points,
            us(0.5),
            us(0.99),
            us(0.999),
            human_time(tally.latencies.max_ns()),
        )
        .expect("strings take everything");
        if let Some(words) = tally.heard.get("partial success").filter(|words| !words.is_empty()) {
            writeln!(out, "rejected      as the server says: {words}").expect("strings take everything");
        }
        for (reason, count) in &tally.failures {
            writeln!(out, "failed        {count} requests: {}", tally.told(reason)).expect("strings take everything");
        }
        out += match self.limit {
            Limit::Generator => "limited by    the generator: its thread was never idle, the server can do more\n",
            Limit::Server => "limited by    the server\n",
            Limit::Rate => "limited by    the rate that was asked for\n",
            Limit::Unmeasured if tally.sent_points == 0 => "limited by    (cannot be told: nothing was measured)\n",
            Limit::Unmeasured => "limited by    (cannot be told: nothing that was measured was acknowledged)\n",
        };
        if let Some(verified) = &self.verified {
            out += &verified.summary();
        }
        for complaint in self.complaints() {
            writeln!(out, "problem       {complaint}").expect("strings take everything");
        }
        if !tally.is_exact() {
            out += "inexact       not every point was acknowledged: totals at the far end may differ from expected\n";
        }
        out
    }
}

impl Verified {
    /// Keys of the JSON object, with a comma behind the last one.
    fn json(&self) -> String {
        let of = &self.difference;
        format!(
            "\"delivered_points\":{},\"difference\":{},\"series\":{},\"missing_series\":{},\"unexpected_series\":{},",
            self.delivered_points,
            decimal(of.units.try_into().unwrap_or(i128::MAX)),
            of.series,
            of.missing,
            of.unexpected,
        )
    }

    /// The balance for people.
    fn summary(&self) -> String {
        let of = &self.difference;
        let mut out = format!(
            "delivered     {} output points of {} series\n\
             difference    {}; series missing {}, not sent {}\n",
            self.delivered_points,
            of.series - of.missing + of.unexpected,
            decimal(of.units.try_into().unwrap_or(i128::MAX)),
            of.missing,
            of.unexpected,
        );
        for (name, units) in of.by_metric.iter().take(METRICS_SHOWN) {
            let off = decimal((*units).try_into().unwrap_or(i128::MAX));
            writeln!(out, "              {name} is off by {off}").expect("strings take everything");
        }
        if of.inexact > 0 {
            writeln!(out, "              {} values were rounded on the way", of.inexact)
                .expect("strings take everything");
        }
        if self.untracked > 0 {
            writeln!(
                out,
                "unverified    {} series were born past the limit of {VERIFY_SERIES_MAX}: send for less long, or with less \
                 churn",
                self.untracked
            )
            .expect("strings take everything");
        }
        if let Some(complaint) = &self.complaint {
            writeln!(out, "server        {complaint}").expect("strings take everything");
        }
        out += match self.is_whole() {
            true => "balance       closes: what was sent is what arrived, series by series\n",
            false => "balance       does NOT close\n",
        };
        out
    }
}

/// The line that is shown while a run goes on: rates since `before`, totals so far. `progress` is a share, if known.
pub fn live_line(before: &Tally, now: &Tally, step_ns: u64, progress: Option<f64>) -> String {
    let seconds = step_ns.max(1) as f64 / 1e9;
    let rate = (now.acknowledged_points - before.acknowledged_points) as f64 / seconds;
    let mb = (now.written_bytes - before.written_bytes) as f64 / 1e6 / seconds;
    let us = |quantile| human_time(now.latencies.quantile_ns(quantile));
    let mut line = format!(
        "{}{} points/s  {mb:.1} MB/s  acknowledged {}  rejected {}  failed {}  p50 {}  p99 {}  p99.9 {}",
        mark(now),
        human(rate),
        now.acknowledged_points,
        now.rejected_points,
        now.failed_points,
        us(0.5),
        us(0.99),
        us(0.999),
    );
    if let Some(progress) = progress {
        write!(line, "  {:.0} %{}", progress * 100.0, left("  ", now, progress)).expect("strings take everything");
    }
    line
}

/// What goes before the counts of a warm-up.
fn mark(now: &Tally) -> &'static str {
    if now.warms_up { "warm-up  " } else { "" }
}

/// The time that is left, behind a blank; nothing while nothing is done, as it cannot be told then.
fn left(blank: &str, now: &Tally, progress: f64) -> String {
    if progress <= 0.0 {
        return String::new();
    }
    let left = now.elapsed_ns as f64 / 1e9 * (1.0 / progress - 1.0);
    format!("{blank}{:.0} s left", left.max(0.0))
}

/// The same for a terminal of so many columns: what matters most first, and nothing that would wrap.
pub fn terminal_line(before: &Tally, now: &Tally, step_ns: u64, progress: Option<f64>, columns: usize) -> String {
    let long = live_line(before, now, step_ns, progress);
    if long.chars().count() < columns {
        return long;
    }
    let seconds = step_ns.max(1) as f64 / 1e9;
    let rate = (now.acknowledged_points - before.acknowledged_points) as f64 / seconds;
    let mb = (now.written_bytes - before.written_bytes) as f64 / 1e6 / seconds;
    let ms = |quantile| now.latencies.quantile_ns(quantile) as f64 / 1e6;
    let mut line = format!("{}{} points/s {mb:.0} MB/s", mark(now), human(rate));
    if let Some(progress) = progress {
        write!(line, "  {:.0} %{}", progress * 100.0, left(" ", now, progress)).expect("strings take everything");
    }
    write!(
        line,
        "  p50/p99/p99.9 {:.1}/{:.1}/{:.1} ms  ack {} rej {} fail {}",
        ms(0.5),
        ms(0.99),
        ms(0.999),
        human(now.acknowledged_points as f64),
        human(now.rejected_points as f64),
        human(now.failed_points as f64),
    )
    .expect("strings take everything");
    line.chars().take(columns.saturating_sub(1)).collect()
}

/// Three significant figures and a letter.
fn human(number: f64) -> String {
    match number {
        n if n >= 1e9 => format!("{:.2} G", n / 1e9),
        n if n >= 1e6 => format!("{:.2} M", n / 1e6),
        n if n >= 1e3 => format!("{:.1} k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

fn human_time(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{:.1} us", ns as f64 / 1e3),
        10_000..1_000_000 => format!("{} us", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        _ => format!("{:.2} s", ns as f64 / 1e9),
    }
}

fn micros(ns: u64) -> String {
    format!("{:.1}", ns as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::super::verify::Difference;
    use super::*;
    use crate::limits::{LOAD_HEARD_CHARS_MAX, LOAD_HEARD_MAX};
    use std::time::Duration;

    fn tally(acknowledged: u64, waited_ms: u64) -> Tally {
        Tally {
            sent_points: 1_000_000,
            acknowledged_points: acknowledged,
            written_bytes: 210_000_000,
            elapsed_ns: 2_000_000_000,
            waited_server_ns: waited_ms * 1_000_000,
            ..Tally::default()
        }
    }

    #[test]
    fn rates_and_limits() {
        let busy = tally(1_000_000, 50);
        assert_eq!((busy.points_per_s(), busy.mb_per_s(), busy.is_exact()), (500_000.0, 105.0, true));
        assert_eq!(busy.limit(None), Limit::Generator);
        assert_eq!(busy.limit(Some(505_000.0)), Limit::Rate);
        assert_eq!(busy.limit(Some(600_000.0)), Limit::Generator);
        let waiting = tally(999_999, 200);
        assert_eq!((waiting.limit(None), waiting.is_exact()), (Limit::Server, false));
        // nothing to tell it by: never begun, or all of it refused
        for (tally, rate) in [(Tally::default(), None), (tally(0, 0), None), (tally(0, 200), Some(1.0))] {
            assert_eq!((tally.limit(rate), tally.limit(rate).word()), (Limit::Unmeasured, "unmeasured"));
        }
    }

    fn outcome(tally: Tally) -> Outcome {
        let limit = tally.limit(None);
        Outcome { tally, expected: Expected::new(Vec::new()), limit, series: None, verified: None }
    }

    /// The server's own words, of the first answer of each kind, where there was one; else where to look.
    #[test]
    fn a_refusal_is_told_as_the_server_said_it() {
        let mut refused = tally(0, 0);
        refused.hear("grpc-status 8", " series limit\u{1b}[2J\n\u{202e}of \"2\" ");
        refused.hear("grpc-status 8", "another");
        refused.fail(1_000_000, "grpc-status 8".into());
        let outcome = outcome(refused);
        let (complaints, summary) = (outcome.complaints(), outcome.summary());
        let words = "grpc-status 8: series limit\\u{1b}[2J\\n\\u{202e}of \"2\"";
        assert_eq!(complaints, [format!("nothing was acknowledged; the server answered: {words}")]);
        assert!(summary.contains(&format!("failed        1 requests: {words}\n")), "{summary}");
        assert!(summary.contains(" s, 105.0 MB/s, ") && summary.contains("acknowledged  0 points, 0 points/s\n"));
        assert!(summary.contains("limited by    (cannot be told") && !summary.contains("never idle"), "{summary}");
        let warm_up = self::outcome(outcome.tally.after_warm_up());
        assert_eq!(warm_up.tally.told("warm-up: grpc-status 8"), format!("warm-up: {words}"));
        assert!(warm_up.summary().contains("limited by    (cannot be told: nothing was measured)\n"));
        assert_eq!(warm_up.complaints()[1], complaints[0]);
    }

    #[test]
    fn words_of_a_server_are_bounded() {
        let mut tally = tally(0, 0);
        (0..100).for_each(|status| tally.hear(&format!("HTTP {status}"), &"\u{1f600}x".repeat(1_000)));
        assert_eq!(tally.heard.len(), LOAD_HEARD_MAX);
        assert!(tally.heard.values().all(|words| words.chars().count() == LOAD_HEARD_CHARS_MAX + 1));
        tally.hear("HTTP 0", "");
        assert!(outcome(tally).complaints()[0].contains("HTTP 7: \u{1f600}x"));
    }

    #[test]
    fn the_live_line_shows_the_last_step() {
        let line = live_line(&tally(0, 0), &tally(500_000, 0), 1_000_000_000, Some(0.5));
        assert!(line.starts_with("500.0 k points/s  0.0 MB/s  acknowledged 500000"), "{line}");
        assert!(line.ends_with("50 %  2 s left"), "{line}");
        let line = live_line(&tally(0, 0), &tally(0, 0), 1_000_000_000, Some(0.0));
        assert!(line.ends_with("0 %"), "nothing is done, nothing is known of what is left: {line}");
        let line = terminal_line(&tally(0, 0), &tally(0, 0), 1_000_000_000, Some(0.0), 80);
        assert!(line.contains("0 %  p50") && !line.contains("left"), "{line}");
        let warming = Tally { warms_up: true, ..tally(500_000, 0) };
        for columns in [80, 200] {
            let line = terminal_line(&tally(0, 0), &warming, 1_000_000_000, Some(0.5), columns);
            assert!(line.starts_with("warm-up  500.0 k points/s"), "{line}");
        }
    }

    #[test]
    fn a_line_never_wraps_and_keeps_what_matters_most() {
        let (before, now) = (tally(0, 0), tally(500_000, 0));
        let line = |columns| terminal_line(&before, &now, 1_000_000_000, Some(0.5), columns);
        assert_eq!(line(200), live_line(&before, &now, 1_000_000_000, Some(0.5)));
        for columns in [1, 20, 40, 80, 120] {
            assert!(line(columns).chars().count() < columns.max(1), "{columns}: {}", line(columns));
        }
        assert!(line(80).starts_with("500.0 k points/s 0 MB/s  50 % 2 s left  p50/p99/p99.9"), "{}", line(80));
    }

    #[test]
    fn the_balance_is_told_in_words_and_in_json() {
        let verified = |units: u128, missing: u64, untracked: u64| Verified {
            delivered_points: 12,
            difference: Difference {
                units,
                by_metric: [("load.gauge.0001".to_owned(), units)].into(),
                series: 4,
                missing,
                unexpected: 0,
                inexact: 0,
            },
            untracked,
            complaint: None,
        };
        let outcome = |verified| Outcome {
            tally: tally(1_000_000, 0),
            expected: Expected::new(Vec::new()),
            limit: Limit::Server,
            series: None,
            verified: Some(verified),
        };
        for (verified, exact, word) in [
            (verified(0, 0, 0), true, "balance       closes"),
            (verified(1536, 0, 0), false, "load.gauge.0001 is off by 1.5\n"),
            (verified(0, 1, 0), false, "series missing 1, not sent 0\n"),
            (verified(0, 0, 7), false, "unverified    7 series were born past the limit of 2000000"),
        ] {
            let outcome = outcome(verified);
            let summary = outcome.summary();
            assert!(summary.contains(word), "{word}: {summary}");
            assert_eq!((outcome.is_exact(), !summary.contains("does NOT close")), (exact, exact), "{summary}");
            let json: serde_json::Value = serde_json::from_str(&outcome.json()).unwrap();
            assert_eq!((&json["exact"], &json["delivered_points"]), (&exact.into(), &12.into()));
            let units = outcome.verified.as_ref().unwrap().difference.units as f64;
            assert_eq!(json["difference"].as_f64().unwrap(), units / 1024.0);
        }
    }

    #[test]
    fn a_run_without_effect_says_what_to_check() {
        let outcome = |sent_points, acknowledged_points, silent| Outcome {
            tally: Tally { sent_points, acknowledged_points, silent, ..Tally::default() },
            expected: Expected::new(Vec::new()),
            limit: Limit::Server,
            series: None,
            verified: None,
        };
        let silent = Some(Duration::from_secs(30));
        for (outcome, wanted) in [
            (outcome(0, 0, None), vec!["nothing was sent"]),
            (outcome(0, 0, silent), vec!["no answer for 30 s", "nothing was sent"]),
            (outcome(10, 0, silent), vec!["no answer for 30 s", "nothing was acknowledged"]),
            (outcome(20, 10, silent), vec!["no answer for 30 s"]),
            (outcome(20, 10, None), vec![]),
        ] {
            let (complaints, summary) = (outcome.complaints(), outcome.summary());
            assert!(!outcome.is_exact() && complaints.len() == wanted.len(), "{complaints:?}");
            for (complaint, wanted) in complaints.iter().zip(wanted) {
                assert!(complaint.starts_with(wanted), "{complaint}");
                assert!(summary.contains(&format!("problem       {complaint}\n")), "{summary}");
            }
        }
        assert!(outcome(10, 10, None).is_exact() && outcome(10, 10, None).complaints().is_empty());
        // a warm-up counts nowhere, unless it was not acknowledged
        for (sent, acknowledged, lost, wanted) in [
            (10, 10, 0, &[][..]),
            (10, 10, 3, &["3 of the warm-up's 7 points were not acknowledged"]),
            (0, 0, 0, &["nothing was measured"]),
            (0, 0, 7, &["7 of the warm-up's 7 points", "nothing was acknowledged: check"]),
        ] {
            let mut outcome = outcome(sent, acknowledged, None);
            (outcome.tally.warm_up_points, outcome.tally.warm_up_lost_points) = (7, lost);
            let (complaints, summary) = (outcome.complaints(), outcome.summary());
            assert_eq!((outcome.is_exact(), complaints.len()), (wanted.is_empty(), wanted.len()), "{complaints:?}");
            assert!(
                complaints.iter().zip(wanted).all(|(complaint, word)| complaint.starts_with(word)),
                "{complaints:?}"
            );
            assert!(summary.starts_with("warm-up       7 points, not counted below\nsent "), "{summary}");
        }
    }

    #[test]
    fn json_is_json() {
        let mut tally = tally(1, 2);
        tally.failures.insert("a \"quoted\"\nreason".into(), 3);
        let expected = Expected::new(Vec::new());
        let json = Outcome { tally, expected, limit: Limit::Rate, series: None, verified: None }.json();
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["failures"]["a \"quoted\"\nreason"], 3);
        assert_eq!((&read["limited_by"], &read["mb_per_s"]), (&"rate".into(), &105.0.into()));
    }
}
