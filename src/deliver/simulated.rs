//! Delivery without threads and sockets, for runs that are simulated from a seed: lanes as they are, and an exporter whose
//! server is played by chance.
//!
//! Does not know: what is in a request. Built for tests only.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;

use super::destination::Destination;
use super::exchange::{Comparison, ExchangeRefused, Exchanged, NewDestinations, Served, compare};
use super::exporter::{Cancelled, Done, Exporter, Job, Turn};
use super::headers::Headers;
use super::options::Options;
use super::outcome::Outcome;
use super::queue::{Bell, PollBell};
use super::sender::Sender;
use super::state::DeliveryState;
use super::worker::{BELL, Worker};
use crate::chance::Chance;
use crate::clock::Now;

/// What a server does, each once in so many requests; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Habits {
    /// It asks for a retry, at times with a delay.
    pub(crate) retries: u64,
    /// It takes the request, and its answer is lost.
    pub(crate) loses_answers: u64,
    /// It takes the request or not, and never answers.
    pub(crate) hangs: u64,
    /// It cannot be reached.
    pub(crate) is_away: u64,
    /// It does not take our credentials.
    pub(crate) forbids: u64,
    /// It takes the request, and rejects one of its points.
    pub(crate) rejects: u64,
    /// It refuses the request for good.
    pub(crate) refuses: u64,
    /// Larger requests are too large for it, bytes; 0 for any.
    pub(crate) bytes_max: usize,
    /// A planted fault: of what is tried again it says that it took it, and does not.
    pub(crate) forgets_retries: bool,
}

/// What a server was given, as its side saw it.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// Requests taken, in the order in which they were, each as often as it came.
    pub(crate) requests: Vec<Bytes>,
    /// Requests that it took without the sender having learnt of it: these may come again.
    pub(crate) unanswered: HashSet<Bytes>,
    /// Points that it rejected.
    pub(crate) rejected: u64,
}

/// A call under way.
struct SimulatedCall {
    job: Job,
    due_ns: u64,
    fate: Fate,
}

/// What will become of a call.
enum Fate {
    Taken { rejected: u64 },
    Retry { after: Option<Duration> },
    AnswerLost,
    Hangs { is_taken: bool },
    Away,
    Forbidden,
    Refused,
    TooLarge,
    Forgotten,
}

struct SimulatedServer {
    habits: Habits,
    chance: Chance,
    received: Rc<RefCell<Received>>,
    calls: Vec<Option<SimulatedCall>>,
    /// Calls that were started since the last poll.
    started: Vec<(usize, Job)>,
    /// Bodies that were sent before.
    seen: HashSet<Bytes>,
}

/// Longest time an answer takes.
const ANSWER_MAX_NS: u64 = 300_000_000;

impl SimulatedServer {
    fn fate(&mut self, job: &Job) -> Fate {
        let habits = self.habits;
        let is_new = self.seen.insert(job.body.clone());
        let chance = &mut self.chance;
        if habits.bytes_max > 0 && job.body.len() > habits.bytes_max {
            Fate::TooLarge
        } else if habits.forgets_retries && !is_new {
            Fate::Forgotten
        } else if chance.one_in(habits.retries) {
            Fate::Retry { after: chance.one_in(3).then(|| Duration::from_millis(1 + chance.up_to(2_000))) }
        } else if chance.one_in(habits.loses_answers) {
            Fate::AnswerLost
        } else if chance.one_in(habits.hangs) {
            Fate::Hangs { is_taken: chance.one_in(2) }
        } else if chance.one_in(habits.is_away) {
            Fate::Away
        } else if chance.one_in(habits.forbids) {
            Fate::Forbidden
        } else if chance.one_in(habits.refuses) {
            Fate::Refused
        } else {
            Fate::Taken { rejected: u64::from(chance.one_in(habits.rejects)) }
        }
    }

    fn take(&self, body: &Bytes, is_answered: bool) {
        let mut received = self.received.borrow_mut();
        received.requests.push(body.clone());
        if is_answered {
            return;
        }
        received.unanswered.insert(body.clone());
    }
}

impl Exporter for SimulatedServer {
    fn start(&mut self, slot: usize, job: Job) {
        self.started.push((slot, job));
    }

    fn put_headers(&mut self, _: &Headers) {}

    fn cancel(&mut self, slot: usize) -> Cancelled {
        self.started.retain(|(started, _)| *started != slot);
        match self.calls.get_mut(slot).and_then(Option::take) {
            Some(SimulatedCall { job, fate: Fate::Hangs { is_taken }, .. }) => {
                if is_taken {
                    self.take(&job.body, false);
                }
                Cancelled::Sent
            }
            Some(SimulatedCall { fate: Fate::Away, .. }) | None => Cancelled::Unsent(None),
            // it had not come yet
            Some(_) => Cancelled::Sent,
        }
    }

    fn on_event(&mut self, _: usize, _: &mio::event::Event) {
        unreachable!("nobody polls");
    }

    fn poll(&mut self, _: &mut Context<'_>, turn: &Turn<'_>, done: &mut Vec<Done>) {
        for (slot, job) in std::mem::take(&mut self.started) {
            let fate = self.fate(&job);
            let due_ns = turn.now.mono_ns + self.chance.up_to(ANSWER_MAX_NS);
            self.calls.resize_with(self.calls.len().max(slot + 1), || None);
            assert!(self.calls[slot].is_none(), "a slot has one call");
            self.calls[slot] = Some(SimulatedCall { job, due_ns, fate });
        }
        for slot in 0..self.calls.len() {
            let is_due =
                |call: &SimulatedCall| call.due_ns <= turn.now.mono_ns && !matches!(call.fate, Fate::Hangs { .. });
            let Some(call) = self.calls[slot].take_if(|call| is_due(call)) else { continue };
            let outcome = match call.fate {
                Fate::Taken { rejected } => {
                    self.take(&call.job.body, true);
                    self.received.borrow_mut().rejected += rejected;
                    Outcome::Delivered { rejected, message: String::new() }
                }
                Fate::Forgotten => Outcome::Delivered { rejected: 0, message: String::new() },
                Fate::Retry { after } => Outcome::Retry { what: "busy".into(), after },
                Fate::AnswerLost => {
                    self.take(&call.job.body, false);
                    Outcome::Disconnected("gone".to_owned().into())
                }
                Fate::Away => Outcome::Unconnected("away".to_owned().into()),
                Fate::Forbidden => Outcome::Unauthorized("who are you".to_owned().into()),
                Fate::Refused => Outcome::Refused("no".to_owned().into()),
                Fate::TooLarge => Outcome::TooLarge("too large".into()),
                Fate::Hangs { .. } => unreachable!("it is never due"),
            };
            done.push((slot, outcome));
        }
    }

    fn new_turn(&mut self) {}

    fn is_starved(&self) -> bool {
        false
    }

    fn next_ns(&self) -> Option<u64> {
        let answers = self.calls.iter().flatten().filter(|call| !matches!(call.fate, Fate::Hangs { .. }));
        answers.map(|call| call.due_ns).min()
    }
}

/// All lanes, turned by whoever owns this.
pub(crate) struct SimulatedDelivery {
    worker: Worker,
    shared: Arc<DeliveryState>,
    /// Watches nothing and is never polled: exporters are given a registry.
    poll: mio::Poll,
    bell: Arc<PollBell>,
    /// By name of the destination.
    received: Vec<(String, Rc<RefCell<Received>>)>,
    options: Options,
}

/// Time that a destination has which is taken out.
const END_WITHIN: Duration = Duration::from_secs(5);

impl SimulatedDelivery {
    pub(crate) fn new(
        destinations: Vec<(Destination, Habits)>,
        options: Options,
        chance: &mut Chance,
    ) -> (Sender, SimulatedDelivery) {
        let poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), BELL).unwrap();
        let bell = Arc::new(PollBell { waker, rung: AtomicBool::new(false) });
        let shared = DeliveryState::new(Vec::new());
        let worker = Worker::new(shared.clone(), options);
        let mut all = SimulatedDelivery { worker, shared: shared.clone(), poll, bell, received: Vec::new(), options };
        all.exchange(destinations, 0, chance).expect("there is nothing to refuse");
        (Sender::new(shared), all)
    }

    /// As `Handle::exchange`: what servers have received is known by name, and goes on.
    pub(crate) fn exchange(
        &mut self,
        destinations: Vec<(Destination, Habits)>,
        from_cut: u32,
        chance: &mut Chance,
    ) -> Result<Exchanged, ExchangeRefused> {
        if !self.shared.is_taken_up() {
            return Err(ExchangeRefused::Pending);
        }
        let wanted = NewDestinations {
            destinations: destinations.iter().map(|(one, _)| one.clone()).collect(),
            from_cut,
            in_flight: self.options.in_flight,
            held_bytes_max: None,
            end_within: END_WITHIN,
        };
        let Comparison { set, served, closed, exchanged } = compare(&self.shared.set(), &wanted)?;
        for Served { port, destination, .. } in served {
            port.open();
            port.store.resize(destination.queue_bytes);
            port.put_bell(Bell::Poll(self.bell.clone()));
            let known = self.received.iter().find(|(name, _)| *name == destination.name);
            let received = known.map(|(_, received)| received.clone()).unwrap_or_else(|| {
                let received = Rc::new(RefCell::new(Received::default()));
                self.received.push((destination.name.clone(), received.clone()));
                received
            });
            let habits = destinations.iter().find(|(one, _)| one.name == destination.name).map(|(_, habits)| *habits);
            let server = SimulatedServer {
                habits: habits.expect("it was given"),
                chance: chance.fork(),
                received,
                calls: Vec::new(),
                started: Vec::new(),
                seen: HashSet::new(),
            };
            self.worker.serve(port, Destination::clone(&destination), |_| Box::new(server));
        }
        for port in closed {
            port.close();
            self.worker.end(&port, END_WITHIN.as_nanos() as u64, false);
        }
        self.shared.put(set);
        Ok(exchanged)
    }

    /// Every shard hands its batches to the destinations that were given last.
    pub(crate) fn is_taken_up(&self) -> bool {
        self.shared.is_taken_up()
    }

    /// One turn of the delivering thread.
    pub(crate) fn turn(&mut self) {
        // rests are for threads that share a core
        let _ = self.worker.turn(self.poll.registry());
    }

    /// When the thread would wake by itself, ns.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.worker.next_ns()
    }

    /// As `Handle::stop`.
    pub(crate) fn stop(&self, at_ns: u64) {
        self.shared.stop_at.store(at_ns, Ordering::Release);
    }

    pub(crate) fn is_over(&self, now: Now) -> bool {
        self.worker.is_over(now)
    }

    /// Points that are left, and what was received, by destination.
    pub(crate) fn count_left(self) -> (u64, Vec<(String, Rc<RefCell<Received>>)>) {
        (self.worker.count_left().into_iter().map(|(_, points)| points).sum(), self.received)
    }
}
