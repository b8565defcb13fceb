//! The thread that waits for delivery to close, so that a writer stuck in its pipe holds up nobody.
//!
//! It is there from the start: where the system sets a wall (`ulimit -v`), there may be no memory for a thread at the end.

use crate::deliver::Handle;
use crate::limits::CLOSING_STACK_BYTES;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How the thread is told, and tells.
pub(super) struct Closing {
    orders: Sender<(Handle, Instant)>,
    closed: Receiver<()>,
}

impl Closing {
    /// Starts the thread, which does nothing yet.
    pub(super) fn prepare() -> io::Result<Closing> {
        let ((orders, ordered), (closed, is_closed)) = (channel::<(Handle, Instant)>(), channel());
        let thread = std::thread::Builder::new().name("closing".into()).stack_size(CLOSING_STACK_BYTES);
        thread.spawn(move || {
            if let Ok((delivery, deadline)) = ordered.recv() {
                delivery.shutdown(deadline);
                let _ = closed.send(());
            }
        })?;
        Ok(Closing { orders, closed: is_closed })
    }

    /// Delivery closes until the deadline.
    pub(super) fn begin(&self, delivery: Handle, deadline: Instant) {
        // a thread that is gone has dropped its end of `closed`, which tells
        let _ = self.orders.send((delivery, deadline));
    }

    /// Waits so long; whether the thread broke. A panic there has been printed; one that still waits is left behind.
    pub(super) fn is_broken(&self, left: Duration) -> bool {
        self.closed.recv_timeout(left) == Err(RecvTimeoutError::Disconnected)
    }
}
