//! The requests of a run, built whole before the first byte is sent, and patched in place for each send.
//!
//! Deliberately does not know sockets, protocols or clocks: the time of a send is an argument.
//! Invariants: 1. the same settings and seed give the same bytes, and the n-th send of a request does not depend on
//! what became of other requests; 2. a request is patched only while none of its bytes wait in an outbox (the sender
//! holds to this); 3. what is added to the totals is exactly what the patched bytes say.
//! Bounds: memory is series × bytes of a point (about 210 with five attributes), plus a few words a request.

use super::expected::{Expected, MetricTotal};
use super::random::{Random, Zipf};
use super::shape::{
    EXPONENTIAL_BASE, EXPONENTIAL_BUCKETS, EXPONENTIAL_SCALE, HISTOGRAM_BOUNDS, Layout, Mix, Shape, bytes_field, head,
    varint_field,
};

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
struct Run {
    metric: u32,
    shape: Shape,
    offset: u32,
    count: u32,
    /// The identity the next new series gets, and the distance to the one after it.
    next_id: u32,
    id_step: u32,
    /// Fraction of a point that churn owes.
    churn_owed: f32,
}

struct Request {
    bytes: Box<[u8]>,
    runs: Vec<Run>,
    points: u32,
    sends: u64,
    time_ns: u64,
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

/// A request while it is built: metrics of the open resource wait for the length of what encloses them.
#[derive(Default)]
struct Open {
    done: Vec<u8>,
    resource: Option<usize>,
    metrics: Vec<u8>,
    runs: Vec<Run>,
    /// Runs from this one on are counted from the start of `metrics`.
    runs_done: usize,
    points: u32,
}

impl Open {
    #[allow(clippy::too_many_arguments)]
    fn metric(
        &mut self,
        resource: usize,
        metric: usize,
        name: &str,
        shape: Shape,
        layout: &Layout,
        ids: impl ExactSizeIterator<Item = u32>,
        next_id: u32,
        id_step: u32,
    ) {
        if self.resource != Some(resource) {
            self.close_resource();
            self.resource = Some(resource);
        }
        let count = ids.len();
        let mut before = Vec::new();
        bytes_field(&mut before, 1, name.as_bytes());
        bytes_field(&mut before, 3, b"1");
        let mut after = Vec::new();
        if let Some(temporality) = shape.temporality() {
            varint_field(&mut after, 2, temporality);
            if shape.metric_field() == 7 {
                varint_field(&mut after, 3, 1);
            }
        }
        let data_bytes = count * layout.stride() + after.len();
        head(&mut before, shape.metric_field(), data_bytes);
        head(&mut self.metrics, 2, before.len() + data_bytes);
        self.metrics.extend_from_slice(&before);
        self.runs.push(Run {
            metric: metric as u32,
            shape,
            offset: self.metrics.len() as u32,
            count: count as u32,
            next_id,
            id_step,
            churn_owed: 0.0,
        });
        for id in ids {
            let at = self.metrics.len();
            self.metrics.extend_from_slice(&layout.template);
            layout.identify(&mut self.metrics[at..], id);
        }
        self.metrics.extend_from_slice(&after);
        self.points += count as u32;
    }

    /// Wraps the metrics so far into ResourceMetrics { resource, ScopeMetrics { scope, metrics } }.
    fn close_resource(&mut self) {
        let Some(resource) = self.resource.take() else { return };
        let mut attributes = Vec::new();
        for (key, value) in [
            ("service.name", "catchment-load".to_owned()),
            ("service.instance.id", format!("instance-{resource:08}")),
            ("host.name", format!("node-{:04}", resource / 16)),
        ] {
            let mut pair = Vec::new();
            bytes_field(&mut pair, 1, key.as_bytes());
            head(&mut pair, 2, 2 + value.len());
            bytes_field(&mut pair, 1, value.as_bytes());
            bytes_field(&mut attributes, 1, &pair);
        }
        let mut scope = Vec::new();
        bytes_field(&mut scope, 1, b"catchment.load");
        bytes_field(&mut scope, 2, b"1");
        let mut opening = Vec::new();
        bytes_field(&mut opening, 1, &scope);
        let scope_bytes = opening.len() + self.metrics.len();
        let mut outer = Vec::new();
        bytes_field(&mut outer, 1, &attributes);
        head(&mut outer, 2, scope_bytes);
        head(&mut self.done, 1, outer.len() + scope_bytes);
        self.done.extend_from_slice(&outer);
        self.done.extend_from_slice(&opening);
        for run in &mut self.runs[self.runs_done..] {
            run.offset += self.done.len() as u32;
        }
        self.runs_done = self.runs.len();
        self.done.append(&mut self.metrics);
    }

    fn finish(mut self, start_ns: u64) -> Request {
        self.close_resource();
        let mut bytes = vec![0; GRPC_PREFIX_BYTES];
        bytes[1..].copy_from_slice(&(self.done.len() as u32).to_be_bytes());
        bytes.append(&mut self.done);
        self.runs.iter_mut().for_each(|run| run.offset += GRPC_PREFIX_BYTES as u32);
        Request { bytes: bytes.into(), runs: self.runs, points: self.points, sends: 0, time_ns: start_ns }
    }
}

/// Writes times and values of one run of points and adds them to the totals.
struct Patcher<'a> {
    layout: &'a Layout,
    shape: Shape,
    previous_ns: u64,
    time_ns: u64,
    random: &'a mut Random,
    total: &'a mut MetricTotal,
}

impl Patcher<'_> {
    /// A point that begins: start time, empty state.
    fn bear(&mut self, point: &mut [u8]) {
        if let Some(start) = self.layout.start {
            put(point, start, self.previous_ns);
        }
        put(point, self.layout.value, 0);
        if !self.shape.is_distribution() {
            return;
        }
        put(point, self.layout.count, 0);
        let buckets = self.layout.buckets;
        match self.shape {
            Shape::CumulativeHistogram => (0..self.shape.buckets()).for_each(|i| put(point, buckets + i * 8, 0)),
            Shape::CumulativeExponential => {
                // Every bucket starts from a count whose varint has its full width.
                put(point, self.layout.zero, 0);
                let mut sum = 0;
                for bucket in 0..EXPONENTIAL_BUCKETS {
                    put_varint4(&mut point[buckets + bucket * 4..], EXPONENTIAL_BASE);
                    self.total.buckets[bucket + 1] += i128::from(EXPONENTIAL_BASE);
                    sum += EXPONENTIAL_BASE as i64 * exponential_units(bucket);
                }
                let count = EXPONENTIAL_BASE * EXPONENTIAL_BUCKETS as u64;
                put(point, self.layout.count, count);
                put(point, self.layout.value, double(sum).to_bits());
                self.total.count += i128::from(count);
                self.total.units += i128::from(sum);
            }
            _ => {}
        }
    }

    /// Replaces the share of points that is due by new series.
    fn churn(&mut self, points: &mut [u8], run: &mut Run, share: f32) {
        run.churn_owed += share * run.count as f32;
        while run.churn_owed >= 1.0 {
            run.churn_owed -= 1.0;
            let chosen = self.random.below(run.count) as usize;
            let point = &mut points[chosen * self.layout.stride()..][..self.layout.stride()];
            self.layout.identify(point, run.next_id);
            run.next_id = run.next_id.wrapping_add(run.id_step);
            self.bear(point);
        }
    }

    /// All points of a run. Kinds are told apart here, once, and not in the loop.
    fn points(&mut self, points: &mut [u8], count: u32) {
        self.total.points += u64::from(count);
        match self.shape {
            Shape::DeltaSum => self.numbers::<true>(points, |_, draw| {
                let value = (draw >> 32 & 1023) as i64 + 1;
                (value as u64, value << 10)
            }),
            Shape::DeltaSumDouble => self.numbers::<true>(points, |_, draw| {
                let units = (draw >> 32 & 0xf_ffff) as i64;
                (double(units).to_bits(), units)
            }),
            Shape::CumulativeSum => self.numbers::<false>(points, |old, draw| {
                let step = (draw >> 32 & 1023) + 1;
                (old.wrapping_add(step), (step as i64) << 10)
            }),
            Shape::CumulativeSumDouble => self.numbers::<false>(points, |old, draw| {
                let step = (draw >> 32 & 0xf_ffff) as i64;
                (double(units(old) + step).to_bits(), step)
            }),
            Shape::Gauge => self.numbers::<false>(points, |old, draw| {
                let value = (draw >> 32 & 0xf_ffff) as i64 - 0x8_0000;
                (value as u64, (value - old as i64) << 10)
            }),
            Shape::GaugeDouble => self.numbers::<false>(points, |old, draw| {
                let value = (draw >> 32 & 0xf_ffff) as i64 - 0x8_0000;
                (double(value).to_bits(), value - units(old))
            }),
            _ => self.distributions(points),
        }
    }

    /// `next(old bits, draw)` gives the new bits and what they add to the total, in units of 2^-10.
    #[inline]
    fn numbers<const DELTA: bool>(&mut self, points: &mut [u8], next: impl Fn(u64, u64) -> (u64, i64)) {
        let (value, time) = (self.layout.value, self.layout.time);
        let start = if DELTA { self.layout.start } else { None };
        let mut sum = 0_i64;
        for point in points.chunks_exact_mut(self.layout.stride()) {
            if let Some(start) = start {
                put(point, start, self.previous_ns);
            }
            put(point, time, self.time_ns);
            let old = if DELTA { 0 } else { get(point, value) };
            let (bits, units) = next(old, self.random.next());
            put(point, value, bits);
            sum += units;
        }
        self.total.units += i128::from(sum);
    }

    fn distributions(&mut self, points: &mut [u8]) {
        let delta = self.shape.is_delta();
        for point in points.chunks_exact_mut(self.layout.stride()) {
            if let (true, Some(start)) = (delta, self.layout.start) {
                put(point, start, self.previous_ns);
            }
            put(point, self.layout.time, self.time_ns);
            let (count, sum) = match self.shape {
                Shape::DeltaHistogram | Shape::CumulativeHistogram => self.histogram(point, delta),
                Shape::DeltaExponential | Shape::CumulativeExponential => self.exponential(point, delta),
                _ => {
                    let draw = self.random.next();
                    (draw & 15, (draw >> 32 & 0xffff) as i64)
                }
            };
            let (old_count, old_sum) =
                if delta { (0, 0) } else { (get(point, self.layout.count), units(get(point, self.layout.value))) };
            put(point, self.layout.count, old_count + count);
            put(point, self.layout.value, double(old_sum + sum).to_bits());
            self.total.count += i128::from(count);
            self.total.units += i128::from(sum);
        }
    }

    /// Adds 0 to 3 to each bucket; says what was added to count and sum.
    fn histogram(&mut self, point: &mut [u8], delta: bool) -> (u64, i64) {
        let mut draw = self.random.next();
        let (mut count, mut sum) = (0, 0);
        for bucket in 0..=HISTOGRAM_BOUNDS.len() {
            let step = draw & 3;
            draw >>= 2;
            let at = self.layout.buckets + bucket * 8;
            let old = if delta { 0 } else { get(point, at) };
            put(point, at, old + step);
            count += step;
            sum += step as i64 * histogram_units(bucket);
            self.total.buckets[bucket] += i128::from(step);
        }
        (count, sum)
    }

    /// Adds 0 to 7 to each bucket and the zero bucket; says what was added to count and sum.
    fn exponential(&mut self, point: &mut [u8], delta: bool) -> (u64, i64) {
        let mut draw = self.random.next();
        let zeros = draw & 3;
        let old = if delta { 0 } else { get(point, self.layout.zero) };
        put(point, self.layout.zero, old + zeros);
        self.total.buckets[0] += i128::from(zeros);
        let (mut count, mut sum) = (zeros, 0);
        for bucket in 0..EXPONENTIAL_BUCKETS {
            draw >>= 2;
            let step = draw & 7;
            if delta {
                point[self.layout.buckets + bucket] = step as u8;
            } else {
                let at = &mut point[self.layout.buckets + bucket * 4..];
                put_varint4(at, get_varint4(at) + step);
            }
            count += step;
            sum += step as i64 * exponential_units(bucket);
            self.total.buckets[bucket + 1] += i128::from(step);
        }
        (count, sum)
    }
}

/// A value that lies in bucket `index` of the explicit histogram, in units of 2^-10.
fn histogram_units(index: usize) -> i64 {
    HISTOGRAM_BOUNDS.get(index).map_or(12 << 10, |bound| (bound * 1024.0) as i64)
}

/// A value that lies in positive bucket `index`, in units of 2^-10.
fn exponential_units(index: usize) -> i64 {
    (((index as f64 + 0.5) / f64::from(1 << EXPONENTIAL_SCALE)).exp2() * 1024.0) as i64
}

/// Units of 2^-10 as a double; exact below 2^53 units.
fn double(units: i64) -> f64 {
    units as f64 / 1024.0
}

/// The bits of a double made by [`double`] as units again.
fn units(bits: u64) -> i64 {
    (f64::from_bits(bits) * 1024.0) as i64
}

#[inline]
fn put(point: &mut [u8], offset: usize, bits: u64) {
    point[offset..offset + 8].copy_from_slice(&bits.to_le_bytes());
}

#[inline]
fn get(point: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(point[offset..offset + 8].try_into().expect("eight bytes"))
}

/// A varint of exactly four bytes: 2^21 to 2^28 - 1.
fn put_varint4(out: &mut [u8], value: u64) {
    assert!((EXPONENTIAL_BASE..1 << 28).contains(&value), "a bucket count left its four bytes");
    for (index, byte) in out[..4].iter_mut().enumerate() {
        *byte = (value >> (7 * index)) as u8 & 127 | if index < 3 { 128 } else { 0 };
    }
}

fn get_varint4(bytes: &[u8]) -> u64 {
    (0..4).map(|index| u64::from(bytes[index] & 127) << (7 * index)).sum()
}
