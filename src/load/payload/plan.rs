//! The requests of a run, built whole before the first byte is sent, and patched in place for each send.
//!
//! Deliberately does not know sockets, protocols or clocks: the time of a send is an argument.
//!
//! ```text
//!  state (protobuf, patched in place) ─► text (JSON, same fixed widths) ─► packed (gzip, zstd)      what leaves: the last
//!                                                                          or one of the variants    of those there are
//! ```
//!
//! Invariants: 1. the same settings, seed and times give the same bytes, and the n-th send of a request does not depend
//! on what became of other requests; 2. a request is patched only while none of its bytes wait in an outbox (the sender
//! holds to this); 3. what is added to the totals is exactly what the patched bytes say.
//! Bounds: memory is series × bytes of a point (about 210 with five attributes; JSON about four times as many more), plus
//! what is packed; a request has at most `limits::LOAD_REQUEST_BYTES_MAX`.

use super::builder::Open;
use super::compress::Compressor;
use super::expected::{Expected, MetricTotal};
use super::patcher::Patcher;
use super::random::{Random, Zipf};
use super::request::{Request, Variant};
use super::run::{GRPC_PREFIX_BYTES, Owed, Run};
use super::series::SeriesTotals;
use super::settings::{Encoding, Order, Settings, check};
use super::shape::{Attribute, Layout, Shape};
use super::text::{Text, TextLayout};
use crate::limits::LOAD_REQUEST_BYTES_MAX;

/// All requests of a run; one pass over them is an export.
pub struct Plan {
    settings: Settings,
    requests: Vec<Request>,
    layouts: Vec<Option<Layout>>,
    texts: Vec<Option<TextLayout>>,
    compressor: Option<Compressor>,
    expected: Expected,
    series: Option<SeriesTotals>,
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
        let attributes = Attribute::list(settings.attributes, settings.attribute_bytes);
        let mut layouts: Vec<Option<Layout>> = Shape::ALL.iter().map(|_| None).collect();
        let mut texts: Vec<Option<TextLayout>> = Shape::ALL.iter().map(|_| None).collect();
        for (_, shape) in &names {
            let layout = layouts[*shape as usize].get_or_insert_with(|| Layout::new(*shape, &attributes));
            if layout.stride().saturating_mul(settings.batch) > LOAD_REQUEST_BYTES_MAX {
                return Err(format!(
                    "--batch {} points of {} bytes are more than a request's {LOAD_REQUEST_BYTES_MAX} bytes: lower \
                     --batch, --attributes or --attribute-bytes",
                    settings.batch,
                    layout.stride()
                ));
            }
            if settings.encoding == Encoding::Json {
                texts[*shape as usize].get_or_insert_with(|| TextLayout::new(*shape, layout, &attributes));
            }
        }
        let expected = Expected::new(names.iter().map(|(name, shape)| MetricTotal::new(name, *shape)).collect());
        let compressor = Compressor::new(settings.compression)?;
        let series = settings.track.then(|| SeriesTotals::new(names.clone(), attributes));
        let mut plan =
            Plan { requests: Vec::new(), layouts, texts, compressor, expected, series, points: 0, start_ns, settings };
        plan.build(&names);
        plan.prepare();
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

    /// Bytes of all messages of one export, as protobuf and not compressed.
    pub fn bytes(&self) -> u64 {
        self.requests.iter().map(|request| (request.bytes.len() - GRPC_PREFIX_BYTES) as u64).sum()
    }

    /// Points in request `index`.
    pub fn request_points(&self, index: usize) -> u32 {
        self.requests[index].points
    }

    /// Request `index` as it leaves: [`GRPC_PREFIX_BYTES`] of frame, then the body, encoded and compressed as asked.
    #[inline]
    pub fn payload(&self, index: usize) -> &[u8] {
        let request = &self.requests[index];
        match (&self.compressor, &request.text) {
            (Some(_), _) if self.settings.prepared > 0 => {
                // The first patch makes it the first variant.
                let sends = request.sends.max(1) - 1;
                &request.variants[(sends % request.variants.len() as u64) as usize].packed
            }
            (Some(_), _) => &request.packed,
            (None, Some(text)) => &text.bytes,
            (None, None) => &request.bytes,
        }
    }

    /// What all patched points come to.
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// Totals of every series, where they were asked for.
    pub fn into_totals(self) -> (Expected, Option<SeriesTotals>) {
        (self.expected, self.series)
    }

    /// Makes request `index` ready for its next send: churn, resets, order, times, values; then text and compression.
    /// `now_ns` is the wall clock.
    pub fn patch(&mut self, index: usize, now_ns: u64) {
        if self.settings.prepared > 0 {
            let request = &mut self.requests[index];
            let variant = (request.sends % request.variants.len() as u64) as usize;
            for (metric, adds) in &request.variants[variant].adds {
                self.expected.metric_mut(*metric).add(adds);
            }
            request.sends += 1;
            return;
        }
        self.patch_state(index, now_ns);
        self.render(index);
    }

    fn patch_state(&mut self, index: usize, now_ns: u64) {
        let settings = &self.settings;
        let request = &mut self.requests[index];
        let mut random = Random::at(settings.seed, index as u64, request.sends);
        let time_ns = now_ns.max(request.time_ns + 2);
        let first = request.sends == 0;
        // Series due to be replaced, for each point of a run.
        let per_point = settings.churn_per_s * (time_ns - request.time_ns) as f64 / 1e9 / self.points.max(1) as f64;
        let churn = (settings.churn + per_point) as f32;
        for run in &mut request.runs {
            let layout = self.layouts[run.shape as usize].as_ref().expect("every shape in use has a layout");
            let stride = layout.stride();
            let points = &mut request.bytes[run.offset as usize..][..stride * run.count as usize];
            let mut patcher = Patcher {
                layout,
                shape: run.shape,
                before_ns: request.before_ns,
                previous_ns: request.time_ns,
                time_ns,
                random: &mut random,
                total: self.expected.metric_mut(run.metric as usize),
            };
            if first {
                points.chunks_exact_mut(stride).for_each(|point| patcher.bear(point));
            } else {
                if churn > 0.0 {
                    patcher.churn(points, run, churn, self.series.as_mut());
                }
                if settings.resets > 0.0 {
                    patcher.reset(points, run, settings.resets as f32);
                }
            }
            if settings.order == Order::Shuffled {
                shuffle(points, stride, &mut run.numbers, patcher.random);
            }
            // From the third send on there is a time before the last one to be late for.
            if settings.late > 0.0 && request.sends > 1 {
                patcher.points_some_late(points, run, settings.late as f32);
            } else {
                patcher.points(points, run.count);
            }
            if let Some(series) = &mut self.series {
                for (point, &number) in points.chunks_exact(stride).zip(&run.numbers) {
                    series.sent(number, run.shape, layout, point);
                }
            }
        }
        request.sends += 1;
        (request.before_ns, request.time_ns) = (request.time_ns, time_ns);
    }

    /// Brings text and compressed bytes up to what the state says.
    fn render(&mut self, index: usize) {
        let Request { bytes, runs, text, packed, .. } = &mut self.requests[index];
        if let Some(text) = text {
            for (number, run) in runs.iter().enumerate() {
                let layout = self.texts[run.shape as usize].as_ref().expect("every shape in use has one");
                let stride = self.layouts[run.shape as usize].as_ref().map_or(1, Layout::stride);
                let points = &bytes[run.offset as usize..][..stride * run.count as usize];
                layout.render(points, stride, text.run(number, layout, run.count as usize));
            }
        }
        if let Some(compressor) = &mut self.compressor {
            compressor.pack(text.as_ref().map_or(&bytes[..], |text| &text.bytes), packed);
        }
    }

    /// Makes and compresses the variants that were asked for; the totals begin at nothing again.
    fn prepare(&mut self) {
        let blank = self.expected.clone();
        for index in 0..if self.settings.prepared > 0 { self.requests.len() } else { 0 } {
            for variant in 1..=self.settings.prepared as u64 {
                self.expected = blank.clone();
                self.patch_state(index, self.start_ns + variant * 1_000_000);
                self.render(index);
                let request = &mut self.requests[index];
                let mut metrics: Vec<usize> = request.runs.iter().map(|run| run.metric as usize).collect();
                metrics.sort_unstable();
                metrics.dedup();
                let adds = metrics.iter().map(|&metric| (metric, self.expected.metrics()[metric].clone())).collect();
                request.variants.push(Variant { packed: std::mem::take(&mut request.packed), adds });
            }
            self.requests[index].sends = 0;
        }
        self.expected = blank;
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
                let number = self.settings.first_resource.saturating_add(resource as u32);
                let birth = |totals: &mut SeriesTotals| {
                    (0..series as u32).map(|id| totals.birth(number, metric as u32, id)).collect::<Vec<_>>()
                };
                let numbers: Option<Vec<u32>> = self.series.as_mut().map(birth);
                let (mut done, mut part) = (0, 0);
                while done < series {
                    let count = (series - done).min(self.settings.batch - open.points as usize);
                    let layout = self.layouts[*shape as usize].as_ref().expect("every shape in use has a layout");
                    let ids = (done..done + count).map(|ordinal| match &zipf {
                        Some(zipf) => zipf.draw(&mut random).min(series - 1) as u32,
                        None => ordinal as u32,
                    });
                    let ids: Vec<u32> = ids.collect();
                    let run = Run {
                        metric: metric as u32,
                        resource: number,
                        shape: *shape,
                        offset: 0,
                        count: count as u32,
                        // Requests that share a group share what is left of its identities: each takes every n-th.
                        next_id: series as u32 + part,
                        id_step: series.div_ceil(self.settings.batch) as u32 + 1,
                        owed: Owed::default(),
                        numbers: match &numbers {
                            Some(numbers) => ids.iter().map(|&id| numbers[id as usize]).collect(),
                            None => Vec::new(),
                        },
                    };
                    open.metric(run, name, layout, &ids);
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
        let mut request = open.finish(self.start_ns);
        if self.settings.encoding == Encoding::Json {
            request.text = Some(Text::new(&request.bytes, &request.runs, &self.texts));
        }
        self.requests.push(request);
    }
}

/// The `index`-th of `parts` nearly equal shares of `whole`.
fn share(whole: usize, parts: usize, index: usize) -> usize {
    whole * (index + 1) / parts - whole * index / parts
}

/// A new order for points of equal length and their numbers, if there are any (Fisher and Yates).
fn shuffle(points: &mut [u8], stride: usize, numbers: &mut [u32], random: &mut Random) {
    for last in (1..points.len() / stride).rev() {
        let chosen = random.below(last as u32 + 1) as usize;
        if chosen != last {
            let (low, high) = points.split_at_mut(last * stride);
            low[chosen * stride..][..stride].swap_with_slice(&mut high[..stride]);
            if !numbers.is_empty() {
                numbers.swap(chosen, last);
            }
        }
    }
}
