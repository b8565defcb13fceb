//! Protobuf as no serialiser writes it but any may: the bytes are rewritten record by record, by the schema.

use super::Chance;

/// Which liberties are taken, each once in `rate` chances; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Liberties {
    /// R19: unknown fields of every wire type.
    pub unknown: u64,
    /// R20: keys, lengths and varints longer than needed.
    pub long_varints: u64,
    /// R20: repeated scalars one by one, or packed in parts.
    pub unpacked: u64,
    /// R20: a singular message in two parts.
    pub split: u64,
    /// R20: records of different fields in another order.
    pub reorder: u64,
    /// R20: a scalar, or a member of a oneof, that comes again; the last one wins. Changes the meaning.
    pub again: u64,
    /// R26: reserved and removed fields.
    pub removed: u64,
    /// R23: empty containers.
    pub empty: u64,
}

impl Liberties {
    /// All that leave the meaning as it is.
    pub const SAME: Liberties =
        Liberties { unknown: 8, long_varints: 8, unpacked: 3, split: 6, reorder: 3, again: 0, removed: 8, empty: 8 };
    pub const ALL: Liberties = Liberties { again: 6, ..Liberties::SAME };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    Request,
    ResourceMetrics,
    Resource,
    Entity,
    ScopeMetrics,
    Scope,
    Metric,
    NumberData,
    HistogramData,
    ExponentialData,
    SummaryData,
    Number,
    Histogram,
    Exponential,
    Summary,
    Quantile,
    Buckets,
    Exemplar,
    KeyValue,
    AnyValue,
    Array,
    Pairs,
}

use Message as M;

/// The message in a field, and whether the field is singular.
fn nested(message: Message, field: u64) -> Option<(Message, bool)> {
    Some(match (message, field) {
        (M::Request, 1) => (M::ResourceMetrics, false),
        (M::ResourceMetrics, 1) => (M::Resource, true),
        (M::ResourceMetrics, 2) => (M::ScopeMetrics, false),
        (M::Resource, 1) | (M::Scope, 3) => (M::KeyValue, false),
        (M::Resource, 3) => (M::Entity, false),
        (M::ScopeMetrics, 1) => (M::Scope, true),
        (M::ScopeMetrics, 2) => (M::Metric, false),
        (M::Metric, 5 | 7) => (M::NumberData, true),
        (M::Metric, 9) => (M::HistogramData, true),
        (M::Metric, 10) => (M::ExponentialData, true),
        (M::Metric, 11) => (M::SummaryData, true),
        (M::Metric, 12) | (M::Number, 7) | (M::Histogram, 9) | (M::Exponential, 1) => (M::KeyValue, false),
        (M::Summary | M::Exemplar, 7) | (M::Pairs, 1) => (M::KeyValue, false),
        (M::NumberData, 1) => (M::Number, false),
        (M::HistogramData, 1) => (M::Histogram, false),
        (M::ExponentialData, 1) => (M::Exponential, false),
        (M::SummaryData, 1) => (M::Summary, false),
        (M::Number, 5) | (M::Histogram, 8) | (M::Exponential, 11) => (M::Exemplar, false),
        (M::Exponential, 8 | 9) => (M::Buckets, true),
        (M::Summary, 6) => (M::Quantile, false),
        (M::KeyValue, 2) => (M::AnyValue, true),
        (M::AnyValue, 5) => (M::Array, true),
        (M::AnyValue, 6) => (M::Pairs, true),
        (M::Array, 1) => (M::AnyValue, false),
        _ => return None,
    })
}

/// The wire type of the elements of a packed field.
fn packed(message: Message, field: u64) -> Option<u64> {
    match (message, field) {
        (M::Histogram, 6 | 7) => Some(1),
        (M::Buckets, 2) => Some(0),
        _ => None,
    }
}

/// One record: field, wire type, and what follows the key (without the length).
#[derive(Clone, Debug)]
struct Record {
    field: u64,
    wire: u64,
    bytes: Vec<u8>,
}

pub fn put_varint(mut n: u64, padding: usize, out: &mut Vec<u8>) {
    let mut length = 1;
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
        length += 1;
    }
    let padding = padding.min(10 - length);
    if padding == 0 {
        out.push(n as u8);
        return;
    }
    out.push(n as u8 | 0x80);
    out.extend(std::iter::repeat_n(0x80, padding - 1));
    out.push(0);
}

fn take_varint(bytes: &mut &[u8]) -> u64 {
    let (mut n, mut shift) = (0, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        n |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return n;
        }
    }
}

/// The records of a message that a serialiser wrote.
fn records(mut bytes: &[u8]) -> Vec<Record> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                let mut rest = bytes;
                take_varint(&mut rest);
                bytes.len() - rest.len()
            }
            1 => 8,
            2 => take_varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("no serialiser writes wire type {other}"),
        };
        let (value, rest) = bytes.split_at(length);
        bytes = rest;
        all.push(Record { field: key >> 3, wire: key & 7, bytes: value.to_vec() });
    }
    all
}

/// A length-delimited field.
pub fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(number << 3 | 2, 0, &mut out);
    put_varint(bytes.len() as u64, 0, &mut out);
    out.extend_from_slice(bytes);
    out
}

/// Unknown fields, one of each wire type, and nested groups.
pub const UNKNOWN: [&[u8]; 6] = [
    b"\xa0\x06\x85\x00",
    b"\xa1\x06abcdefgh",
    b"\xa2\x06\x02\xff\xfe",
    b"\xa5\x06abcd",
    b"\xa3\x06\x08\x01\x12\x02hi\x0b\x0d1234\x0c\xa4\x06",
    b"\xf8\xff\xff\xff\x0f\x01",
];

impl Chance {
    fn take(&mut self, rate: u64) -> bool {
        rate > 0 && self.one_in(rate)
    }

    fn padding(&mut self, how: &Liberties) -> usize {
        if self.take(how.long_varints) { self.below(10) as usize } else { 0 }
    }

    /// The message again, with liberties.
    pub fn mess(&mut self, message: Message, bytes: &[u8], how: &Liberties) -> Vec<u8> {
        let mut all: Vec<Record> = Vec::new();
        for record in records(bytes) {
            self.one(message, record, how, &mut all);
        }
        if self.take(how.again) && !all.is_empty() {
            let again = all[self.below(all.len() as u64) as usize].clone();
            all.push(again);
        }
        if self.take(how.empty) {
            let containers: &[u64] = match message {
                M::Request | M::NumberData | M::HistogramData | M::ExponentialData if how.again > 0 => &[1],
                M::Request => &[1],
                M::ResourceMetrics | M::ScopeMetrics => &[2],
                _ => &[],
            };
            if let Some(field) = containers.first() {
                all.push(Record { field: *field, wire: 2, bytes: Vec::new() });
            }
        }
        if self.take(how.removed) {
            let removed: &[u64] = match message {
                M::Metric => &[4, 6, 8],
                M::Number | M::Histogram | M::Exemplar | M::Summary => &[1],
                M::ResourceMetrics | M::ScopeMetrics => &[1000],
                _ => &[],
            };
            if !removed.is_empty() {
                let field = self.of(removed);
                let (wire, bytes) = match self.below(3) {
                    0 => (0, vec![5]),
                    1 => (2, b"\x0a\x03abc".to_vec()),
                    _ => (1, vec![0xff; 8]),
                };
                all.push(Record { field, wire, bytes });
            }
        }
        if self.take(how.reorder) {
            // records of one field keep their order, or the meaning changes; members of a oneof likewise
            let member = |r: &Record| match (message, r.field) {
                (M::Metric, 5 | 7 | 9 | 10 | 11) | (M::AnyValue, _) => 1000,
                (M::Number, 4 | 6) | (M::Exemplar, 3 | 6) => 1001,
                (_, field) => field,
            };
            let mut queues: Vec<Vec<Record>> = Vec::new();
            for record in all.drain(..) {
                match queues.iter_mut().find(|queue| member(&queue[0]) == member(&record)) {
                    Some(queue) => queue.push(record),
                    None => queues.push(vec![record]),
                }
            }
            queues.iter_mut().for_each(|queue| queue.reverse());
            while !queues.is_empty() {
                let at = self.below(queues.len() as u64) as usize;
                all.extend(queues[at].pop());
                if queues[at].is_empty() {
                    queues.swap_remove(at);
                }
            }
        }
        let mut out = Vec::new();
        for record in &all {
            if self.take(how.unknown) {
                out.extend_from_slice(self.of(&UNKNOWN));
            }
            put_varint(record.field << 3 | record.wire, self.padding(how).min(4), &mut out);
            match record.wire {
                2 => put_varint(record.bytes.len() as u64, self.padding(how), &mut out),
                0 => {
                    put_varint(take_varint(&mut &record.bytes[..]), self.padding(how), &mut out);
                    continue;
                }
                _ => {}
            }
            out.extend_from_slice(&record.bytes);
        }
        if self.take(how.unknown) {
            out.extend_from_slice(self.of(&UNKNOWN));
        }
        out
    }

    fn one(&mut self, message: Message, record: Record, how: &Liberties, all: &mut Vec<Record>) {
        if let Some((inner, singular)) = nested(message, record.field) {
            if singular && self.take(how.split) {
                let parts = records(&record.bytes);
                let at = self.below(parts.len() as u64 + 1) as usize;
                for part in [&parts[..at], &parts[at..]] {
                    let mut bytes = Vec::new();
                    for r in part {
                        put_varint(r.field << 3 | r.wire, 0, &mut bytes);
                        if r.wire == 2 {
                            put_varint(r.bytes.len() as u64, 0, &mut bytes);
                        }
                        bytes.extend_from_slice(&r.bytes);
                    }
                    all.push(Record { bytes: self.mess(inner, &bytes, how), ..record });
                }
                return;
            }
            all.push(Record { bytes: self.mess(inner, &record.bytes, how), ..record });
            return;
        }
        if let Some(wire) = packed(message, record.field).filter(|_| record.wire == 2 && self.take(how.unpacked)) {
            let mut rest = &record.bytes[..];
            let mut part = Vec::new();
            while !rest.is_empty() {
                let mut bytes = Vec::new();
                if wire == 0 {
                    put_varint(take_varint(&mut rest), self.padding(how), &mut bytes);
                } else {
                    bytes.extend_from_slice(&rest[..8]);
                    rest = &rest[8..];
                }
                if self.one_in(2) {
                    part.extend(bytes);
                    continue;
                }
                if !part.is_empty() {
                    all.push(Record { bytes: std::mem::take(&mut part), ..record });
                }
                all.push(Record { field: record.field, wire, bytes });
            }
            if !part.is_empty() {
                all.push(Record { bytes: part, ..record });
            }
            return;
        }
        all.push(record);
    }

    /// The bytes with something broken, or not.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..1 + self.below(4) {
            if bytes.is_empty() {
                bytes.push(self.next() as u8);
                continue;
            }
            let at = self.below(bytes.len() as u64) as usize;
            match self.below(8) {
                0 => bytes[at] = self.next() as u8,
                1 => bytes[at] ^= 1 << self.below(8),
                2 => bytes[at] = self.of(&[0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x0b, 0x0c, 0x12, 0x3a, 0x4a, 0x11]),
                3 => bytes[at] = bytes[at].wrapping_add(self.below(5) as u8).wrapping_sub(2),
                4 => bytes.insert(at, self.next() as u8),
                5 => drop(bytes.remove(at)),
                6 => {
                    let to = at + self.below((bytes.len() - at).min(20) as u64) as usize;
                    let part = bytes[at..to].to_vec();
                    let into = self.below(bytes.len() as u64) as usize;
                    bytes.splice(into..into, part);
                }
                _ => bytes.truncate(at),
            }
        }
    }
}
