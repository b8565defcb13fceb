//! `--watch`: files of settings that change are noticed by looking at them.
//!
//! Does not know: what a file says; `Sources` hashes it. A look reads what links lead to, so that files that are exchanged by a
//! link (Kubernetes) are seen, and no file system has to tell.
//!
//! What was refused, or came too late, may be right later, when a file that it names is there: it is tried again.
//!
//! Progress: a thread of its own, which waits for nobody. Bounds: one look in each period. What was seen once only, such as a
//! file that is half written, is looked at once more before it counts. `limits::WATCH_AGAIN_MAX` for a next try.

use super::reload::Sources;
use crate::limits::{CLOSING_STACK_BYTES, WATCH_AGAIN_MAX};
use crate::runtime::asks::Ask;
use crate::runtime::shared::ProcessState;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Which look tells of a change.
struct Looks {
    /// What is in force: told of and taken, or read at the start.
    in_force: u64,
    last: u64,
    /// What was last told of.
    told: u64,
    /// What became of it is not known.
    is_waiting: bool,
    /// So many looks before what was not taken is tried once more.
    pause: u32,
    /// The pause after the next time that it is not taken.
    next_pause: u32,
    pause_max: u32,
}

impl Looks {
    /// `pause_max`: the most looks between two tries.
    fn new(first: u64, pause_max: u32) -> Looks {
        Looks { in_force: first, last: first, told: first, is_waiting: false, pause: 0, next_pause: 1, pause_max }
    }

    /// What became of the change that was told.
    fn hear(&mut self, is_in_force: bool) {
        self.is_waiting = false;
        if is_in_force {
            (self.in_force, self.next_pause) = (self.told, 1);
        } else {
            self.pause = self.next_pause;
            self.next_pause = self.next_pause.saturating_mul(2).min(self.pause_max);
        }
    }

    /// Whether this look is the second one in a row to see the same change, or it is time to try one again.
    fn tells(&mut self, seen: u64) -> bool {
        let is_same = std::mem::replace(&mut self.last, seen) == seen;
        self.pause = self.pause.saturating_sub(1);
        let is_tried = seen == self.told;
        if !is_same || self.is_waiting || seen == self.in_force || is_tried && self.pause > 0 {
            return false;
        }
        if !is_tried {
            self.next_pause = 1;
        }
        (self.told, self.is_waiting) = (seen, true);
        true
    }
}

/// Starts the thread; the control thread is asked at each change.
pub(super) fn begin(sources: Arc<dyn Sources>, every: Duration, shared: Arc<ProcessState>) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("watch".into()).stack_size(CLOSING_STACK_BYTES);
    thread.spawn(move || {
        let pause_max = WATCH_AGAIN_MAX.as_nanos() / every.as_nanos().max(1);
        let mut looks = Looks::new(sources.first_look(), u32::try_from(pause_max).unwrap_or(u32::MAX).max(1));
        loop {
            std::thread::sleep(every);
            if let Some(is_in_force) = shared.asks.take_answer() {
                looks.hear(is_in_force);
            }
            if looks.tells(sources.look()) {
                shared.ask(Ask::Changed);
            }
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each change is told once, at its second look; what is half written, and what is in force, is not.
    #[test]
    fn a_change_counts_once_two_looks_agree() {
        let mut looks = Looks::new(1, 8);
        let mut look = |seen| {
            let tells = looks.tells(seen);
            if tells {
                looks.hear(true);
            }
            tells
        };
        let told: Vec<bool> = [1, 2, 3, 3, 3, 4, 3, 3, 5, 5, 1, 1].map(&mut look).into();
        let want = [false, false, false, true, false, false, false, false, false, true, false, true];
        assert_eq!(told, want);
    }

    /// What is not taken is tried again, after longer and longer; what is taken is not, and nothing is while one is under way.
    #[test]
    fn what_is_not_taken_is_tried_again() {
        let mut looks = Looks::new(1, 4);
        assert_eq!([2, 2, 2, 3, 3].map(|seen| looks.tells(seen)), [false, true, false, false, false], "it waits");
        let mut tried = Vec::new();
        for n in 0..20 {
            // 3 from now on, which waits for what became of 2
            if looks.is_waiting {
                looks.hear(false);
            }
            if looks.tells(3) {
                tried.push(n);
            }
        }
        assert_eq!(tried, [0, 1, 3, 7, 11, 15, 19]);
        // what was before is in force all the while
        looks.hear(false);
        assert_eq!([1; 9].map(|seen| looks.tells(seen)), [false; 9]);
        assert_eq!([3, 3].map(|seen| looks.tells(seen)), [false, true]);
        looks.hear(true);
        assert_eq!([3; 9].map(|seen| looks.tells(seen)), [false; 9]);
        assert_eq!([1, 1].map(|seen| looks.tells(seen)), [false, true], "it is another one now");
    }
}
