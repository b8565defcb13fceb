//! The sending thread: one loop over all connections, without blocking on any.
//!
//! Deliberately does not know what payloads hold, nor how protocols frame them.
//! Invariants: 1. a request is patched only when none of its bytes wait in an outbox or for a window; 2. a request always
//! goes to the same connection, so the points of a series stay in order, unless there are fewer requests than connections
//! and all kinds only add; 3. every request that was begun is counted once: acknowledged, refused, or lost;
//! 4. with a rate, latency runs from the moment a request was due, whether or not it could be sent then; 5. nothing of
//! the warm-up is on its way, and none of it is counted, when the measured part begins.
//! Bounds: the drain after the last request of either part takes `--drain`; a lost connection is tried
//! [`RECONNECTS_MAX`] times; without `--duration`, no answer for `limits::LOAD_SILENCE_MAX` (or `--drain`, if that is
//! longer) ends the run.

use super::flight::{Answer, Flight, Verdict};
use super::http1::Http1;
use super::http2::Http2;
use super::outbox::{Outbox, QUEUE_BYTES};
use super::pace::Pace;
use super::settled::{Scheme, Settled};
use super::tally::Tally;
use crate::limits::LOAD_SILENCE_MAX;
use crate::load::payload::{Compression, Encoding, Plan};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const RECONNECTS_MAX: u32 = 100;
const RECONNECT_AFTER_NS: u64 = 100_000_000;
const TICK_NS: u64 = 1_000_000_000;
const READ_BYTES: usize = 64 * 1024;
/// Requests queued for one connection before the next one has its turn.
const TURN_REQUESTS_MAX: usize = 64;

/// The clocks of a run.
pub(crate) struct Clock {
    started: Instant,
    wall_ns: u64,
}

impl Clock {
    /// Starts now.
    pub(crate) fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        Clock { started: Instant::now(), wall_ns: wall }
    }

    /// The wall clock at the start.
    pub(crate) fn wall_start_ns(&self) -> u64 {
        self.wall_ns
    }

    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }
}

enum Protocol {
    Grpc(Box<Http2>),
    Http(Http1),
    Raw(Vec<Flight>),
}

/// The requests a connection sends, one after the other, over and over.
#[derive(Clone, Copy)]
struct Lane {
    first: usize,
    next: usize,
    step: usize,
    passes: u64,
}

struct Connection {
    socket: Option<TcpStream>,
    connected: bool,
    protocol: Protocol,
    outbox: Outbox,
    readable: bool,
    /// The other side has ended or broken it.
    ends: bool,
    writable: bool,
    lane: usize,
    /// The request whose rest waits for a window, as it is counted in `Sender::queued`.
    held: Option<usize>,
    retry_at_ns: u64,
    tries: u32,
}

impl Connection {
    /// Whether nothing waits to be written, nor for an answer.
    fn is_drained(&self) -> bool {
        self.outbox.bytes() == 0
            && match &self.protocol {
                Protocol::Grpc(http2) => http2.in_flight() == 0,
                Protocol::Http(http1) => http1.in_flight() == 0,
                Protocol::Raw(flights) => flights.is_empty(),
            }
    }
}

/// Why no request was begun.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Idle {
    /// All slots wait for answers, or the socket or a window is full.
    Server,
    /// The next request is not due yet.
    Rate(u64),
    /// Nothing is left to send.
    Finished,
}

/// See the module.
pub(crate) struct Sender {
    settled: Settled,
    address: SocketAddr,
    plan: Plan,
    clock: Clock,
    poll: Poll,
    connections: Vec<Connection>,
    lanes: Vec<Lane>,
    /// By request: slices of it that wait in an outbox, and connections in which its rest waits for a window.
    queued: Vec<u32>,
    deadline_ns: u64,
    /// Times a lost connection is tried again in a row.
    reconnects_max: u32,
    /// How long the server may leave everything unanswered, where no deadline bounds that.
    silence_max: Duration,
    /// Since when it has.
    silent_since_ns: u64,
    /// Requests begun and neither answered nor lost.
    waiting: u64,
    stopping: bool,
    tally: Tally,
    inbound: Vec<u8>,
    answers: Vec<Answer>,
    ever_connected: bool,
}

impl Sender {
    /// Connections to the endpoint, none of them open yet.
    pub(crate) fn new(settled: Settled, plan: Plan, clock: Clock) -> Result<Self, String> {
        let address = settled.endpoint.resolve()?;
        let requests = plan.requests();
        let shared = requests < settled.connections && settled.settings.mix.is_delta();
        let lane_count = if shared { 1 } else { settled.connections.min(requests) };
        let lanes = (0..lane_count).map(|first| Lane { first, next: first, step: lane_count, passes: 0 }).collect();
        let wanted = if shared { settled.connections } else { lane_count };
        let mut sender = Sender {
            address,
            queued: vec![0; requests],
            plan,
            clock,
            poll: Poll::new().map_err(|error| format!("epoll: {error}"))?,
            connections: Vec::new(),
            lanes,
            deadline_ns: deadline_ns(&settled),
            reconnects_max: RECONNECTS_MAX,
            silence_max: LOAD_SILENCE_MAX.max(settled.drain),
            silent_since_ns: 0,
            waiting: 0,
            stopping: false,
            tally: Tally::default(),
            inbound: vec![0; READ_BYTES],
            answers: Vec::new(),
            ever_connected: false,
            settled,
        };
        for index in 0..wanted {
            let connection = Connection {
                socket: None,
                connected: false,
                protocol: sender.protocol(),
                outbox: Outbox::default(),
                readable: false,
                ends: false,
                writable: false,
                lane: index % lane_count,
                held: None,
                retry_at_ns: 0,
                tries: 0,
            };
            sender.connections.push(connection);
        }
        Ok(sender)
    }

    /// Connections that will be open: fewer than asked for where there are not enough requests to go round.
    pub(crate) fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Sends until the run is over or `stop` is set. `tick` is called about once a second with the counts and, where
    /// it can be known, the share of the part that is done.
    pub(crate) fn run(
        mut self,
        stop: &AtomicBool,
        mut tick: impl FnMut(&Tally, Option<f64>),
    ) -> Result<(Tally, Plan), String> {
        let mut goes_on = true;
        if self.settled.warm_up > 0 {
            let (exports, pace) = (Some(self.settled.warm_up), Pace::new(None, None));
            let warm_up = Settled { duration: None, requests: None, exports, pace, ..self.settled.clone() };
            let measured = std::mem::replace(&mut self.settled, warm_up);
            self.tally.warms_up = true;
            self.part(stop, &mut tick)?;
            self.settled = measured;
            self.tally = std::mem::take(&mut self.tally).after_warm_up();
            goes_on = self.tally.silent.is_none() && self.tally.gone.is_none() && !stop.load(Ordering::Relaxed);
        }
        if goes_on {
            self.part(stop, &mut tick)?;
        }
        Ok((self.tally, self.plan))
    }

    /// One part of the run, until its end or `stop`, and its last answers.
    fn part(&mut self, stop: &AtomicBool, tick: &mut impl FnMut(&Tally, Option<f64>)) -> Result<(), String> {
        let mut events = Events::with_capacity(256);
        let begin_ns = self.clock.now_ns();
        let cpu_before_ns = thread_cpu_ns();
        self.deadline_ns = deadline_ns(&self.settled).saturating_add(begin_ns);
        self.settled.pace.begin(begin_ns);
        self.silent_since_ns = begin_ns;
        self.stopping = false;
        self.lanes.iter_mut().for_each(|lane| lane.passes = 0);
        let (mut next_tick_ns, mut drain_until_ns) = (begin_ns + TICK_NS, u64::MAX);
        loop {
            let mut progressed = false;
            let mut idle = Idle::Finished;
            for index in 0..self.connections.len() {
                let (did, why) = self.turn(index)?;
                progressed |= did;
                idle = match (idle, why) {
                    (Idle::Finished, why) | (why, Idle::Finished) => why,
                    (Idle::Rate(a), Idle::Rate(b)) => Idle::Rate(a.min(b)),
                    (Idle::Rate(_), _) => idle,
                    _ => why,
                };
            }
            let now_ns = self.clock.now_ns();
            if self.waiting == 0 && idle != Idle::Server {
                self.silent_since_ns = now_ns;
            }
            let ended = stop.load(Ordering::Relaxed) || self.tally.gone.is_some();
            let over = ended || now_ns >= self.deadline_ns || self.is_finished();
            if !self.stopping && (over || self.is_silent(now_ns)) {
                // What is over is only drained, for as long as that may take.
                self.tally.silent = (!over).then_some(self.silence_max);
                self.stopping = true;
                drain_until_ns = now_ns + self.settled.drain.as_nanos() as u64;
            }
            if self.stopping && (self.is_drained() || now_ns >= drain_until_ns) {
                break;
            }
            if now_ns >= next_tick_ns {
                next_tick_ns = now_ns + TICK_NS;
                self.tally.elapsed_ns = now_ns - begin_ns;
                tick(&self.tally, self.progress(now_ns, begin_ns));
            }
            let until_ns = match idle {
                Idle::Rate(due_ns) => due_ns.min(next_tick_ns),
                _ => next_tick_ns,
            };
            self.wait(&mut events, progressed, until_ns, idle)?;
        }
        self.tally.elapsed_ns = self.clock.now_ns() - begin_ns;
        self.tally.sender_cpu_ns = thread_cpu_ns().saturating_sub(cpu_before_ns);
        let why = self.tally.silence().unwrap_or_else(|| "not answered in time".into());
        for index in 0..self.connections.len() {
            // The others stay open for what comes next.
            if !self.connections[index].is_drained() {
                self.lose(index, &why);
            }
        }
        Ok(())
    }

    /// Polls; counts the time as waiting only when there was nothing to do.
    fn wait(&mut self, events: &mut Events, progressed: bool, until_ns: u64, idle: Idle) -> Result<(), String> {
        let before_ns = self.clock.now_ns();
        let nanos = if progressed { 0 } else { until_ns.saturating_sub(before_ns).min(20_000_000) };
        // epoll counts in milliseconds and mio rounds up: what is due is waited for to a millisecond before, then spun for
        let timeout = match idle {
            Idle::Rate(_) => Duration::from_millis((nanos / 1_000_000).saturating_sub(1)),
            _ => Duration::from_nanos(nanos),
        };
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(format!("epoll: {error}")),
            _ => {}
        }
        for event in events.iter() {
            let connection = &mut self.connections[event.token().0];
            connection.ends |= event.is_read_closed() || event.is_error();
            connection.readable |= event.is_readable() || connection.ends;
            connection.writable |= event.is_writable();
        }
        if !progressed {
            let waited_ns = self.clock.now_ns() - before_ns;
            match idle {
                Idle::Rate(_) => self.tally.waited_rate_ns += waited_ns,
                _ => self.tally.waited_server_ns += waited_ns,
            }
        }
        Ok(())
    }

    /// Everything one connection can do without waiting.
    fn turn(&mut self, index: usize) -> Result<(bool, Idle), String> {
        if self.connections[index].socket.is_none() {
            let now_ns = self.clock.now_ns();
            let retry_at_ns = self.connections[index].retry_at_ns;
            if self.stopping || now_ns < retry_at_ns {
                return Ok((false, if self.stopping { Idle::Finished } else { Idle::Server }));
            }
            self.connect(index)?;
        }
        let mut did = false;
        if self.connections[index].readable {
            did = true;
            if let Err(why) = self.read(index) {
                self.broken(index, &why)?;
                return Ok((true, Idle::Server));
            }
        }
        if !self.connections[index].connected {
            if !self.connections[index].writable {
                return Ok((did, Idle::Server));
            }
            self.connections[index].connected = true;
            self.ever_connected = true;
        }
        let mut idle = Idle::Server;
        for _ in 0..TURN_REQUESTS_MAX {
            idle = match self.fill(index) {
                Ok(()) => {
                    // what was queued is written in this turn or the next one, without waiting in between
                    did = true;
                    continue;
                }
                Err(idle) => idle,
            };
            let connection = &mut self.connections[index];
            if connection.outbox.bytes() == 0 || !connection.writable {
                break;
            }
            did = true;
            if let Err(why) = self.write(index) {
                self.broken(index, &why)?;
                return Ok((true, Idle::Server));
            }
            if self.connections[index].outbox.bytes() > 0 {
                break;
            }
        }
        let connection = &mut self.connections[index];
        let done = match &connection.protocol {
            Protocol::Grpc(http2) => http2.is_done(),
            Protocol::Http(http1) => http1.is_done(),
            Protocol::Raw(_) => false,
        };
        if done && connection.outbox.bytes() == 0 {
            self.lose(index, "the server left");
        }
        Ok((did, idle))
    }

    /// Queues one more piece: the rest of the request in work, or a new one.
    fn fill(&mut self, index: usize) -> Result<(), Idle> {
        let connection = &mut self.connections[index];
        if let Protocol::Grpc(http2) = &mut connection.protocol
            && http2.cutting().is_some()
        {
            let did = http2.cut(&mut connection.outbox, &mut self.queued);
            self.hold(index);
            return if did { Ok(()) } else { Err(Idle::Server) };
        }
        let (in_flight, can_start) = match &connection.protocol {
            Protocol::Grpc(http2) => (http2.in_flight(), http2.can_start()),
            Protocol::Http(http1) => (http1.in_flight(), http1.can_start()),
            Protocol::Raw(flights) => (flights.len(), true),
        };
        let full = in_flight >= self.settled.in_flight || connection.outbox.bytes() >= QUEUE_BYTES;
        let lane = self.lanes[connection.lane];
        if self.stopping || self.spent(&lane) {
            return Err(Idle::Finished);
        }
        if full || !can_start || self.queued[lane.next] > 0 {
            return Err(Idle::Server);
        }
        let now_ns = self.clock.now_ns();
        let due_ns = self.settled.pace.take(now_ns, self.plan.request_points(lane.next)).map_err(Idle::Rate)?;
        self.begin(index, now_ns, due_ns);
        Ok(())
    }

    /// Patches the next request of the connection's lane and queues it.
    fn begin(&mut self, index: usize, now_ns: u64, due_ns: u64) {
        let connection = &mut self.connections[index];
        let lane = &mut self.lanes[connection.lane];
        let request = lane.next;
        lane.next += lane.step;
        if lane.next >= self.plan.requests() {
            lane.next = lane.first;
            lane.passes += 1;
        }
        self.plan.patch(request, self.clock.wall_start_ns() + now_ns);
        let points = u64::from(self.plan.request_points(request));
        self.waiting += 1;
        self.tally.sent_requests += 1;
        self.tally.sent_points += points;
        let flight = Flight { request, points, due_ns, ..Flight::default() };
        let bytes = self.plan.payload(request).len();
        match &mut connection.protocol {
            Protocol::Grpc(http2) => http2.start(flight, bytes, &mut connection.outbox),
            Protocol::Http(http1) => http1.start(flight, bytes, &mut connection.outbox, &mut self.queued),
            Protocol::Raw(flights) => {
                connection.outbox.payload(request, 0, bytes, &mut self.queued);
                flights.push(flight);
            }
        }
        self.hold(index);
    }

    /// Counts the request whose rest waits for a window as queued, and no longer the one that did before: another
    /// connection may come to it meanwhile.
    fn hold(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        let cutting = match &connection.protocol {
            Protocol::Grpc(http2) => http2.cutting(),
            Protocol::Http(_) | Protocol::Raw(_) => None,
        };
        let held = std::mem::replace(&mut connection.held, cutting);
        if held != cutting {
            held.into_iter().for_each(|request| self.queued[request] -= 1);
            cutting.into_iter().for_each(|request| self.queued[request] += 1);
        }
    }

    fn write(&mut self, index: usize) -> Result<(), String> {
        let connection = &mut self.connections[index];
        let socket = connection.socket.as_mut().expect("only an open connection writes");
        let written = &mut self.tally.written_bytes;
        let all = connection.outbox.flush(socket, &self.plan, &mut self.queued, written);
        if !all.map_err(|error| error.to_string())? {
            connection.writable = false;
        } else if let Protocol::Raw(flights) = &mut connection.protocol {
            // Without a protocol, what the kernel took is all there is to know.
            for flight in std::mem::take(flights) {
                self.answers.push(Answer { flight, verdict: Verdict::Accepted { rejected: 0 } });
            }
            self.count_answers();
        }
        Ok(())
    }

    fn read(&mut self, index: usize) -> Result<(), String> {
        let connection = &mut self.connections[index];
        let socket = connection.socket.as_mut().expect("only an open connection reads");
        loop {
            let taken = match socket.read(&mut self.inbound) {
                Ok(0) => return Err("closed by the server".into()),
                Ok(taken) => taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.to_string()),
            };
            connection.tries = 0;
            let bytes = &self.inbound[..taken];
            match &mut connection.protocol {
                Protocol::Grpc(http2) => http2.receive(bytes, &mut connection.outbox, &mut self.answers)?,
                Protocol::Http(http1) => http1.receive(bytes, &mut self.answers)?,
                Protocol::Raw(_) => {}
            }
            // Less than was asked for means the socket is empty; the next edge tells when it is not (epoll(7)). The end
            // may have come with this very edge: then only reading tells.
            if taken < self.inbound.len() && !(connection.ends && taken > 0) {
                connection.readable = false;
                break;
            }
        }
        // a call that was answered before all of it was sent is not cut any further
        self.hold(index);
        self.count_answers();
        Ok(())
    }

    fn count_answers(&mut self) {
        if self.answers.is_empty() {
            return;
        }
        let now_ns = self.clock.now_ns();
        self.silent_since_ns = now_ns;
        self.waiting = self.waiting.saturating_sub(self.answers.len() as u64);
        for Answer { flight, verdict } in self.answers.drain(..) {
            self.tally.latencies.record(now_ns - flight.due_ns);
            match verdict {
                Verdict::Accepted { rejected } => {
                    let rejected = rejected.min(flight.points);
                    self.tally.rejected_points += rejected;
                    self.tally.acknowledged_points += flight.points - rejected;
                    if rejected > 0 {
                        self.tally.hear("partial success", &flight.said);
                    }
                }
                Verdict::Refused(why) => {
                    self.tally.hear(&why, &flight.said);
                    self.tally.fail(flight.points, why);
                }
                Verdict::Strange(why) => self.tally.fail(flight.points, why),
            }
        }
    }

    fn connect(&mut self, index: usize) -> Result<(), String> {
        let fail = |error: std::io::Error| format!("{}: {error}", self.address);
        let mut socket = TcpStream::connect(self.address).map_err(fail)?;
        socket.set_nodelay(true).map_err(fail)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut socket, Token(index), interest).map_err(fail)?;
        let connection = &mut self.connections[index];
        connection.socket = Some(socket);
        (connection.connected, connection.readable, connection.writable) = (false, false, false);
        connection.ends = false;
        if let Protocol::Grpc(http2) = &mut connection.protocol {
            http2.open(&mut connection.outbox);
        }
        Ok(())
    }

    /// A connection failed: what was on its way is lost; it is opened again, unless it never could be.
    fn broken(&mut self, index: usize, why: &str) -> Result<(), String> {
        let connection = &mut self.connections[index];
        if !self.ever_connected {
            return Err(format!("cannot reach {}: {why}; is the server running?", self.settled.endpoint.authority));
        }
        connection.tries += 1;
        connection.retry_at_ns = self.clock.now_ns() + RECONNECT_AFTER_NS;
        let gave_up = connection.tries > self.reconnects_max;
        // Answers that came in the same bytes as the fault still count.
        self.count_answers();
        self.lose(index, &format!("connection lost: {why}"));
        if gave_up {
            let authority = &self.settled.endpoint.authority;
            let tries = self.reconnects_max;
            self.tally.gone = Some(format!("{authority} is gone: {tries} attempts to reach it again failed: {why}"));
        }
        Ok(())
    }

    fn lose(&mut self, index: usize, why: &str) {
        let protocol = self.protocol();
        let connection = &mut self.connections[index];
        let flights = match &mut connection.protocol {
            Protocol::Grpc(http2) => http2.abandon(),
            Protocol::Http(http1) => http1.abandon(),
            Protocol::Raw(flights) => std::mem::take(flights),
        };
        self.waiting = self.waiting.saturating_sub(flights.len() as u64);
        for flight in flights {
            self.tally.failed_points += flight.points;
            *self.tally.failures.entry(why.to_owned()).or_default() += 1;
        }
        connection.outbox.clear(&mut self.queued);
        connection.socket = None;
        connection.protocol = protocol;
        self.hold(index);
    }

    fn protocol(&self) -> Protocol {
        let (endpoint, settings) = (&self.settled.endpoint, &self.settled.settings);
        let encoding = match settings.compression {
            Compression::None => None,
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
        };
        let json = settings.encoding == Encoding::Json;
        match endpoint.scheme {
            Scheme::Grpc => Protocol::Grpc(Box::new(Http2::new(&endpoint.authority, encoding))),
            Scheme::Http => Protocol::Http(Http1::new(&endpoint.authority, &endpoint.path, json, encoding)),
            Scheme::Raw => Protocol::Raw(Vec::new()),
        }
    }

    /// Whether a lane may not begin another request.
    fn spent(&self, lane: &Lane) -> bool {
        self.settled.exports.is_some_and(|exports| lane.passes >= exports)
            || self.settled.requests.is_some_and(|requests| self.tally.sent_requests >= requests)
    }

    fn is_finished(&self) -> bool {
        self.lanes.iter().all(|lane| self.spent(lane))
    }

    fn is_drained(&self) -> bool {
        self.connections.iter().all(Connection::is_drained)
    }

    /// Whether the server has left everything unanswered for too long.
    fn is_silent(&self, now_ns: u64) -> bool {
        let silent_ns = u128::from(now_ns.saturating_sub(self.silent_since_ns));
        self.settled.duration.is_none() && silent_ns >= self.silence_max.as_nanos()
    }

    /// The largest share of any bound of the run that is used up. A request that waits for its answer is not done.
    fn progress(&self, now_ns: u64, begin_ns: u64) -> Option<f64> {
        let time = (self.deadline_ns != u64::MAX)
            .then(|| (now_ns - begin_ns) as f64 / (self.deadline_ns - begin_ns).max(1) as f64);
        let done = self.tally.sent_requests.saturating_sub(self.waiting);
        let requests = self.settled.requests.map(|requests| done as f64 / requests.max(1) as f64);
        let all = self.settled.exports.map(|exports| exports.saturating_mul(self.plan.points()).max(1));
        let done = self.tally.acknowledged_points + self.tally.rejected_points + self.tally.failed_points;
        let exports = all.map(|points| done as f64 / points as f64);
        [time, requests, exports].into_iter().flatten().reduce(f64::max).map(|share| share.min(1.0))
    }
}

/// When a part ends at the latest, from its begin.
fn deadline_ns(settled: &Settled) -> u64 {
    settled.duration.map_or(u64::MAX, |duration| duration.as_nanos() as u64)
}

/// CPU time of the calling thread: the first number of the scheduler's statistics, 0 where there are none.
fn thread_cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::options;

    /// A turn that queues as many requests as one turn may, and so writes none of them, must say that it did
    /// something: else the loop waits 20 ms with requests in hand, and small calls crawl.
    #[test]
    fn a_turn_that_queued_all_it_may_does_not_wait_before_it_writes() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let depth = TURN_REQUESTS_MAX + 1;
        let words = format!("--endpoint raw://{address} --series {depth} --batch 1 --in-flight {depth} --exports 1");
        let settled = options(&words).settle().unwrap();
        let plan = Plan::new(settled.settings.clone(), 1).unwrap();
        let mut sender = Sender::new(settled, plan, Clock::start()).unwrap();
        let mut events = Events::with_capacity(8);
        let (mut turns, mut full) = (0, 0);
        while sender.tally.acknowledged_points < depth as u64 {
            let (did, idle) = sender.turn(0).unwrap();
            let waiting = sender.connections[0].outbox.bytes();
            assert!(did || waiting == 0, "{waiting} bytes wait, and the turn says it did nothing");
            full += usize::from(waiting > 0);
            sender.wait(&mut events, did, u64::MAX, idle).unwrap();
            turns += 1;
            assert!(turns < 1_000, "everything is sent in a few turns");
        }
        assert!(full > 0, "a turn was full, or this test says nothing");
        // What was waited for is the connection, on loopback, and never the 20 ms of a poll with requests in hand.
        assert_eq!(sender.tally.sent_requests, depth as u64);
    }

    /// A server that answers once and is gone for good: the run ends with what is known, not with an error.
    #[test]
    fn a_server_that_is_gone_ends_the_run_with_its_report() {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let words = format!("--endpoint http://{address} --series 10 --batch 10 --duration 1h --drain 10ms");
        let settled = options(&words).settle().unwrap();
        let plan = Plan::new(settled.settings.clone(), 1).unwrap();
        let mut sender = Sender::new(settled, plan, Clock::start()).unwrap();
        sender.reconnects_max = 1;
        let tally = std::thread::scope(|scope| {
            scope.spawn(move || {
                let (mut socket, _) = listener.accept().unwrap();
                let _ = socket.read(&mut [0; 8]).unwrap();
                socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            });
            sender.run(&AtomicBool::new(false), |_, _| {}).unwrap().0
        });
        assert!(tally.gone.as_ref().is_some_and(|why| why.contains("is gone")), "{:?}", tally.gone);
        assert_eq!(tally.silence(), tally.gone);
        assert_eq!(tally.sent_points, tally.acknowledged_points + tally.failed_points);
        assert!(tally.sent_points > 0);
    }

    /// One call in flight to a server that never answers, nor speaks: the other five are never sent, so what they wait for
    /// must have an end of its own. A deadline is such an end.
    #[test]
    fn a_server_that_never_answers_ends_the_run() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let run = |words: &str| {
            let settled = options(&format!("{words} --series 60 --batch 10")).settle().unwrap();
            let plan = Plan::new(settled.settings.clone(), 1).unwrap();
            let mut sender = Sender::new(settled, plan, Clock::start()).unwrap();
            let limit = std::mem::replace(&mut sender.silence_max, Duration::from_millis(60));
            (limit, sender.run(&AtomicBool::new(false), |_, _| {}).unwrap().0)
        };
        let (limit, tally) = run(&format!("--endpoint http://{address} --requests 6 --drain 10ms"));
        assert_eq!((limit, tally.sent_requests, tally.failed_points), (LOAD_SILENCE_MAX, 1, 10));
        assert_eq!(tally.failures.keys().collect::<Vec<_>>(), ["no answer for 60 ms"]);
        let (_, tally) = run(&format!("--endpoint grpc://{address} --exports 1 --drain 10ms"));
        assert_eq!((tally.sent_requests, tally.silent), (0, Some(Duration::from_millis(60))));
        // the next request is due long after: nobody owes an answer until then
        let (limit, tally) = run(&format!("--endpoint raw://{address} --requests 3 --rate 100 --drain 40s"));
        assert_eq!((limit, tally.acknowledged_points, tally.silent), (Duration::from_secs(40), 30, None));
        // a warm-up is ended by silence whatever bounds the measured part, which then does not begin
        let (_, tally) = run(&format!("--endpoint http://{address} --warm-up 1 --duration 1h --drain 10ms"));
        assert_eq!((tally.warm_up_points, tally.warm_up_lost_points, tally.sent_points), (10, 10, 0));
        assert_eq!(tally.failures.keys().collect::<Vec<_>>(), ["warm-up: no answer for 60 ms"]);
        let settled = options(&format!("--endpoint http://{address} --duration 1h")).settle().unwrap();
        let plan = Plan::new(settled.settings.clone(), 1).unwrap();
        assert!(!Sender::new(settled, plan, Clock::start()).unwrap().is_silent(u64::MAX));
    }

    /// At a point in ten seconds the warm-up would take twenty minutes, and the second request after it would be due behind
    /// its points; the first one is due at once.
    #[test]
    fn a_warm_up_has_no_place_in_the_schedule_and_the_counts() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let words = format!("--endpoint raw://{address} --series 60 --batch 10 --rate 0.1 --duration 50ms");
        let settled = options(&format!("{words} --warm-up 2")).settle().unwrap();
        let plan = Plan::new(settled.settings.clone(), 1).unwrap();
        let (tally, plan) =
            Sender::new(settled, plan, Clock::start()).unwrap().run(&AtomicBool::new(false), |_, _| {}).unwrap();
        assert_eq!((tally.warm_up_points, tally.warm_up_lost_points, tally.warms_up), (120, 0, false));
        assert_eq!((tally.sent_requests, tally.sent_points, tally.latencies.count()), (1, 10, 1));
        assert!(tally.is_exact() && tally.acknowledged_points == 10);
        let expected: u64 = plan.expected().metrics().iter().map(|metric| metric.points).sum();
        assert_eq!(expected, 130);
    }

    /// Requests on their way are not done: before the first answer nothing is known of the time that is left.
    #[test]
    fn what_waits_for_an_answer_is_no_progress() {
        let words = "--endpoint http://127.0.0.1:9 --series 60 --batch 10";
        for (bound, done) in [("--requests 6", 0.5), ("--exports 1", 0.5), ("--duration 10s", 0.0)] {
            let settled = options(&format!("{words} {bound}")).settle().unwrap();
            let plan = Plan::new(settled.settings.clone(), 1).unwrap();
            let mut sender = Sender::new(settled, plan, Clock::start()).unwrap();
            (sender.tally.sent_requests, sender.tally.sent_points, sender.waiting) = (1, 10, 1);
            assert_eq!(sender.progress(0, 0), Some(0.0), "{bound}");
            (sender.tally.sent_requests, sender.tally.sent_points) = (4, 40);
            sender.tally.acknowledged_points = 30;
            assert_eq!(sender.progress(0, 0), Some(done), "{bound}");
        }
    }
}
