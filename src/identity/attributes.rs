//! Attribute sets in their one encoding, compared and hashed regardless of order.
//!
//! Knows `common.proto` KeyValue as it is once it is normalised, and how much of it there may be; does not know how a format
//! writes it (`otlp::attributes` brings it here), nor where a set belongs. A *run* is the concatenation of the
//! `repeated KeyValue attributes` records of one message, each with its key byte and length.
//!
//! Invariants
//! 1. A normalised run has minimal varints, known fields only, one value each, and no key twice. Maps inside its values
//!    have their records by key, since their order says nothing; of one key twice in such a map, nothing is dropped.
//! 2. `hash` does not depend on the order of the records; `same` compares contents, never hashes.

use crate::limits::{ATTRIBUTE_KEY_BYTES_MAX, ATTRIBUTE_VALUE_BYTES_MAX, ATTRIBUTES_MAX, NAME_BYTES_MAX};
use crate::model::{Kind, Reject};
use crate::wire::{Reader, put_bytes, put_header};

/// The key byte of the attributes of a series of this kind: that of its point's message, so that they leave as they lie.
pub const fn key_byte(kind: Kind) -> u8 {
    match kind {
        // NumberDataPoint and SummaryDataPoint (7)
        Kind::Gauge | Kind::Sum | Kind::Summary => 0x3a,
        // HistogramDataPoint (9)
        Kind::Histogram => 0x4a,
        // ExponentialHistogramDataPoint (1)
        Kind::ExponentialHistogram => 0x0a,
    }
}

/// What a set may have: `--max-attributes` and `--max-attribute-value`; and what stands beside it: `--max-name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Attributes.
    pub attributes: usize,
    /// Bytes of a value, as it is encoded.
    pub value_bytes: usize,
    /// Bytes of the name of a metric or scope, of its version, and of a schema URL.
    pub name_bytes: usize,
}

impl Limits {
    /// Where nobody says otherwise.
    pub const DEFAULT: Limits =
        Limits { attributes: ATTRIBUTES_MAX, value_bytes: ATTRIBUTE_VALUE_BYTES_MAX, name_bytes: NAME_BYTES_MAX };

    /// No record up to this length can be over the limits.
    pub(crate) const fn short(self) -> usize {
        if self.value_bytes < ATTRIBUTE_KEY_BYTES_MAX { self.value_bytes } else { ATTRIBUTE_KEY_BYTES_MAX }
    }
}

/// What is wrong with a well-formed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// The same key twice (M5).
    DuplicateKey,
    /// More than `Limits::attributes`.
    TooMany,
    /// A key over `limits::ATTRIBUTE_KEY_BYTES_MAX`, or a value over `Limits::value_bytes`.
    TooLong,
}

impl From<Bad> for Reject {
    fn from(bad: Bad) -> Reject {
        match bad {
            Bad::DuplicateKey => Reject::DuplicateAttribute,
            Bad::TooMany => Reject::TooManyAttributes,
            Bad::TooLong => Reject::LongAttribute,
        }
    }
}

/// Records whose keys are compared each with each.
pub(crate) const FEW: usize = 16;
const _: () = assert!(FEW <= ATTRIBUTES_MAX, "what is called normal is not too many");

/// Whether `count` records of a normalised run have a key twice.
pub(crate) fn has_duplicate_keys(run: &[u8], count: usize) -> bool {
    if count <= FEW {
        // a handful: compare each with each, nothing allocated
        let mut outer = Records::new(run);
        while let Some(a) = outer.next() {
            let mut inner = Records { reader: outer.reader };
            if inner.any(|b| b.key() == a.key()) {
                return true;
            }
        }
        return false;
    }
    let mut keys: Vec<&[u8]> = Records::new(run).map(|r| r.key()).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| pair[0] == pair[1])
}

/// Brings the records of a map, normalised, from `start` on, into the order of their keys, those of one key into that of
/// their bytes. Where they stand in it already, nothing is allocated; else each is moved once a level, and levels are few.
pub(crate) fn sort_by_key(out: &mut Vec<u8>, start: usize) {
    fn rank<'a>(record: &Record<'a>) -> (&'a [u8], &'a [u8]) {
        (record.key(), record.bytes)
    }
    let map = &out[start..];
    if Records::new(map).is_sorted_by_key(|record| rank(&record)) {
        return;
    }
    // places rather than records: a record may take no more than two bytes
    let mut places: Vec<u32> = Vec::new();
    let mut records = Records::new(map);
    let mut place = 0;
    while records.next().is_some() {
        places.push(place as u32);
        place = map.len() - records.reader.left();
    }
    let at = |place: &u32| Records::new(&map[*place as usize..]).next();
    places.sort_unstable_by(|a, b| at(a).as_ref().map(rank).cmp(&at(b).as_ref().map(rank)));
    let mut ordered = Vec::with_capacity(map.len());
    for record in places.iter().filter_map(at) {
        put_header(&mut ordered, 0x0a, record.bytes.len());
        ordered.extend_from_slice(record.bytes);
    }
    debug_assert_eq!(ordered.len(), map.len(), "the same records");
    out.truncate(start);
    out.extend_from_slice(&ordered);
}

/// One KeyValue of a normalised run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record<'a> {
    /// The KeyValue message's bytes.
    pub bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// The key.
    pub fn key(&self) -> &'a [u8] {
        let mut reader = Reader::new(self.bytes);
        match reader.field() {
            Ok(field) if field.number == 1 => reader.bytes().unwrap_or(&[]),
            _ => &[],
        }
    }

    /// The AnyValue message's bytes.
    pub fn value(&self) -> &'a [u8] {
        let mut reader = Reader::new(self.bytes);
        while let Ok(field) = reader.field() {
            match (field.number, reader.bytes()) {
                (2, Ok(value)) => return value,
                (_, Ok(_)) => {}
                _ => break,
            }
        }
        &[]
    }

    /// The value, if it is a text.
    pub fn text(&self) -> Option<&'a str> {
        let mut reader = Reader::new(self.value());
        let field = reader.field().ok().filter(|field| field.number == 1)?;
        let text = reader.bytes().ok().filter(|_| field.number == 1)?;
        std::str::from_utf8(text).ok()
    }

    /// Whether it is over the limits.
    pub(crate) fn is_long(self, limits: Limits) -> bool {
        self.bytes.len() > limits.short()
            && (self.key().len() > ATTRIBUTE_KEY_BYTES_MAX || self.value().len() > limits.value_bytes)
    }
}

/// Iterates the records of a normalised run.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    reader: Reader<'a>,
}

impl<'a> Records<'a> {
    /// Over `run`.
    pub const fn new(run: &'a [u8]) -> Self {
        Records { reader: Reader::new(run) }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if self.reader.is_empty() {
            return None;
        }
        self.reader.field().ok()?;
        Some(Record { bytes: self.reader.bytes().ok()? })
    }
}

/// A set that was read: where its normalised run is, and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Normalised {
    /// The run was written; else the bytes that were read are it.
    pub is_written: bool,
    /// As of `hash`.
    pub hash: u64,
}

/// A hash of a set that does not depend on the order of its records, while these are read.
pub struct SetHash<'s> {
    state: &'s ahash::RandomState,
    sum: u64,
}

impl<'s> SetHash<'s> {
    /// Of no record.
    #[inline]
    pub const fn new(state: &'s ahash::RandomState) -> Self {
        SetHash { state, sum: 0 }
    }

    /// With a record more: a KeyValue message, normalised.
    #[inline]
    pub fn add(&mut self, record: &[u8]) {
        self.sum = self.sum.wrapping_add(self.state.hash_one(record));
    }

    /// Of all records.
    #[inline]
    pub const fn get(&self) -> u64 {
        self.sum
    }
}

/// The hash of the set in a normalised run.
pub fn hash(run: &[u8], state: &ahash::RandomState) -> u64 {
    let mut hash = SetHash::new(state);
    Records::new(run).for_each(|record| hash.add(record.bytes));
    hash.get()
}

/// The same set, in whatever order.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    if a.len() != b.len() {
        return false;
    }
    sorted(a) == sorted(b)
}

fn sorted(run: &[u8]) -> Vec<Record<'_>> {
    let mut records: Vec<_> = Records::new(run).collect();
    records.sort_unstable();
    records
}

/// Appends the records of `run` in the order of their bytes: the set's one canonical form.
pub fn put_sorted(run: &[u8], out: &mut Vec<u8>) {
    let Some(key) = run.first() else { return };
    for record in sorted(run) {
        put_bytes(out, *key, record.bytes);
    }
}
