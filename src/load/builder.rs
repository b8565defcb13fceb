//! A request while it is built: resources, scopes, metrics and points as protobuf bytes, lengths known before they are written.
//!
//! Deliberately does not know what is sent when, nor totals.
//! Layout: OTLP 1.x metrics.proto, fields in ascending order of their numbers.

use super::payload::{GRPC_PREFIX_BYTES, Request, Run};
use super::shape::{Layout, Shape, bytes_field, head, varint_field};

/// A request while it is built: metrics of the open resource wait for the length of what encloses them.
#[derive(Default)]
pub(super) struct Open {
    done: Vec<u8>,
    resource: Option<usize>,
    metrics: Vec<u8>,
    runs: Vec<Run>,
    /// Runs from this one on are counted from the start of `metrics`.
    runs_done: usize,
    pub points: u32,
}

impl Open {
    /// Appends one metric's points, closing the resource before it where another one begins.
    #[allow(clippy::too_many_arguments)]
    pub fn metric(
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

    /// The request, framed for gRPC.
    pub fn finish(mut self, start_ns: u64) -> Request {
        self.close_resource();
        let mut bytes = vec![0; GRPC_PREFIX_BYTES];
        bytes[1..].copy_from_slice(&(self.done.len() as u32).to_be_bytes());
        bytes.append(&mut self.done);
        self.runs.iter_mut().for_each(|run| run.offset += GRPC_PREFIX_BYTES as u32);
        Request { bytes: bytes.into(), runs: self.runs, points: self.points, sends: 0, time_ns: start_ns }
    }
}
