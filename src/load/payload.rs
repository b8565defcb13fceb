//! The requests of a run, built whole before the first byte is sent, and patched in place for each send.
//!
//! Deliberately does not know sockets, protocols or clocks: the time of a send is an argument.
//! Invariants: 1. the same settings and seed give the same bytes, and the n-th send of a request does not depend on
//! what became of other requests; 2. a request is patched only while none of its bytes wait in an outbox (the sender
//! holds to this); 3. what is added to the totals is exactly what the patched bytes say.
//! Bounds: memory is series × bytes of a point (about 210 with five attributes), plus a few words a request.

use super::builder::Open;
use super::expected::{Expected, MetricTotal};
use super::patcher::Patcher;
use super::random::{Random, Zipf};
use super::shape::{Layout, Mix, Shape};

/// Bytes before the message in every payload: the gRPC frame (compressed flag, length).
pub const GRPC_PREFIX_BYTES: usize = 5;

/// The order of the points of a metric within its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// The same every export, as the SDKs of Python, JavaScript and Java do.
    Same,
    /// The points of each metric in a new order every export, as Go's SDK sends deltas.
    Shuffled,
    /// Drawn by Zipf's law when the payload is built: few series get most points (kinds that add only).
    Zipf,
}

/// What to build.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Series over all resources.
    pub series: usize,
    /// Points in one request.
    pub batch: usize,
    /// String attributes on each point.
    pub attributes: usize,
    /// Resources.
    pub resources: usize,
    /// Metrics of each resource.
    pub metrics: usize,
    /// Kinds, dealt round over the metrics.
    pub mix: Mix,
    /// Order of the points of a metric.
    pub order: Order,
    /// Share of the points that is dropped and replaced by new series at each export.
    pub churn: f64,
    /// Same seed, same bytes.
    pub seed: u64,
}

/// Points of one metric in one request: same length, one after the other.
pub(super) struct Run {
    pub metric: u32,
    pub shape: Shape,
    pub offset: u32,
    pub count: u32,
    /// The identity the next new series gets, and the distance to the one after it.
    pub next_id: u32,
    pub id_step: u32,
    /// Fraction of a point that churn owes.
    pub churn_owed: f32,
}

/// One request: what it holds now and how often it was sent.
pub(super) struct Request {
    pub bytes: Box<[u8]>,
    pub runs: Vec<Run>,
    pub points: u32,
    pub sends: u64,
    pub time_ns: u64,
}

/// All requests of a run; one pass over them is an export.
pub struct Plan {
    settings: Settings,
    requests: Vec<Request>,
    layouts: Vec<Option<Layout>>,
    expected: Expected,
    points: u64,
    start_ns: u64,
}

impl Plan {
    /// Builds every payload. `start_ns` (wall clock) is where the first deltas and all cumulatives start.
    /// Errors say what contradicts what, and the remedy.
    pub fn new(settings: Settings, start_ns: u64) -> Result<Plan, String> {
        check(&settings)?;
        let names: Vec<(String, Shape)> = (0..settings.metrics)
            .map(|metric| {
                let shape = settings.mix.of(metric);
                (format!("load.{}.{metric:04}", shape.word().replace('-', "_")), shape)
            })
            .collect();
        let mut layouts: Vec<Option<Layout>> = Shape::ALL.iter().map(|_| None).collect();
        for (_, shape) in &names {
            layouts[*shape as usize].get_or_insert_with(|| Layout::new(*shape, settings.attributes));
        }
        let expected = Expected::new(names.iter().map(|(name, shape)| MetricTotal::new(name, *shape)).collect());
        let mut plan = Plan { requests: Vec::new(), layouts, expected, points: 0, start_ns, settings };
        plan.build(&names);
        Ok(plan)
    }

    /// Requests in one export.
    pub fn requests(&self) -> usize {
        self.requests.len()
    }

    /// Points in one export.
    pub fn points(&self) -> u64 {
        self.points
    }

    /// Bytes of all messages of one export.
    pub fn bytes(&self) -> u64 {
        self.requests.iter().map(|request| (request.bytes.len() - GRPC_PREFIX_BYTES) as u64).sum()
    }

    /// Points in request `index`.
    pub fn request_points(&self, index: usize) -> u32 {
        self.requests[index].points
    }

    /// Request `index` as it stands: [`GRPC_PREFIX_BYTES`] of frame, then the message.
    #[inline]
    pub fn payload(&self, index: usize) -> &[u8] {
        &self.requests[index].bytes
    }

    /// What all patched points come to.
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// Makes request `index` ready for its next send: churn, order, times, values. `now_ns` is the wall clock.
    pub fn patch(&mut self, index: usize, now_ns: u64) {
        let request = &mut self.requests[index];
        let mut random = Random::at(self.settings.seed, index as u64, request.sends);
        let time_ns = now_ns.max(request.time_ns + 1);
        let first = request.sends == 0;
        for run in &mut request.runs {
            let layout = self.layouts[run.shape as usize].as_ref().expect("every shape in use has a layout");
            let stride = layout.stride();
            let points = &mut request.bytes[run.offset as usize..][..stride * run.count as usize];
            let mut patcher = Patcher {
                layout,
                shape: run.shape,
                previous_ns: request.time_ns,
                time_ns,
                random: &mut random,
                total: self.expected.metric_mut(run.metric as usize),
            };
            if first {
                points.chunks_exact_mut(stride).for_each(|point| patcher.bear(point));
            } else if self.settings.churn > 0.0 {
                patcher.churn(points, run, self.settings.churn as f32);
            }
            if self.settings.order == Order::Shuffled {
                shuffle(points, stride, patcher.random);
            }
            patcher.points(points, run.count);
        }
        request.sends += 1;
        request.time_ns = time_ns;
    }

    /// Walks resources, metrics and points, closing a request whenever it is full.
    fn build(&mut self, names: &[(String, Shape)]) {
        let zipf = (self.settings.order == Order::Zipf).then(|| {
            let groups = self.settings.resources * self.settings.metrics;
            Zipf::new(self.settings.series.div_ceil(groups))
        });
        let mut random = Random::at(self.settings.seed, u64::MAX, 0);
        let mut open = Open::default();
        for resource in 0..self.settings.resources {
            for (metric, (name, shape)) in names.iter().enumerate() {
                let group = resource * names.len() + metric;
                let groups = self.settings.resources * names.len();
                let series = share(self.settings.series, groups, group);
                let (mut done, mut part) = (0, 0);
                while done < series {
                    let count = (series - done).min(self.settings.batch - open.points as usize);
                    let layout = self.layouts[*shape as usize].as_ref().expect("every shape in use has a layout");
                    let ids = (done..done + count).map(|ordinal| match &zipf {
                        Some(zipf) => zipf.draw(&mut random).min(series - 1) as u32,
                        None => ordinal as u32,
                    });
                    // Requests that share a group share what is left of its identities: each takes every n-th.
                    let id_step = series.div_ceil(self.settings.batch) as u32 + 1;
                    open.metric(resource, metric, name, *shape, layout, ids, series as u32 + part, id_step);
                    done += count;
                    part += 1;
                    if open.points as usize == self.settings.batch {
                        self.close(&mut open);
                    }
                }
            }
        }
        if open.points > 0 {
            self.close(&mut open);
        }
    }

    fn close(&mut self, open: &mut Open) {
        let open = std::mem::take(open);
        self.points += u64::from(open.points);
        self.requests.push(open.finish(self.start_ns));
    }
}

/// Contradictions in the settings.
fn check(settings: &Settings) -> Result<(), String> {
    let groups = settings.resources.saturating_mul(settings.metrics);
    if settings.series == 0 || settings.batch == 0 || groups == 0 {
        return Err("--series, --batch, --resources and --metrics must be at least 1".into());
    }
    if settings.batch > u32::MAX as usize / 4_096 {
        return Err(format!("--batch {} is too large: at most {}", settings.batch, u32::MAX / 4_096));
    }
    if settings.series > u32::MAX as usize / 2 {
        return Err(format!("--series {} is too large: at most {}", settings.series, u32::MAX / 2));
    }
    if settings.attributes > 100 {
        return Err(format!("--attributes {} is too many: at most 100", settings.attributes));
    }
    if settings.attributes == 0 && settings.series > groups {
        return Err(format!(
            "--attributes 0 leaves one series per resource and metric: at most --series {groups} here, or raise \
             --attributes"
        ));
    }
    if settings.order == Order::Zipf && !settings.mix.is_delta() {
        return Err("--order zipf repeats series within a request, which only delta kinds allow: change --kind".into());
    }
    if !(0.0..=1.0).contains(&settings.churn) {
        return Err(format!("--churn {} is not a share from 0 to 1", settings.churn));
    }
    if settings.churn > 0.0 && (settings.attributes == 0 || settings.order == Order::Zipf) {
        return Err("--churn needs --attributes of at least 1 and --order same or shuffled".into());
    }
    Ok(())
}

/// The `index`-th of `parts` nearly equal shares of `whole`.
fn share(whole: usize, parts: usize, index: usize) -> usize {
    whole * (index + 1) / parts - whole * index / parts
}

/// A new order for points of equal length (Fisher and Yates).
fn shuffle(points: &mut [u8], stride: usize, random: &mut Random) {
    for last in (1..points.len() / stride).rev() {
        let chosen = random.below(last as u32 + 1) as usize;
        if chosen != last {
            let (low, high) = points.split_at_mut(last * stride);
            low[chosen * stride..][..stride].swap_with_slice(&mut high[..stride]);
        }
    }
}
