//! `--watch`: files of settings that change are noticed by looking at them.
//!
//! Does not know: what a file says; `Sources` hashes it. A look reads what links lead to, so that files that are exchanged by a
//! link (Kubernetes) are seen, and no file system has to tell.
//!
//! Progress: a thread of its own, which waits for nobody. Bounds: one look in each period. What was seen once only, such as a
//! file that is half written, is looked at once more before it counts.

use super::reload::Sources;
use crate::limits::CLOSING_STACK_BYTES;
use crate::runtime::asks::Ask;
use crate::runtime::shared::ProcessState;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Which look tells of a change.
struct Looks {
    /// What was last told of, or read at the start.
    told: u64,
    last: u64,
}

impl Looks {
    fn new(first: u64) -> Looks {
        Looks { told: first, last: first }
    }

    /// Whether this look is the second one in a row to see the same change.
    fn tells(&mut self, seen: u64) -> bool {
        let is_same = std::mem::replace(&mut self.last, seen) == seen;
        let tells = is_same && seen != self.told;
        if tells {
            self.told = seen;
        }
        tells
    }
}

/// Starts the thread; the control thread is asked at each change.
pub(super) fn begin(sources: Arc<dyn Sources>, every: Duration, shared: Arc<ProcessState>) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("watch".into()).stack_size(CLOSING_STACK_BYTES);
    thread.spawn(move || {
        let mut looks = Looks::new(sources.first_look());
        loop {
            std::thread::sleep(every);
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

    /// Each change is told once, at its second look; what is half written, and what is as it was, is not.
    #[test]
    fn a_change_counts_once_two_looks_agree() {
        let mut looks = Looks::new(1);
        let told: Vec<bool> = [1, 2, 3, 3, 3, 4, 3, 3, 5, 5, 1, 1].map(|seen| looks.tells(seen)).into();
        let want = [false, false, false, true, false, false, false, false, false, true, false, true];
        assert_eq!(told, want);
    }
}
