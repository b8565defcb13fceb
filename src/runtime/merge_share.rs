//! How much of a loop's time goes to merging while there are sockets to serve.
//!
//! Knows times; does not know what is merged or served.

use crate::limits::{SLICE, SOCKETS_TO_MERGE};

/// What merging may take of a loop that has sockets to serve: see `limits::SOCKETS_TO_MERGE`. Once it has taken half of the
/// interval it takes all it needs.
pub(super) struct MergeShare {
    /// When the merge began.
    begun_ns: u64,
    /// Time that is due to merging.
    credit_ns: i64,
    /// How long a merge may share.
    hurry_ns: u64,
}

/// A turn that took no longer for its sockets had little to do: nobody is kept waiting.
const QUIET_TURN_NS: u64 = 20_000;

impl MergeShare {
    /// Nothing is being merged yet; a merge may share for so long.
    pub(super) const fn new(hurry_ns: u64) -> MergeShare {
        MergeShare { begun_ns: 0, credit_ns: 0, hurry_ns }
    }

    /// A merge begins.
    pub(super) const fn begin(&mut self, now_ns: u64) {
        (self.begun_ns, self.credit_ns) = (now_ns, 0);
    }

    /// The slice of this turn, whose sockets took `sockets_ns`; nothing if merging has had its share.
    pub(super) fn slice(&mut self, now_ns: u64, sockets_ns: u64) -> Option<u64> {
        let whole = SLICE.as_nanos() as u64;
        if sockets_ns < QUIET_TURN_NS || now_ns.saturating_sub(self.begun_ns) > self.hurry_ns {
            self.credit_ns = whole as i64;
            return Some(whole);
        }
        self.credit_ns = (self.credit_ns + (sockets_ns / SOCKETS_TO_MERGE) as i64).min(whole as i64);
        u64::try_from(self.credit_ns).ok().filter(|credit| *credit > 0)
    }

    pub(super) const fn spend(&mut self, ns: u64) {
        self.credit_ns -= ns as i64;
    }
}
