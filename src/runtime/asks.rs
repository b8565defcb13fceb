//! What other threads ask of the control thread: that the process ends, or that settings are read again.
//!
//! Does not know: who asks, or what is done then. Whoever asks wakes the control thread behind it.
//!
//! Whoever looks at files hears what became of a change.
//!
//! Progress: wait-free. Bounds: a flag for each thing, so that nothing that is asked often keeps anything else out.

use std::sync::atomic::Ordering::{AcqRel, Release};
use std::sync::atomic::{AtomicBool, AtomicU8};

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
    /// What became of the last change: nothing that is known, in force, or not taken.
    answer: AtomicU8,
}

const IN_FORCE: u8 = 1;
const NOT_TAKEN: u8 = 2;

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

    /// Says what became of files that changed.
    pub(super) fn answer(&self, is_in_force: bool) {
        // ORDERING: as `ask`
        self.answer.store(if is_in_force { IN_FORCE } else { NOT_TAKEN }, Release);
    }

    /// Whether files that changed are in force; nothing before that is known, and once it was heard.
    pub(super) fn take_answer(&self) -> Option<bool> {
        // ORDERING: as `take`
        match self.answer.swap(0, AcqRel) {
            IN_FORCE => Some(true),
            NOT_TAKEN => Some(false),
            _ => None,
        }
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
        for is_in_force in [true, false] {
            asks.answer(is_in_force);
            assert_eq!([asks.take_answer(), asks.take_answer()], [Some(is_in_force), None]);
        }
    }
}
