//! How the resolver reads OTLP's bytes: attributes of points, and what resources and scopes say.
//!
//! Knows messages that were found sound; does not know what becomes of what they say.

use crate::identity::attributes::{Bad, Limits, Normalised, key_byte};
use crate::limits::DESCRIPTION_BYTES_MAX;
use crate::model::{Kind, Reject};
use crate::otlp::schema::{Message, validate};
use crate::otlp::{attributes, cut};
use crate::resolve::{Encoding, EnvelopeKey, Said};
use crate::wire::{Fault, Reader, put_bytes};
use std::borrow::Cow;

/// OTLP's encoding, within these limits.
#[derive(Clone, Copy)]
pub(super) struct Otlp(pub(super) Limits);

impl Encoding for Otlp {
    const NUMBER: u8 = 0;
    type Fault = Fault;

    fn attributes(
        &self,
        kind: Kind,
        raw: &[u8],
        state: &ahash::RandomState,
        out: &mut Vec<u8>,
    ) -> Result<Result<Normalised, Bad>, Fault> {
        attributes::read(raw, key_byte(kind), self.0, state, out)
    }

    fn resource(&self, key: &EnvelopeKey<'_>) -> Result<Said, Reject> {
        let mut cut = 0;
        let run = collect(key.bytes, (1, 0x0a), self.0, &mut cut)?;
        cut += u64::from(key.is_cut || key.schema_url.len() > self.0.name_bytes);
        Ok(Said { head: Vec::new(), run, cut })
    }

    fn scope(&self, key: &EnvelopeKey<'_>) -> Result<Said, Reject> {
        let mut cut = 0;
        let run = collect(key.bytes, (3, 0x1a), self.0, &mut cut)?;
        cut += u64::from(key.is_cut || key.schema_url.len() > self.0.name_bytes);
        Ok(Said { head: scope_texts(key.bytes, self.0.name_bytes, &mut cut), run, cut })
    }

    fn schema_url<'a>(&self, text: &'a [u8]) -> Cow<'a, str> {
        cut::cut_text(checked(text), self.0.name_bytes)
    }

    fn description<'a>(&self, text: &'a [u8]) -> &'a str {
        cut::head_of(text, DESCRIPTION_BYTES_MAX)
    }
}

impl Otlp {
    /// A resource or a scope of OTLP.
    pub(super) const fn envelope<'a>(bytes: &'a [u8], schema_url: &'a [u8], is_cut: bool) -> EnvelopeKey<'a> {
        EnvelopeKey { encoding: Otlp::NUMBER, bytes, schema_url, is_cut, shared: None }
    }
}

/// Gathers and normalises the attribute records (field `number`) of a validated message; what is over the limits is cut, and
/// counted: a long text of a resource or scope never costs its points.
fn collect(message: &[u8], (number, key_byte): (u32, u8), limits: Limits, cut: &mut u64) -> Result<Vec<u8>, Reject> {
    debug_assert!(validate(if number == 1 { Message::Resource } else { Message::Scope }, message, 1).is_ok());
    let mut run = Vec::with_capacity(message.len());
    let mut reader = Reader::new(message);
    while let Ok(field) = reader.field() {
        if field.number == number {
            if let Ok(record) = reader.bytes() {
                put_bytes(&mut run, key_byte, record);
            }
        } else if reader.skip(field, 1).is_err() {
            break;
        }
    }
    let mut out = Vec::new();
    match attributes::normalise(&run, key_byte, limits, &mut out) {
        Ok(Ok(())) => return Ok(out),
        Ok(Err(bad @ Bad::DuplicateKey)) => return Err(bad.into()),
        Ok(Err(Bad::TooMany | Bad::TooLong)) => *cut += 1,
        Err(_) => unreachable!("the message has been validated"),
    }
    match cut::cut_attributes(message, number as u8, limits) {
        Ok(cut) => Ok(cut),
        Err(_) => unreachable!("the message has been validated"),
    }
}

/// Name and version of a validated scope, as they stand at its head.
fn scope_texts(message: &[u8], name_bytes: usize, cut: &mut u64) -> Vec<u8> {
    let (mut name, mut version) = (&[][..], &[][..]);
    let mut reader = Reader::new(message);
    while let Ok(field) = reader.field() {
        match field.number {
            1 => name = reader.bytes().unwrap_or(&[]),
            2 => version = reader.bytes().unwrap_or(&[]),
            _ => {
                if reader.skip(field, 1).is_err() {
                    break;
                }
            }
        }
    }
    let mut head = Vec::with_capacity(name.len() + version.len() + 8);
    for (key, bytes) in [(0x0a, name), (0x12, version)] {
        if !bytes.is_empty() {
            let whole = checked(bytes);
            *cut += u64::from(whole.len() > name_bytes);
            put_bytes(&mut head, key, cut::cut_text(whole, name_bytes).as_bytes());
        }
    }
    head
}

/// Text that has been checked.
fn checked(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("")
}
