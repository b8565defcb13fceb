//! A request while it is built: resources, scopes, metrics and points as protobuf bytes, lengths before what they enclose.
//!
//! Deliberately does not know what is sent when, nor totals.
//! Layout: OTLP 1.x metrics.proto, fields in ascending order of their numbers.

use super::request::Request;
use super::run::{GRPC_PREFIX_BYTES, Run, SCOPE_NAME, SCOPE_VERSION, resource_attributes};
use super::shape::Layout;
use crate::load::bytes::{bytes_field, head, varint_field};

/// A request while it is built: metrics of the open resource wait for the length of what encloses them.
#[derive(Default)]
pub(crate) struct Open {
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
    pub(crate) fn metric(&mut self, mut run: Run, name: &str, layout: &Layout, ids: &[u32]) {
        let resource = run.resource as usize;
        if self.resource != Some(resource) {
            self.close_resource();
            self.resource = Some(resource);
        }
        let mut before = Vec::new();
        bytes_field(&mut before, 1, name.as_bytes());
        bytes_field(&mut before, 3, b"1");
        let mut after = Vec::new();
        if let Some(temporality) = run.shape.temporality() {
            varint_field(&mut after, 2, temporality);
            if run.shape.metric_field() == 7 {
                varint_field(&mut after, 3, 1);
            }
        }
        let data_bytes = ids.len() * layout.stride() + after.len();
        head(&mut before, run.shape.metric_field(), data_bytes);
        head(&mut self.metrics, 2, before.len() + data_bytes);
        self.metrics.extend_from_slice(&before);
        run.offset = self.metrics.len() as u32;
        self.runs.push(run);
        for &id in ids {
            let at = self.metrics.len();
            self.metrics.extend_from_slice(&layout.template);
            layout.identify(&mut self.metrics[at..], id);
        }
        self.metrics.extend_from_slice(&after);
        self.points += ids.len() as u32;
    }

    /// Wraps the metrics so far into ResourceMetrics { resource, ScopeMetrics { scope, metrics } }.
    fn close_resource(&mut self) {
        let Some(resource) = self.resource.take() else { return };
        let mut attributes = Vec::new();
        for (key, value) in resource_attributes(resource) {
            let mut pair = Vec::new();
            bytes_field(&mut pair, 1, key.as_bytes());
            head(&mut pair, 2, 2 + value.len());
            bytes_field(&mut pair, 1, value.as_bytes());
            bytes_field(&mut attributes, 1, &pair);
        }
        let mut scope = Vec::new();
        bytes_field(&mut scope, 1, SCOPE_NAME.as_bytes());
        bytes_field(&mut scope, 2, SCOPE_VERSION.as_bytes());
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
    pub(crate) fn finish(mut self, start_ns: u64) -> Request {
        self.close_resource();
        let mut bytes = vec![0; GRPC_PREFIX_BYTES];
        bytes[1..].copy_from_slice(&(self.done.len() as u32).to_be_bytes());
        bytes.append(&mut self.done);
        self.runs.iter_mut().for_each(|run| run.offset += GRPC_PREFIX_BYTES as u32);
        Request {
            bytes: bytes.into(),
            runs: self.runs,
            points: self.points,
            sends: 0,
            time_ns: start_ns,
            before_ns: start_ns,
            text: None,
            packed: Vec::new(),
            variants: Vec::new(),
        }
    }
}
