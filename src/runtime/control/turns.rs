//! One turn of the control thread: signals, pages, cuts, and a look at what was lost.
//!
//! Does not know: how the process ends. Progress: never holds anything a shard waits for.

use super::pages::StatusPages;
use super::reload::ReloadCause;
use super::schedule::{Schedule, Woken};
use crate::clock::Now;
use crate::config::Settled;
use crate::flush::FoldShared;
use crate::listen::pages::PageServer;
use crate::runtime::asks::Ask;
use crate::runtime::clock;
use crate::runtime::destinations::Destinations;
use crate::runtime::losses::Losses;
use crate::runtime::rules_said::RulesSaid;
use crate::runtime::shared::ProcessState;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Token of the waker.
pub(in crate::runtime) const WAKE: mio::Token = mio::Token(0);
/// Tokens of pages begin here.
pub(super) const PAGES: usize = 1;
/// Longest wait for events.
const POLL_MAX: Duration = Duration::from_millis(500);

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ControlTurn {
    /// There is no more to do now.
    Idle,
    /// There is more to do at once.
    Busy,
    /// A signal came that ends the process.
    Signalled,
}

/// What the thread works with.
pub(super) struct Turns {
    pub poll: mio::Poll,
    pub events: mio::Events,
    pub server: PageServer<mio::Registry>,
    pub pages: StatusPages,
    pub shared: Arc<ProcessState>,
    pub folds: Arc<FoldShared>,
    /// There until delivery ends.
    pub destinations: Option<Destinations>,
    pub schedule: Schedule,
    pub losses: Losses,
    pub rules_said: RulesSaid,
}

impl Turns {
    /// Waits for events at most so long, and works on them.
    pub(super) fn turn(&mut self, longest: Duration) -> ControlTurn {
        self.poll(longest);
        if self.signalled() {
            return ControlTurn::Signalled;
        }
        let now = clock::now();
        // before pages: whoever waits for it is answered in the same turn
        self.reload(now);
        let busy = self.serve(now);
        self.cuts(now);
        if self.losses.is_time(now.mono_ns) {
            self.look_at_losses(now.mono_ns, false);
        }
        if busy { ControlTurn::Busy } else { ControlTurn::Idle }
    }

    /// How long nothing will be due.
    pub(super) fn wait(&self, now: Now) -> Duration {
        let wait = self.schedule.wait(&self.shared.board, now, POLL_MAX);
        self.server.next_timeout(now).map_or(wait, |timer| timer.min(wait))
    }

    pub(super) fn poll(&mut self, wait: Duration) {
        if let Err(error) = self.poll.poll(&mut self.events, Some(wait))
            && error.kind() != io::ErrorKind::Interrupted
        {
            tracing::error!(%error, "poll failed");
        }
    }

    /// Whether a signal came that ends the process.
    pub(super) fn signalled(&mut self) -> bool {
        let asks = &self.shared.asks;
        let (has_changed, is_hangup) = (asks.take(Ask::Changed), asks.take(Ask::Hangup));
        if has_changed {
            self.pages.reloads.want(ReloadCause::Watch);
        }
        if is_hangup {
            self.pages.reloads.want(ReloadCause::Signal);
        }
        asks.take(Ask::End)
    }

    /// Goes on with settings that are read again.
    fn reload(&mut self, now: Now) {
        let before = self.pages.reloads.is_over();
        if let Some(cause) = self.pages.reloads.wanted()
            && let Err(why) = self.pages.begin_reload(cause)
        {
            self.pages.reloads.cannot_begin(why);
        }
        self.pages.reloads.turn(now.mono_ns);
        if let Some(destinations) = &self.destinations {
            self.pages.reloads.settle((&self.shared.gates, &self.folds, destinations), now);
        }
        self.apply();
        if self.pages.reloads.is_answering(now.mono_ns) || !before && self.pages.reloads.is_over() {
            self.server.rouse();
        }
    }

    /// The process ends: who waits for a reload is answered.
    pub(super) fn end_reloads(&mut self) {
        self.pages.stopping = true;
        self.pages.reloads.end();
        self.server.rouse();
    }

    /// What needs no cut is in force as soon as nothing can give the settings up any more.
    fn apply(&mut self) {
        if let Some(is_in_force) = self.pages.reloads.take_watched() {
            self.shared.asks.answer(is_in_force);
        }
        let Some(Settled { plan, .. }) = self.pages.reloads.take_replaced() else { return };
        crate::log::filter_by(&plan.log);
        self.server.allow(&plan.allowed_hosts);
        self.pages.scrapes.translate_by(plan.translation, plan.created);
        self.shared.shutdown.set(plan.shutdown_delay, plan.shutdown_timeout);
    }

    /// Whether there is more to do at once.
    pub(super) fn serve(&mut self, now: Now) -> bool {
        self.events.iter().filter(|e| e.token().0 >= PAGES).for_each(|event| self.server.on_event(event.into()));
        let busy = self.server.turn(&mut self.pages, now);
        if self.server.next_timeout(now) == Some(Duration::ZERO) {
            self.server.on_timers(&mut self.pages, now);
        }
        busy
    }

    /// Publishes a cut that is due, and skips shards that are late for the last one.
    pub(super) fn cuts(&mut self, now: Now) {
        if let Some(destinations) = &mut self.destinations
            && self.schedule.is_due(&self.shared.board, now)
        {
            // before the cut: whoever switches for it takes it up
            let next_cut = self.schedule.number() + 1;
            let to = (&*self.shared.gates, &*self.folds, destinations);
            self.pages.reloads.offer(to, next_cut, now.mono_ns);
            self.apply();
            if self.pages.reloads.is_over() {
                // it may have been refused: whoever waits for it is answered
                self.server.rouse();
            }
        }
        self.folds.settle();
        self.schedule.exchange_with_next(self.folds.is_pending());
        let woken = self.schedule.turn(&self.shared.board, now);
        self.wake(woken);
    }

    /// Publishes a cut now; whether it could be.
    pub(super) fn cut(&mut self, now: Now) -> bool {
        let woken = self.schedule.cut_last(&self.shared.board, now);
        self.wake(woken);
        woken == Woken::Shards
    }

    /// Skips shards that are late for the last cut.
    pub(super) fn skip_late(&mut self, now: Now) {
        let woken = self.schedule.skip_late(&self.shared.board, now);
        self.wake(woken);
    }

    fn wake(&mut self, woken: Woken) {
        self.pages.cuts = self.schedule.counts();
        match woken {
            Woken::Shards => self.shared.wake_all(),
            Woken::Nobody => {}
        }
    }

    /// The last cut, if there is one, is merged.
    pub(super) fn is_merged(&self) -> bool {
        self.shared.board.all_merged(self.schedule.number())
    }

    /// A shard was late for the last cut.
    pub(super) fn was_missed(&self) -> bool {
        self.schedule.was_missed()
    }

    /// Says what was lost since the last look; at the end, whatever was not said.
    pub(super) fn look_at_losses(&mut self, now_ns: u64, ending: bool) {
        let (tally, examples) = (self.pages.account.tally(), self.shared.registry.examples());
        self.losses.look(&tally, examples, &self.pages.account.destinations(), now_ns, ending);
        self.losses.look_at_doors(&self.pages.at_doors(), examples, now_ns, ending);
        let cut = self.shared.board.published();
        self.rules_said.look(&self.folds, (&tally, cut), now_ns, ending);
    }
}
