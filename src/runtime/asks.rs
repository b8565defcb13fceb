//! What other threads ask of the control thread: that the process ends, or that settings are read again.
//!
//! Does not know: who asks, or what is done then. Whoever asks wakes the control thread behind it.
//!
//! Progress: wait-free. Bounds: a flag for each thing, so that nothing that is asked often keeps anything else out.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Release};

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// The process is to end.
    End,
    /// Settings are to be read again.
    Hangup,
    /// Files of settings have changed.
    Changed,
}

/// What was asked, and is not taken yet.
#[derive(Debug, Default)]
pub(super) struct Asks {
    end: AtomicBool,
    hangup: AtomicBool,
    changed: AtomicBool,
}

impl Asks {
    /// Asks; what was asked and is not taken is asked once.
    pub(super) fn ask(&self, what: Ask) {
        // ORDERING: Release pairs with `take`: who takes it sees what whoever asked did before
        self.of(what).store(true, Release);
    }

    /// Whether it was asked since it was last taken.
    pub(super) fn take(&self, what: Ask) -> bool {
        // ORDERING: Acquire pairs with `ask`; Release keeps the flag's clearing before what is done for it
        self.of(what).swap(false, AcqRel)
    }

    const fn of(&self, what: Ask) -> &AtomicBool {
        match what {
            Ask::End => &self.end,
            Ask::Hangup => &self.hangup,
            Ask::Changed => &self.changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is taken once, however often it was asked, and none keeps another one out.
    #[test]
    fn what_is_asked_often_keeps_nothing_out() {
        let asks = Asks::default();
        for _ in 0..100_000 {
            asks.ask(Ask::Hangup);
        }
        asks.ask(Ask::End);
        assert_eq!([Ask::End, Ask::Hangup, Ask::Changed].map(|what| asks.take(what)), [true, true, false]);
        assert_eq!([Ask::End, Ask::Hangup, Ask::Changed].map(|what| asks.take(what)), [false; 3]);
    }
}
