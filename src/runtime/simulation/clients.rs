//! Clients of a simulated run: they send sums over HTTP/1.1, in pieces, lose patience, and remember what was acknowledged.

use super::memory_network::{MemoryClient, MemoryNetwork};
use crate::chance::Chance;
use crate::clock::Now;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data,
};
use prost::Message as _;
use std::collections::BTreeMap;
use std::io::ErrorKind::WouldBlock;

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;
/// Metrics of delta points, of which rules make different things; points of the last one are all of 1.
pub(super) const DELTA_NAME: &str = "d";
pub(super) const STAYS_NAME: &str = "s";
pub(super) const ONES_NAME: &str = "e";
const DELTA_NAMES: [&str; 3] = [DELTA_NAME, STAYS_NAME, ONES_NAME];
/// The metric of cumulative points.
pub(super) const CUMULATIVE_NAME: &str = "c";
/// Each client writes so many series of each temporality.
const SERIES_EACH: usize = 6;

/// What a series must come to: nothing but what was acknowledged, and perhaps what was sent and never answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) low: i64,
    pub(super) high: i64,
}

impl Expected {
    /// Both together.
    pub(super) fn and(self, other: Expected) -> Expected {
        Expected { low: self.low + other.low, high: self.high + other.high }
    }

    /// It came to this.
    pub(super) fn check(self, sum: i64, what: &str) {
        assert!((self.low..=self.high).contains(&sum), "{what}: {self:?} was sent, {sum} arrived");
    }
}

/// A cumulative stream as its client knows it.
#[derive(Clone, Debug, Default)]
struct Stream {
    value: i64,
    start_ns: u64,
    /// Of the values before the last reset.
    before: Expected,
    /// Of this reset's values.
    since: Expected,
}

/// A request under way.
struct Request {
    bytes: Vec<u8>,
    sent: usize,
    reply: Vec<u8>,
    /// Series and what it adds.
    deltas: Vec<(String, i64)>,
    /// Stream and its value.
    values: Vec<(usize, i64)>,
    points: u64,
}

/// What clients saw, over all of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) acknowledged: u64,
    pub(super) acknowledged_points: u64,
    pub(super) unanswered_points: u64,
    pub(super) refused: u64,
    pub(super) abandoned: u64,
    pub(super) resets: u64,
}

/// See the file's head.
pub(super) struct Client {
    number: usize,
    /// The shard where its cumulative streams go; its connections stay there.
    home: usize,
    socket: Option<MemoryClient>,
    request: Option<Request>,
    streams: Vec<Stream>,
    deltas: BTreeMap<String, Expected>,
    /// The newest time it has sent.
    time_ns: u64,
    pub(super) seen: Seen,
}

impl Client {
    /// Its streams begin after the process `started`, whatever the wall clock says: of those that may be older, the first point
    /// counts nothing (M12).
    pub(super) fn new(number: usize, home: usize, started: Now) -> Client {
        let streams = vec![Stream::default(); SERIES_EACH];
        let deltas = BTreeMap::new();
        Client {
            number,
            home,
            socket: None,
            request: None,
            streams,
            deltas,
            time_ns: started.wall_ns + 1,
            seen: Seen::default(),
        }
    }

    /// By series, what all its steps must come to at the other end.
    pub(super) fn sums(&self) -> BTreeMap<String, Expected> {
        self.expected(|stream| stream.before.and(stream.since))
    }

    /// By series, the last total. A cumulative stream leaves as it came: with the start of its last reset.
    pub(super) fn totals(&self) -> BTreeMap<String, Expected> {
        self.expected(|stream| match stream.since {
            // perhaps nothing of it was applied
            Expected { low: 0, high } => Expected { low: 0, high: high.max(stream.before.high) },
            since => since,
        })
    }

    fn expected(&self, of: impl Fn(&Stream) -> Expected) -> BTreeMap<String, Expected> {
        let streams = self.streams.iter().enumerate();
        let streams = streams.map(|(i, stream)| (format!("{CUMULATIVE_NAME}/{}", self.series(i)), of(stream)));
        self.deltas.clone().into_iter().chain(streams).collect()
    }

    /// Nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.request.is_none()
    }

    /// One step: connects, writes a piece, reads what is there. A client that `is_leaving` begins nothing new.
    pub(super) fn step(&mut self, networks: &[MemoryNetwork], wall_ns: u64, is_leaving: bool, chance: &mut Chance) {
        if self.request.is_none() {
            if is_leaving {
                return;
            }
            self.request = Some(self.build(wall_ns, chance));
        }
        if self.socket.is_none() {
            let peer = format!("192.0.2.{}", self.number + 1);
            self.socket = Some(networks[self.home].connect(super::ADDRESS, &peer));
        }
        let request = self.request.as_mut().expect("made above");
        let socket = self.socket.as_mut().expect("made above");
        let left = &request.bytes[request.sent..];
        if chance.one_in(150) && request.sent > 0 && left.len() > 1 {
            // gone in the middle of a request, which cannot have been applied
            self.seen.abandoned += 1;
            (self.socket, self.request) = (None, None);
            return;
        }
        let piece = left.len().min(1 + chance.up_to(2_000) as usize);
        request.sent += socket.write(&left[..piece]).unwrap_or(0);
        let is_gone = match socket.read(usize::MAX) {
            Ok(bytes) if bytes.is_empty() => true,
            Ok(bytes) => {
                request.reply.extend(bytes);
                false
            }
            Err(error) => error.kind() != WouldBlock,
        };
        if let Some((status, closes)) = answer(&request.reply) {
            let request = self.request.take().expect("it is there");
            self.settle(request, Some(status));
            if closes || is_gone {
                self.socket = None;
            }
        } else if is_gone {
            self.socket = None;
            let request = self.request.take().expect("it is there");
            self.settle(request, None);
        }
    }

    /// Leaves a request behind whose answer never came.
    pub(super) fn give_up(&mut self) {
        if let Some(request) = self.request.take() {
            self.settle(request, None);
        }
    }

    fn series(&self, i: usize) -> String {
        format!("{}.{i}", self.number)
    }

    fn settle(&mut self, request: Request, status: Option<u16>) {
        let is_whole = request.sent == request.bytes.len();
        let (low, high) = match status {
            Some(200) => {
                self.seen.acknowledged += 1;
                self.seen.acknowledged_points += request.points;
                (1, 1)
            }
            None if is_whole => {
                self.seen.unanswered_points += request.points;
                (0, 1)
            }
            _ => {
                self.seen.refused += 1;
                return;
            }
        };
        for (series, value) in request.deltas {
            let expected = self.deltas.entry(series).or_default();
            expected.low += value * low;
            expected.high += value * high;
        }
        for (i, value) in request.values {
            let since = &mut self.streams[i].since;
            since.low = if low > 0 { value } else { since.low };
            since.high = value;
        }
    }

    fn build(&mut self, wall_ns: u64, chance: &mut Chance) -> Request {
        self.time_ns = wall_ns.max(self.time_ns + 1);
        let (mut deltas, mut values) = (Vec::new(), Vec::new());
        let (mut delta_points, mut cumulative_points) = (DELTA_NAMES.map(|_| Vec::new()), Vec::new());
        for _ in 0..=chance.up_to(8) {
            // any client may write these: several shards have cells of one series
            let (writer, value, which) = (chance.place(3), chance.up_to(1_000) as i64, chance.place(DELTA_NAMES.len()));
            let series = (writer, chance.place(SERIES_EACH));
            let value = if DELTA_NAMES[which] == ONES_NAME { 1 } else { value };
            delta_points[which].push(point(series, self.time_ns - 1, self.time_ns, value));
            deltas.push((format!("{}/{}.{}", DELTA_NAMES[which], series.0, series.1), value));
        }
        for i in 0..SERIES_EACH {
            if !chance.one_in(3) {
                continue;
            }
            let stream = &mut self.streams[i];
            if stream.start_ns == 0 || chance.one_in(20) {
                self.seen.resets += u64::from(stream.start_ns > 0);
                let Stream { before, since, .. } = *stream;
                let before = before.and(since);
                *stream = Stream { value: 0, start_ns: self.time_ns, before, since: Expected::default() };
                self.time_ns += 1;
            }
            stream.value += 1 + chance.up_to(500) as i64;
            values.push((i, stream.value));
        }
        for &(i, value) in &values {
            cumulative_points.push(point((self.number, i), self.streams[i].start_ns, self.time_ns, value));
        }
        let points = (deltas.len() + values.len()) as u64;
        let delta_metrics = DELTA_NAMES.into_iter().zip(delta_points).map(|(name, points)| metric(name, DELTA, points));
        let metrics = delta_metrics.chain([metric(CUMULATIVE_NAME, CUMULATIVE, cumulative_points)]).collect();
        let scope = ScopeMetrics { metrics, ..ScopeMetrics::default() };
        let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
        let body = ExportMetricsServiceRequest { resource_metrics: vec![resource] }.encode_to_vec();
        let head = format!(
            "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let bytes = [head.as_bytes(), &body].concat();
        Request { bytes, sent: 0, reply: Vec::new(), deltas, values, points }
    }
}

/// Of a writer, and a number among its series.
fn point((writer, number): (usize, usize), start_ns: u64, time_ns: u64, value: i64) -> NumberDataPoint {
    let attribute = |key: &str, value: usize| {
        let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_string())) };
        KeyValue { key: key.into(), value: Some(value), ..KeyValue::default() }
    };
    NumberDataPoint {
        attributes: vec![attribute("w", writer), attribute("i", number)],
        start_time_unix_nano: start_ns,
        time_unix_nano: time_ns,
        value: Some(Value::AsInt(value)),
        ..NumberDataPoint::default()
    }
}

fn metric(name: &str, temporality: i32, data_points: Vec<NumberDataPoint>) -> Metric {
    let sum = Sum { data_points, aggregation_temporality: temporality, is_monotonic: true };
    Metric { name: name.into(), data: Some(Data::Sum(sum)), ..Metric::default() }
}

/// Status of a whole answer, and whether the connection ends with it.
fn answer(reply: &[u8]) -> Option<(u16, bool)> {
    let end = reply.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&reply[..end]).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).map_or(0, |rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().unwrap()
    });
    if reply.len() < end + length {
        return None;
    }
    assert_eq!(reply.len(), end + length, "one request is under way: {head}");
    Some((head[9..12].parse().unwrap(), head.contains("connection: close")))
}
