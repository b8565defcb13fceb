//! Where the times of a request's points lie, so that a replay can move them on: a gauge or cumulative point that is not
//! newer than the last changes nothing, and would be cheaper than it is in life.

use crate::wire::{Reader, WireType};

/// `time_unix_nano` is field 3 of every kind of point (metrics.proto).
const TIME: u32 = 3;
/// ExportMetricsServiceRequest.resource_metrics = 1, ResourceMetrics.scope_metrics = 2, ScopeMetrics.metrics = 2; then
/// any of Metric.data, and data_points = 1 in each of them.
const PATH: [&[u32]; 5] = [&[1], &[2], &[2], &[5, 7, 9, 10, 11], &[1]];

/// Offsets of the eight bytes of each point's time, and the number of points.
pub(super) fn offsets(body: &[u8]) -> (Vec<u32>, u64) {
    let mut found = (Vec::new(), 0);
    // what is malformed is left alone: the replay will be told by `Ingest`
    let _ = walk(body, 0, &PATH, &mut found);
    found
}

fn walk(message: &[u8], base: usize, path: &[&[u32]], found: &mut (Vec<u32>, u64)) -> Option<()> {
    let mut reader = Reader::new(message);
    while !reader.is_empty() {
        let field = reader.field().ok()?;
        let at = base + message.len() - reader.left();
        match path {
            [] if field.number == TIME && field.wire == WireType::Fixed64 => found.0.push(u32::try_from(at).ok()?),
            [wanted, below @ ..] if wanted.contains(&field.number) && field.wire == WireType::Bytes => {
                let inner = reader.bytes().ok()?;
                found.1 += u64::from(below.is_empty());
                let at = base + message.len() - reader.left() - inner.len();
                walk(inner, at, below, found)?;
                continue;
            }
            _ => {}
        }
        reader.skip(field, 1).ok()?;
    }
    Some(())
}

/// Moves every time on.
pub(super) fn advance(body: &mut [u8], offsets: &[u32], step_ns: u64) {
    for &offset in offsets {
        if let Some(bytes) = body[offset as usize..].first_chunk_mut::<8>() {
            *bytes = u64::from_le_bytes(*bytes).wrapping_add(step_ns).to_le_bytes();
        }
    }
}
