//! What the room counts about itself, per destination; telemetry reads it whenever it likes.
//!
//! Does not know: the ledger of points (see `ledger`), names of metrics.
//!
//! Invariant: every counter has one writer, the thread that serves the destination; each stands for itself, so relaxed
//! loads and stores are enough. Bounds: `MESSAGES_MAX` messages of at most 256 bytes.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;

use super::breaker::BreakerState;

/// Messages kept of what destinations said; the newest stay.
pub(super) const MESSAGES_MAX: usize = 16;
/// Bytes kept of one such message.
pub(super) const MESSAGE_BYTES_MAX: usize = 256;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters of one destination since start, plain numbers.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct StatsRow { $($(#[$doc])* pub $name: u64,)* }

        impl StatsRow {
            /// Adds what another counted.
            pub(super) fn add(&mut self, other: &StatsRow) {
                $(self.$name += other.$name;)*
            }
        }

        pub(super) struct Stats { $(pub(super) $name: Counter,)* messages: ArrayQueue<String> }

        impl Stats {
            pub(super) fn new() -> Self {
                Stats { $($name: Counter::default(),)* messages: ArrayQueue::new(MESSAGES_MAX) }
            }

            pub(super) fn read(&self) -> StatsRow {
                StatsRow { $($name: self.$name.0.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Requests answered with full success.
    requests_ok,
    /// Requests answered with partial success (E5).
    requests_partial,
    /// Requests refused for good (E3, E6).
    requests_refused,
    /// Tries answered with a status that asks for a retry (E2, E3).
    tries_retryable,
    /// Tries whose credentials were not taken: 401, 403, UNAUTHENTICATED, PERMISSION_DENIED.
    tries_unauthorized,
    /// Tries that ran into the timeout.
    tries_timed_out,
    /// Tries that ended without an answer.
    tries_disconnected,
    /// Tries that could not connect or resolve the name, or that the destination says it did not look at.
    tries_unconnected,
    /// Answers over the limit (E8).
    responses_too_large,
    /// Requests given up because they are over 64 MiB, or over what the destination takes (413), and cannot be split (E9).
    requests_too_large,
    /// Requests sent as two because they were too large.
    requests_split,
    /// Successes whose body was something else than a response.
    answers_unreadable,
    /// Tries after the first.
    retries,
    /// Retries of bytes the destination may already have taken (E7).
    resent_ambiguous,
    /// Times the destination told us to wait (E4).
    throttled,
    /// Times the breaker opened, after a probe that failed too.
    breaker_opened,
    /// Times it let a probe through.
    breaker_half_opened,
    /// Times it closed.
    breaker_closed,
    /// Connections made.
    connects,
    /// Bytes of request bodies handed to the transport, after compression, retries included; for writers, bytes written.
    bytes_sent,
    /// Bytes of batches that left for good, before compression.
    bytes_delivered,
    /// Requests in flight or waiting for their next try, now.
    in_flight,
}

impl StatsRow {
    /// Changes of the breaker, by the state that it came to.
    pub fn breaker_changes(&self) -> [(BreakerState, u64); 3] {
        [
            (BreakerState::Closed, self.breaker_closed),
            (BreakerState::Open, self.breaker_opened),
            (BreakerState::HalfOpen, self.breaker_half_opened),
        ]
    }

    /// Requests and tries by outcome, for metrics.
    pub fn outcomes(&self) -> [(&'static str, u64); 13] {
        [
            ("ok", self.requests_ok),
            ("partial", self.requests_partial),
            ("refused", self.requests_refused),
            ("retryable", self.tries_retryable),
            ("unauthorized", self.tries_unauthorized),
            ("timed_out", self.tries_timed_out),
            ("disconnected", self.tries_disconnected),
            ("unconnected", self.tries_unconnected),
            ("response_too_large", self.responses_too_large),
            ("request_too_large", self.requests_too_large),
            ("split", self.requests_split),
            ("answer_unreadable", self.answers_unreadable),
            ("resent_ambiguous", self.resent_ambiguous),
        ]
    }
}

/// A counter with one writer.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Stats {
    /// Keeps a message of the destination, escaped and cut.
    pub(super) fn message(&self, text: &str) {
        self.messages.force_push(printable(text));
    }

    /// Takes the messages kept.
    pub(super) fn take_messages(&self) -> Vec<String> {
        (0..MESSAGES_MAX).map_while(|_| self.messages.pop()).collect()
    }
}

/// Foreign text fit for a log line: control characters escaped, at most `MESSAGE_BYTES_MAX` bytes (T22).
pub(super) fn printable(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        let before = out.len();
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
        if out.len() > MESSAGE_BYTES_MAX {
            out.truncate(before);
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T22: what a destination says is one line without control characters, and short.
    #[test]
    fn t22_messages_are_printable_and_short() {
        for (text, expected) in [
            ("plain \u{e9}", "plain \u{e9}"),
            ("a\r\nWARN forged\x1b[31m\0", "a\\r\\nWARN forged\\u{1b}[31m\\u{0}"),
            ("\u{9b}31m", "\\u{9b}31m"),
        ] {
            assert_eq!(printable(text), expected);
        }
        for long in ["x".repeat(5_000), "\u{e9}".repeat(5_000), "\n".repeat(5_000)] {
            assert!((MESSAGE_BYTES_MAX - 8..=MESSAGE_BYTES_MAX).contains(&printable(&long).len()));
        }
        let stats = Stats::new();
        (0..100).for_each(|n| stats.message(&format!("message {n}")));
        let kept = stats.take_messages();
        assert_eq!((kept.len(), kept.last().map(String::as_str)), (MESSAGES_MAX, Some("message 99")));
    }
}
