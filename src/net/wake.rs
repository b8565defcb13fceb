//! The one waker of a shard: a flag that says that the session being polled wants to be polled again.
//!
//! Does not know which session. Invariant: wakers handed to sessions fire only inside the poll of that session (all
//! of `h2`'s and `hyper`'s parts of a connection are driven by its own poll; nothing here is moved to another
//! thread), so the flag always speaks of the session that is being driven.
//!
//! Ordering: written and read by one thread; atomic only because `Waker` has to be `Sync`. Relaxed is enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

#[derive(Default)]
struct Raised(AtomicBool);

impl Wake for Raised {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // ORDERING: same thread as `Flag::take`, see the header
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The flag and the waker that raises it.
pub struct Flag {
    raised: Arc<Raised>,
    waker: Waker,
}

impl Default for Flag {
    fn default() -> Self {
        let raised = Arc::new(Raised::default());
        Flag { waker: Waker::from(Arc::clone(&raised)), raised }
    }
}

impl Flag {
    /// The waker for the sessions' `Context`. Cloning it counts a reference and allocates nothing.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Whether it was raised since the last call; lowers it.
    pub fn take(&self) -> bool {
        // ORDERING: same thread as `wake_by_ref`, see the header
        let raised = self.raised.0.load(Ordering::Relaxed);
        if raised {
            self.raised.0.store(false, Ordering::Relaxed);
        }
        raised
    }
}
