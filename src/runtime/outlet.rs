//! From the encoder to the queues: each encoded request is shared by all destinations that want its view.

use crate::deliver::{Encoded, Offer, Sender};
use crate::flush::{Outlet, View};
use crate::model::Temporality;
use std::sync::Arc;

/// One shard's way to the queues.
pub(super) struct Queues {
    sender: Sender,
    views: Vec<Temporality>,
}

impl Queues {
    pub fn new(sender: Sender, views: Vec<Temporality>) -> Queues {
        Queues { sender, views }
    }
}

impl Outlet for Queues {
    fn wants(&self, view: View) -> bool {
        self.views.contains(&view.0)
    }

    fn take(&mut self, view: View, request: Vec<u8>, points: u64) {
        let batch = Arc::new(Encoded { bytes: request.into(), points });
        for (d, temporality) in self.views.iter().enumerate() {
            if *temporality == view.0 {
                // a full queue is counted there, and slows nobody else
                match self.sender.offer(d, batch.clone()) {
                    Offer::Queued | Offer::Full => {}
                }
            }
        }
    }
}
