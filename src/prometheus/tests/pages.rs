//! Whole pages against their text.

use crate::limits;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;

use super::fake::*;
use super::parse::parse;
use crate::model::Kind;
use crate::prometheus::*;
use Owned::*;

/// Renders in every size of slice, checks that the text is the same and well-formed, compares it.
fn check(groups: Vec<Group>, want: &str) -> Report {
    let whole = render(Fake::new(groups.clone()), Bounds::default());
    parse(&whole.0).unwrap();
    for (chunk_bytes, rows_per_step, stride) in [(1, 1, 1), (100, 3, 2), (1, 1_000, usize::MAX)] {
        let source = Fake { stride, ..Fake::new(groups.clone()) };
        let bounds = Bounds { chunk_bytes, rows_per_step, ..Bounds::default() };
        assert_eq!(render(source, bounds), whole, "slices change nothing");
    }
    let text = whole.0.replace("job=\"api\",instance=\"1\"", "@");
    assert_eq!(text, want);
    whole.1
}

fn other_host(meta: &mut Meta) {
    meta.resource = resource(&[("host.name", "h2"), ("service.name", "api"), ("service.instance.id", "1")]).into();
}

#[test]
fn x13_kinds_become_types() {
    let groups = vec![
        Group::counter("c").row(&[("b", "2"), ("a", "1")], 1, Int(7)).row(&[], 1, Double(0.5)),
        Group::gauge("g").row(&[], 1, Double(f64::NAN)),
        Group::new("u", Kind::Sum, false).row(&[], 1, Int(-3)),
        Group::histogram("h", &[1.0]).row(&[("a", "1")], 1, Histogram(3, Some(2.5), vec![1, 2])),
        Group::new("e", Kind::ExponentialHistogram, false).row(&[], 1, exponential(4, None)),
        Group::new("s", Kind::Summary, false).row(&[], 1, Summary(2, 3.0, vec![(0.5, 1.0)])),
        Group::gauge("empty"),
    ];
    let report = check(
        groups,
        "# TYPE c_total counter\nc_total{@,a=\"1\",b=\"2\"} 7\nc_total{@} 0.5\n\
         # TYPE e histogram\ne_bucket{@,le=\"+Inf\"} 4\ne_count{@} 4\n\
         # TYPE g gauge\ng{@} NaN\n\
         # TYPE h histogram\nh_bucket{@,a=\"1\",le=\"1.0\"} 1\nh_bucket{@,a=\"1\",le=\"+Inf\"} 3\n\
         h_sum{@,a=\"1\"} 2.5\nh_count{@,a=\"1\"} 3\n\
         # TYPE s summary\ns{@,quantile=\"0.5\"} 1\ns_sum{@} 3\ns_count{@} 2\n\
         # TYPE u gauge\nu{@} -3\n",
    );
    assert_eq!(report, Report { families: 6, series: 7, ..Report::default() });
}

#[test]
fn x5_type_conflicts_drop_the_later_metric_and_help_is_the_longest() {
    let groups = || {
        vec![
            Group::gauge("a.b").with(|m| m.born_ns = 2).row(&[], 1, Int(1)),
            Group::histogram("a_b", &[]).with(|m| m.born_ns = 1).row(&[], 1, Histogram(1, None, vec![])),
            Group::gauge("x").with(|m| m.description = "short".into()).row(&[], 1, Int(1)),
            Group::gauge("x")
                .with(|m| {
                    m.description = "lon\\ger\n".into();
                    m.scope = scope("s", "", &[]).into();
                })
                .row(&[], 1, Int(2)),
        ]
    };
    let want = "# TYPE a_b histogram\na_b_bucket{@,le=\"+Inf\"} 1\na_b_count{@} 1\n\
                # HELP x lon\\\\ger\\n\n# TYPE x gauge\nx{@} 1\nx{@,otel_scope_name=\"s\"} 2\n";
    let report = check(groups(), want);
    assert_eq!(report.count(WarningReason::TypeConflict), 1);
    assert_eq!(report.count(WarningReason::HelpConflict), 1);
    assert_eq!(report.warnings[0].metric, "a.b");
    assert_eq!(report.warnings.len(), 2);
    let turned = check(
        groups().into_iter().rev().collect(),
        &want.replace("x{@} 1\nx{@,otel_scope_name=\"s\"} 2\n", "x{@,otel_scope_name=\"s\"} 2\nx{@} 1\n"),
    );
    assert_eq!(turned.cases, report.cases, "the order of groups decides nothing but the order of classes");
}

#[test]
fn x6_names_that_a_histogram_needs_are_taken() {
    let hist = |name: &str| Group::histogram(name, &[]).row(&[], 1, Histogram(1, None, vec![]));
    let gauge = |name: &str| Group::gauge(name).row(&[], 1, Int(1));
    let groups = vec![
        gauge("a_count"),
        hist("a"),
        gauge("a_bucket"),
        gauge("a_sum"),
        gauge("a_max"),
        gauge("target.info"),
        hist("a.sum"),
        gauge("@#"),
    ];
    let report =
        check(groups, "# TYPE a histogram\na_bucket{@,le=\"+Inf\"} 1\na_count{@} 1\n# TYPE a_max gauge\na_max{@} 1\n");
    assert_eq!(report.count(WarningReason::NameTaken), 4);
    assert_eq!(report.count(WarningReason::Unnameable), 1);
}

#[test]
fn x6_one_identity_is_one_row() {
    let a = |group: Group| group.row(&[("k", "v")], 10, Int(5)).row(&[("k", "only a")], 10, Int(1));
    let b = |group: Group| group.with(other_host).row(&[("k", "v")], 9, Int(7)).row(&[("k", "only b")], 9, Int(2));
    let info = "# HELP target_info Target metadata\n# TYPE target_info gauge\ntarget_info{@,host_name=\"h2\"} 1\n";
    let report = check(
        vec![
            a(Group::counter("c")),
            b(Group::counter("c")),
            a(Group::gauge("g")),
            b(Group::gauge("g")),
            a(Group::new("u", Kind::Sum, false)),
            b(Group::new("u", Kind::Sum, false)),
        ],
        &format!(
            "{info}# TYPE c_total counter\nc_total{{@,k=\"only a\"}} 1\nc_total{{@,k=\"only b\"}} 2\nc_total{{@,k=\"v\"}} 12\n\
             # TYPE g gauge\ng{{@,k=\"only a\"}} 1\ng{{@,k=\"only b\"}} 2\ng{{@,k=\"v\"}} 5\n\
             # TYPE u gauge\nu{{@,k=\"only a\"}} 1\nu{{@,k=\"only b\"}} 2\nu{{@,k=\"v\"}} 12\n"
        ),
    );
    assert_eq!((report.count(WarningReason::Merged), report.series), (3, 9));
    assert_eq!(report.warnings[0].family, "c_total");
}

#[test]
fn x6_collisions_within_one_metric() {
    let report = check(
        vec![
            Group::counter("dot").row(&[("a.b", "1")], 1, Int(1)).row(&[("a_b", "1")], 1, Int(2)),
            Group::counter("empty").row(&[("a", ""), ("b", "1")], 1, Int(1)).row(&[("b", "1")], 1, Double(2.5)),
            Group {
                rows: vec![
                    (any_records(&[("a", Any::IntValue(1))]), 1, Int(i64::MAX)),
                    (any_records(&[("a", Any::StringValue("1".into()))]), 1, Int(i64::MAX)),
                ],
                ..Group::counter("kind")
            },
        ],
        "# TYPE dot_total counter\ndot_total{@,a_b=\"1\"} 3\n# TYPE empty_total counter\nempty_total{@,b=\"1\"} 3.5\n\
         # TYPE kind_total counter\nkind_total{@,a=\"1\"} 18446744073709551614\n",
    );
    assert_eq!(report.count(WarningReason::Merged), 3);
}

#[test]
fn rows_of_a_wrong_kind_are_left_out_wherever_they_are() {
    let wrong = |group: Group| group.row(&[("k", "v")], 1, Histogram(1, None, vec![]));
    let right = |group: Group| group.row(&[("k", "w")], 1, Int(1));
    let report = check(vec![wrong(right(Group::counter("c")))], "# TYPE c_total counter\nc_total{@,k=\"w\"} 1\n");
    assert_eq!(report.count(WarningReason::WrongKind), 1);
    let info = "# HELP target_info Target metadata\n# TYPE target_info gauge\ntarget_info{@,host_name=\"h2\"} 1\n";
    let report = check(
        vec![wrong(right(Group::counter("c"))), wrong(right(Group::counter("c").with(other_host)))],
        &format!("{info}# TYPE c_total counter\nc_total{{@,k=\"w\"}} 2\n"),
    );
    assert_eq!(report.count(WarningReason::WrongKind), 2);
    let report = check(vec![wrong(Group::counter("c")), wrong(Group::counter("c").with(other_host))], info);
    assert_eq!(report.count(WarningReason::WrongKind), 2);
}

#[test]
fn x6_shards_of_one_metric_stream() {
    let shard = |n: usize| Group::counter("c").row(&[("n", &n.to_string())], 1, Int(n as i64));
    let report = check(
        (0..3).map(shard).collect(),
        "# TYPE c_total counter\nc_total{@,n=\"0\"} 0\nc_total{@,n=\"1\"} 1\nc_total{@,n=\"2\"} 2\n",
    );
    assert_eq!(report.cases, [0; WarningReason::COUNT]);
}

#[test]
fn x14_histograms_of_equal_bounds_add_and_others_are_left_out() {
    let hist = |bounds: &[f64], time: u64, count, sum, buckets: &[u64]| {
        Group::histogram("h", bounds).row(&[], time, Histogram(count, sum, buckets.to_vec()))
    };
    let report = check(
        vec![
            hist(&[1.0], 5, 3, Some(2.0), &[1, 2]),
            hist(&[1.0], 4, 4, Some(0.5), &[4, 0]).with(other_host),
            hist(&[2.0], 3, 9, Some(9.0), &[9, 0]),
        ],
        "# HELP target_info Target metadata\n# TYPE target_info gauge\ntarget_info{@,host_name=\"h2\"} 1\n\
         # TYPE h histogram\nh_bucket{@,le=\"1.0\"} 5\nh_bucket{@,le=\"+Inf\"} 7\nh_sum{@} 2.5\nh_count{@} 7\n",
    );
    assert_eq!(report.count(WarningReason::BoundsConflict), 1);
    assert_eq!(report.count(WarningReason::Merged), 1);
    let report = check(
        vec![
            Group::new("e", Kind::ExponentialHistogram, false).row(&[], 1, exponential(4, Some(1.0))),
            Group::new("e", Kind::ExponentialHistogram, false).with(other_host).row(&[], 1, exponential(2, None)),
            Group::histogram("o", &[]).row(&[], 1, Histogram(u64::MAX, None, vec![])),
            Group::histogram("o", &[]).with(other_host).row(&[], 1, Histogram(1, None, vec![])),
        ],
        "# HELP target_info Target metadata\n# TYPE target_info gauge\ntarget_info{@,host_name=\"h2\"} 1\n\
         # TYPE e histogram\ne_bucket{@,le=\"+Inf\"} 6\ne_count{@} 6\n\
         # TYPE o histogram\no_bucket{@,le=\"+Inf\"} 18446744073709551615\no_count{@} 18446744073709551615\n",
    );
    assert_eq!(report.count(WarningReason::CountOverflow), 1);
}

#[test]
fn x12_one_target_info_for_each_job_and_instance() {
    let on = |pairs: &'static [(&'static str, &'static str)], born: u64| {
        Group::gauge("g").with(move |m| {
            m.resource = resource(pairs).into();
            m.born_ns = born;
        })
    };
    let report = check(
        vec![
            on(&[("service.name", "a"), ("host.name", "young")], 9).row(&[("x", "1")], 1, Int(1)),
            on(&[("service.name", "a"), ("host.name", "old")], 3).row(&[("x", "2")], 1, Int(2)),
            on(&[("service.name", "b")], 1).row(&[], 1, Int(3)),
            on(&[("host.name", "nobody")], 1).row(&[], 1, Int(4)),
            on(&[("service.namespace", "n"), ("service.name", "c"), ("k", "v")], 1).row(&[], 1, Int(5)),
        ],
        "# HELP target_info Target metadata\n# TYPE target_info gauge\n\
         target_info{job=\"a\",instance=\"\",host_name=\"old\"} 1\ntarget_info{job=\"n/c\",instance=\"\",k=\"v\"} 1\n\
         # TYPE g gauge\ng{job=\"a\",instance=\"\",x=\"1\"} 1\ng{job=\"a\",instance=\"\",x=\"2\"} 2\n\
         g{job=\"b\",instance=\"\"} 3\ng{instance=\"\"} 4\ng{job=\"n/c\",instance=\"\"} 5\n",
    );
    assert_eq!(report.count(WarningReason::TargetConflict), 1);
}

#[test]
fn merging_in_many_passes_gives_the_same_series() {
    let rows = |mut group: Group, from: usize| {
        for n in from..from + 500 {
            group = group.row(&[("n", &n.to_string())], 1, Int(n as i64));
        }
        group
    };
    let groups = vec![rows(Group::counter("c"), 0), rows(Group::counter("c").with(other_host), 250)];
    let read = |merge_bytes: usize| {
        let (text, report) = render(Fake::new(groups.clone()), Bounds { merge_bytes, ..Bounds::default() });
        let mut samples = parse(&text).unwrap().remove("c_total").unwrap().samples;
        samples.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!((report.count(WarningReason::Merged), report.series), (250, 750));
        samples
    };
    assert_eq!(read(1), read(limits::PAGE_MERGE_BYTES), "one identity a pass");
    assert_eq!(read(10_000), read(limits::PAGE_MERGE_BYTES));
}

#[test]
fn x20_a_page_that_is_overtaken_is_broken_off() {
    let groups = || {
        (0..20)
            .map(|n| (0..50).fold(Group::counter(&format!("c{n}")), |g, i| g.row(&[("i", &i.to_string())], 1, Int(i))))
            .collect::<Vec<_>>()
    };
    let bounds = Bounds { chunk_bytes: 1_000, rows_per_step: 7, ..Bounds::default() };
    let (whole, _) = render(Fake::new(groups()), bounds);
    for after in [0, 1, 17, 100] {
        let source = Fake::new(groups());
        source.overtaken_after.set(after);
        let mut page = Page::new(source, ahash::RandomState::with_seeds(1, 2, 3, 4), bounds, plain());
        let mut text = Vec::new();
        let end = loop {
            match page.next() {
                Some(Ok(chunk)) => text.extend_from_slice(&chunk),
                end => break end,
            }
        };
        assert_eq!(end, Some(Err(Overtaken)));
        assert_eq!(page.next(), None, "nothing follows, not even what was ready");
        assert!(text.len() < whole.len() && whole.as_bytes().starts_with(&text));
    }
}

#[test]
fn x20_a_step_is_short() {
    let group = (0..5_000).fold(Group::counter("c"), |g, i| g.row(&[("i", &i.to_string())], 1, Int(i)));
    let mut page = Page::new(
        Fake::new(vec![group]),
        ahash::RandomState::with_seeds(1, 2, 3, 4),
        Bounds { chunk_bytes: 512, ..Bounds::default() },
        plain(),
    );
    let mut chunks = 0;
    loop {
        match page.step() {
            Step::Chunk(chunk) => {
                assert!(!chunk.is_empty() && chunk.len() < 512 + 200, "{}", chunk.len());
                chunks += 1;
            }
            Step::Working => {}
            Step::Overtaken => panic!("nothing overtakes here"),
            Step::End => break,
        }
    }
    assert!(chunks > 100);
}
