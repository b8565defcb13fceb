//! What the integration tests share: an aggregation of several cores in one thread, and builders of requests.
#![allow(dead_code)]

use catchment::flush::{FoldShared, Options as FlushOptions, Outlet, Owner, Passed, Work, Written};
use catchment::identity::attributes::Limits;
use catchment::ingest::{Ingest, Options as IngestOptions};
use catchment::ledger::Tally;
use catchment::model::{
    Door, EpochNumber, Flushed, Origin, Peer, PlanNumber, Receipt, SelectionNumber, Temporality, View,
};
use catchment::otlp::encode::{Encoder, Request};
use catchment::rows::Rows;
use catchment::rules::{Rule, RulePlan, Selections};
use catchment::series::peers::Shares;
use catchment::series::registry::{Options as RegistryOptions, Registry};
use catchment::series::slab::SlabWriter;
use catchment::sync::cut::{Closed, CutTimes, ShardView};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{self as pb, metric::Data};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;

/// Requests that came out.
#[derive(Default)]
pub struct Out {
    pub cumulative: Vec<ExportMetricsServiceRequest>,
    pub delta: Vec<ExportMetricsServiceRequest>,
    pub bytes: Vec<u8>,
    /// Which ones they were, in the order in which they came.
    pub flushed: Vec<Flushed>,
}

impl Outlet for Out {
    fn wants(&self, _: View) -> bool {
        true
    }

    fn take(&mut self, flushed: Flushed, rows: &impl Rows) -> Option<Written> {
        let Request { bytes: request, points } = Encoder::default().encode(rows, flushed.view.temporality)?;
        let decoded = ExportMetricsServiceRequest::decode(&*request).expect("what we encode decodes");
        assert_eq!(each_point(&decoded).len() as u64, points, "points are counted right");
        assert_eq!(decoded.encode_to_vec().len(), request.len(), "the encoding is minimal");
        self.bytes.extend_from_slice(&request);
        self.flushed.push(flushed);
        if flushed.view.temporality == Temporality::Cumulative {
            self.cumulative.push(decoded)
        } else {
            self.delta.push(decoded)
        }
        Some(Written { points, bytes: request.len() as u64 })
    }
}

/// A whole aggregation without sockets and threads.
pub struct Rig {
    pub registry: Arc<Registry>,
    pub cores: Vec<Ingest>,
    pub owners: Vec<Owner>,
    pub tally: Tally,
    pub cut: u32,
    /// Who sends.
    pub peer: Peer,
    /// Where the window of the next cut begins.
    pub from: u64,
    pub expire_ns: u64,
    /// What all shards share of rules, if there are any.
    pub rules: Option<Arc<FoldShared>>,
    /// The core that is late for the next cuts: what it took in stays where it is.
    pub late: Option<usize>,
    /// How long a slice of an owner's work may take, where that is measured; else it is some three pieces.
    pub slice: Option<Duration>,
    /// What each slice of the last cut took, in time of the thread: what else runs on the machine does not matter.
    pub slices: Vec<Duration>,
}

pub const SECOND: u64 = 1_000_000_000;
pub const START: u64 = 1_000 * SECOND;

fn flush_options(expire_ns: u64) -> FlushOptions {
    FlushOptions { plan: PlanNumber::FIRST, epoch: EpochNumber::FIRST, started_ns: START, expire_ns }
}

impl Rig {
    pub fn new(cores: usize) -> Rig {
        Rig::with(cores, 1_000_000, 300 * SECOND)
    }

    pub fn with(cores: usize, series_limit: usize, expire_ns: u64) -> Rig {
        Rig::within(cores, series_limit, usize::MAX, expire_ns)
    }

    pub fn within(cores: usize, series_limit: usize, memory_limit: usize, expire_ns: u64) -> Rig {
        Rig::limited(cores, RegistryOptions { series_limit, group_limit: 100_000, memory_limit }, expire_ns)
    }

    pub fn limited(cores: usize, limits: RegistryOptions, expire_ns: u64) -> Rig {
        Rig::shared(cores, limits, Shares::default(), expire_ns)
    }

    pub fn shared(cores: usize, limits: RegistryOptions, shares: Shares, expire_ns: u64) -> Rig {
        let (writers, slabs): (Vec<_>, Vec<_>) = (0..cores).map(|_| SlabWriter::new()).unzip();
        let registry = Arc::new(Registry::new(limits, slabs).share_by(shares));
        let options = flush_options(expire_ns);
        Rig {
            cores: writers
                .into_iter()
                .enumerate()
                .map(|(i, slab)| {
                    Ingest::new(i, IngestOptions { started_ns: START, limits: Limits::DEFAULT }, registry.clone(), slab)
                })
                .collect(),
            owners: (0..cores).map(|i| Owner::new(i, options, registry.clone()).0).collect(),
            registry,
            tally: Tally::default(),
            cut: 1,
            peer: Peer::default(),
            from: START,
            expire_ns,
            rules: None,
            late: None,
            slice: None,
            slices: Vec::new(),
        }
    }

    /// With these rules, by which outputs leave.
    pub fn with_rules(cores: usize, rules: Vec<Rule>) -> Rig {
        Rig::new(cores).ruled(rules, 10_000)
    }

    /// The same with these rules, which may have so many outputs.
    pub fn ruled(self, rules: Vec<Rule>, outputs: usize) -> Rig {
        let mut rig = self;
        let cores = rig.cores.len();
        let plan = Arc::new(RulePlan::new(rules).expect("sound rules"));
        let shared = Arc::new(FoldShared::new(plan, cores, outputs, rig.registry.state().clone()));
        let options = flush_options(rig.expire_ns);
        let owner = |i| Owner::with_rules(i, options, rig.registry.clone(), Some(shared.clone())).0;
        rig.owners = (0..cores).map(owner).collect();
        rig.rules = Some(shared);
        rig
    }

    pub fn send(&mut self, core: usize, request: &ExportMetricsServiceRequest) -> Receipt {
        self.send_bytes(core, &request.encode_to_vec()).expect("well-formed")
    }

    pub fn send_bytes(&mut self, core: usize, body: &[u8]) -> Result<Receipt, String> {
        let n = self.cores.len();
        let origin = Origin { peer: self.peer, ..Door::OtlpGrpc.into() };
        let result = self.cores[core % n].export(origin, body, &mut self.tally).map_err(|fault| fault.to_string());
        assert!(self.tally.balanced(), "the ledger balances: {:?}", self.tally);
        result
    }

    /// Frees streams that had no route for so many intervals.
    pub fn sweep(&mut self, intervals: u32) {
        for core in &mut self.cores {
            core.sweep(intervals);
            while core.tidy() {}
        }
    }

    /// Cuts all cores at `boundary` and merges everything.
    pub fn cut(&mut self, boundary: u64) -> Out {
        self.cut_at(self.times(boundary))
    }

    /// Other rules, behind the next cut.
    pub fn reload(&self, rules: Vec<Rule>) {
        self.reload_choosing(rules, None);
    }

    /// The same, with what destinations choose by them.
    pub fn reload_choosing(&self, rules: Vec<Rule>, selections: Option<Arc<Selections>>) {
        let plan = Arc::new(RulePlan::new(rules).expect("sound rules"));
        assert!(self.rules.as_ref().expect("a rig with rules").offer(plan, selections), "no others are pending");
    }

    /// The same, where destinations had and have these selections, by number; nothing before: they are new.
    pub fn reload_passing(
        &self,
        rules: Vec<Rule>,
        selections: Option<Arc<Selections>>,
        destinations: &[(Option<u8>, u8)],
        closes: bool,
    ) {
        let plan = Arc::new(RulePlan::new(rules).expect("sound rules"));
        let of = |(before, now): &(Option<u8>, u8)| Passed {
            before: before.map(SelectionNumber::new),
            now: SelectionNumber::new(*now),
        };
        let passed = destinations.iter().map(of).collect();
        let is_offered =
            self.rules.as_ref().expect("a rig with rules").offer_passing((plan, selections), passed, closes);
        assert!(is_offered, "no others are pending");
    }

    /// As `cut`, with clocks that go their own ways.
    pub fn cut_at(&mut self, times: CutTimes) -> Out {
        let out = self.cut_open_at(times);
        for noticed in self.rules.iter().flat_map(|rules| rules.noticed()) {
            // rules of the base interval: nothing stays open
            assert_eq!(noticed.notes.given.int(), noticed.notes.left.int(), "what members gave is what outputs gave");
        }
        out
    }

    /// As `cut`, where rules have longer intervals.
    pub fn cut_open(&mut self, boundary: u64) -> Out {
        self.cut_open_at(self.times(boundary))
    }

    fn times(&self, boundary: u64) -> CutTimes {
        let is_exchange = self.rules.as_ref().is_some_and(|rules| rules.is_pending());
        CutTimes { from_ns: self.from, boundary_ns: boundary, mono_ns: boundary, is_last: false, is_exchange }
    }

    fn cut_open_at(&mut self, times: CutTimes) -> Out {
        let mut out = Out::default();
        self.cut_into(times, &mut out);
        out
    }

    /// As `cut_at`, for whoever takes what is handed out.
    pub fn cut_into(&mut self, times: CutTimes, out: &mut impl Outlet) {
        self.from = times.boundary_ns;
        let mut cores = Vec::new();
        for core in &mut self.cores {
            let (interval, bank) = core.open();
            if self.late == Some(cores.len()) {
                cores.push(ShardView { number: self.cut, open_bank: bank, open_interval: interval, closed: None });
                continue;
            }
            core.switch(self.cut + 1);
            while core.tidy() {}
            let closed = Some(Closed { bank, interval });
            cores.push(ShardView { number: self.cut, open_bank: 1 - bank, open_interval: self.cut + 1, closed });
        }
        let (slice, mut looks, mut slices) = (self.slice, 0, std::mem::take(&mut self.slices));
        slices.clear();
        let mut owned: Vec<_> = self.owners.iter_mut().zip(&mut self.cores).collect();
        for is_settling in [false, true] {
            for (owner, core) in &mut owned {
                let mut begun = thread_time();
                if is_settling {
                    owner.settle();
                } else {
                    owner.begin(self.cut, times, cores.clone());
                }
                loop {
                    let mut more = || {
                        looks += 1;
                        slice.map_or(looks % 3 != 0, |slice| thread_time() - begun < slice)
                    };
                    let work = owner.step(core.slab_mut(), &mut self.tally, out, &mut more);
                    let now = thread_time();
                    slices.push(now - begun);
                    begun = now;
                    if work != Work::More {
                        break;
                    }
                }
            }
        }
        assert!(self.tally.balanced(), "the ledger balances: {:?}", self.tally);
        assert!(self.late.is_some() || self.tally.open() == 0, "a cut of all cores leaves nothing open");
        self.slices = slices;
        self.cut += 1;
    }
}

/// The time that this thread has worked.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

pub fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.into())) }),
        ..Default::default()
    }
}

pub fn attributes(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    pairs.iter().map(|(k, v)| attribute(k, v)).collect()
}

pub fn request(metrics: Vec<pb::Metric>) -> ExportMetricsServiceRequest {
    request_of("svc", metrics)
}

pub fn request_of(service: &str, metrics: Vec<pb::Metric>) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![pb::ResourceMetrics {
            resource: Some(Resource { attributes: attributes(&[("service.name", service)]), ..Default::default() }),
            scope_metrics: vec![pb::ScopeMetrics {
                scope: Some(InstrumentationScope { name: "lib".into(), version: "1".into(), ..Default::default() }),
                metrics,
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
}

pub fn metric(name: &str, data: Data) -> pb::Metric {
    pb::Metric { name: name.into(), unit: "1".into(), data: Some(data), ..Default::default() }
}

pub fn int(value: i64) -> Option<pb::number_data_point::Value> {
    Some(pb::number_data_point::Value::AsInt(value))
}

pub fn double(value: f64) -> Option<pb::number_data_point::Value> {
    Some(pb::number_data_point::Value::AsDouble(value))
}

pub fn number(
    attrs: &[(&str, &str)],
    start: u64,
    time: u64,
    value: Option<pb::number_data_point::Value>,
) -> pb::NumberDataPoint {
    pb::NumberDataPoint {
        attributes: attributes(attrs),
        start_time_unix_nano: start,
        time_unix_nano: time,
        value,
        ..Default::default()
    }
}

pub fn sum(name: &str, temporality: i32, monotonic: bool, points: Vec<pb::NumberDataPoint>) -> pb::Metric {
    metric(
        name,
        Data::Sum(pb::Sum { data_points: points, aggregation_temporality: temporality, is_monotonic: monotonic }),
    )
}

pub fn gauge(name: &str, points: Vec<pb::NumberDataPoint>) -> pb::Metric {
    metric(name, Data::Gauge(pb::Gauge { data_points: points }))
}

/// Every point of a request, flat: (metric, its attributes sorted as text, the point).
#[derive(Clone, Debug, PartialEq)]
pub enum Any {
    Number(pb::NumberDataPoint),
    Histogram(pb::HistogramDataPoint),
    Exponential(pb::ExponentialHistogramDataPoint),
    Summary(pb::SummaryDataPoint),
}

/// Attributes, sorted: `k=v` for texts, any other value as it is debugged.
pub fn label(attributes: &[KeyValue]) -> String {
    let one = |kv: &KeyValue| match kv.value.as_ref().and_then(|any| any.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => format!("{}={text}", kv.key),
        _ => format!("{}={:?}", kv.key, kv.value),
    };
    let mut all: Vec<String> = attributes.iter().map(one).collect();
    all.sort();
    all.join(",")
}

pub fn each_point(request: &ExportMetricsServiceRequest) -> Vec<(String, String, Any)> {
    let mut all = Vec::new();
    for metric in request.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics) {
        let mut add = |attrs: &[KeyValue], point: Any| all.push((metric.name.clone(), label(attrs), point));
        match &metric.data {
            Some(Data::Gauge(d)) => d.data_points.iter().for_each(|p| add(&p.attributes, Any::Number(p.clone()))),
            Some(Data::Sum(d)) => d.data_points.iter().for_each(|p| add(&p.attributes, Any::Number(p.clone()))),
            Some(Data::Histogram(d)) => {
                d.data_points.iter().for_each(|p| add(&p.attributes, Any::Histogram(p.clone())))
            }
            Some(Data::ExponentialHistogram(d)) => {
                d.data_points.iter().for_each(|p| add(&p.attributes, Any::Exponential(p.clone())));
            }
            Some(Data::Summary(d)) => d.data_points.iter().for_each(|p| add(&p.attributes, Any::Summary(p.clone()))),
            None => {}
        }
    }
    all
}

/// The number points of some requests as (metric, attributes, start, time, value as f64).
pub fn numbers(requests: &[ExportMetricsServiceRequest]) -> Vec<(String, String, u64, u64, f64)> {
    let mut all = Vec::new();
    for (name, attrs, point) in requests.iter().flat_map(each_point) {
        if let Any::Number(p) = point {
            let value = match p.value {
                Some(pb::number_data_point::Value::AsInt(v)) => v as f64,
                Some(pb::number_data_point::Value::AsDouble(v)) => v,
                None => f64::NAN,
            };
            all.push((name, attrs, p.start_time_unix_nano, p.time_unix_nano, value));
        }
    }
    all.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    all
}

pub fn values(requests: &[ExportMetricsServiceRequest]) -> Vec<f64> {
    numbers(requests).into_iter().map(|n| n.4).collect()
}

pub fn histogram(name: &str, temporality: i32, points: Vec<pb::HistogramDataPoint>) -> pb::Metric {
    metric(name, Data::Histogram(pb::Histogram { data_points: points, aggregation_temporality: temporality }))
}

/// Minimum 0.5 and maximum 9.0 where there is a count.
pub fn histogram_point(
    attrs: &[(&str, &str)],
    time: u64,
    counts: &[u64],
    bounds: &[f64],
    sum: f64,
) -> pb::HistogramDataPoint {
    let count = counts.iter().sum();
    pb::HistogramDataPoint {
        attributes: attributes(attrs),
        start_time_unix_nano: time,
        time_unix_nano: time,
        count,
        sum: Some(sum),
        bucket_counts: counts.to_vec(),
        explicit_bounds: bounds.to_vec(),
        min: (count > 0).then_some(0.5),
        max: (count > 0).then_some(9.0),
        ..Default::default()
    }
}

pub fn exponential(name: &str, temporality: i32, points: Vec<pb::ExponentialHistogramDataPoint>) -> pb::Metric {
    metric(
        name,
        Data::ExponentialHistogram(pb::ExponentialHistogram {
            data_points: points,
            aggregation_temporality: temporality,
        }),
    )
}

/// One value lies in the zero bucket.
pub fn exponential_point(
    attrs: &[(&str, &str)],
    start: u64,
    time: u64,
    scale: i32,
    offset: i32,
    counts: &[u64],
) -> pb::ExponentialHistogramDataPoint {
    pb::ExponentialHistogramDataPoint {
        attributes: attributes(attrs),
        start_time_unix_nano: start,
        time_unix_nano: time,
        count: counts.iter().sum::<u64>() + 1,
        sum: Some(counts.iter().sum::<u64>() as f64),
        scale,
        zero_count: 1,
        positive: Some(pb::exponential_histogram_data_point::Buckets { offset, bucket_counts: counts.to_vec() }),
        ..Default::default()
    }
}

pub fn summary(name: &str, points: Vec<pb::SummaryDataPoint>) -> pb::Metric {
    metric(name, Data::Summary(pb::Summary { data_points: points }))
}

pub fn summary_point(
    attrs: &[(&str, &str)],
    start: u64,
    time: u64,
    count: u64,
    sum: f64,
    quantiles: &[(f64, f64)],
) -> pb::SummaryDataPoint {
    let pair = |&(quantile, value): &(f64, f64)| pb::summary_data_point::ValueAtQuantile { quantile, value };
    pb::SummaryDataPoint {
        attributes: attributes(attrs),
        start_time_unix_nano: start,
        time_unix_nano: time,
        count,
        sum,
        quantile_values: quantiles.iter().map(pair).collect(),
        ..Default::default()
    }
}

pub fn summaries(requests: &[ExportMetricsServiceRequest]) -> Vec<pb::SummaryDataPoint> {
    let points = requests.iter().flat_map(each_point);
    points.filter_map(|(_, _, p)| if let Any::Summary(s) = p { Some(s) } else { None }).collect()
}

pub fn histograms(requests: &[ExportMetricsServiceRequest]) -> Vec<pb::HistogramDataPoint> {
    let points = requests.iter().flat_map(each_point);
    points.filter_map(|(_, _, p)| if let Any::Histogram(h) = p { Some(h) } else { None }).collect()
}

pub fn exponentials(requests: &[ExportMetricsServiceRequest]) -> Vec<pb::ExponentialHistogramDataPoint> {
    let points = requests.iter().flat_map(each_point);
    points.filter_map(|(_, _, p)| if let Any::Exponential(h) = p { Some(h) } else { None }).collect()
}

/// A request of one resource of a fleet: five attributes a point, and no two points alike.
pub fn fleet_body(r: usize, metrics: usize, points: usize) -> Vec<u8> {
    let metrics = (0..metrics)
        .map(|m| {
            let points = (0..points)
                .map(|p| {
                    let (route, host) = (format!("route-{:08}", m * points + p), format!("host-{:08}", r * 50 + p));
                    let pairs = [
                        ("http.route", route.as_str()),
                        ("host.name", host.as_str()),
                        ("cloud.availability_zone", "eu-central-1a"),
                        ("http.request.method", "GET"),
                        ("deployment.environment", "production"),
                    ];
                    number(&pairs, START, START + 1, int(3))
                })
                .collect();
            sum(&format!("metric.{m}"), 1, true, points)
        })
        .collect();
    request_of(&format!("svc-{r}"), metrics).encode_to_vec()
}
