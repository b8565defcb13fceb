//! Rate-limited log lines about one destination: the first failure, then one per 30 s, and one when it recovers.
//!
//! Does not know: what failed; it is given words. Foreign text is escaped and cut (T22).

use super::stats::printable;

/// Time between two warnings about one destination, ns.
pub(super) const WARN_EVERY_NS: u64 = 30_000_000_000;

/// What was said about one destination.
#[derive(Default)]
pub(super) struct Warner {
    failing: bool,
    last_ns: Option<u64>,
    unsaid: u64,
}

impl Warner {
    /// Something went wrong; says so if it is time. True if a line was written.
    pub(super) fn failed(&mut self, destination: &str, error: &str, remedy: &str, now_ns: u64) -> bool {
        self.failing = true;
        self.note(destination, error, remedy, now_ns)
    }

    /// Worth a line, yet the destination works: partial success.
    pub(super) fn note(&mut self, destination: &str, error: &str, remedy: &str, now_ns: u64) -> bool {
        if self.last_ns.is_some_and(|last| now_ns.saturating_sub(last) < WARN_EVERY_NS) {
            self.unsaid += 1;
            return false;
        }
        self.last_ns = Some(now_ns);
        let unsaid = Some(std::mem::take(&mut self.unsaid)).filter(|unsaid| *unsaid > 0);
        tracing::warn!(destination, error = %printable(error), remedy, unsaid, "delivery is in trouble");
        true
    }

    /// It works again; says so once. True if a line was written.
    pub(super) fn recovered(&mut self, destination: &str) -> bool {
        if !self.failing {
            return false;
        }
        *self = Warner::default();
        tracing::info!(destination, "delivery works again");
        true
    }
}

/// What was said about one breaker: that it opened, at most every 30 s, and that it closed, where it was said that it opened.
#[derive(Default)]
pub(super) struct BreakerWarner {
    last_ns: Option<u64>,
    /// When what was said last began, ns.
    opened_ns: Option<u64>,
    unsaid: u64,
}

impl BreakerWarner {
    /// It opened. True if a line was written.
    pub(super) fn opened(&mut self, destination: &str, error: &str, remedy: &str, now_ns: u64) -> bool {
        if self.opened_ns.is_some() {
            // a probe failed: nothing new
            return false;
        }
        if self.last_ns.is_some_and(|last| now_ns.saturating_sub(last) < WARN_EVERY_NS) {
            self.unsaid += 1;
            return false;
        }
        (self.last_ns, self.opened_ns) = (Some(now_ns), Some(now_ns));
        let unsaid = Some(std::mem::take(&mut self.unsaid)).filter(|unsaid| *unsaid > 0);
        let error = printable(error);
        tracing::warn!(
            destination, %error, remedy, unsaid,
            "the breaker is open: data waits, and one request at a time is tried"
        );
        true
    }

    /// It closed. True if a line was written.
    pub(super) fn closed(&mut self, destination: &str, now_ns: u64) -> bool {
        let Some(opened_ns) = self.opened_ns.take() else { return false };
        let seconds = now_ns.saturating_sub(opened_ns) / 1_000_000_000;
        tracing::info!(destination, seconds, "the breaker is closed: everything goes there again");
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_then_every_thirty_seconds_then_recovery() {
        let mut warner = Warner::default();
        let said: Vec<bool> = [0, 1, 29, 30, 31, 61].map(|s| warner.failed("d", "e", "r", s * 1_000_000_000)).into();
        assert_eq!(said, [true, false, false, true, false, true]);
        assert!(warner.recovered("d"));
        assert!(!warner.recovered("d"));
        assert!(warner.failed("d", "e", "r", 62_000_000_000));
    }

    /// One that opens and closes all the time fills no log, and no line says that it closed of which none said that it opened.
    #[test]
    fn a_breaker_is_told_of_when_it_opens_and_when_it_closes() {
        const SECOND: u64 = 1_000_000_000;
        let mut warner = BreakerWarner::default();
        assert!(!warner.closed("d", 0), "it was not open");
        assert!(warner.opened("d", "e", "r", 0) && !warner.opened("d", "e", "r", 90 * SECOND), "a probe that failed");
        assert!(warner.closed("d", 91 * SECOND) && !warner.closed("d", 91 * SECOND));
        assert!(warner.opened("d", "e", "r", 92 * SECOND) && warner.closed("d", 93 * SECOND));
        assert!((94..122).all(|s| !warner.opened("d", "e", "r", s * SECOND) && !warner.closed("d", s * SECOND)));
        assert!(warner.opened("d", "e", "r", 122 * SECOND) && warner.closed("d", 123 * SECOND));
    }
}
