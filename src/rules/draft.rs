//! An identity while a rule works on it: attributes by place, each with its key and value.
//!
//! Knows how runs are read and written; does not know what is changed, nor why.

use super::identity::{
    MetricSeen, OVERFLOW, RESOURCE_KEY, SCOPE_ATTRIBUTES_KEY, SCOPE_NAME, SCOPE_NAME_KEY, SCOPE_VERSION,
    SCOPE_VERSION_KEY, ScopeParts, text_of,
};
use super::rule::KeyPlace;
use crate::identity::attributes::{Record, Records};
use crate::model::Kind;
use crate::wire::{field_size, put_bytes, put_header};
use std::borrow::Cow;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DraftValue<'a> {
    /// An AnyValue message.
    Any(&'a [u8]),
    /// A text.
    Text(Cow<'a, str>),
}

impl<'a> DraftValue<'a> {
    /// As rules compare it; `made` holds what has to be made.
    pub(super) fn text<'t>(&'t self, made: &'t mut String) -> Option<&'t str> {
        match self {
            DraftValue::Any(value) => text_of(value, made),
            DraftValue::Text(text) => Some(text),
        }
    }

    /// Appends the AnyValue message.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            DraftValue::Any(value) => out.extend_from_slice(value),
            DraftValue::Text(text) => put_bytes(out, 0x0a, text.as_bytes()),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            DraftValue::Any(value) => value.len(),
            DraftValue::Text(text) => field_size(text.len()),
        }
    }
}

/// An attribute.
#[derive(Clone, Debug)]
pub(super) struct DraftAttribute<'a> {
    pub key: &'a [u8],
    pub value: DraftValue<'a>,
    /// The KeyValue message as it came, as long as nothing of it changed.
    record: Option<&'a [u8]>,
    /// It is the scope's name or version, which rules call so.
    pub is_head: bool,
}

impl<'a> DraftAttribute<'a> {
    /// A new one.
    pub(super) fn new(key: &'a str, value: DraftValue<'a>) -> DraftAttribute<'a> {
        DraftAttribute { key: key.as_bytes(), value, record: None, is_head: false }
    }

    fn of(record: Record<'a>) -> DraftAttribute<'a> {
        let value = DraftValue::Any(record.value());
        DraftAttribute { key: record.key(), value, record: Some(record.bytes), is_head: false }
    }

    fn head(key: &'a str, text: &'a str) -> Option<DraftAttribute<'a>> {
        let value = DraftValue::Text(Cow::Borrowed(text));
        (!text.is_empty()).then_some(DraftAttribute { is_head: true, ..DraftAttribute::new(key, value) })
    }

    /// Another key.
    pub(super) fn rename(&mut self, key: &'a str) {
        (self.key, self.record) = (key.as_bytes(), None);
    }

    fn set(&mut self, value: DraftValue<'a>) {
        (self.value, self.record) = (value, None);
    }

    /// It says that the series stands for others, and stays.
    pub(super) fn is_overflow(&self) -> bool {
        self.key == OVERFLOW
    }

    /// Appends the KeyValue message.
    fn put(&self, out: &mut Vec<u8>) {
        if let Some(record) = self.record {
            out.extend_from_slice(record);
            return;
        }
        put_bytes(out, 0x0a, self.key);
        put_header(out, 0x12, self.value.bytes());
        self.value.put(out);
    }

    fn record_bytes(&self) -> usize {
        self.record.map_or_else(|| field_size(self.key.len()) + field_size(self.value.bytes()), <[u8]>::len)
    }
}

/// An identity, taken apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft<'a> {
    /// By number of the place.
    pub places: [Vec<DraftAttribute<'a>>; 3],
}

/// Whether rules call the name or the version of a scope so.
pub(super) fn is_head_key(key: &str) -> bool {
    [SCOPE_NAME, SCOPE_VERSION].contains(&key)
}

/// In the order in which keys are looked for.
pub(super) const PLACES: [KeyPlace; 3] = [KeyPlace::Point, KeyPlace::Scope, KeyPlace::Resource];

impl<'a> Draft<'a> {
    /// Of a series.
    pub(super) fn of(metric: &MetricSeen<'a>, attributes: &'a [u8]) -> Draft<'a> {
        let run = |run: &'a [u8]| Records::new(run).map(DraftAttribute::of);
        let parts = ScopeParts::of(metric.scope);
        let head = [DraftAttribute::head(SCOPE_NAME, parts.name), DraftAttribute::head(SCOPE_VERSION, parts.version)];
        let scope = run(parts.attributes).chain(head.into_iter().flatten());
        Draft { places: [run(attributes).collect(), scope.collect(), run(metric.resource).collect()] }
    }

    /// Of what stands in the scope, or on the resource, alone.
    pub(super) fn of_run(place: KeyPlace, run: &'a [u8]) -> Draft<'a> {
        let [resource, scope] = if place == KeyPlace::Resource { [run, &[]] } else { [&[], run] };
        let (name, unit, kind, monotonic) = ("", "", Kind::Gauge, false);
        Draft::of(&MetricSeen { resource, scope, name, unit, kind, monotonic, held: None }, &[])
    }

    /// Of what stands on the point alone.
    pub(super) fn of_point(attributes: &'a [u8]) -> Draft<'a> {
        Draft { places: [Records::new(attributes).map(DraftAttribute::of).collect(), Vec::new(), Vec::new()] }
    }

    /// What stands on the point.
    pub(super) fn point(&self) -> &[DraftAttribute<'a>] {
        &self.places[KeyPlace::Point as usize]
    }

    /// Where `key` is: in `place`, or found first.
    pub(super) fn find(&self, key: &str, place: Option<KeyPlace>) -> Option<(KeyPlace, usize)> {
        PLACES.into_iter().filter(|at| place.is_none_or(|place| place == *at)).find_map(|at| {
            let number = self.places[at as usize].iter().position(|attribute| attribute.key == key.as_bytes());
            Some((at, number?))
        })
    }

    /// What was found.
    pub(super) fn at(&mut self, (place, number): (KeyPlace, usize)) -> &mut DraftAttribute<'a> {
        &mut self.places[place as usize][number]
    }

    /// Another value; an empty name or version of a scope is none.
    pub(super) fn set(&mut self, (place, number): (KeyPlace, usize), value: DraftValue<'a>) {
        let attributes = &mut self.places[place as usize];
        if attributes[number].is_head && value == DraftValue::Text(Cow::Borrowed("")) {
            attributes.remove(number);
        } else {
            attributes[number].set(value);
        }
    }

    /// The value of `key`, found first.
    pub(super) fn value(&self, key: &str) -> Option<&DraftValue<'a>> {
        self.find(key, None).map(|(place, number)| &self.places[place as usize][number].value)
    }

    /// One more, where its key is not.
    pub(super) fn add(&mut self, place: KeyPlace, mut attribute: DraftAttribute<'a>) {
        attribute.is_head = place == KeyPlace::Scope && std::str::from_utf8(attribute.key).is_ok_and(is_head_key);
        let value = attribute.value.clone();
        self.places[place as usize].push(attribute);
        self.set((place, self.places[place as usize].len() - 1), value);
    }

    /// Appends the attributes of a place as a run; canonical: in the order of their bytes.
    fn put_run(&self, place: KeyPlace, key_byte: u8, is_canonical: bool, out: &mut Vec<u8>) {
        let attributes = &self.places[place as usize];
        let start = out.len();
        let mut previous: Option<std::ops::Range<usize>> = None;
        let mut is_sorted = true;
        for attribute in attributes.iter().filter(|attribute| !attribute.is_head) {
            put_header(out, key_byte, attribute.record_bytes());
            let from = out.len();
            attribute.put(out);
            is_sorted = is_sorted && previous.is_none_or(|range| out[range] <= out[from..]);
            previous = Some(from..out.len());
        }
        if !is_canonical || is_sorted {
            return;
        }
        let run = out.split_off(start);
        let mut records: Vec<&[u8]> = Records::new(&run).map(|record| record.bytes).collect();
        records.sort_unstable();
        records.iter().for_each(|record| put_bytes(out, key_byte, record));
    }

    /// The scope or the resource, in place of what `out` has.
    pub(super) fn put_elsewhere(&self, place: KeyPlace, is_canonical: bool, out: &mut Vec<u8>) {
        if place == KeyPlace::Resource {
            self.put_resource(is_canonical, out)
        } else {
            self.put_scope(is_canonical, out)
        }
    }

    /// The attributes of the resource, in place of what `out` has.
    pub(super) fn put_resource(&self, is_canonical: bool, out: &mut Vec<u8>) {
        out.clear();
        self.put_run(KeyPlace::Resource, RESOURCE_KEY, is_canonical, out);
    }

    /// The scope, in place of what `out` has.
    pub(super) fn put_scope(&self, is_canonical: bool, out: &mut Vec<u8>) {
        out.clear();
        for (name, key_byte) in [(SCOPE_NAME, SCOPE_NAME_KEY), (SCOPE_VERSION, SCOPE_VERSION_KEY)] {
            let mut heads = self.places[KeyPlace::Scope as usize].iter().filter(|attribute| attribute.is_head);
            let Some(head) = heads.find(|head| head.key == name.as_bytes()) else { continue };
            let mut made = String::new();
            match head.value.text(&mut made) {
                Some(text) if !text.is_empty() => put_bytes(out, key_byte, text.as_bytes()),
                _ => {}
            }
        }
        self.put_run(KeyPlace::Scope, SCOPE_ATTRIBUTES_KEY, is_canonical, out);
    }

    /// The attributes of the series with this key byte, in place of what `out` has.
    pub(super) fn put_attributes(&self, key_byte: u8, is_canonical: bool, out: &mut Vec<u8>) {
        out.clear();
        self.put_run(KeyPlace::Point, key_byte, is_canonical, out);
    }
}
