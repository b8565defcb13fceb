//! How points stand: the ledgers of all shards and destinations together.
//!
//! Does not know: who asks. Progress: reads what others publish, and waits for nobody.

use crate::deliver::{DestinationRow, Sender};
use crate::ledger::{self, Tally};
use crate::sync::row::CounterRow;
use crate::telemetry::ledger::LedgerPage;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What is needed to say how things stand.
#[derive(Clone)]
pub(super) struct Account {
    rows: Arc<[Arc<CounterRow<{ ledger::WORDS }>>]>,
    sender: Sender,
    /// The ledger has been told.
    told: Arc<AtomicBool>,
}

impl Account {
    pub(super) fn new(rows: impl IntoIterator<Item = Arc<CounterRow<{ ledger::WORDS }>>>, sender: Sender) -> Account {
        Account { rows: rows.into_iter().collect(), sender, told: Arc::default() }
    }

    /// By shard.
    pub(super) fn tallies(&self) -> Vec<Tally> {
        self.rows.iter().map(|row| Tally::from_words(row.read())).collect()
    }

    pub(super) fn tally(&self) -> Tally {
        Tally::sum(self.tallies())
    }

    /// Name and row of each.
    pub(super) fn destinations(&self) -> Vec<(String, DestinationRow)> {
        (0..self.sender.destinations()).map(|d| (self.sender.name(d).to_string(), self.sender.ledger(d))).collect()
    }

    /// The ledger's page.
    pub(super) fn json(&self, verified_open: Option<u64>) -> String {
        LedgerPage { tally: &self.tally(), destinations: &self.destinations(), verified_open }.json()
    }

    /// Tells the ledger as it stands, unless that was done before.
    pub(super) fn tell_once(&self) {
        // ORDERING: a flag; publishes nothing
        if !self.told.load(Relaxed) {
            LedgerPage { tally: &self.tally(), destinations: &self.destinations(), verified_open: None }.say();
        }
    }

    /// Somebody told it.
    pub(super) fn mark_told(&self) {
        // ORDERING: a flag; publishes nothing
        self.told.store(true, Relaxed);
    }
}
