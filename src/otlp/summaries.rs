//! Summary points: one walk over each.
//!
//! Knows `metrics.proto` SummaryDataPoint and ValueAtQuantile; does not know what makes one valid beyond its wire
//! format. As in `points`, the attribute run is returned as it came.
//!
//! Bounds: the quantiles lie in the caller's arena, at most one more than `limits::SUMMARY_QUANTILES_MAX` of them, so
//! that who checks sees that there are too many.

use super::points::{Attributes, NUMBER_ATTRIBUTES_KEY, Seen, attributes_here, finish_attributes, fixed};
use super::schema::{Message, validate};
use crate::limits::SUMMARY_QUANTILES_MAX;
use crate::wire::{Fault, Reader, WireType};
use bumpalo::Bump;

/// A SummaryDataPoint.
#[derive(Clone, Copy, Debug)]
pub struct SummaryPoint<'a> {
    /// `start_time_unix_nano`
    pub start: u64,
    /// `time_unix_nano`
    pub time: u64,
    /// `count`
    pub count: u64,
    /// `sum`
    pub sum: f64,
    /// `quantile_values`: quantile and value, in their order; what is beyond the limit by more than one is left out
    pub quantiles: &'a [(f64, f64)],
    /// `flags`
    pub flags: u32,
    /// `attributes`
    pub attributes: Attributes<'a>,
}

/// Reads one SummaryDataPoint; `expected` are the attribute bytes that probably come.
pub fn summary<'a>(message: &'a [u8], expected: Option<&[u8]>, arena: &'a Bump) -> Result<SummaryPoint<'a>, Fault> {
    let mut point = SummaryPoint {
        start: 0,
        time: 0,
        count: 0,
        sum: 0.0,
        quantiles: &[],
        flags: 0,
        attributes: Attributes::Run(&[]),
    };
    let (mut quantiles, mut count) = ([(0.0, 0.0); SUMMARY_QUANTILES_MAX + 1], 0);
    let mut seen = Seen::No;
    let mut reader = Reader::new(message);
    while let [key, ..] = reader.rest() {
        if *key == NUMBER_ATTRIBUTES_KEY {
            point.attributes = attributes_here(&mut reader, expected, NUMBER_ATTRIBUTES_KEY, &mut seen)?;
            continue;
        }
        let field = reader.field()?;
        match field.number {
            2 => point.start = fixed(&mut reader, field)?,
            3 => point.time = fixed(&mut reader, field)?,
            4 => point.count = fixed(&mut reader, field)?,
            5 => point.sum = f64::from_bits(fixed(&mut reader, field)?),
            6 => {
                reader.expect(field, WireType::Bytes)?;
                let pair = quantile(reader.bytes()?).map_err(|f| f.named("quantile_values"))?;
                if let Some(place) = quantiles.get_mut(count) {
                    *place = pair;
                    count += 1;
                }
            }
            7 => {
                reader.expect(field, WireType::Bytes)?;
                reader.bytes()?;
                seen = Seen::Scattered;
            }
            8 => {
                reader.expect(field, WireType::Varint)?;
                point.flags = reader.varint()? as u32;
            }
            _ => reader.skip(field, 1)?,
        }
    }
    point.quantiles = arena.alloc_slice_copy(&quantiles[..count]);
    point.attributes = finish_attributes(point.attributes, seen, expected, message, 7, NUMBER_ATTRIBUTES_KEY, arena)?;
    Ok(point)
}

/// Quantile and value of a ValueAtQuantile.
fn quantile(message: &[u8]) -> Result<(f64, f64), Fault> {
    validate(Message::Quantile, message, 1)?;
    let (mut quantile, mut value) = (0.0, 0.0);
    let mut reader = Reader::new(message);
    while !reader.is_empty() {
        let field = reader.field()?;
        match field.number {
            1 => quantile = f64::from_bits(reader.fixed64()?),
            2 => value = f64::from_bits(reader.fixed64()?),
            _ => reader.skip(field, 1)?,
        }
    }
    Ok((quantile, value))
}
