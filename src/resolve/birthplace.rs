//! Where and for whom something is born: on this core, in the open interval, for the peer at hand.
//!
//! Knows what is shared between cores, and which core this is; does not know what is born.

use crate::examples::Cause;
use crate::model::Peer;
use crate::series::peers::{Maker, Peers};
use crate::series::registry::Registry;
use std::sync::Arc;

/// Where and for whom something is born.
pub(super) struct Birthplace {
    registry: Arc<Registry>,
    core: u16,
    /// Number of the interval that is open on this core.
    interval: u32,
    /// Who sends, and the slot of that peer.
    peer: Peer,
    maker_slot: u16,
}

impl Birthplace {
    /// On `core`, in the first interval, for nobody in particular.
    pub(super) fn new(core: usize, registry: Arc<Registry>) -> Birthplace {
        let peer = Peer::default();
        let maker_slot = Peers::slot_of(registry.state().hash_one(peer));
        Birthplace { registry, core: core as u16, interval: 1, peer, maker_slot }
    }

    /// What all cores share.
    #[inline]
    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// This core.
    pub(super) const fn core(&self) -> u16 {
        self.core
    }

    /// Number of the interval that is open on this core.
    #[inline]
    pub(super) const fn interval(&self) -> u32 {
        self.interval
    }

    /// The interval `number` is open from now on.
    pub(super) fn open(&mut self, number: u32) {
        debug_assert!(number > self.interval, "intervals rise");
        self.interval = number;
    }

    /// What comes from now on comes from this peer.
    pub(super) fn comes_from(&mut self, peer: Peer) {
        if peer != self.peer {
            self.peer = peer;
            self.maker_slot = Peers::slot_of(self.registry.state().hash_one(peer));
        }
    }

    /// Who sends.
    pub(super) const fn peer(&self) -> Peer {
        self.peer
    }

    /// Who makes what is born now.
    pub(super) const fn maker(&self) -> Maker {
        Maker { slot: self.maker_slot, interval: self.interval }
    }

    /// The hash that a stream's table has raw bytes by.
    #[inline]
    pub(super) fn tag(&self, raw: &[u8]) -> u32 {
        self.registry.state().hash_one(raw) as u32
    }

    /// Keeps a metric of a resource as an example, if one is wanted.
    pub(super) fn show(&self, cause: Cause, resource: &[u8], name: &[u8]) {
        self.registry.examples().show(cause, resource, name, self.peer);
    }
}
