//! What is counted while a run goes on.
//!
//! Knows numbers and reasons; does not know sockets, or how it is told.
//! Invariant: points_per_s counts acknowledged points over the time from the first send to the last answer.

use super::latency::Latencies;
use crate::limits::{LOAD_HEARD_CHARS_MAX, LOAD_HEARD_MAX};
use std::collections::BTreeMap;
use std::time::Duration;

/// The sender must have waited this share of the run for the server before the server is called the limit.
pub(crate) const WAIT_SHARE_MIN: f64 = 0.05;
/// A rate that was kept to this share was kept.
pub(crate) const RATE_KEPT_SHARE: f64 = 0.98;

/// What kept the run from going faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The sending thread was never idle: the server can do more than was asked of it.
    Generator,
    /// The sender waited for answers or for room in the sockets.
    Server,
    /// The rate that was asked for was kept.
    Rate,
    /// Nothing that was measured was acknowledged: there is nothing to tell it by.
    Unmeasured,
}

impl Limit {
    /// The word in the JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Limit::Generator => "generator",
            Limit::Server => "server",
            Limit::Rate => "rate",
            Limit::Unmeasured => "unmeasured",
        }
    }
}

/// Running counts of a part of a run.
#[derive(Clone, Default)]
pub struct Tally {
    /// This part is the warm-up.
    pub warms_up: bool,
    /// Points of the warm-up before this part, which are in no other count here.
    pub warm_up_points: u64,
    /// Those of them that were not acknowledged.
    pub warm_up_lost_points: u64,
    /// Requests begun.
    pub sent_requests: u64,
    /// Points in them.
    pub sent_points: u64,
    /// Points of requests that were answered with success, less those rejected singly.
    pub acknowledged_points: u64,
    /// Points rejected singly, by partial success.
    pub rejected_points: u64,
    /// Points of requests that were refused whole or never answered.
    pub failed_points: u64,
    /// Requests that failed, by reason.
    pub failures: BTreeMap<String, u64>,
    /// What the server said, by reason: the words of its first answer of each kind that was a proper one.
    pub heard: BTreeMap<String, String>,
    /// The server left everything unanswered for so long, and the run was ended for it.
    pub silent: Option<Duration>,
    /// The server could not be reached again, and the run was ended for it: in words.
    pub gone: Option<String>,
    /// Bytes written to the sockets.
    pub written_bytes: u64,
    /// Nanoseconds from the first send to the last answer.
    pub elapsed_ns: u64,
    /// Nanoseconds the sender had nothing to do until the server acted.
    pub waited_server_ns: u64,
    /// Nanoseconds the sender had nothing to do until the next request was due.
    pub waited_rate_ns: u64,
    /// CPU time of the sending thread, as the scheduler counts it; 0 where it does not say.
    pub sender_cpu_ns: u64,
    /// From due to answered.
    pub latencies: Latencies,
}

impl Tally {
    /// Counts a request that failed.
    pub fn fail(&mut self, points: u64, why: String) {
        self.failed_points += points;
        *self.failures.entry(why).or_default() += 1;
    }

    /// Keeps what a server that speaks the protocol gave as its reason, if it is the first of this kind: so much of it as
    /// fits on a line, and nothing that moves a terminal's cursor.
    pub fn hear(&mut self, why: &str, said: &str) {
        if self.heard.contains_key(why) || self.heard.len() == LOAD_HEARD_MAX {
            return;
        }
        let mut words = String::new();
        for c in said.trim().chars().take(LOAD_HEARD_CHARS_MAX) {
            match c {
                '"' | '\'' | '\\' => words.push(c),
                c => words.extend(c.escape_debug()),
            }
        }
        if said.trim().chars().nth(LOAD_HEARD_CHARS_MAX).is_some() {
            words.push('…');
        }
        self.heard.insert(why.to_owned(), words);
    }

    /// A reason with the server's words, where it had any.
    pub(crate) fn told(&self, why: &str) -> String {
        match self.heard.get(why.strip_prefix(WARM_UP).unwrap_or(why)).filter(|words| !words.is_empty()) {
            Some(words) => format!("{why}: {words}"),
            None => why.to_owned(),
        }
    }

    /// Acknowledged points per second.
    pub fn points_per_s(&self) -> f64 {
        self.acknowledged_points as f64 / self.seconds()
    }

    /// Written megabytes (10^6) per second.
    pub fn mb_per_s(&self) -> f64 {
        self.written_bytes as f64 / 1e6 / self.seconds()
    }

    /// Share of the run that was spent waiting for the server.
    pub fn waited_share(&self) -> f64 {
        self.waited_server_ns as f64 / self.elapsed_ns.max(1) as f64
    }

    /// Whether what was sent is exactly what a server must hold: everything was acknowledged, nothing rejected.
    pub fn is_exact(&self) -> bool {
        self.sent_points == self.acknowledged_points && self.warm_up_lost_points == 0
    }

    /// What the measured part begins with, where this was the warm-up before it.
    pub fn after_warm_up(self) -> Tally {
        Tally {
            warm_up_points: self.sent_points,
            warm_up_lost_points: self.sent_points - self.acknowledged_points,
            failures: self.failures.into_iter().map(|(why, count)| (format!("{WARM_UP}{why}"), count)).collect(),
            heard: self.heard,
            silent: self.silent,
            gone: self.gone,
            ..Tally::default()
        }
    }

    /// What ended the run before its time.
    pub fn silence(&self) -> Option<String> {
        let text = |silent: Duration| match silent.as_millis() {
            ms if ms % 1_000 == 0 => format!("no answer for {} s", ms / 1_000),
            ms => format!("no answer for {ms} ms"),
        };
        self.silent.map(text).or_else(|| self.gone.clone())
    }

    /// What limited the run, with the rate that was asked for.
    pub fn limit(&self, rate: Option<f64>) -> Limit {
        match rate {
            _ if self.acknowledged_points == 0 => Limit::Unmeasured,
            Some(rate) if self.points_per_s() >= rate * RATE_KEPT_SHARE => Limit::Rate,
            _ if self.waited_share() > WAIT_SHARE_MIN => Limit::Server,
            _ => Limit::Generator,
        }
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.elapsed_ns.max(1) as f64 / 1e9
    }
}

/// Goes before the reasons of a warm-up.
const WARM_UP: &str = "warm-up: ";
