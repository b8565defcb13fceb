//! The resolver with a front end that is none of the product's: attributes as text, `key=value` with commas between.

use super::*;
use crate::cells::lifecycle::{begin_retire, finish_retire};
use crate::cells::{Shape, head};
use crate::identity::attributes::{Bad, Normalised, hash, key_byte};
use crate::ledger::Tally;
use crate::model::{Kind, Reject, Temporality};
use crate::rules::{MetricSeen, RouteVerdict, StreamVerdict};
use crate::series::registry::{DeadCell, Options, Registry};
use crate::series::slab::SlabWriter;
use crate::wire::put_bytes;
use bumpalo::Bump;
use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Counts how often attributes are read.
#[derive(Default)]
struct Text {
    reads: Cell<u32>,
}

impl Encoding for Text {
    const NUMBER: u8 = 7;
    type Fault = &'static str;

    fn attributes(
        &self,
        kind: Kind,
        raw: &[u8],
        state: &ahash::RandomState,
        out: &mut Vec<u8>,
    ) -> Result<Result<Normalised, Bad>, &'static str> {
        self.reads.set(self.reads.get() + 1);
        let start = out.len();
        for pair in std::str::from_utf8(raw).map_err(|_| "no text")?.split(',') {
            let (key, value) = pair.split_once('=').ok_or("no value")?;
            if key == "twice" {
                return Ok(Err(Bad::DuplicateKey));
            }
            let (mut any, mut record) = (Vec::new(), Vec::new());
            put_bytes(&mut any, 0x0a, value.as_bytes());
            put_bytes(&mut record, 0x0a, key.as_bytes());
            put_bytes(&mut record, 0x12, &any);
            put_bytes(out, key_byte(kind), &record);
        }
        Ok(Ok(Normalised { is_written: true, hash: hash(&out[start..], state) }))
    }

    fn resource(&self, _: &EnvelopeKey<'_>) -> Result<Said, Reject> {
        Ok(Said::default())
    }

    fn scope(&self, _: &EnvelopeKey<'_>) -> Result<Said, Reject> {
        Ok(Said::default())
    }

    fn schema_url<'a>(&self, _: &'a [u8]) -> Cow<'a, str> {
        "".into()
    }

    fn description<'a>(&self, _: &'a [u8]) -> &'a str {
        ""
    }
}

const NOBODY: EnvelopeKey<'static> =
    EnvelopeKey { encoding: Text::NUMBER, bytes: b"host", schema_url: b"", is_cut: false, shared: None };
const REQUESTS: StreamKey<'static> = StreamKey {
    name: b"requests",
    unit: b"1",
    kind: Kind::Sum,
    temporality: Temporality::Delta,
    monotonic: true,
    bounds: &[],
    about: About::NOTHING,
};

/// Drops what it is told to, by text, and counts how often it is asked.
#[derive(Clone, Default)]
struct Gate {
    streams: Arc<AtomicU32>,
    routes: Arc<AtomicU32>,
    stream: Option<StreamVerdict>,
}

impl Doorkeeper for Gate {
    fn of_stream(&mut self, metric: &MetricSeen<'_>) -> StreamVerdict {
        assert_eq!((metric.name, metric.unit, metric.kind, metric.monotonic), ("requests", "1", Kind::Sum, true));
        self.streams.fetch_add(1, Relaxed);
        self.stream.unwrap_or(StreamVerdict::Ask)
    }

    fn of_route(&mut self, _: &MetricSeen<'_>, attributes: &[u8]) -> RouteVerdict<'_> {
        self.routes.fetch_add(1, Relaxed);
        if attributes.windows(4).any(|part| part == b"drop") { RouteVerdict::Discard(9) } else { RouteVerdict::Pass }
    }
}

impl Gate {
    fn asked(&self) -> (u32, u32) {
        (self.streams.load(Relaxed), self.routes.load(Relaxed))
    }
}

struct Rig {
    resolver: Resolver,
    text: Text,
    tally: Tally,
}

impl Rig {
    fn new() -> Rig {
        Rig::within(usize::MAX)
    }

    fn asking(gate: &Gate, memory_limit: usize) -> Rig {
        let mut rig = Rig::within(memory_limit);
        rig.resolver.ask(Some(Box::new(gate.clone())), true);
        rig
    }

    fn within(memory_limit: usize) -> Rig {
        let options = Options { series_limit: 100, group_limit: 100, memory_limit };
        let (slab, seen) = SlabWriter::new();
        let registry = Arc::new(Registry::new(options, vec![seen]));
        Rig { resolver: Resolver::new(0, registry, slab), text: Text::default(), tally: Tally::default() }
    }

    /// The routes of these attributes, born in one request.
    fn born(&mut self, all: &[&str]) -> Vec<u32> {
        self.try_born(all).into_iter().map(Result::unwrap).collect()
    }

    /// An interval passes, at whose end all that was not used in it is forgotten.
    fn sweep(&mut self, interval: u32) {
        self.resolver.switch(interval);
        self.resolver.sweep(1);
        while self.resolver.tidy() {}
    }

    fn try_born(&mut self, all: &[&str]) -> Vec<Result<u32, Refused>> {
        let arena = Bump::new();
        let (mut pending, mut context) = (Pending::new(&arena), None);
        for raw in all {
            let to = (&mut pending, &mut context);
            let of = (&NOBODY, &NOBODY, &REQUESTS);
            self.resolver.expect_birth(raw.as_bytes(), of, to, &self.text, &arena).unwrap().unwrap();
        }
        self.resolver.begin();
        let born = |birth| self.resolver.born(birth, &mut pending, &self.text, &mut self.tally);
        let routes = (0..all.len() as u32).map(born).collect();
        self.resolver.end();
        routes
    }

    fn stream(&mut self) -> Option<u32> {
        let resource = self.resolver.resource(NONE, &NOBODY)?;
        let scope = self.resolver.scope(resource, NONE, &NOBODY)?;
        self.resolver.stream(scope, NONE, &REQUESTS)
    }
}

#[test]
fn attributes_are_read_once_for_a_birth_and_compared_from_then_on() {
    let mut rig = Rig::new();
    let routes = rig.born(&["a=1,b=2", "a=1,b=3"]);
    assert_eq!(rig.text.reads.get(), 2);
    let stream = rig.stream().expect("known");
    for (raw, route) in ["a=1,b=2", "a=1,b=3"].into_iter().zip(&routes) {
        assert_eq!(rig.resolver.find(stream, raw.as_bytes()), Some(*route));
    }
    assert_eq!((rig.resolver.find(stream, b"a=1"), rig.text.reads.get()), (None, 2));
    assert_eq!((rig.resolver.registry().live(), rig.resolver.routes()), (2, 2));
}

#[test]
fn two_spellings_of_a_set_lead_to_one_cell() {
    let mut rig = Rig::new();
    let routes = rig.born(&["a=1,b=2", "b=2,a=1", "a=1"]);
    let cells: Vec<u32> = routes.iter().map(|route| rig.resolver.cell(*route)).collect();
    assert!(routes[0] != routes[1] && cells[0] == cells[1] && cells[0] != cells[2], "{routes:?} to {cells:?}");
    assert_eq!((rig.resolver.registry().live(), rig.resolver.routes()), (2, 3));
}

#[test]
fn what_cannot_be_read_or_is_refused_is_not_born() {
    let (rig, arena) = (Rig::new(), Bump::new());
    let (mut pending, mut context) = (Pending::new(&arena), None);
    let mut read = |raw: &'static str| {
        let to = (&mut pending, &mut context);
        rig.resolver.expect_birth(raw.as_bytes(), (&NOBODY, &NOBODY, &REQUESTS), to, &rig.text, &arena)
    };
    assert_eq!(read("a"), Err("no value"));
    assert_eq!(read("twice=1"), Ok(Err(Bad::DuplicateKey)));
    assert_eq!((pending.births(), pending.streams(), context), (0, 0, None));
}

#[test]
fn a_route_whose_cell_died_gets_a_live_one_and_its_attributes_are_read_once_more() {
    let mut rig = Rig::new();
    let routes = rig.born(&["a=1", "a=2"]);
    let before: Vec<u32> = routes.iter().map(|route| rig.resolver.cell(*route)).collect();
    let state = head::state(rig.resolver.slab().run(before[0], head::WORDS));
    assert!(begin_retire(state));
    finish_retire(state, false);
    let reads = rig.text.reads.get();
    let line = rig.resolver.after_death(routes[0], &rig.text, &mut rig.tally, |_, _| true).unwrap();
    assert_eq!(rig.text.reads.get(), reads + 1);
    assert_ne!(line, before[0]);
    assert_eq!(routes.iter().map(|route| rig.resolver.cell(*route)).collect::<Vec<_>>(), [line, before[1]]);
}

#[test]
fn bytes_of_another_encoding_are_another_resource() {
    let mut rig = Rig::new();
    rig.born(&["a=1"]);
    let resource = rig.resolver.resource(NONE, &NOBODY);
    assert!(resource.is_some());
    let other = EnvelopeKey { encoding: Text::NUMBER + 1, ..NOBODY };
    assert_eq!(rig.resolver.resource(NONE, &other), None);
    assert_eq!(rig.resolver.scope(resource.unwrap(), NONE, &other), None);
}

/// The order of the last export is what is expected of the next, and a route that left its place is found behind it.
#[test]
fn what_came_next_last_time_is_expected() {
    let mut rig = Rig::new();
    let all = ["n=0", "n=1", "n=2", "n=3"];
    rig.born(&all);
    let stream = rig.stream();
    let mut prediction = rig.resolver.predict(stream, NONE);
    for raw in all {
        assert_eq!(rig.resolver.expected(&prediction), Some(raw.as_bytes()));
        rig.resolver.came(&mut prediction, raw.len());
    }
    // without the second
    let mut prediction = rig.resolver.predict(stream, NONE);
    rig.resolver.came(&mut prediction, 3);
    assert!(rig.resolver.skipped_to(&mut prediction, b"n=2").is_some());
    assert_eq!(rig.resolver.expected(&prediction), Some(&b"n=3"[..]));
    // which is remembered
    let mut prediction = rig.resolver.predict(stream, NONE);
    rig.resolver.came(&mut prediction, 3);
    assert_eq!(rig.resolver.expected(&prediction), Some(&b"n=2"[..]));
}

/// A stream that is dropped whole is neither a group nor a series; it is known as dropped until it comes no more.
#[test]
fn what_is_dropped_at_the_head_is_asked_about_once_and_forgotten_like_any_stream() {
    let gate = Gate { stream: Some(StreamVerdict::Discard(3)), ..Gate::default() };
    let mut rig = Rig::asking(&gate, 1 << 20);
    assert_eq!(rig.try_born(&["a=1", "a=2"]), [Err(Refused::Discarded(3)); 2]);
    assert_eq!(rig.try_born(&["a=3"]), [Err(Refused::Discarded(3))]);
    assert_eq!(gate.asked(), (1, 0));
    let stream = rig.stream().expect("known");
    assert_eq!(rig.resolver.discards(stream), Some(3));
    let registry = rig.resolver.registry();
    assert_eq!((registry.group_count(), registry.live(), rig.resolver.routes()), (0, 0, 0));
    // used in the interval that ends
    rig.resolver.switch(2);
    rig.stream();
    rig.sweep(3);
    assert_eq!(rig.stream(), Some(stream));
    // looking for it was a use, too
    rig.sweep(5);
    assert_eq!(rig.stream(), None);
    assert_eq!(rig.try_born(&["a=1"]), [Err(Refused::Discarded(3))]);
    assert_eq!(gate.asked(), (2, 0));
}

/// Of a stream that has to ask, some routes lead nowhere: they are asked about once, found like others, and forgotten when
/// they come no more, though no cell dies.
#[test]
fn what_is_dropped_by_its_attributes_has_a_route_to_nowhere_that_ages() {
    let gate = Gate::default();
    let mut rig = Rig::asking(&gate, 1 << 20);
    let found = rig.try_born(&["a=drop1", "a=1", "a=drop2", "a=drop1"]);
    let dropped = Err(Refused::Discarded(9));
    assert_eq!((found[0], found[2], found[3]), (dropped, dropped, dropped));
    let kept = found[1].unwrap();
    assert_eq!((gate.asked(), rig.resolver.routes()), ((1, 3), 3), "the last one had its route");
    assert_eq!((rig.resolver.registry().group_count(), rig.resolver.registry().live()), (1, 1));
    let stream = rig.stream().expect("known");
    let find = |rig: &Rig, raw: &str| rig.resolver.find(stream, raw.as_bytes());
    let (first, second) = (find(&rig, "a=drop1").unwrap(), find(&rig, "a=drop2").unwrap());
    assert_eq!((rig.resolver.detour(first), rig.resolver.detour(kept)), (Some(Detour::Nowhere(9)), None));
    // the second one comes no more
    rig.resolver.switch(2);
    rig.resolver.detour(first);
    rig.sweep(3);
    assert_eq!((find(&rig, "a=drop1"), find(&rig, "a=drop2"), find(&rig, "a=1")), (Some(first), None, Some(kept)));
    assert_eq!(rig.try_born(&["a=drop3"]), [dropped]);
    assert_eq!(find(&rig, "a=drop3"), Some(second), "its place is used again");
    rig.sweep(5);
    assert_eq!((find(&rig, "a=drop1"), find(&rig, "a=drop3"), rig.resolver.routes()), (None, None, 1));
}

/// Only so much memory is spent on what is dropped; beyond it is dropped all the same.
#[test]
fn what_is_dropped_takes_a_part_of_the_memory() {
    let gate = Gate::default();
    let mut rig = Rig::asking(&gate, 64 << 10);
    let all: Vec<String> = (0..100).map(|i| format!("a=drop{i}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    for _ in 0..2 {
        assert!(rig.try_born(&all).into_iter().all(|found| found == Err(Refused::Discarded(9))));
    }
    let routes = rig.resolver.routes() as u32;
    assert!((20..80).contains(&routes), "{routes} routes in 4 KiB");
    assert_eq!(gate.asked(), (1, 100 + (100 - routes)));
    // the same for streams
    let gate = Gate { stream: Some(StreamVerdict::Discard(3)), ..Gate::default() };
    let mut rig = Rig::asking(&gate, 8);
    assert_eq!(rig.try_born(&["a=1", "a=2"]), [Err(Refused::Discarded(3)); 2]);
    assert_eq!((rig.stream(), gate.asked()), (None, (2, 0)));
}

/// A stream that has to ask has no group before one of its routes passes; where the group is refused, so is the point.
#[test]
fn what_passes_makes_the_group_and_is_under_its_limit() {
    let gate = Gate::default();
    let mut rig = Rig::asking(&gate, 0);
    assert_eq!(rig.try_born(&["a=drop"]), [Err(Refused::Discarded(9))]);
    assert_eq!(rig.resolver.registry().group_count(), 0);
    let mut rig = Rig::asking(&gate, 1 << 20);
    assert_eq!(rig.try_born(&["a=drop"]), [Err(Refused::Discarded(9))]);
    assert_eq!(rig.resolver.registry().group_count(), 0);
    let route = rig.born(&["a=1"])[0];
    assert_eq!((&**rig.resolver.group(route).name(), rig.resolver.registry().group_count()), ("requests", 1));
    // and goes with the last of its streams and series
    let series = rig.resolver.registry().next_birth(0).expect("one was born");
    let state = head::state(rig.resolver.slab().run(rig.resolver.cell(route), head::WORDS));
    assert!(begin_retire(state));
    finish_retire(state, false);
    rig.resolver.registry().remove(&series, true);
    rig.resolver.registry().bury(0, DeadCell { line: rig.resolver.cell(route), words: Shape::DeltaSum.words() as u32 });
    (2..8).for_each(|interval| rig.sweep(interval));
    assert_eq!((rig.resolver.registry().group_count(), rig.resolver.routes()), (0, 0));
}
