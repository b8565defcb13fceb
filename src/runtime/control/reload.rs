//! Settings that are read again while it runs: one reload at a time, from the asking to what became of it.
//!
//! ```text
//!   SIGHUP, POST, --watch ─► read (a thread of its own) ─► wrong: told, nothing changes
//!                                                      └─► right ─► the next cut: offered ─► all shards have it: applied
//! ```
//!
//! Knows when each step is due; does not know files, nor what a shard does with a plan. Time is an argument.
//!
//! Progress: the control thread asks, and waits for nobody. Bounds: one thread that reads, and beside it
//! `limits::RELOAD_READERS_MAX` that were given up; `limits::RELOAD_MAX` for reading, for a cut that is overdue, and for shards
//! that take a plan up. What is not read or offered by then is given up, and the plan
//! before stays; what is offered cannot be taken back, and is told as late until all have it.

use crate::clock::Now;
use crate::config::{SettingDifferences, Settled};
use crate::flush::FoldShared;
use crate::limits::{RELOAD_ANSWER_MAX, RELOAD_MAX, RELOAD_READERS_MAX, RELOAD_STACK_BYTES};
use crate::problem::Problem;
use crate::runtime::destinations::{Destinations, ExchangeOutcome, choose_otherwise, passed};
use crate::runtime::gates::GateBoard;
use crate::telemetry::reloads::{ReloadFacts, ReloadResult};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

/// Where settings come from.
pub trait Sources: Send + Sync {
    /// Settings as they stand there now beside those that run, and what differs.
    ///
    /// # Errors
    /// Everything that is wrong.
    fn read(&self, running: &Settled) -> Result<(Settled, SettingDifferences), Vec<Problem>>;

    /// Whether there is a file, so that a signal that means others things as well means them, too.
    fn has_files(&self) -> bool;

    /// As `look`, before files were read at the start.
    fn first_look(&self) -> u64;

    /// A hash of all that files say; another one where they say something else.
    fn look(&self) -> u64;
}

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtime) enum ReloadCause {
    Signal,
    Post,
    Watch,
}

impl ReloadCause {
    const fn words(self) -> &'static str {
        match self {
            ReloadCause::Signal => "SIGHUP",
            ReloadCause::Post => "POST /-/reload",
            ReloadCause::Watch => "--watch",
        }
    }
}

/// What became of a reload.
#[derive(Clone, Debug)]
pub(super) enum ReloadOutcome {
    /// It is in force.
    Applied { differences: SettingDifferences, took_ns: u64 },
    /// It is right, and waits for the next cut.
    Waits { differences: SettingDifferences },
    /// What was read is wrong, in lines; nothing changed.
    Refused(Vec<String>),
    /// It took too long, in words.
    Late(String),
    /// The process ended before it was in force, in words.
    Ended(String),
}

/// Why none begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReloadBusy {
    /// Another one is not over.
    UnderWay,
    /// As many threads as there may be read settings, and do not come to an end.
    Stuck,
}

impl ReloadBusy {
    pub(super) fn words(self) -> String {
        match self {
            ReloadBusy::UnderWay => "another reload is under way; ask again once it is over".to_owned(),
            ReloadBusy::Stuck => format!(
                "{RELOAD_READERS_MAX} earlier reloads still read what --config names, and were given up: look whether it can be \
                 read (a file system that does not answer); what runs stays"
            ),
        }
    }
}

type ReadResult = Result<(Settled, SettingDifferences), Vec<Problem>>;

enum ReloadState {
    Idle,
    /// A thread reads.
    Reading(Receiver<ReadResult>),
    /// Right: it is in force from the next cut on.
    Read {
        next: Box<Settled>,
        differences: SettingDifferences,
        until_ns: u64,
    },
    /// Offered to the shards.
    Offered {
        differences: SettingDifferences,
        until_ns: u64,
        is_late: bool,
    },
}

/// All reloads of a process.
pub(super) struct Reloads {
    sources: Arc<dyn Sources>,
    running: Arc<Settled>,
    /// `running` has others than were handed out.
    is_replaced: bool,
    interval_ns: u64,
    state: ReloadState,
    /// Of threads that were given up, and still read.
    left_behind: Vec<Receiver<ReadResult>>,
    /// The number of the reload at hand, or of the last one.
    number: u64,
    begun_ns: u64,
    /// What became of it.
    outcome: Option<ReloadOutcome>,
    /// One more is wanted once this one is over.
    again: Option<ReloadCause>,
    /// Whoever looks at files waits for a reload that has not begun.
    is_watch_wanted: bool,
    /// It waits for this one.
    is_watched: bool,
    /// Whether what it waited for is in force.
    watched: Option<bool>,
    /// The process ends: none begins.
    is_ending: bool,
    facts: ReloadFacts,
}

impl Reloads {
    /// Of a process that runs these settings since `wall_ns`, whose interval is so long.
    pub(super) fn new(sources: Arc<dyn Sources>, running: Settled, wall_ns: u64) -> Reloads {
        Reloads {
            sources,
            interval_ns: running.plan.interval.as_nanos() as u64,
            running: Arc::new(running),
            is_replaced: false,
            state: ReloadState::Idle,
            left_behind: Vec::new(),
            number: 0,
            begun_ns: 0,
            outcome: None,
            again: None,
            is_watch_wanted: false,
            is_watched: false,
            watched: None,
            is_ending: false,
            facts: ReloadFacts::begun(wall_ns),
        }
    }

    /// Whether none is under way.
    pub(super) fn is_over(&self) -> bool {
        self.outcome.is_some() || matches!(self.state, ReloadState::Idle)
    }

    /// Whether one waits for a cut for so long that who asked for it is answered now.
    pub(super) fn is_answering(&self, now_ns: u64) -> bool {
        let is_waiting =
            matches!(self.state, ReloadState::Read { .. } | ReloadState::Offered { .. }) && self.outcome.is_none();
        is_waiting && now_ns.saturating_sub(self.begun_ns) >= RELOAD_ANSWER_MAX.as_nanos() as u64
    }

    /// For the metrics.
    pub(super) fn facts(&self) -> ReloadFacts {
        self.facts
    }

    /// What runs.
    pub(super) fn running(&self) -> &Settled {
        &self.running
    }

    /// What runs, once after it was replaced: for what needs no cut.
    pub(super) fn take_replaced(&mut self) -> Option<&Settled> {
        std::mem::take(&mut self.is_replaced).then_some(&self.running)
    }

    /// Begins to read, and says the number of the reload. `done` is called on the thread that reads, once it has.
    ///
    /// # Errors
    /// None can begin now.
    pub(super) fn begin(
        &mut self,
        cause: ReloadCause,
        now_ns: u64,
        done: impl FnOnce() + Send + 'static,
    ) -> Result<u64, ReloadBusy> {
        if !matches!(self.state, ReloadState::Idle) {
            return Err(ReloadBusy::UnderWay);
        }
        self.left_behind.retain(|from| matches!(from.try_recv(), Err(TryRecvError::Empty)));
        if self.left_behind.len() >= RELOAD_READERS_MAX {
            return Err(ReloadBusy::Stuck);
        }
        self.number += 1;
        self.is_watched = std::mem::take(&mut self.is_watch_wanted);
        (self.begun_ns, self.outcome) = (now_ns, None);
        tracing::info!(by = cause.words(), "settings are read again");
        let (to, from) = channel();
        let (sources, running) = (self.sources.clone(), self.running.clone());
        let read = move || {
            // nobody waits any more: it took too long
            let _ = to.send(sources.read(&running));
            done();
        };
        let thread = std::thread::Builder::new().name("reload".into()).stack_size(RELOAD_STACK_BYTES);
        match thread.spawn(read) {
            Ok(_) => self.state = ReloadState::Reading(from),
            Err(error) => self.refuse(vec![format!("the settings cannot be read again: no thread for it ({error})")]),
        }
        Ok(self.number)
    }

    /// As `begin`; if one is under way, another one follows it.
    pub(super) fn want(&mut self, cause: ReloadCause) {
        self.is_watch_wanted |= cause == ReloadCause::Watch;
        self.again = Some(cause);
    }

    /// Whether files that changed are in force, once it is known.
    pub(super) const fn take_watched(&mut self) -> Option<bool> {
        self.watched.take()
    }

    /// A reload that is wanted and can begin now.
    pub(super) fn wanted(&mut self) -> Option<ReloadCause> {
        if matches!(self.state, ReloadState::Idle) && !self.is_ending { self.again.take() } else { None }
    }

    /// The process ends: what is not offered is dropped, none begins any more, and who waits is told.
    pub(super) fn end(&mut self) {
        self.is_ending = true;
        let words = match self.state {
            _ if self.is_over() => return,
            ReloadState::Offered { .. } => "the process ends: not all shards had taken the settings up",
            ReloadState::Idle | ReloadState::Reading(_) | ReloadState::Read { .. } => {
                self.state = ReloadState::Idle;
                "the process ends: what it ran with stays"
            }
        };
        tracing::warn!("a reload is not in force: {words}");
        self.outcome = Some(ReloadOutcome::Ended(words.to_owned()));
    }

    /// What became of the reload of this number, if it is over, or of the last one; one that waits for a cut for longer than
    /// `limits::RELOAD_ANSWER_MAX` is told as it is.
    pub(super) fn outcome(&self, number: u64, now_ns: u64) -> Option<ReloadOutcome> {
        let waits = |differences: &SettingDifferences| {
            let is_long = now_ns.saturating_sub(self.begun_ns) >= RELOAD_ANSWER_MAX.as_nanos() as u64;
            is_long.then(|| ReloadOutcome::Waits { differences: differences.clone() })
        };
        match (&self.outcome, &self.state) {
            (Some(outcome), _) => Some(outcome.clone()),
            (None, ReloadState::Read { differences, .. } | ReloadState::Offered { differences, .. })
                if number == self.number =>
            {
                waits(differences)
            }
            _ => None,
        }
    }

    /// Looks whether reading has come to an end.
    pub(super) fn turn(&mut self, now_ns: u64) {
        let took = now_ns.saturating_sub(self.begun_ns);
        match &mut self.state {
            ReloadState::Reading(from) => match from.try_recv() {
                Err(TryRecvError::Empty) if took > RELOAD_MAX.as_nanos() as u64 => {
                    if let ReloadState::Reading(from) = std::mem::replace(&mut self.state, ReloadState::Idle) {
                        self.left_behind.push(from);
                    }
                    self.give_up(format!("the settings were not read within {RELOAD_MAX:?}; what runs stays"));
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => {
                    self.state = ReloadState::Idle;
                    self.refuse(vec!["the settings cannot be read: its thread ended".to_owned()]);
                }
                Ok(Err(problems)) => {
                    self.state = ReloadState::Idle;
                    self.refuse(problems.iter().map(Problem::to_string).collect());
                }
                Ok(Ok((next, differences))) => {
                    let until_ns = now_ns + self.interval_ns + RELOAD_MAX.as_nanos() as u64;
                    self.state = ReloadState::Read { next: Box::new(next), differences, until_ns };
                }
            },
            ReloadState::Read { until_ns, .. } if now_ns > *until_ns => {
                self.state = ReloadState::Idle;
                self.give_up(format!("no cut could be made for {RELOAD_MAX:?}; what runs stays"));
            }
            ReloadState::Offered { until_ns, is_late, .. } if now_ns > *until_ns && !*is_late => {
                *is_late = true;
                self.give_up(format!(
                    "not all shards have taken the settings up within {RELOAD_MAX:?}; they go by them as soon as they can"
                ));
            }
            ReloadState::Idle | ReloadState::Read { .. } | ReloadState::Offered { .. } => {}
        }
    }

    /// A cut comes now, and the one before is merged: what waits for it is offered to the shards.
    pub(super) fn offer(
        &mut self,
        (gates, folds, destinations): (&GateBoard, &FoldShared, &mut Destinations),
        next_cut: u32,
        now_ns: u64,
    ) {
        let ReloadState::Read { next, .. } = &self.state else { return };
        let (now, then) = (&self.running.plan, &next.plan);
        let have_other_choices =
            choose_otherwise((now.outs.iter(), now.rules.rules()), (then.outs.iter(), then.rules.rules()));
        let is_exchange = have_other_choices || would_change(folds, next);
        let passed = passed(now.destinations().iter(), then.destinations().iter());
        if destinations.would_change(&next.plan) {
            // other rules begin behind the cut that comes now, and what destinations choose is of these
            let from_cut = next_cut + u32::from(is_exchange);
            match destinations.exchange(&next.plan, from_cut) {
                ExchangeOutcome::Given => {}
                ExchangeOutcome::Later => return,
                ExchangeOutcome::Refused(problem) => {
                    self.state = ReloadState::Idle;
                    return self.refuse(vec![problem.to_string()]);
                }
            }
        }
        let ReloadState::Read { next, differences, .. } = std::mem::replace(&mut self.state, ReloadState::Idle) else {
            return;
        };
        if gates.would_change(&next.plan.gate()) {
            gates.offer(next.plan.gate());
        }
        if is_exchange {
            let (rules, selections) = (next.plan.rules.clone(), next.plan.selections.clone());
            let is_offered = folds.offer_passing((rules, selections), passed, have_other_choices);
            debug_assert!(is_offered, "the last ones are in force: `settle`");
        }
        self.replace(*next);
        self.state = ReloadState::Offered {
            differences,
            until_ns: now_ns + self.interval_ns + RELOAD_MAX.as_nanos() as u64,
            is_late: false,
        };
    }

    /// Looks whether all shards go by what was offered; what concerns none of them is in force at once.
    pub(super) fn settle(&mut self, (gates, folds, destinations): (&GateBoard, &FoldShared, &Destinations), now: Now) {
        let is_in_force = match &self.state {
            ReloadState::Read { next, .. } => {
                let is_same = !gates.would_change(&next.plan.gate()) && !would_change(folds, next);
                is_same && !destinations.would_change(&next.plan)
            }
            ReloadState::Offered { .. } => gates.settle() && !folds.is_pending() && destinations.is_taken_up(),
            ReloadState::Idle | ReloadState::Reading(_) => false,
        };
        if !is_in_force {
            return;
        }
        match std::mem::replace(&mut self.state, ReloadState::Idle) {
            ReloadState::Read { next, differences, .. } => {
                self.replace(*next);
                self.applied(differences, now);
            }
            ReloadState::Offered { differences, .. } => self.applied(differences, now),
            ReloadState::Idle | ReloadState::Reading(_) => {}
        }
    }

    fn replace(&mut self, next: Settled) {
        (self.running, self.is_replaced) = (Arc::new(next), true);
    }

    fn applied(&mut self, differences: SettingDifferences, now: Now) {
        let took_ns = now.mono_ns.saturating_sub(self.begun_ns);
        differences.applied.iter().for_each(|difference| tracing::info!("reloaded {difference}"));
        for difference in &differences.needs_restart {
            tracing::warn!("{difference} needs a restart; what runs stays");
        }
        for note in &differences.notes {
            tracing::warn!("{note}");
        }
        tracing::info!(
            applied = differences.applied.len(),
            need_a_restart = differences.needs_restart.len(),
            took = ?Duration::from_nanos(took_ns),
            "the settings are in force"
        );
        self.facts.count(ReloadResult::Applied, now.wall_ns);
        self.come_out(ReloadOutcome::Applied { differences, took_ns });
    }

    fn refuse(&mut self, lines: Vec<String>) {
        lines.iter().for_each(|line| tracing::error!("{line}"));
        tracing::error!(problems = lines.len(), "the settings are wrong; what runs stays");
        self.facts.count(ReloadResult::Refused, 0);
        self.come_out(ReloadOutcome::Refused(lines));
    }

    /// A reload that was wanted and cannot begin.
    pub(super) fn cannot_begin(&mut self, why: ReloadBusy) {
        self.is_watched = std::mem::take(&mut self.is_watch_wanted);
        self.give_up(why.words());
    }

    fn give_up(&mut self, words: String) {
        tracing::error!("{words}");
        self.facts.count(ReloadResult::Late, 0);
        self.come_out(ReloadOutcome::Late(words));
    }

    fn come_out(&mut self, outcome: ReloadOutcome) {
        if std::mem::take(&mut self.is_watched) {
            self.watched = Some(matches!(outcome, ReloadOutcome::Applied { .. }));
        }
        self.outcome = Some(outcome);
    }
}

/// Whether other rules are in force, or other choices of destinations.
fn would_change(folds: &FoldShared, next: &Settled) -> bool {
    folds.would_change(&next.plan.rules, next.plan.selections.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DoorAddresses, Plan, Settings};
    use std::sync::Mutex;
    use std::sync::mpsc::Sender;

    /// What takes as long to be read as the test holds it.
    struct Held(Arc<Mutex<()>>);

    impl Sources for Held {
        fn read(&self, running: &Settled) -> ReadResult {
            let _held = self.0.lock();
            Ok((running.clone(), SettingDifferences::default()))
        }

        fn has_files(&self) -> bool {
            true
        }

        fn first_look(&self) -> u64 {
            0
        }

        fn look(&self) -> u64 {
            0
        }
    }

    fn reloads(held: &Arc<Mutex<()>>) -> Reloads {
        let settled =
            Settled { settings: Settings::default(), plan: Plan::sample(), listening: DoorAddresses::default() };
        Reloads::new(Arc::new(Held(held.clone())), settled, 0)
    }

    fn begin(reloads: &mut Reloads, now_ns: u64, done: &Sender<()>) -> Result<u64, ReloadBusy> {
        let done = done.clone();
        reloads.begin(ReloadCause::Post, now_ns, move || done.send(()).expect("the test listens"))
    }

    /// What hangs is given up, and the next one begins; those that hang are bounded, and make room once they have ended.
    #[test]
    fn reading_that_hangs_does_not_end_reloads() {
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock().unwrap();
        let (mut reloads, (done, ended)) = (reloads(&gate), channel());
        let long_ns = RELOAD_MAX.as_nanos() as u64 + 1;
        let mut now_ns = 1;
        for n in 1..=RELOAD_READERS_MAX as u64 {
            assert_eq!(begin(&mut reloads, now_ns, &done), Ok(n));
            assert_eq!(begin(&mut reloads, now_ns, &done), Err(ReloadBusy::UnderWay));
            now_ns += long_ns;
            reloads.turn(now_ns);
            assert!(matches!(reloads.outcome(n, now_ns), Some(ReloadOutcome::Late(_))), "{n}");
        }
        assert_eq!(begin(&mut reloads, now_ns, &done), Err(ReloadBusy::Stuck));
        drop(held);
        for _ in 0..RELOAD_READERS_MAX {
            ended.recv().unwrap();
        }
        let next = RELOAD_READERS_MAX as u64 + 1;
        assert_eq!(begin(&mut reloads, now_ns, &done), Ok(next));
        ended.recv().unwrap();
        reloads.turn(now_ns);
        assert!(reloads.outcome(next, now_ns).is_none(), "what earlier ones read counts for nothing");
        assert!(matches!(reloads.state, ReloadState::Read { .. }));
    }
}
