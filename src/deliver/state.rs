//! What senders and the threads of delivery share.
//!
//! Does not know: protocols, retries, sockets, what is in a queue. Progress: reads and writes of single words.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::ledger::DestinationRow;
use super::queue::Port;

/// What senders and the threads of delivery share.
pub(super) struct DeliveryState {
    pub(super) ports: Box<[Arc<Port>]>,
    /// Monotonic ns at which delivery ends; `u64::MAX` while running.
    pub(super) stop_at: AtomicU64,
    /// Times that files were to be opened again.
    pub(super) reopened: AtomicU64,
    pub(super) senders: AtomicUsize,
}

impl DeliveryState {
    pub(super) fn new(ports: Vec<Arc<Port>>) -> Arc<Self> {
        Arc::new(DeliveryState {
            ports: ports.into(),
            stop_at: AtomicU64::new(u64::MAX),
            reopened: AtomicU64::new(0),
            senders: AtomicUsize::new(0),
        })
    }

    pub(super) fn stop_at(&self) -> Option<u64> {
        let at = self.stop_at.load(Ordering::Acquire);
        (at != u64::MAX).then_some(at)
    }

    pub(super) fn reopened(&self) -> u64 {
        // ORDERING: a number; publishes nothing
        self.reopened.load(Ordering::Relaxed)
    }

    pub(super) fn ring_all(&self) {
        for port in &self.ports {
            port.bell.ring();
        }
    }

    pub(super) fn rows(&self) -> Vec<DestinationRow> {
        self.ports.iter().map(|port| port.ledger.read()).collect()
    }
}
