//! Names of OpenMetrics that could be another's: no family's sample names are another family's, UNIT is how a name ends.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::fake::*;
use super::parse::{Series, parse};
use super::{client_model, open_metrics};
use crate::model::{Kind, TypeHints};
use crate::prometheus::escape::Escaping;
use crate::prometheus::*;
use Owned::*;

fn of(format: Format, created: bool) -> Style {
    Style { created, ..style(format, Translation::default(), Escaping::Underscores) }
}

/// With attributes of a resource that `target_info` shows.
fn with_target(meta: &mut Meta) {
    meta.resource = resource(&[("host.name", "h"), ("service.name", "api"), ("service.instance.id", "1")]).into();
}

fn in_bytes(meta: &mut Meta) {
    meta.unit = "By".into();
}

fn one(group: Group) -> Group {
    let value = match group.meta.kind {
        Kind::Histogram => Histogram(5, Some(1.0), vec![5]),
        Kind::ExponentialHistogram => exponential(5, Some(1.0)),
        Kind::Summary => Summary(2, 3.0, vec![(0.5, 1.0)]),
        _ => Int(7),
    };
    group.row(&[], 1, value)
}

/// The page without its end, read strictly; with and without starts it has the same families.
fn page(groups: &[Group]) -> String {
    let render = |created: bool| {
        let (bytes, report) =
            render_as(Fake::new(groups.to_vec()), Bounds::default(), of(Format::OpenMetrics100, created));
        assert_eq!(report.count(WarningReason::NameTaken), 0);
        let text = String::from_utf8(bytes).unwrap();
        open_metrics::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        text
    };
    let text = render(true);
    let heads = |text: &str| text.lines().filter(|line| line.starts_with('#')).map(String::from).collect::<Vec<_>>();
    assert_eq!(heads(&text), heads(&render(false)));
    text.strip_suffix("# EOF\n").unwrap().replace("job=\"api\",instance=\"1\"", "@")
}

fn units(groups: &[Group]) -> Vec<(String, String)> {
    let style = of(Format::Protobuf, true);
    let families = client_model::parse(&render_as(Fake::new(groups.to_vec()), Bounds::default(), style).0).unwrap();
    families.iter().map(|family| (family.name().into(), family.unit().into())).collect()
}

#[test]
fn x7_a_counter_called_as_the_start_of_another_has_no_type() {
    let started = |name: &str| Group { start_ns: 2_000_000_000, ..one(Group::counter(name)) };
    assert_eq!(
        page(&[started("orders"), started("orders.created")]),
        "# TYPE orders_created_total unknown\norders_created_total{@} 7\n\
         # TYPE orders counter\norders_total{@} 7\norders_created{@} 2\n",
    );
    assert_eq!(
        page(&[started("orders.created")]),
        "# TYPE orders_created counter\norders_created_total{@} 7\norders_created_created{@} 2\n",
    );
    page(&[started("orders"), started("orders.created"), started("orders.created.created")]);
}

#[test]
fn x7_a_unit_is_how_the_name_ends_that_is_shown() {
    // a gauge takes the counter's name without _total
    let groups = [one(Group::gauge("foo").with(in_bytes)), one(Group::counter("foo").with(in_bytes))];
    assert_eq!(
        page(&groups),
        "# TYPE foo_bytes gauge\n# UNIT foo_bytes bytes\nfoo_bytes{@} 7\n\
         # TYPE foo_bytes_total unknown\nfoo_bytes_total{@} 7\n",
    );
    let want = [("foo_bytes".into(), "bytes".into()), ("foo_bytes_total".into(), "bytes".into())];
    assert_eq!(units(&groups), want);
    // an older gauge has the counter's whole name
    let younger = |meta: &mut Meta| (meta.unit, meta.born_ns) = ("By".into(), 1);
    let groups = [one(Group::counter("foo").with(younger)), one(Group::gauge("foo.bytes.total"))];
    assert_eq!(page(&groups), "# TYPE foo_bytes_total gauge\nfoo_bytes_total{@} 7\n");
    assert_eq!(units(&groups), [("foo_bytes_total".into(), String::new())]);
}

#[test]
fn x6_x7_a_counter_is_never_called_target_info() {
    let info = "# HELP target Target metadata\n# TYPE target info\ntarget_info{@,host_name=\"h\"} 1\n";
    let gauge = "# HELP target_info Target metadata\n# TYPE target_info gauge\ntarget_info{@,host_name=\"h\"} 1\n";
    let counter = one(Group::counter("target.info"));
    let shown = counter.clone().with(with_target);
    let unknown = "# TYPE target_info_total unknown\ntarget_info_total{@} 7\n";
    assert_eq!(page(std::slice::from_ref(&shown)), format!("{info}{unknown}"));
    // a gauge called target leaves target_info the family's name
    let target = one(Group::gauge("target"));
    assert_eq!(page(&[shown, target]), format!("{gauge}# TYPE target gauge\ntarget{{@}} 7\n{unknown}"));
    assert_eq!(page(&[counter]), "# TYPE target_info counter\ntarget_info_total{@} 7\n");
}

/// Names that have a taste for each other's.
fn name() -> impl Strategy<Value = String> {
    let part = || {
        prop::sample::select(vec![
            "", "", ".created", ".total", ".info", ".count", ".sum", ".bucket", ".bytes", ".ratio", "_total",
        ])
    };
    (prop::sample::select(vec!["a", "target"]), part(), part()).prop_map(|(base, x, y)| format!("{base}{x}{y}"))
}

fn group() -> impl Strategy<Value = Group> {
    let kinds = vec![
        (Kind::Sum, true),
        (Kind::Sum, true),
        (Kind::Sum, false),
        (Kind::Gauge, false),
        (Kind::Histogram, false),
        (Kind::ExponentialHistogram, false),
        (Kind::Summary, false),
    ];
    let unit = prop::sample::select(vec!["", "", "By", "1", "s", "total", "By/s"]);
    (name(), prop::sample::select(kinds), unit, 0u64..3).prop_map(|(name, (kind, monotonic), unit, born_ns)| {
        let group = Group::new(&name, kind, monotonic).with(|meta| {
            (meta.unit, meta.born_ns) = (unit.into(), born_ns);
            meta.bounds = (kind == Kind::Histogram).then(|| [].into());
        });
        Group { start_ns: 5, ..group }
    })
}

/// The samples of a page of OpenMetrics without its starts.
fn unstarted(families: BTreeMap<String, open_metrics::Parsed>) -> BTreeMap<Series, u64> {
    let mut out = BTreeMap::new();
    for (name, family) in families {
        let is_start = |sample: &str| {
            ["counter", "histogram", "summary"].contains(&&*family.kind) && *sample == format!("{name}_created")
        };
        let samples = family.samples.into_iter().filter(|(series, ..)| !is_start(&series.0));
        out.extend(samples.map(|(series, value, _)| (series, value.to_bits())));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_048))]

    #[test]
    fn x6_x7_no_name_is_anothers(
        drawn in vec((group(), prop::sample::select(vec![TypeHints::NONE, TypeHints::INFO, TypeHints::STATE_SET])), 1..6),
        targets in any::<bool>(),
        created in any::<bool>(),
        strategy in prop::sample::select(vec![
            Translation::UnderscoreEscapingWithSuffixes, Translation::UnderscoreEscapingWithSuffixes,
            Translation::UnderscoreEscapingWithoutSuffixes, Translation::NoUtf8EscapingWithSuffixes,
            Translation::NoTranslation,
        ]),
        escaping in prop::sample::select(Escaping::ALL.to_vec()),
    ) {
        let mut groups = Vec::new();
        for (number, (mut group, hints)) in drawn.into_iter().enumerate() {
            group.meta.hints = hints;
            if targets {
                with_target(&mut group.meta);
            }
            group = one(group);
            // all are series of their own
            group.rows[0].0 = records(&[("k", &number.to_string())]);
            if hints != TypeHints::NONE && matches!(group.meta.kind, Kind::Gauge | Kind::Sum) {
                group.rows[0].2 = Int(1);
            }
            groups.push(group);
        }
        let render = |format: Format| {
            let style = Style { created, ..style(format, strategy, escaping) };
            render_as(Fake::new(groups.clone()), Bounds::default(), style)
        };
        let (bytes, report) = render(Format::OpenMetrics100);
        let text = String::from_utf8(bytes).unwrap();
        let read = open_metrics::parse(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        let (bytes, _) = render(Format::Protobuf);
        client_model::parse(&bytes).map_err(TestCaseError::fail)?;
        // what is not counted as left out is there, by the name it has in plain text
        if report.count(WarningReason::NameTaken) == 0 {
            let (bytes, plain) = render(Format::Text100);
            let families = parse(std::str::from_utf8(&bytes).unwrap()).map_err(TestCaseError::fail)?;
            let samples = families.into_values().flat_map(|family| family.samples);
            let want: BTreeMap<Series, u64> = samples.map(|(series, value)| (series, value.to_bits())).collect();
            prop_assert_eq!(unstarted(read), want, "{}", text);
            prop_assert_eq!(report.series, plain.series);
            if report.count(WarningReason::TypeConflict) == 0 {
                prop_assert_eq!(report.series, groups.len() as u64);
            }
        }
    }
}
