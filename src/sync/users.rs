//! A count of users that ends once: whoever finds it ended looks for, or makes, another one of the thing.
//!
//! Knows a number; does not know what is used, or who uses it.
//!
//! Invariants
//! 1. Once ended it stays ended: nobody enters any more.
//! 2. It ends only where nobody else is in: by the last who leaves, or by one who is in and alone.
//!
//! Progress: lock-free; a call repeats only where another one succeeded.
//!
//! Ordering: AcqRel on every change, so that whoever ends it has seen all that the others did while they were in, and whoever
//! finds it ended sees that the thing is being taken away.

use super::atomic::{
    AtomicU32,
    Ordering::{AcqRel, Acquire, Relaxed},
};

/// Nobody may enter any more.
const ENDED: u32 = u32::MAX;

/// See the file's head.
#[derive(Debug)]
pub struct Users(AtomicU32);

impl Users {
    /// With so many in it.
    pub fn new(count: u32) -> Users {
        Users(AtomicU32::new(count))
    }

    /// One more; `false` when it has ended.
    pub fn enter(&self) -> bool {
        // ORDERING: see the file's head
        self.0.fetch_update(AcqRel, Acquire, |count| (count != ENDED).then(|| count + 1)).is_ok()
    }

    /// One less; `true` where that was the last, and ended it.
    pub fn leave(&self) -> bool {
        // ORDERING: see the file's head
        self.0.fetch_sub(1, AcqRel) == 1 && self.0.compare_exchange(0, ENDED, AcqRel, Relaxed).is_ok()
    }

    /// Ends it if the caller, who is in, is alone; otherwise the caller stays in.
    pub fn end_if_alone(&self) -> bool {
        // ORDERING: see the file's head
        self.0.compare_exchange(1, ENDED, AcqRel, Relaxed).is_ok()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_takes_nobody() {
        let users = Users::new(0);
        assert!(users.enter() && users.enter());
        assert!(!users.end_if_alone() && !users.leave() && users.leave());
        assert!(!users.enter() && !users.enter());
        let users = Users::new(1);
        assert!(users.end_if_alone() && !users.enter());
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::sync::atomic::Ordering;
    use crate::sync::explore;
    use loom::thread;
    use std::sync::Arc;

    /// One thread ends it if it is alone; the other enters, uses the thing, and leaves. Whoever is in never finds the thing
    /// taken away.
    fn model(end: fn(&Users) -> bool) {
        explore(3, move || {
            let users = Arc::new(Users::new(1));
            let taken_away = Arc::new(AtomicU32::new(0));
            let other = {
                let (users, taken_away) = (users.clone(), taken_away.clone());
                thread::spawn(move || {
                    if users.enter() {
                        assert_eq!(taken_away.load(Ordering::Relaxed), 0, "it is there while somebody is in");
                        users.leave();
                    }
                })
            };
            if end(&users) {
                taken_away.store(1, Ordering::Relaxed);
            }
            other.join().unwrap();
        });
    }

    #[test]
    fn loom_users_what_is_used_is_not_ended() {
        model(Users::end_if_alone);
    }

    /// Several enter and leave, the one who made it among them: exactly the last one of them ends it, and is told so.
    #[test]
    fn loom_users_the_last_who_leaves_ends_it() {
        explore(3, || {
            let users = Arc::new(Users::new(1));
            let other = {
                let users = users.clone();
                thread::spawn(move || users.enter().then(|| users.leave()))
            };
            let mine = users.leave();
            let theirs = other.join().unwrap();
            assert_eq!(usize::from(mine) + usize::from(theirs == Some(true)), 1, "{mine} {theirs:?}");
            assert!(!users.enter(), "what has ended is over");
        });
    }

    /// The rig can fail: one who looks first and then ends it takes away what somebody uses.
    #[test]
    #[should_panic(expected = "it is there while somebody is in")]
    fn loom_users_ending_after_a_look_is_caught() {
        model(|users| {
            let alone = users.0.load(Ordering::Acquire) == 1;
            if alone {
                users.0.store(ENDED, Ordering::Release);
            }
            alone
        });
    }
}
