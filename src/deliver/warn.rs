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
}
