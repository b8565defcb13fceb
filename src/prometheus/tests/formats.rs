//! Pages in OpenMetrics and protobuf, in every strategy and scheme.

use super::client_model::{self, Family, buckets};
use super::fake::*;
use super::open_metrics;
use crate::aggregate::explicit::HAS_SUM;
use crate::aggregate::exponential::{Exponential, Side};
use crate::aggregate::number;
use crate::model::{Kind, TypeHints};
use crate::prometheus::escape::Escaping;
use crate::prometheus::exemplar::Exemplar;
use crate::prometheus::*;
use Owned::*;

/// The labels of every row.
const ME: &str = "job=\"api\",instance=\"1\"";
const START: u64 = 1_700_000_000_500_000_000;

fn of(format: Format) -> Style {
    style(format, Translation::default(), Escaping::Underscores)
}

/// Renders in every size of slice, checks that the bytes are the same.
fn sliced(groups: &[Group], style: Style) -> (Vec<u8>, Report) {
    let whole = render_as(Fake::new(groups.to_vec()), Bounds::default(), style);
    for (chunk_bytes, rows_per_step, stride) in [(1, 1, 1), (100, 3, 2), (1, 1_000, usize::MAX)] {
        let source = Fake { stride, ..Fake::new(groups.to_vec()) };
        let bounds = Bounds { chunk_bytes, rows_per_step, ..Bounds::default() };
        let (bytes, report) = render_as(source, bounds, style);
        assert_eq!(report, whole.1, "slices change nothing");
        if style.format == Format::Protobuf {
            assert_eq!(client_model::parse(&bytes).unwrap(), client_model::parse(&whole.0).unwrap());
        } else {
            assert_eq!(bytes, whole.0, "slices change nothing");
        }
    }
    whole
}

/// Compares an OpenMetrics page with its text.
fn check(groups: &[Group], want: &str) -> Report {
    let (bytes, report) = sliced(groups, of(Format::OpenMetrics100));
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(text.replace(ME, "@"), want);
    open_metrics::parse(&text).unwrap();
    let older = sliced(groups, of(Format::OpenMetrics001)).0;
    assert_eq!(text.as_bytes(), older, "0.0.1 is written the same");
    report
}

fn protobuf(groups: &[Group]) -> (Vec<Family>, Report) {
    let (bytes, report) = sliced(groups, of(Format::Protobuf));
    (client_model::parse(&bytes).unwrap(), report)
}

fn started(group: Group) -> Group {
    Group { start_ns: START, ..group }
}

fn other_host(meta: &mut Meta) {
    meta.resource = resource(&[("host.name", "h2"), ("service.name", "api"), ("service.instance.id", "1")]).into();
}

#[test]
fn x7_openmetrics_totals_created_units_and_eof() {
    let groups = [
        started(Group::counter("c").with(|m| {
            m.unit = "By".into();
            m.description = "a \"b\" \\ c\nd".into();
        }))
        .row(&[("k", "v")], 9, Int(7))
        .row(&[], 9, Double(0.5)),
        started(Group::gauge("g").with(|m| m.unit = "1".into())).row(&[], 9, Double(f64::NAN)),
        started(Group::histogram("h", &[1.0])).row(&[], 9, Histogram(3, Some(2.5), vec![1, 2])),
        started(Group::new("e", Kind::ExponentialHistogram, false)).row(&[], 9, exponential(4, Some(1.0))),
        started(Group::new("s", Kind::Summary, false)).row(&[], 9, Summary(2, 3.0, vec![(0.5, 1.0)])),
        Group::counter("unknown.start").row(&[], 9, Int(1)),
        Group::gauge("t").with(other_host).row(&[], 9, Int(-1)),
    ];
    check(
        &groups,
        "# HELP target Target metadata\n# TYPE target info\ntarget_info{@,host_name=\"h2\"} 1\n\
         # HELP c_bytes a \\\"b\\\" \\\\ c\\nd\n# TYPE c_bytes counter\n# UNIT c_bytes bytes\n\
         c_bytes_total{@,k=\"v\"} 7\nc_bytes_created{@,k=\"v\"} 1700000000.5\n\
         c_bytes_total{@} 0.5\nc_bytes_created{@} 1700000000.5\n\
         # TYPE e histogram\ne_bucket{@,le=\"+Inf\"} 4\ne_sum{@} 1\ne_count{@} 4\ne_created{@} 1700000000.5\n\
         # TYPE g_ratio gauge\n# UNIT g_ratio ratio\ng_ratio{@} NaN\n\
         # TYPE h histogram\nh_bucket{@,le=\"1.0\"} 1\nh_bucket{@,le=\"+Inf\"} 3\nh_sum{@} 2.5\nh_count{@} 3\n\
         h_created{@} 1700000000.5\n\
         # TYPE s summary\ns{@,quantile=\"0.5\"} 1\ns_sum{@} 3\ns_count{@} 2\ns_created{@} 1700000000.5\n\
         # TYPE t gauge\nt{@} -1\n\
         # TYPE unknown_start counter\nunknown_start_total{@} 1\n# EOF\n",
    );
    check(&[], "# EOF\n");
}

#[test]
fn x7_text_formats_have_neither_created_nor_units_nor_eof() {
    let groups = [started(Group::counter("c").with(|m| m.unit = "By".into())).row(&[], 9, Int(7))];
    for format in [Format::Text004, Format::Text100] {
        let text = String::from_utf8(sliced(&groups, of(format)).0).unwrap();
        assert_eq!(text, "# TYPE c_bytes_total counter\nc_bytes_total{job=\"api\",instance=\"1\"} 7\n");
    }
}

#[test]
fn x6_x7_names_that_clash_in_openmetrics_lose_no_series() {
    let report = check(
        &[
            // a gauge has the counter's name without _total
            Group::counter("a").row(&[], 1, Int(1)),
            Group::gauge("a").row(&[], 1, Int(2)),
            // a gauge has the name of its start
            started(Group::counter("b")).row(&[], 1, Int(3)),
            Group::gauge("b.created").row(&[], 1, Int(4)),
            // a histogram has a sample of that name
            Group::histogram("h", &[]).row(&[], 1, Histogram(5, None, vec![])),
            Group::counter("h.count").row(&[], 1, Int(6)),
            // target is a metric of its own
            Group::gauge("target").with(other_host).row(&[], 1, Int(7)),
        ],
        "# HELP target_info Target metadata\n# TYPE target_info gauge\ntarget_info{@,host_name=\"h2\"} 1\n\
         # TYPE a gauge\na{@} 2\n# TYPE a_total unknown\na_total{@} 1\n\
         # TYPE b_created gauge\nb_created{@} 4\n# TYPE b_total unknown\nb_total{@} 3\n\
         # TYPE h histogram\nh_bucket{@,le=\"+Inf\"} 5\n# TYPE h_count_total unknown\nh_count_total{@} 6\n\
         # TYPE target gauge\ntarget{@} 7\n# EOF\n",
    );
    assert_eq!(report.cases, [0; WarningReason::COUNT]);
    let report = check(
        &[
            Group::counter("target").with(other_host).row(&[], 1, Int(7)),
            Group::gauge("h.created").row(&[], 1, Int(4)),
            Group::histogram("h", &[]).row(&[], 1, Histogram(5, None, vec![])),
        ],
        "# HELP target Target metadata\n# TYPE target info\ntarget_info{@,host_name=\"h2\"} 1\n\
         # TYPE h histogram\nh_bucket{@,le=\"+Inf\"} 5\n# TYPE target_total unknown\ntarget_total{@} 7\n# EOF\n",
    );
    assert_eq!(report.count(WarningReason::NameTaken), 1);
}

#[test]
fn x7_what_openmetrics_forbids_is_left_out_and_counted() {
    let report = check(
        &[
            Group::counter("c").row(&[("k", "a")], 1, Double(f64::NAN)).row(&[("k", "b")], 1, Int(-1)).row(
                &[("k", "c")],
                1,
                Double(f64::INFINITY),
            ),
            Group::histogram("h", &[-1.0, 1.0]).row(&[], 1, Histogram(3, Some(2.5), vec![1, 1, 1])),
            Group::histogram("i", &[1.0]).row(&[], 1, Histogram(2, Some(-2.5), vec![1, 1])),
            Group::new("s", Kind::Summary, false).row(
                &[],
                1,
                Summary(2, f64::NAN, vec![(0.5, -1.0), (0.9, 1.0), (2.0, 1.0)]),
            ),
        ],
        "# TYPE c counter\nc_total{@,k=\"c\"} +Inf\n\
         # TYPE h histogram\nh_bucket{@,le=\"-1.0\"} 1\nh_bucket{@,le=\"1.0\"} 2\nh_bucket{@,le=\"+Inf\"} 3\n\
         # TYPE i histogram\ni_bucket{@,le=\"1.0\"} 1\ni_bucket{@,le=\"+Inf\"} 2\n\
         # TYPE s summary\ns{@,quantile=\"0.9\"} 1\ns_count{@} 2\n# EOF\n",
    );
    assert_eq!(report.count(WarningReason::NotACounter), 2);
}

/// A gauge whose sender does not know its type says so of its whole family, if that is a gauge.
#[test]
fn p03_a_gauge_of_unknown_type_is_unknown() {
    let unknown = |name: &str| Group::gauge(name).with(|meta| meta.hints = TypeHints::UNKNOWN);
    let mut groups = [
        unknown("g").row(&[], 1, Double(1.5)),
        Group::gauge("g").with(other_host).row(&[("a", "1")], 1, Int(-2)),
        Group::counter("h").row(&[], 1, Int(1)),
        unknown("h_total").row(&[], 1, Int(1)),
    ];
    groups[0].meta.born_ns = 9;
    groups[3].meta.born_ns = 9;
    let info = "# HELP target Target metadata\n# TYPE target info\ntarget_info{@,host_name=\"h2\"} 1\n";
    let want = "# TYPE g unknown\ng{@} 1.5\ng{@,a=\"1\"} -2\n# TYPE h counter\nh_total{@} 1\n# EOF\n";
    let report = check(&groups, &format!("{info}{want}"));
    assert_eq!(report.count(WarningReason::TypeConflict), 1);
    for format in [Format::Text004, Format::Text100] {
        let text = String::from_utf8(sliced(&groups, of(format)).0).unwrap();
        assert!(text.contains("# TYPE g untyped\n") && text.contains("# TYPE h_total counter\n"), "{text}");
    }
    let families = protobuf(&groups).0;
    let g = families.iter().find(|family| family.name() == "g").unwrap();
    let values: Vec<_> = g.metric.iter().map(|metric| metric.untyped.clone().unwrap().value.unwrap()).collect();
    assert_eq!((g.kind, values), (Some(3), vec![1.5, -2.0]));
}

/// A group whose senders say this of its type.
fn said(group: Group, hints: TypeHints) -> Group {
    group.with(|meta| meta.hints = hints)
}

/// Infos and state sets are what they are said to be where OpenMetrics allows it, and gauges everywhere else.
#[test]
fn p03_infos_and_state_sets() {
    let sum = |name: &str| Group::new(name, Kind::Sum, false);
    let (build, state) = ([("version", "1.2")], |name: &'static str| [("pump.state", name)]);
    let groups = [
        said(Group::gauge("build").row(&build, 1, Int(1)), TypeHints::INFO),
        said(Group::gauge("build").with(other_host).row(&build, 1, Double(1.0)), TypeHints::INFO),
        said(sum("node_info").with(|meta| meta.unit = "By".into()).row(&[], 1, Int(1)), TypeHints::INFO),
        said(sum("pump.state").row(&state("on"), 1, Int(0)).row(&state("off"), 1, Double(1.0)), TypeHints::STATE_SET),
        said(sum("pump.state").with(other_host).row(&state("off"), 1, Int(1)), TypeHints::STATE_SET),
    ];
    let info = "# HELP target Target metadata\n# TYPE target info\ntarget_info{@,host_name=\"h2\"} 1\n";
    let report = check(
        &groups,
        &format!(
            "{info}# TYPE build info\nbuild_info{{@,version=\"1.2\"}} 1\n\
             # TYPE node_info_bytes info\nnode_info_bytes_info{{@}} 1\n\
             # TYPE pump_state stateset\npump_state{{@,pump_state=\"on\"}} 0\npump_state{{@,pump_state=\"off\"}} 1\n\
             # EOF\n",
        ),
    );
    assert_eq!((report.families, report.series), (4, 4), "the rows of one identity are one");
    for format in [Format::Text004, Format::Text100] {
        let text = String::from_utf8(sliced(&groups, of(format)).0).unwrap().replace(ME, "@");
        for lines in [
            "# TYPE build_info gauge\nbuild_info{@,version=\"1.2\"} 1\n",
            "# TYPE node_info_bytes_info gauge\nnode_info_bytes_info{@} 1\n",
            "# TYPE pump_state gauge\n",
        ] {
            assert!(text.contains(lines), "{text}");
        }
    }
    let families = protobuf(&groups).0;
    let all: Vec<_> = families.iter().map(|family| (family.name(), family.kind)).collect();
    let (info, gauge) = ("target_info", Some(1));
    let names = [info, "build_info", "node_info_bytes_info", "pump_state"];
    assert_eq!(all, names.map(|name| (name, gauge)));
}

/// What is said of a type is not heard where a row, another metric of the family or another family's name is against it.
#[test]
fn p03_what_may_not_be_an_info_or_a_state_set_is_a_gauge() {
    let one = |name: &str| Group::gauge(name).row(&[], 1, Int(1));
    let state = |name: &str, value| said(Group::gauge(name).row(&[("s", "on")], 1, value), TypeHints::STATE_SET);
    let info = |name: &str| said(one(name), TypeHints::INFO);
    let both = TypeHints::INFO.and(TypeHints::STATE_SET);
    for (groups, want) in [
        // values
        (vec![info("i").row(&[("a", "1")], 1, Int(0))], "# TYPE i_info gauge\ni_info{@} 1\ni_info{@,a=\"1\"} 0\n"),
        (
            vec![info("i").row(&[("a", "1")], 1, Double(f64::NAN))],
            "# TYPE i_info gauge\ni_info{@} 1\ni_info{@,a=\"1\"} NaN\n",
        ),
        (vec![state("s", Int(2))], "# TYPE s gauge\ns{@,s=\"on\"} 2\n"),
        (vec![state("s", Double(0.5))], "# TYPE s gauge\ns{@,s=\"on\"} 0.5\n"),
        // no label of its name: another one, none in one of two rows, an empty one
        (vec![state("t", Int(1))], "# TYPE t gauge\nt{@,s=\"on\"} 1\n"),
        (vec![state("s", Int(1)).row(&[], 1, Int(0))], "# TYPE s gauge\ns{@,s=\"on\"} 1\ns{@} 0\n"),
        (vec![state("s", Int(1)).row(&[("s", "")], 1, Int(0))], "# TYPE s gauge\ns{@,s=\"on\"} 1\ns{@} 0\n"),
        (
            vec![state("s", Int(1)).row(&[("a", ",s=")], 1, Int(0))],
            "# TYPE s gauge\ns{@,s=\"on\"} 1\ns{@,a=\",s=\"} 0\n",
        ),
        // one metric of the family says nothing, or another type; or senders of one differ
        (
            vec![info("i"), Group::gauge("i_info").row(&[("a", "1")], 1, Int(1))],
            "# TYPE i_info gauge\ni_info{@} 1\ni_info{@,a=\"1\"} 1\n",
        ),
        (vec![info("i"), said(one("i_info"), TypeHints::UNKNOWN)], "# TYPE i_info unknown\ni_info{@} 1\n"),
        (vec![said(one("i"), both)], "# TYPE i unknown\ni{@} 1\n"),
        // a counter, whatever is said
        (vec![said(Group::counter("c").row(&[], 1, Int(1)), both)], "# TYPE c counter\nc_total{@} 1\n"),
        // names that others have
        (vec![info("i"), one("i")], "# TYPE i gauge\ni{@} 1\n# TYPE i_info gauge\ni_info{@} 1\n"),
        (
            vec![info("i"), Group::counter("i").row(&[], 1, Int(1))],
            "# TYPE i_info gauge\ni_info{@} 1\n# TYPE i counter\ni_total{@} 1\n",
        ),
        (
            vec![info("h.sum"), Group::histogram("h", &[]).row(&[], 1, Histogram(1, Some(0.5), vec![1]))],
            "# TYPE h histogram\nh_bucket{@,le=\"+Inf\"} 1\nh_sum{@} 0.5\nh_count{@} 1\n\
             # TYPE h_sum_info gauge\nh_sum_info{@} 1\n",
        ),
        (
            vec![info("c.created"), Group::counter("c").row(&[], 1, Int(1))],
            "# TYPE c_created_info gauge\nc_created_info{@} 1\n# TYPE c counter\nc_total{@} 1\n",
        ),
    ] {
        check(&groups, &format!("{want}# EOF\n"));
    }
    // names without suffixes are left as they are: only what is called an info may be one
    let style = style(Format::OpenMetrics100, Translation::NoTranslation, Escaping::Underscores);
    let text = String::from_utf8(sliced(&[info("i"), info("j_info")], style).0).unwrap().replace(ME, "@");
    assert_eq!(text, "# TYPE i gauge\ni{@} 1\n# TYPE j info\nj_info{@} 1\n# EOF\n");
}

#[test]
fn x7_openmetrics_has_a_histograms_count_where_it_has_its_sum() {
    let groups = [
        Group::new("e", Kind::ExponentialHistogram, false).row(&[], 1, exponential(4, None)),
        Group::new("f", Kind::ExponentialHistogram, false).row(&[], 1, exponential(4, Some(-1.0))),
        started(Group::histogram("h", &[1.0]).row(&[], 1, Histogram(2, None, vec![1, 1])).row(
            &[("k", "v")],
            1,
            Histogram(3, Some(0.5), vec![3, 0]),
        )),
        Group::new("s", Kind::Summary, false).row(&[], 1, Summary(2, -1.0, vec![])),
    ];
    check(
        &groups,
        "# TYPE e histogram\ne_bucket{@,le=\"+Inf\"} 4\n# TYPE f histogram\nf_bucket{@,le=\"+Inf\"} 4\n\
         # TYPE h histogram\nh_bucket{@,le=\"1.0\"} 1\nh_bucket{@,le=\"+Inf\"} 2\nh_created{@} 1700000000.5\n\
         h_bucket{@,k=\"v\",le=\"1.0\"} 3\nh_bucket{@,k=\"v\",le=\"+Inf\"} 3\nh_sum{@,k=\"v\"} 0.5\n\
         h_count{@,k=\"v\"} 3\nh_created{@,k=\"v\"} 1700000000.5\n\
         # TYPE s summary\ns_count{@} 2\n# EOF\n",
    );
    for format in [Format::Text004, Format::Text100] {
        let text = String::from_utf8(sliced(&groups, of(format)).0).unwrap();
        assert_eq!(text.matches("_count{").count(), 5, "the other formats have it always: {text}");
    }
}

#[test]
fn x7_merged_rows_have_the_start_of_the_longest() {
    let one = Group { start_ns: 5_000_000_000, ..Group::counter("c").row(&[], 1, Int(1)) };
    let two = Group { start_ns: 3_000_000_000, ..Group::counter("c").with(other_host).row(&[], 1, Int(2)) };
    let none = Group { start_ns: 0, ..two.clone() };
    let info = "# HELP target Target metadata\n# TYPE target info\ntarget_info{@,host_name=\"h2\"} 1\n";
    check(&[one.clone(), two], &format!("{info}# TYPE c counter\nc_total{{@}} 3\nc_created{{@}} 3\n# EOF\n"));
    check(&[one, none], &format!("{info}# TYPE c counter\nc_total{{@}} 3\n# EOF\n"));
}

fn exemplar(value: f64) -> Exemplar<'static> {
    let value = number::Value::Double(value);
    Exemplar { value, time_ns: START, attributes: &[], trace_id: &[0xab; 16], span_id: &[1; 8] }
}

#[test]
fn x16_exemplars_on_counters_and_buckets() {
    let exemplars = vec![exemplar(0.5), exemplar(7.0)];
    let groups = [
        Group { exemplars: exemplars.clone(), ..Group::counter("c").row(&[], 1, Int(1)) },
        Group { exemplars: exemplars.clone(), ..Group::gauge("g").row(&[], 1, Int(1)) },
        Group { exemplars, ..Group::histogram("h", &[1.0, 2.0]).row(&[], 1, Histogram(3, None, vec![1, 0, 2])) },
    ];
    let mark = |value: &str| {
        let ids = format!("trace_id=\"{}\",span_id=\"{}\"", "ab".repeat(16), "01".repeat(8));
        format!(" # {{{ids}}} {value} 1700000000.5")
    };
    check(
        &groups,
        &format!(
            "# TYPE c counter\nc_total{{@}} 1{}\n# TYPE g gauge\ng{{@}} 1\n# TYPE h histogram\n\
             h_bucket{{@,le=\"1.0\"}} 1{}\nh_bucket{{@,le=\"2.0\"}} 1\nh_bucket{{@,le=\"+Inf\"}} 3{}\n# EOF\n",
            mark("7"),
            mark("0.5"),
            mark("7"),
        ),
    );
    let text = String::from_utf8(sliced(&groups, of(Format::Text004)).0).unwrap();
    assert!(!text.contains(" # {"), "dropped where the format has none");
    let (families, _) = protobuf(&groups);
    let counter = families[0].metric[0].counter.as_ref().unwrap().exemplar.as_ref().unwrap();
    assert_eq!((counter.value, counter.label.len()), (Some(7.0), 2));
    assert_eq!(counter.timestamp.as_ref().unwrap().nanos, 500_000_000);
    let marked: Vec<Option<f64>> = families[2].metric[0]
        .histogram
        .as_ref()
        .unwrap()
        .bucket
        .iter()
        .map(|bucket| bucket.exemplar.as_ref().and_then(|exemplar| exemplar.value))
        .collect();
    assert_eq!(marked, [Some(0.5), None, Some(7.0)]);
}

#[test]
fn x14_x15_protobuf_has_every_type() {
    let groups = [
        started(Group::counter("c").with(|m| m.unit = "By".into())).row(&[("k", "v")], 9, Int(7)),
        Group::gauge("g").with(|m| m.description = "help".into()).row(&[], 9, Double(-0.5)),
        started(Group::histogram("h", &[1.0])).row(&[], 9, Histogram(3, Some(2.5), vec![1, 2])),
        Group::new("s", Kind::Summary, false).with(other_host).row(&[], 9, Summary(2, 3.0, vec![(0.5, 1.0)])),
    ];
    let (families, report) = protobuf(&groups);
    let names: Vec<(&str, i32)> = families.iter().map(|f| (f.name(), f.kind.unwrap())).collect();
    assert_eq!(names, [("target_info", 1), ("c_bytes_total", 0), ("g", 1), ("h", 4), ("s", 2)]);
    assert_eq!((report.families, report.series), (5, 4));
    assert_eq!(families[1].unit(), "bytes");
    assert_eq!(families[2].help(), "help");
    let labels = client_model::labels(&families[1].metric[0]).unwrap();
    let want = [("instance", "1"), ("job", "api"), ("k", "v")];
    assert_eq!(labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), want);
    let counter = families[1].metric[0].counter.as_ref().unwrap();
    let created = counter.created.as_ref().unwrap();
    assert_eq!((counter.value(), created.seconds, created.nanos), (7.0, 1_700_000_000, 500_000_000));
    let histogram = families[3].metric[0].histogram.as_ref().unwrap();
    assert_eq!((histogram.count(), histogram.sum, histogram.schema), (3, Some(2.5), None));
    let buckets: Vec<(f64, u64)> = histogram.bucket.iter().map(|b| (b.bound(), b.cumulative())).collect();
    assert_eq!(buckets, [(1.0, 1), (f64::INFINITY, 3)]);
    let summary = families[4].metric[0].summary.as_ref().unwrap();
    assert_eq!((summary.count(), summary.sum(), summary.quantile[0].value()), (2, 3.0, 1.0));
}

fn native(value: Exponential) -> (Vec<Family>, Report) {
    protobuf(&[started(Group::new("e", Kind::ExponentialHistogram, false)).row(&[], 9, Exponential(value))])
}

fn side(offset: i32, counts: &[u64]) -> Side {
    Side { offset, counts: counts.to_vec() }
}

fn sample(scale: i32, positive: Side, negative: Side) -> Exponential {
    let count = 3 + positive.total() + negative.total();
    Exponential { count, sum: 9.5, flags: HAS_SUM, zero_count: 3, scale, positive, negative, ..Exponential::default() }
}

#[test]
fn x15_exponential_histograms_are_native() {
    let value = sample(3, side(-2, &[1, 0, 0, 5, 0, 0, 0, 2]), side(4, &[7]));
    let (families, report) = native(Exponential { zero_threshold: 0.25, ..value });
    let got = families[0].metric[0].histogram.as_ref().unwrap();
    assert_eq!((got.count(), got.sum, got.schema, got.zero_count()), (18, Some(9.5), Some(3), 3));
    assert_eq!((got.zero_threshold(), got.bucket.len()), (0.25, 0));
    assert_eq!(got.created.as_ref().unwrap().seconds, 1_700_000_000);
    // bucket i of OpenTelemetry is bucket i + 1 here
    assert_eq!(buckets(&got.positive_span, &got.positive_delta), [(-1, 1), (0, 0), (1, 0), (2, 5), (6, 2)]);
    assert_eq!(got.positive_span.len(), 2, "a gap of three is not written as zeros");
    assert_eq!(buckets(&got.negative_span, &got.negative_delta), [(5, 7)]);
    assert_eq!((report.series, report.cases), (1, [0; WarningReason::COUNT]));
}

#[test]
fn x15_scales_beyond_the_schemas() {
    let (families, _) = native(sample(10, side(-5, &[1, 2, 3, 4, 5, 6]), Side::default()));
    let got = families[0].metric[0].histogram.as_ref().unwrap();
    assert_eq!(got.schema, Some(8), "lowered to the highest schema");
    // indexes -5 to 0, by four: -2, -1 and 0
    assert_eq!(buckets(&got.positive_span, &got.positive_delta), [(-1, 1), (0, 14), (1, 6)]);
    for (scale, shown) in [(8, true), (-4, true), (-5, false), (-11, false)] {
        let (families, report) = native(sample(scale, side(0, &[1]), Side::default()));
        assert_eq!(families.len(), usize::from(shown), "{scale}");
        assert_eq!(report.count(WarningReason::NativeScale), u64::from(!shown));
    }
}

#[test]
fn x15_no_sum_is_dropped_and_zero_thresholds_have_a_default() {
    let (families, report) = native(Exponential { flags: 0, ..sample(0, side(0, &[1]), Side::default()) });
    assert_eq!((families.len(), report.count(WarningReason::NativeSum), report.series), (0, 1, 0));
    let (families, _) = native(sample(0, Side::default(), Side::default()));
    let got = families[0].metric[0].histogram.as_ref().unwrap();
    assert_eq!((got.zero_threshold(), got.count(), got.positive_span.len()), (1e-128, 3, 0));
    let huge = Exponential { count: u64::MAX, ..sample(0, side(0, &[u64::MAX - 3]), Side::default()) };
    assert_eq!(native(huge).1.count(WarningReason::CountOverflow), 1);
    let wrong = Exponential { count: 99, ..sample(0, side(0, &[1]), Side::default()) };
    let got = native(wrong).0.remove(0).metric.remove(0).histogram.unwrap();
    assert_eq!(got.count(), 4, "what the buckets add up to: Prometheus refuses anything else");
}

#[test]
fn x15_exponential_rows_of_one_identity_add() {
    let one = Group::new("e", Kind::ExponentialHistogram, false);
    let two = Group::new("e", Kind::ExponentialHistogram, false).with(other_host);
    let (families, report) = protobuf(&[
        one.row(&[], 1, Exponential(sample(1, side(0, &[1, 2, 3, 4]), Side::default()))),
        two.row(&[], 2, Exponential(sample(0, side(0, &[5]), side(1, &[6])))),
    ]);
    let got = families[1].metric[0].histogram.as_ref().unwrap();
    assert_eq!((got.count(), got.sum, got.schema, got.zero_count()), (27, Some(19.0), Some(0), 6));
    assert_eq!(buckets(&got.positive_span, &got.positive_delta), [(1, 8), (2, 7)]);
    assert_eq!(buckets(&got.negative_span, &got.negative_delta), [(2, 6)]);
    assert_eq!(report.count(WarningReason::Merged), 1);
}

#[test]
fn x3_x17_quoted_names_where_they_are_wanted() {
    let groups = [
        started(Group::counter("http.requests").with(|m| m.unit = "s".into())).row(
            &[("a.b", "v"), ("c", "w")],
            1,
            Int(1),
        ),
        Group::histogram("h.x", &[1.0]).row(&[], 1, Histogram(1, None, vec![1, 0])),
        Group::gauge("q\"}\n").row(&[("__name__", "evil"), ("job", "evil")], 1, Int(2)),
    ];
    let page = |format: Format, strategy: Translation, escaping: Escaping| {
        let text = String::from_utf8(sliced(&groups, style(format, strategy, escaping)).0).unwrap();
        if format.is_open_metrics() {
            open_metrics::parse(&text).unwrap();
        }
        text.replace("job=\"api\",instance=\"1\"", "@")
    };
    assert_eq!(
        page(Format::Text100, Translation::NoTranslation, Escaping::AllowUtf8),
        "# TYPE \"h.x\" histogram\n{\"h.x_bucket\",@,le=\"1.0\"} 1\n{\"h.x_bucket\",@,le=\"+Inf\"} 1\n{\"h.x_count\",@} 1\n\
         # TYPE \"http.requests\" counter\n{\"http.requests\",@,\"a.b\"=\"v\",c=\"w\"} 1\n\
         # TYPE \"q\\\"}\\n\" gauge\n{\"q\\\"}\\n\",@,exported___name__=\"evil\",exported_job=\"evil\"} 2\n",
    );
    assert_eq!(
        page(Format::OpenMetrics100, Translation::NoUtf8EscapingWithSuffixes, Escaping::AllowUtf8),
        "# TYPE \"h.x\" histogram\n{\"h.x_bucket\",@,le=\"1.0\"} 1\n{\"h.x_bucket\",@,le=\"+Inf\"} 1\n\
         # TYPE \"http.requests_seconds\" counter\n# UNIT \"http.requests_seconds\" seconds\n\
         {\"http.requests_seconds_total\",@,\"a.b\"=\"v\",c=\"w\"} 1\n\
         {\"http.requests_seconds_created\",@,\"a.b\"=\"v\",c=\"w\"} 1700000000.5\n\
         # TYPE \"q\\\"}\\n\" gauge\n{\"q\\\"}\\n\",@,exported___name__=\"evil\",exported_job=\"evil\"} 2\n# EOF\n",
    );
    let escaped = page(Format::OpenMetrics100, Translation::NoTranslation, Escaping::Values);
    assert!(
        escaped.contains("# TYPE U__http_2E_requests unknown\nU__http_2E_requests{@,c=\"w\",U__a_2E_b=\"v\"} 1\n")
            || escaped
                .contains("# TYPE U__http_2E_requests unknown\nU__http_2E_requests{@,U__a_2E_b=\"v\",c=\"w\"} 1\n"),
        "{escaped}"
    );
    let plain = page(Format::Text004, Translation::UnderscoreEscapingWithoutSuffixes, Escaping::Underscores);
    assert!(plain.contains("# TYPE http_requests counter\nhttp_requests{@,a_b=\"v\",c=\"w\"} 1\n"), "{plain}");
}
