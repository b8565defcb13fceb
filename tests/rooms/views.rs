//! Destinations that choose: each view has its own points, its own numbers of batches, and is written once.
//!
//! Which selections mean what has its own tests (`rules`); these are about what is handed out.

use crate::common::*;
use catchment::flush::{Outlet, Written};
use catchment::limits::BATCH_POINTS_MAX;
use catchment::model::{Flushed, SelectionNumber, Temporality, View};
use catchment::otlp::encode::{Encoder, Request as Encoded};
use catchment::rows::Rows;
use catchment::rules::{
    Action, Aggregation, Grouping, InitialValue, InputKind, KeyPattern, Output, OutputSpec, Pattern, PatternKind, Rule,
    RuleChoice, Selection, Selections, Selector, Stale,
};
use catchment::sync::cut::CutTimes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;

const INTERVAL: u64 = 10 * SECOND;
/// A point without a recorded value.
const END: f64 = f64::NEG_INFINITY;

/// Four destinations that choose as before.
const SAME: [(Option<u8>, u8); 4] = [(Some(0), 0), (Some(1), 1), (Some(2), 2), (Some(3), 3)];

/// What was handed out, view by view.
#[derive(Default)]
struct Views {
    /// Which are wanted.
    wanted: Vec<View>,
    taken: Vec<(Flushed, ExportMetricsServiceRequest)>,
    /// How often something was handed out.
    calls: usize,
}

impl Outlet for Views {
    fn wants(&self, view: View) -> bool {
        self.wanted.contains(&view)
    }

    fn take(&mut self, flushed: Flushed, rows: &impl Rows) -> Option<Written> {
        assert!(self.wants(flushed.view), "nobody wants {:?}", flushed.view);
        self.calls += 1;
        let Encoded { bytes, points } = Encoder::default().encode(rows, flushed.view.temporality)?;
        let decoded = ExportMetricsServiceRequest::decode(&*bytes).expect("what we encode decodes");
        assert_eq!(each_point(&decoded).len() as u64, points, "points are counted right");
        self.taken.push((flushed, decoded));
        Some(Written { points, bytes: bytes.len() as u64 })
    }
}

impl Views {
    fn of(&self, view: View) -> BTreeMap<String, f64> {
        let requests =
            self.taken.iter().filter(|(flushed, _)| flushed.view == view).map(|(_, request)| request.clone());
        let mut all = BTreeMap::new();
        for (name, attributes, _, _, value) in numbers(&requests.collect::<Vec<_>>()) {
            let attributes =
                attributes.replace("Some(AnyValue { value: Some(StringValue(\"", "").replace("\")) })", "");
            let value = if value.is_nan() { END } else { value };
            let before = all.insert(format!("{name}{{{attributes}}}"), value);
            assert_eq!(before, None, "one point a series and cut in {view:?}: {name}");
        }
        all
    }

    /// Batches of each shard and view have the numbers from 0 on.
    fn assert_dense(&self) {
        let mut next = BTreeMap::new();
        for (flushed, _) in &self.taken {
            let view = (flushed.view.selection.get(), flushed.view.temporality as u8);
            let number = next.entry((flushed.cut, flushed.shard, view)).or_insert(0);
            assert_eq!(flushed.number, *number, "{flushed:?}");
            *number += 1;
        }
    }
}

fn glob(text: &str) -> Vec<Pattern> {
    vec![Pattern { text: text.into(), kind: PatternKind::Glob, is_negated: false }]
}

fn of_metric(text: &str) -> Selector {
    Selector { metric: glob(text), ..Selector::default() }
}

/// The attribute `pod` away, of metrics like `pattern`.
fn pods_away(name: &str, pattern: &str) -> Rule {
    let same = OutputSpec { output: Output::Same, window_ns: INTERVAL, name: "{name}".into(), text: "same".into() };
    let outputs = InputKind::ALL.map(|kind| match kind {
        InputKind::Counter => Arc::from([same.clone()]),
        _ => Arc::from([]),
    });
    let aggregation = Aggregation {
        changes: vec![],
        grouping: Grouping::Without(vec![KeyPattern { text: "pod".into(), place: None }]),
        outputs,
        interval_ns: INTERVAL,
        keeps_input: false,
        stale: Stale::Auto,
        initial_value: InitialValue::Auto,
        series_limit: None,
    };
    Rule {
        name: name.into(),
        was: None,
        selector: of_metric(pattern),
        except: None,
        action: Action::Aggregate(Box::new(aggregation)),
        goes_on: false,
    }
}

fn counter(name: &str, pod: &str, time: u64, value: i64) -> opentelemetry_proto::tonic::metrics::v1::Metric {
    sum(name, 1, true, vec![number(&[("pod", pod)], 0, time, int(value))])
}

fn selections(chosen: &[Selection]) -> Option<Arc<Selections>> {
    Selections::new(chosen).expect("sound patterns").map(Arc::new)
}

fn choose(rig: &mut Rig, chosen: &[Selection]) {
    let selections = selections(chosen);
    rig.owners.iter_mut().for_each(|owner| owner.select(selections.clone()));
}

fn view(selection: u8, temporality: Temporality) -> View {
    View { temporality, selection: SelectionNumber::new(selection) }
}

fn at(rig: &Rig, cut: u64) -> CutTimes {
    let boundary_ns = START + cut * INTERVAL;
    let is_exchange = rig.rules.as_ref().is_some_and(|rules| rules.is_pending());
    CutTimes { from_ns: rig.from, boundary_ns, mono_ns: boundary_ns, is_last: false, is_exchange }
}

fn expect(views: &Views, selection: u8, want: &[(&str, f64)]) {
    let want: BTreeMap<String, f64> = want.iter().map(|(name, value)| (name.to_string(), *value)).collect();
    assert_eq!(views.of(view(selection, Temporality::Delta)), want, "selection {selection}");
}

/// A rule's outputs take the place of its input for those that take its outputs; who takes none of them has the input.
#[test]
fn raw_series_go_to_one_and_what_rules_make_of_them_to_another() {
    for shards in [1, 2] {
        let mut rig = Rig::with_rules(shards, vec![pods_away("http", "http*"), pods_away("db", "db*")]);
        let raw = Selection { rules: RuleChoice::None, ..Selection::default() };
        let made = Selection { takes_input: false, ..Selection::default() };
        let of_db = Selection { rules: RuleChoice::These(vec![1]), ..Selection::default() };
        let named =
            Selection { selector: of_metric("{http,other}"), except: Some(of_metric("other")), ..Selection::default() };
        let by_pod = Selection {
            selector: Selector { attributes: vec![("pod".into(), glob("b"))], ..Selector::default() },
            rules: RuleChoice::None,
            ..Selection::default()
        };
        choose(&mut rig, &[Selection::default(), raw, made, of_db, named, by_pod]);
        let wanted: Vec<View> = (0..6).map(|number| view(number, Temporality::Delta)).collect();
        for cut in 1..4 {
            let time = rig.from + SECOND;
            for (core, pod) in ["a", "b"].into_iter().enumerate() {
                let all = ["http", "db", "other"].map(|name| counter(name, pod, time, 1 + core as i64)).to_vec();
                assert_eq!(rig.send(core, &request(all)).rejected, 0);
            }
            let mut views = Views { wanted: wanted.clone(), ..Views::default() };
            rig.cut_into(at(&rig, cut), &mut views);
            let other = [("other{pod=a}", 1.0), ("other{pod=b}", 2.0)];
            let (http, db) = ([("http{pod=a}", 1.0), ("http{pod=b}", 2.0)], [("db{pod=a}", 1.0), ("db{pod=b}", 2.0)]);
            let (folded_http, folded_db) = (("http{}", 3.0), ("db{}", 3.0));
            expect(&views, 0, &[&other[..], &[folded_http, folded_db]].concat());
            expect(&views, 1, &[other, http, db].concat());
            expect(&views, 2, &[folded_http, folded_db]);
            expect(&views, 3, &[&other[..], &http, &[folded_db]].concat());
            expect(&views, 4, &[folded_http]);
            expect(&views, 5, &[other[1], http[1], db[1]]);
            views.assert_dense();
        }
    }
}

/// What is chosen may change between two cuts: everybody is asked again, and nothing of before is left.
#[test]
fn what_is_chosen_may_change_between_cuts() {
    let mut rig = Rig::with_rules(2, vec![pods_away("http", "http*")]);
    let raw = Selection { rules: RuleChoice::None, ..Selection::default() };
    let made = Selection { takes_input: false, ..Selection::default() };
    for (cut, chosen) in [[&raw, &made], [&made, &raw], [&raw, &raw]].into_iter().enumerate() {
        choose(&mut rig, &chosen.map(Clone::clone));
        let time = rig.from + SECOND;
        assert_eq!(rig.send(cut, &request(vec![counter("http", "a", time, 1)])).rejected, 0);
        let wanted = [0, 1].map(|number| view(number, Temporality::Delta)).to_vec();
        let mut views = Views { wanted, ..Views::default() };
        rig.cut_into(at(&rig, cut as u64 + 1), &mut views);
        for (number, one) in chosen.into_iter().enumerate().take(if chosen[0] == chosen[1] { 1 } else { 2 }) {
            expect(&views, number as u8, &[(if *one == raw { "http{pod=a}" } else { "http{}" }, 1.0)]);
        }
    }
    choose(&mut rig, &[Selection::default()]);
    assert_eq!(rig.send(0, &request(vec![counter("http", "a", rig.from + SECOND, 1)])).rejected, 0);
    let mut views = Views { wanted: vec![view(0, Temporality::Delta)], ..Views::default() };
    rig.cut_into(at(&rig, 4), &mut views);
    expect(&views, 0, &[("http{}", 1.0)]);
}

/// Behind an exchange of rules a series ends for those that get outputs in its place from then on, and for nobody else; an
/// output ends for those that had it.
#[test]
fn what_rules_take_from_now_on_ends_for_those_that_get_their_outputs() {
    let mut rig = Rig::with_rules(2, vec![pods_away("db", "db*")]);
    let raw = Selection { rules: RuleChoice::None, ..Selection::default() };
    let of_a = Selection {
        selector: Selector { attributes: vec![("pod".into(), glob("a"))], ..Selector::default() },
        ..Selection::default()
    };
    let wanted: Vec<View> = (0..4).map(|number| view(number, Temporality::Delta)).collect();
    // the rule "db" stands at another place from the third cut on
    let of_db = |place| Selection { rules: RuleChoice::These(vec![place]), ..Selection::default() };
    choose(&mut rig, &[raw.clone(), Selection::default(), of_a.clone(), of_db(0)]);
    let (a, b) = (("http{pod=a}", 1.0), ("http{pod=b}", 1.0));
    let (ended_a, ended_b, folded, ended) =
        (("http{pod=a}", END), ("http{pod=b}", END), ("http{}", 2.0), ("http{}", END));
    for cut in 1..7 {
        let time = rig.from + SECOND;
        let all = ["a", "b"].map(|pod| counter("http", pod, time, 1)).to_vec();
        assert_eq!(rig.send(cut, &request(all)).rejected, 0);
        match cut {
            2 => {
                let chosen = [raw.clone(), Selection::default(), of_a.clone(), of_db(1)];
                let rules = vec![pods_away("http", "http*"), pods_away("db", "db*")];
                rig.reload_passing(rules, selections(&chosen), &SAME, false);
            }
            4 => {
                let chosen = [raw.clone(), Selection::default(), of_a.clone(), of_db(0)];
                rig.reload_passing(vec![pods_away("db", "db*")], selections(&chosen), &SAME, false);
            }
            _ => {}
        }
        let mut views = Views { wanted: wanted.clone(), ..Views::default() };
        rig.cut_into(at(&rig, cut as u64), &mut views);
        expect(&views, 0, &[a, b]);
        match cut {
            1 | 2 => {
                expect(&views, 1, &[a, b]);
                expect(&views, 2, &[a]);
            }
            3 => {
                expect(&views, 1, &[ended_a, ended_b, folded]);
                expect(&views, 2, &[ended_a]);
            }
            4 => {
                expect(&views, 1, &[folded]);
                expect(&views, 2, &[]);
            }
            5 => {
                expect(&views, 1, &[a, b, ended]);
                expect(&views, 2, &[a]);
            }
            _ => {
                expect(&views, 1, &[a, b]);
                expect(&views, 2, &[a]);
            }
        }
        // it never had what the other rule made
        expect(&views, 3, &[a, b]);
        views.assert_dense();
    }
}

/// The points that the view of a destination by itself has.
fn expect_alone(views: &Views, destination: usize, want: &[(&str, f64)]) {
    expect(views, SelectionNumber::of_destination(destination).get(), want);
}

/// Counters of three metrics and two pods, as they are sent before each cut.
fn send_all(rig: &mut Rig, cut: u64) {
    let time = rig.from + SECOND;
    for (core, name) in ["http", "db", "other"].into_iter().enumerate() {
        let all = ["a", "b"].map(|pod| counter(name, pod, time, 1)).to_vec();
        assert_eq!(rig.send(core + cut as usize, &request(all)).rejected, 0);
    }
}

/// The cut of this number, in all views that there may be of two selections and four destinations.
fn cut_all(rig: &mut Rig, cut: u64) -> Views {
    let wanted = (0..2).chain(16..20).map(|number| view(number, Temporality::Delta)).collect();
    let mut views = Views { wanted, ..Views::default() };
    rig.cut_into(at(rig, cut), &mut views);
    views.assert_dense();
    views
}

/// A destination that chooses otherwise from a cut on: what it had, series and outputs, and has no more ends for it, once; nobody
/// else hears of it, and what it has still goes on.
#[test]
fn what_a_destination_chooses_no_more_ends_for_it_alone() {
    for shards in 1..=3 {
        let rules = || vec![pods_away("http", "http*")];
        let (other_a, other_b, http) = (("other{pod=a}", 1.0), ("other{pod=b}", 1.0), ("http{}", 2.0));
        let db = [("db{pod=a}", 1.0), ("db{pod=b}", 1.0)];
        let all = [&db[..], &[other_a, other_b, http]].concat();
        let ended = [("http{}", END), ("db{pod=a}", END), ("db{pod=b}", END), ("other{pod=b}", END)];
        // of metric other and pod a; the other three have all
        let few = Selection {
            selector: Selector { attributes: vec![("pod".into(), glob("a"))], ..of_metric("other") },
            ..Selection::default()
        };
        let chosen = [Selection::default(), few];
        let mut rig = Rig::with_rules(shards, rules());
        for cut in 1..=9 {
            send_all(&mut rig, cut);
            match cut {
                // nobody chose; the second one does from then on
                2 => rig.reload_passing(rules(), selections(&chosen), &[(Some(0), 0), (Some(0), 1)], true),
                // and has all again
                4 => rig.reload_passing(rules(), None, &[(Some(0), 0), (Some(1), 0)], true),
                // both choose it, and one comes
                6 => rig.reload_passing(
                    rules(),
                    selections(&[chosen[1].clone(), Selection::default()]),
                    &[(Some(0), 0), (Some(0), 0), (None, 1)],
                    true,
                ),
                // one had all of the two that have few, and one that comes had nothing
                7 => rig.reload_passing(
                    rules(),
                    selections(&chosen),
                    &[(Some(0), 1), (Some(1), 1), (None, 1), (Some(0), 0)],
                    true,
                ),
                _ => {}
            }
            let views = cut_all(&mut rig, cut);
            let (of_all, of_few): (Vec<(&str, f64)>, Vec<(&str, f64)>) = match cut {
                1 | 2 | 5 | 6 => (all.clone(), vec![]),
                3 => (all.clone(), [&[other_a], &ended[..]].concat()),
                4 | 9 => (all.clone(), vec![other_a]),
                7 => ([&[other_a], &ended[..]].concat(), all.clone()),
                _ => (all.clone(), vec![other_a]),
            };
            expect(&views, 0, &of_all);
            expect(&views, 1, &of_few);
            for destination in 0..4 {
                let is_told = cut == 8 && destination == 1;
                expect_alone(&views, destination, if is_told { &ended } else { &[] });
            }
        }
    }
}

/// What came in raw for one that takes no outputs, and does from then on: the raw series end for it.
#[test]
fn one_that_takes_outputs_from_now_on_has_the_raw_series_no_more() {
    for shards in 1..=3 {
        let rules = || vec![pods_away("http", "http*")];
        let raw = Selection { rules: RuleChoice::None, ..of_http() };
        let mut rig = Rig::with_rules(shards, rules());
        let (a, b, made) = (("http{pod=a}", 1.0), ("http{pod=b}", 1.0), ("http{}", 2.0));
        let ended = [("http{pod=a}", END), ("http{pod=b}", END)];
        for cut in 1..=7 {
            send_all(&mut rig, cut);
            match cut {
                1 => rig.reload_passing(rules(), selections(&[of_http(), raw.clone()]), &[(None, 0), (None, 1)], false),
                3 => rig.reload_passing(rules(), selections(&[of_http()]), &[(Some(0), 0), (Some(1), 0)], true),
                5 => rig.reload_passing(
                    rules(),
                    selections(std::slice::from_ref(&raw)),
                    &[(Some(0), 0), (Some(0), 0)],
                    true,
                ),
                _ => {}
            }
            let views = cut_all(&mut rig, cut);
            match cut {
                1 => continue,
                2 | 3 => {
                    expect(&views, 0, &[made]);
                    expect(&views, 1, &[a, b]);
                }
                4 | 5 => expect(&views, 0, &[made]),
                6 => expect(&views, 0, &[a, b, ("http{}", END)]),
                _ => expect(&views, 0, &[a, b]),
            }
            expect_alone(&views, 0, &[]);
            expect_alone(&views, 1, if cut == 4 { &ended } else { &[] });
        }
    }
}

fn of_http() -> Selection {
    Selection { selector: of_metric("http"), ..Selection::default() }
}

/// What is dropped from a cut on ends for all that had it, whether they choose or not, and leaves no more.
#[test]
fn what_is_dropped_from_now_on_ends_for_those_that_had_it() {
    for shards in 1..=3 {
        let drops = || vec![Rule { action: Action::Drop, ..pods_away("noise", "http*") }];
        let of_b = Selection {
            selector: Selector { attributes: vec![("pod".into(), glob("b"))], ..of_metric("{http,db}") },
            ..Selection::default()
        };
        let chosen = || selections(&[of_http(), of_b.clone()]);
        let (a, b, db) = (("http{pod=a}", 1.0), ("http{pod=b}", 1.0), ("db{pod=b}", 1.0));
        let mut rig = Rig::with_rules(shards, vec![]);
        for cut in 1..=6 {
            if cut < 4 {
                send_all(&mut rig, cut);
            }
            match cut {
                1 => rig.reload_passing(vec![], chosen(), &[(None, 0), (None, 1)], false),
                3 => rig.reload_passing(drops(), chosen(), &[(Some(0), 0), (Some(1), 1)], false),
                _ => {}
            }
            let views = cut_all(&mut rig, cut);
            match cut {
                1 => continue,
                2 | 3 => {
                    expect(&views, 0, &[a, b]);
                    expect(&views, 1, &[b, db]);
                }
                4 => {
                    expect(&views, 0, &[("http{pod=a}", END), ("http{pod=b}", END)]);
                    expect(&views, 1, &[("http{pod=b}", END)]);
                }
                _ => {
                    expect(&views, 0, &[]);
                    expect(&views, 1, &[]);
                }
            }
        }
    }
}

/// A series that is hidden later than with the exchange, because a shard was late, ends then, once, for those that had it.
#[test]
fn what_is_dropped_behind_a_late_shard_ends_for_those_that_had_it() {
    for shards in 1..=3 {
        let chosen = || selections(&[of_http(), Selection { selector: of_metric("db"), ..Selection::default() }]);
        let same = [(Some(0), 0), (Some(1), 1)];
        let mut rig = Rig::with_rules(shards, vec![]);
        let mut left = Vec::new();
        for cut in 1..=12 {
            let time = rig.from + SECOND;
            if cut <= 3 {
                assert_eq!(rig.send(0, &request(vec![counter("http", "a", time, cut as i64)])).rejected, 0);
            }
            match cut {
                1 => rig.reload_passing(vec![], chosen(), &[(None, 0), (None, 1)], false),
                3 => {
                    let drops = Rule { action: Action::Drop, ..pods_away("noise", "http*") };
                    rig.reload_passing(vec![drops], chosen(), &same, false);
                    rig.late = Some(0);
                }
                _ => rig.late = None,
            }
            let views = cut_all(&mut rig, cut);
            if cut > 1 {
                let of_http = views.of(view(0, Temporality::Delta));
                left.extend(of_http.into_iter().map(|(name, value)| (cut, name, value)));
                expect(&views, 1, &[]);
            }
        }
        let name = "http{pod=a}".to_owned();
        assert_eq!(left[..2], [(2, name.clone(), 2.0), (4, name.clone(), 3.0)]);
        assert_eq!(left[2..].iter().map(|(_, name, value)| (name, *value)).collect::<Vec<_>>(), [(&name, END)]);
    }
}

/// Many batches a cut, of which a view has few points or none: each is handed out once a view, and numbers have no gaps.
/// A view that nobody wants is not handed out, and series that leave and come keep their places apart.
#[test]
fn batches_are_written_once_a_view_and_numbered_without_gaps_in_each() {
    let mut rig = Rig::with(1, 100_000, 2 * INTERVAL);
    let odd = Selection {
        selector: Selector { attributes: vec![("parity".into(), glob("odd"))], ..Selector::default() },
        ..Selection::default()
    };
    let few = Selection { selector: of_metric("few"), ..Selection::default() };
    choose(&mut rig, &[Selection::default(), odd, few]);
    let wanted = vec![
        view(0, Temporality::Cumulative),
        view(0, Temporality::Delta),
        view(1, Temporality::Delta),
        view(2, Temporality::Cumulative),
    ];
    let count = BATCH_POINTS_MAX * 5 / 2;
    for cut in 1..7 {
        let time = rig.from + SECOND;
        // half of the series are others every two cuts, and those before expire
        let points = (0..count).map(|n| {
            let generation = if n % 4 < 2 { 0 } else { cut / 2 };
            let parity = if n % 2 == 1 { "odd" } else { "even" };
            number(&[("n", &format!("{generation}-{n}")), ("parity", parity)], 0, time, int(1))
        });
        let many = sum("many", 1, true, points.collect());
        let few = sum("few", 1, true, vec![number(&[], 0, time, int(1))]);
        assert_eq!(rig.send(0, &request(vec![many, few])).rejected, 0);
        let mut views = Views { wanted: wanted.clone(), ..Views::default() };
        rig.cut_into(at(&rig, cut), &mut views);
        views.assert_dense();
        let lengths = wanted.iter().map(|view| views.of(*view)).map(|all| all.len()).collect::<Vec<_>>();
        // an attribute that a series does not have is not `odd`
        assert_eq!(lengths, [count + 1, count + 1, count / 2, 1], "cut {cut}");
        let odd = views.of(wanted[2]);
        assert!(odd.keys().all(|key| key.contains("parity=odd")), "cut {cut}");
        let batches = count.div_ceil(BATCH_POINTS_MAX);
        assert!(views.calls <= batches * wanted.len(), "{} calls for {batches} batches", views.calls);
    }
}
