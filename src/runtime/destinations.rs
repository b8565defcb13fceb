//! Destinations while it runs: others are given, if memory and descriptors have room for them.
//!
//! Does not know: who asks, how settings are read, when cuts are made. What destinations need to be reached, files of
//! certificates and headers too, is in the plan already: who reads settings reads these again.
//!
//! Bounds: those of `deliver` and of the memory budget, which stays what it is: what queues take more, series may take less.
//! What destinations hold that are taken out has to fit beside that when others are given.

use super::descriptors;
use super::memory::Memory;
use crate::config::Plan;
use crate::deliver::{Destination, ExchangeRefused, Handle, NewDestinations, Sender};
use crate::flush::Passed;
use crate::problem::{Flaw, Problem};
use crate::rules::Rule;
use crate::series::registry::Registry;
use std::sync::Arc;

/// All destinations of the process.
pub(super) struct Destinations {
    delivery: Handle,
    sender: Sender,
    registry: Arc<Registry>,
    memory: Memory,
    shards: usize,
    /// As they were asked for last.
    asked: Vec<Destination>,
}

/// What became of destinations that were asked for.
pub(super) enum ExchangeOutcome {
    /// They are given to the shards.
    Given,
    /// Those before are not taken up by all shards: ask at the next cut.
    Later,
    /// They cannot be: those before stay.
    Refused(Problem),
}

/// What waits beside one full queue on one shard, bytes.
pub(super) fn held_max(memory: &Memory, shards: usize, destinations: usize) -> usize {
    memory.held / (shards * destinations).max(1)
}

/// Whether a destination that stays chooses otherwise than before, of these rules and of those.
pub(super) fn choose_otherwise<'a>(
    before: (impl Iterator<Item = &'a Destination> + Clone, &[Rule]),
    after: (impl Iterator<Item = &'a Destination>, &[Rule]),
) -> bool {
    let ((before, rules), (mut after, of)) = (before, after);
    after.any(|one| {
        let mut same = before.clone().filter(|old| old.name == one.name);
        same.any(|old| !old.selection.is_like(rules, &one.selection, of))
    })
}

/// What each destination has from an exchange on, in their order, and what it had before: those of before by name, each with its
/// number of a selection.
pub(super) fn passed<'a>(
    before: impl Iterator<Item = &'a Destination> + Clone,
    after: impl Iterator<Item = &'a Destination>,
) -> Box<[Passed]> {
    let of = |one: &Destination| {
        let same = before.clone().find(|old| old.name == one.name);
        Passed { before: same.map(|old| old.selection_number), now: one.selection_number }
    };
    after.map(of).collect()
}

impl Destinations {
    /// Those of a plan, which run.
    pub(super) fn new(
        plan: &Plan,
        (delivery, sender): (Handle, Sender),
        registry: Arc<Registry>,
        (memory, shards): (Memory, usize),
    ) -> Destinations {
        Destinations { delivery, sender, registry, memory, shards, asked: plan.destinations() }
    }

    /// Whether a plan has others, or has these with other settings.
    pub(super) fn would_change(&self, plan: &Plan) -> bool {
        self.asked != plan.destinations()
    }

    /// Every shard hands its batches to the destinations that were given last.
    pub(super) fn is_taken_up(&self) -> bool {
        self.delivery.is_taken_up()
    }

    /// Asks for the destinations of a plan, from a cut on; all or nothing.
    pub(super) fn exchange(&mut self, plan: &Plan, from_cut: u32) -> ExchangeOutcome {
        if !self.is_taken_up() {
            return ExchangeOutcome::Later;
        }
        let asked = plan.destinations();
        match self.give(asked.clone(), plan, from_cut) {
            Ok(()) => {
                self.asked = asked;
                ExchangeOutcome::Given
            }
            Err(problem) => ExchangeOutcome::Refused(problem),
        }
    }

    fn give(&mut self, mut destinations: Vec<Destination>, plan: &Plan, from_cut: u32) -> Result<(), Problem> {
        let connections = self.memory.connections_max.0;
        descriptors::check(&destinations, self.shards, connections, descriptors::raise())?;
        let is_wanted = |name: &str| destinations.iter().any(|one| one.name == name);
        let standings = self.sender.standings();
        let ending = standings.iter().filter(|one| !is_wanted(&one.name)).map(|one| one.queue_bytes).sum();
        let memory = self.memory.exchanged(&mut destinations, ending, self.registry.bytes())?;
        let held_bytes_max = Some(held_max(&memory, self.shards, destinations.len()));
        let (in_flight, end_within) = (memory.in_flight, plan.shutdown_timeout);
        let wanted = NewDestinations { destinations, from_cut, in_flight, held_bytes_max, end_within };
        let refused = |why: ExchangeRefused| Problem::bare("out", Flaw::new(why.to_string()));
        self.delivery.exchange(wanted).map_err(refused)?;
        self.registry.set_memory_limit(memory.series);
        self.memory = memory;
        Ok(())
    }

    /// For the end of the process.
    pub(super) fn into_delivery(self) -> Handle {
        self.delivery
    }
}
