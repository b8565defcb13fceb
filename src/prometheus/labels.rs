//! Attribute labels of rows, without allocating per row.
//!
//! Knows how a row's attributes become labels, and when two rows of one metric *could* become the same labels; does not
//! know families or values.
//!
//! Rows of a metric nearly always have the same keys in the same order. What follows from the keys (names, order,
//! which are joined) is a *shape*, worked out once; a row with a known shape only copies its values. A row that meets its
//! scope's labels (see `scope_join`) is worked out again each time, and always looked at for collisions.
//!
//! Scan: rows of one metric differ in their attributes. They stay different as labels if every label name comes from
//! one key and one type of value, every type is one whose text tells values apart, and nobody leaves a label out (an
//! empty value) that another row does not have at all. Where that does not hold, [`Labels::ambiguous`] says so and the
//! page compares the rows themselves.
//!
//! Bounds: `limits::PAGE_SHAPES_MAX` shapes, `limits::PAGE_LABEL_NAMES_MAX` label names a class (past it, ambiguous).

use crate::limits;
use hashbrown::HashMap;

use crate::prometheus::any::{AnyKind, Attribute, next_attribute};
use crate::prometheus::label_encoding::LabelEncoding;
use crate::prometheus::name::{LabelPlace, Naming};
use crate::prometheus::scope_join::{OWN_PREFIX, Prefixes, ScopeJoin};
use crate::prometheus::source::Meta;
use crate::wire::Reader;

/// An attribute of the row at hand, as places in the row's bytes.
#[derive(Clone, Copy)]
struct AttributeRange {
    start: u32,
    end: u32,
    kind: AnyKind,
}

struct KeyShape {
    keys: Vec<(Box<[u8]>, AnyKind)>,
    labels: Vec<Label>,
    /// An attribute is called like a label of a scope.
    meets_scope: bool,
    /// The class whose scan has seen it.
    scanned: u64,
}

struct Label {
    /// What comes before the value.
    open: Box<[u8]>,
    /// The name alone.
    name: Box<str>,
    /// Which attributes are joined here, in the order of their keys.
    sources: Vec<u32>,
}

/// Turns attributes into labels.
pub(super) struct Labels {
    naming: Naming,
    encoding: LabelEncoding,
    place: LabelPlace,
    scope_join: ScopeJoin,
    shapes: Vec<KeyShape>,
    /// The shape of the row before.
    last: usize,
    values: Vec<AttributeRange>,
    scratch: Vec<u8>,
    class: u64,
    names: HashMap<Box<str>, (Box<[u8]>, AnyKind), ahash::RandomState>,
    shapes_scanned: usize,
    any_empty: bool,
    ambiguous: bool,
}

impl Labels {
    pub(super) fn new(keys: ahash::RandomState, naming: Naming, encoding: LabelEncoding) -> Self {
        Labels {
            naming,
            encoding,
            place: LabelPlace::Target,
            scope_join: ScopeJoin::new(keys.clone(), naming, encoding),
            shapes: Vec::new(),
            last: 0,
            values: Vec::new(),
            scratch: Vec::new(),
            class: 0,
            names: HashMap::with_hasher(keys),
            shapes_scanned: 0,
            any_empty: false,
            ambiguous: false,
        }
    }

    /// All prefixes of the page.
    pub(super) fn know(&mut self, prefixes: Prefixes) {
        self.scope_join.know(prefixes);
    }

    /// A class begins, of a family of this type; `meta` is one of its groups'.
    pub(super) fn begin_class(&mut self, place: LabelPlace, meta: &Meta) {
        self.scope_join.begin(meta);
        self.begin(place);
    }

    fn begin(&mut self, place: LabelPlace) {
        if self.place != place {
            self.place = place;
            self.shapes.clear();
        }
        self.class += 1;
        self.names.clear();
        self.shapes_scanned = 0;
        self.any_empty = false;
        self.ambiguous = false;
    }

    /// Whether rows scanned since `begin` could become the same labels.
    pub(super) fn ambiguous(&self) -> bool {
        self.ambiguous || (self.any_empty && self.shapes_scanned > 1)
    }

    /// Looks at a row's keys and types.
    #[inline]
    pub(super) fn scan(&mut self, attributes: &[u8]) {
        let shape = self.walk(attributes);
        if self.shapes[shape].scanned != self.class {
            self.register(shape);
        }
    }

    /// Appends the row's labels; if they begin with `OWN_PREFIX`, a prefix stands before them that replaces the class's.
    #[inline]
    pub(super) fn put(&mut self, out: &mut Vec<u8>, attributes: &[u8]) {
        let shape = self.walk(attributes);
        if self.shapes[shape].meets_scope && self.put_joint(out, attributes) {
            return;
        }
        let Labels { shapes, values, scratch, encoding, .. } = self;
        let value = |source: u32| {
            let value = values[source as usize];
            (value.kind, &attributes[value.start as usize..value.end as usize])
        };
        put_labels(out, *encoding, &shapes[shape].labels, value, scratch);
    }

    /// Appends the row's labels with their own prefix, if the row has one.
    #[cold]
    fn put_joint(&mut self, out: &mut Vec<u8>, attributes: &[u8]) -> bool {
        let Some((prefix, rest)) = self.scope_join.prefix(&attributes_of(attributes)) else { return false };
        out.push(OWN_PREFIX);
        out.extend_from_slice(&prefix);
        let labels = labels_of(&rest, self.place, self.naming, self.encoding);
        let value = |source: u32| (rest[source as usize].kind, rest[source as usize].payload);
        put_labels(out, self.encoding, &labels, value, &mut self.scratch);
        true
    }

    /// Takes the row apart and finds its shape.
    #[inline]
    fn walk(&mut self, attributes: &[u8]) -> usize {
        self.values.clear();
        let origin = attributes.as_ptr().addr();
        let mut reader = Reader::new(attributes);
        let mut as_predicted = true;
        while let Some(attribute) = next_attribute(&mut reader) {
            let expected = self.shapes.get(self.last).and_then(|shape| shape.keys.get(self.values.len()));
            as_predicted &= expected.is_some_and(|(key, kind)| *kind == attribute.kind && **key == *attribute.key);
            self.any_empty |= attribute.is_empty();
            self.ambiguous |= !attribute.canonical;
            // an empty payload may lie anywhere, so its place is not looked at
            let start = if attribute.payload.is_empty() { 0 } else { attribute.payload.as_ptr().addr() - origin };
            let end = start + attribute.payload.len();
            self.values.push(AttributeRange { start: start as u32, end: end as u32, kind: attribute.kind });
        }
        let known = as_predicted && self.shapes.get(self.last).is_some_and(|s| s.keys.len() == self.values.len());
        if known { self.last } else { self.other_shape(attributes) }
    }

    #[inline(never)]
    fn other_shape(&mut self, attributes: &[u8]) -> usize {
        let row = attributes_of(attributes);
        let same = |shape: &KeyShape| {
            shape.keys.len() == row.len()
                && shape.keys.iter().zip(&row).all(|((key, kind), a)| *kind == a.kind && **key == *a.key)
        };
        self.last = match self.shapes.iter().position(same) {
            Some(shape) => shape,
            None => {
                if self.shapes.len() == limits::PAGE_SHAPES_MAX {
                    self.shapes.clear();
                }
                let naming = self.naming;
                let meets = |a: &Attribute<'_>| naming.scope_labels_met(&String::from_utf8_lossy(a.key)).is_some();
                let meets_scope = matches!(self.place, LabelPlace::Point(_)) && row.iter().any(meets);
                self.shapes.push(KeyShape {
                    meets_scope,
                    labels: labels_of(&row, self.place, self.naming, self.encoding),
                    keys: row.iter().map(|a| (a.key.into(), a.kind)).collect(),
                    scanned: 0,
                });
                self.shapes.len() - 1
            }
        };
        self.last
    }

    #[cold]
    fn register(&mut self, shape: usize) {
        self.shapes_scanned += 1;
        let shape = &mut self.shapes[shape];
        shape.scanned = self.class;
        self.ambiguous |= shape.meets_scope;
        for label in &shape.labels {
            let [source] = label.sources[..] else {
                self.ambiguous = true;
                continue;
            };
            let (key, kind) = &shape.keys[source as usize];
            // texts of NaNs and of nested values do not tell all of them apart
            self.ambiguous |= matches!(kind, AnyKind::Double | AnyKind::Array | AnyKind::Map);
            if let Some((known, known_kind)) = self.names.get(&label.name) {
                self.ambiguous |= known != key || known_kind != kind;
            } else if self.names.len() < limits::PAGE_LABEL_NAMES_MAX {
                self.names.insert(label.name.clone(), (key.clone(), *kind));
            } else {
                self.ambiguous = true;
            }
        }
    }
}

fn attributes_of(records: &[u8]) -> Vec<Attribute<'_>> {
    let mut reader = Reader::new(records);
    std::iter::from_fn(|| next_attribute(&mut reader)).collect()
}

/// Appends labels, the values of whose sources `value` knows.
#[inline]
fn put_labels<'a>(
    out: &mut Vec<u8>,
    encoding: LabelEncoding,
    labels: &[Label],
    value: impl Fn(u32) -> (AnyKind, &'a [u8]),
    scratch: &mut Vec<u8>,
) {
    for label in labels {
        if let [source] = label.sources[..] {
            let (kind, payload) = value(source);
            if payload.is_empty() && !matches!(kind, AnyKind::Array | AnyKind::Map) {
                continue;
            }
            encoding.put_value(out, &label.open, kind, payload, scratch);
        } else {
            encoding.put_joined(out, &label.open, label.sources.iter().map(|&source| value(source)), scratch);
        }
    }
}

/// The labels that these attributes become, by name.
fn labels_of(row: &[Attribute<'_>], place: LabelPlace, naming: Naming, encoding: LabelEncoding) -> Vec<Label> {
    let name = |a: &Attribute<'_>| naming.label_name(&String::from_utf8_lossy(a.key), place);
    let mut named: Vec<(String, u32)> = row.iter().enumerate().map(|(i, a)| (name(a), i as u32)).collect();
    named.sort_by(|(a, i), (b, j)| a.cmp(b).then_with(|| row[*i as usize].key.cmp(row[*j as usize].key)));
    let mut labels: Vec<Label> = Vec::with_capacity(named.len());
    for (name, source) in named {
        match labels.last_mut() {
            Some(label) if *label.name == *name => label.sources.push(source),
            _ => {
                let open = encoding.opening(&name).into();
                labels.push(Label { open, name: name.into(), sources: vec![source] });
            }
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::tests::records;
    use crate::prometheus::text::MetricType;

    fn labels() -> Labels {
        let mut labels =
            Labels::new(ahash::RandomState::with_seeds(1, 2, 3, 4), Naming::default(), LabelEncoding::Text);
        labels.begin(LabelPlace::Point(MetricType::Gauge));
        labels
    }

    #[test]
    fn x9_colliding_keys_are_joined_in_key_order() {
        let check = |pairs: &[(&str, &str)], want: &str| {
            let mut out = Vec::new();
            labels().put(&mut out, &records(pairs));
            assert_eq!(String::from_utf8(out).unwrap(), want);
        };
        check(&[("b", "2"), ("a", "1")], r#",a="1",b="2""#);
        check(&[("a_b", "2"), ("a.b", "1"), ("a/b", "3")], r#",a_b="1;3;2""#);
        check(&[("a.b", ""), ("a_b", "x")], r#",a_b=";x""#);
        check(&[("a", ""), ("b", "x")], r#",b="x""#);
        check(&[("job", "j"), ("exported_job", "e")], r#",exported_job="e;j""#);
        check(&[], "");
    }

    #[test]
    fn a_scan_knows_what_could_collide() {
        let check = |rows: &[&[(&str, &str)]], ambiguous: bool| {
            let mut labels = labels();
            for row in rows {
                labels.scan(&records(row));
            }
            assert_eq!(labels.ambiguous(), ambiguous, "{rows:?}");
            labels.begin(LabelPlace::Point(MetricType::Gauge));
            assert!(!labels.ambiguous(), "forgotten with the next class");
            for row in rows {
                labels.scan(&records(row));
            }
            assert_eq!(labels.ambiguous(), ambiguous, "shapes that were known are looked at again");
        };
        check(&[&[("a", "1"), ("b", "2")], &[("a", "2"), ("b", "2")], &[("b", "1")]], false);
        check(&[&[("a.b", "1")], &[("a_b", "1")]], true);
        check(&[&[("a.b", "1"), ("a_b", "2")]], true);
        check(&[&[("a", ""), ("b", "2")], &[("a", "1"), ("b", "2")]], false);
        check(&[&[("a", ""), ("b", "2")], &[("b", "2")]], true);
    }

    #[test]
    fn many_shapes_do_not_pile_up() {
        let mut labels = labels();
        for i in 0..10_000 {
            labels.scan(&records(&[(&format!("key{i}"), "v")]));
        }
        assert!(labels.shapes.len() <= limits::PAGE_SHAPES_MAX && labels.names.len() <= limits::PAGE_LABEL_NAMES_MAX);
        assert!(labels.ambiguous(), "more names than it can remember");
        let mut out = Vec::new();
        labels.put(&mut out, &records(&[("key5", "v")]));
        assert_eq!(out, b",key5=\"v\"");
    }
}
