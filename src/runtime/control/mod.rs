//! The control thread: makes cuts, serves the scrape page and the admin door, follows signals, ends the process.
//!
//! ```text
//!   timer ─► publish cut ─► wake shards ─► (late? skip) ─► all merged ─► next
//!   SIGTERM ─► ready no more ─► drain ─► last cut ─► deliver ─► ledger ─► exit code
//! ```
//!
//! | file | job |
//! |---|---|
//! | `schedule` | when cuts are made, in numbers |
//! | `pages`, `scrapes`, `verify`, `listings` | what the scrape and the admin door answer |
//! | `reload` | settings that are read again |
//! | `watch` | files that change are noticed |
//! | `turns` | one turn of the loop |
//! | `shutdown` | the end |
//!
//! Progress: never holds anything a shard waits for. Bounds: those of its files. What was left at the end is said, and which
//! shard is stuck; where this thread is, `signals` has the last word.

mod listings;
mod pages;
mod reload;
pub(super) mod schedule;
mod scrapes;
mod shutdown;
mod turns;
mod verify;
mod watch;

pub use reload::Sources;
pub(super) use shutdown::End;
pub(super) use turns::WAKE;

use super::account::Account;
use super::clock;
use super::closing::Closing;
use super::destinations::Destinations;
use super::losses::Losses;
use super::memory::Memory;
use super::rules_said::RulesSaid;
use super::shared::{ProcessState, Readings};
use super::signals;
use crate::capture;
use crate::clock::Now;
use crate::config::{Plan, Settled};
use crate::deliver::Sender;
use crate::flush::FoldShared;
use crate::listen::pages::{Options as PageOptions, PageServer};
use listings::ListingTurn;
use mio::net::TcpListener;
use pages::StatusPages;
use reload::Reloads;
use schedule::{CutCounts, Schedule};
use scrapes::Scrapes;
use shutdown::Shutdown;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use turns::{ControlTurn, PAGES, Turns};
use verify::VerifyTurn;

pub(super) struct ControlParts<'a> {
    pub plan: &'a Plan,
    pub shared: Arc<ProcessState>,
    pub poll: mio::Poll,
    pub pages: Vec<(TcpListener, u8)>,
    pub shards: Vec<Readings>,
    pub sender: Sender,
    pub destinations: Destinations,
    pub started: Now,
    pub memory: Memory,
    pub folds: Arc<FoldShared>,
    pub capture: Option<capture::CaptureWatch>,
    /// What is followed: once in a process.
    pub signals: Option<signal_hook::iterator::Signals>,
    /// What was asked for, and where it is read again.
    pub settled: Settled,
    pub sources: Arc<dyn Sources>,
}

pub(super) struct Control {
    turns: Turns,
    shutdown: Shutdown,
}

impl Control {
    pub(super) fn new(parts: ControlParts<'_>) -> io::Result<Control> {
        let rows = parts.shards.iter().map(|shard| shard.ledger.clone());
        let account = Account::new(rows, parts.sender.clone(), (parts.shared.gates.clone(), parts.folds.clone()));
        let shutdown = Shutdown { closing: Closing::prepare()? };
        if let Some(every) = parts.plan.watch {
            watch::begin(parts.sources.clone(), every, parts.shared.clone())?;
        }
        if let Some(caught) = parts.signals {
            let reloads = parts.sources.has_files();
            signals::follow(caught, (parts.shared.clone(), reloads), parts.sender.clone(), account.clone())?;
        }
        let page_options = PageOptions {
            connections_max: parts.memory.connections_max.1,
            allowed_hosts: parts.plan.allowed_hosts.clone(),
            ..PageOptions::default()
        };
        let server = PageServer::new(page_options, parts.pages, parts.poll.registry().try_clone()?, PAGES)?;
        let pages = StatusPages {
            shared: parts.shared.clone(),
            shards: parts.shards,
            sender: parts.sender,
            account,
            scrapes: Scrapes::new(parts.memory.page_merge, parts.plan.translation, parts.plan.created),
            reloads: Reloads::new(parts.sources, parts.settled, parts.started.wall_ns),
            verifying: VerifyTurn::default(),
            listing: ListingTurn::default(),
            interval_s: parts.plan.interval.as_secs_f64(),
            cuts: CutCounts::default(),
            started_ns: parts.started.mono_ns,
            series_limit: parts.plan.series_limit,
            connections: parts.plan.connections,
            bodies_bytes_max: parts.memory.bodies,
            capture: parts.capture,
            stopping: false,
        };
        let turns = Turns {
            poll: parts.poll,
            events: mio::Events::with_capacity(EVENTS),
            server,
            pages,
            shared: parts.shared,
            folds: parts.folds,
            destinations: Some(parts.destinations),
            schedule: Schedule::new(parts.started, parts.plan.interval.as_nanos() as u64),
            losses: Losses::default(),
            rules_said: RulesSaid::default(),
        };
        Ok(Control { turns, shutdown })
    }

    /// Runs until a signal.
    pub(super) fn run(mut self, threads: Vec<JoinHandle<()>>) -> End {
        let mut busy = false;
        loop {
            if threads.iter().any(JoinHandle::is_finished) {
                // a shard never ends by itself: its panic has been printed
                crate::log::tell(format_args!("catchment: a shard ended unexpectedly; what it held is lost"));
                // the others run on, and hold what they hold
                return End { code: crate::FAILURE, stuck: true };
            }
            let wait = if busy { Duration::ZERO } else { self.turns.wait(clock::now()) };
            match self.turns.turn(wait) {
                ControlTurn::Signalled => return self.shutdown.end(self.turns, threads),
                turned => busy = turned == ControlTurn::Busy,
            }
        }
    }
}

/// Events of one wait.
const EVENTS: usize = 128;

#[cfg(test)]
mod tests;
