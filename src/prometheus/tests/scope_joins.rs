//! Attributes that meet labels of their scope.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::fake::*;
use super::parse::parse;
use crate::model::Kind;
use crate::prometheus::escape::Escaping;
use crate::prometheus::*;
use Owned::*;

fn of_scope(group: Group, name: &str, version: &str, pairs: &[(&str, &str)]) -> Group {
    group.with(|meta| meta.scope = scope(name, version, pairs).into())
}

/// The lines of a page of text 0.0.4 that are samples.
fn lines(groups: Vec<Group>) -> Vec<String> {
    let (text, _) = render(Fake::new(groups), Bounds::default());
    parse(&text).unwrap();
    let text = text.replace("job=\"api\",instance=\"1\"", "@");
    text.lines().filter(|line| !line.starts_with('#')).map(String::from).collect()
}

#[test]
fn x11_an_attribute_is_joined_behind_its_scopes_label() {
    let group = |pairs: &[(&str, &str)]| of_scope(Group::gauge("g").row(pairs, 1, Int(1)), "lib", "1", &[("k", "v")]);
    let check = |pairs: &[(&str, &str)], want: &str| assert_eq!(lines(vec![group(pairs)]), [want], "{pairs:?}");
    check(
        &[("z", "w"), ("otel_scope_name", "mine")],
        "g{@,otel_scope_name=\"lib;mine\",otel_scope_version=\"1\",otel_scope_k=\"v\",z=\"w\"} 1",
    );
    check(
        &[("otel_scope_name", "b"), ("otel.scope.name", "a"), ("otel.scope.version", "2"), ("otel_scope_k", "")],
        "g{@,otel_scope_name=\"lib;a;b\",otel_scope_version=\"1;2\",otel_scope_k=\"v;\"} 1",
    );
    // the scope has no such label: alone it would say what the scope does not
    check(
        &[("otel_scope_x", "y")],
        "g{@,otel_scope_name=\"lib\",otel_scope_version=\"1\",otel_scope_k=\"v\",exported_otel_scope_x=\"y\"} 1",
    );
    check(
        &[("otel_scope_name", "a"), ("exported_otel_scope_x", "b"), ("otel_scope_x", "y")],
        "g{@,otel_scope_name=\"lib;a\",otel_scope_version=\"1\",otel_scope_k=\"v\",exported_otel_scope_x=\"b;y\"} 1",
    );
    // these are looked for by their exact value
    check(
        &[("job", "j"), ("instance", "i")],
        "g{@,otel_scope_name=\"lib\",otel_scope_version=\"1\",otel_scope_k=\"v\",exported_instance=\"i\",exported_job=\"j\"} 1",
    );
}

#[test]
fn x11_nobody_passes_for_another_scope() {
    let group = |name: &str, pairs: &[(&str, &str)], value: i64| {
        of_scope(Group::gauge("g").row(pairs, 1, Int(value)), name, "", &[])
    };
    let mine = [("otel_scope_name", "mine")];
    assert_eq!(
        lines(vec![group("lib", &mine, 1), group("lib;mine", &[], 2)]),
        ["g{@,otel_scope_name=\"lib\",exported_otel_scope_name=\"mine\"} 1", "g{@,otel_scope_name=\"lib;mine\"} 2"],
        "a real scope keeps its name"
    );
    assert_eq!(
        lines(vec![group("lib;a", &mine, 1), group("lib", &[("otel_scope_name", "a;mine")], 2)]),
        ["g{@,otel_scope_name=\"lib;a\",exported_otel_scope_name=\"mine\"} 1", "g{@,otel_scope_name=\"lib;a;mine\"} 2"],
        "what stands before the first ; is the scope's"
    );
    let both = Group::new("g", Kind::Sum, false)
        .row(&[("otel.scope.name", "a"), ("otel_scope_name", "b")], 1, Int(1))
        .row(&[("otel_scope_name", "a;b")], 1, Int(2))
        .row(&[("otel_scope_name", "a")], 1, Int(4));
    assert_eq!(
        lines(vec![of_scope(both, "lib", "", &[])]),
        ["g{@,otel_scope_name=\"lib;a\"} 4", "g{@,otel_scope_name=\"lib;a;b\"} 3"],
        "rows of one scope that become the same labels are added"
    );
}

#[test]
fn x11_joined_labels_in_every_kind_and_format() {
    let mine = [("otel_scope_name", "mine"), ("a", "b")];
    let groups = [
        Group::counter("c").row(&mine, 1, Int(1)),
        Group::histogram("h", &[1.0]).row(&mine, 1, Histogram(1, Some(0.5), vec![1, 0])),
        Group::new("s", Kind::Summary, false).row(&mine, 1, Summary(1, 2.0, vec![(0.5, 1.0)])),
    ]
    .map(|group| Group { start_ns: 1_000_000_000, ..of_scope(group, "lib", "", &[]) });
    let want = "job=\"api\",instance=\"1\",otel_scope_name=\"lib;mine\",a=\"b\"";
    for (format, strategy) in [
        (Format::Text004, Translation::default()),
        (Format::OpenMetrics100, Translation::default()),
        (Format::Text100, Translation::NoTranslation),
    ] {
        let style = style(format, strategy, Escaping::AllowUtf8);
        let text = String::from_utf8(render_as(Fake::new(groups.to_vec()), Bounds::default(), style).0).unwrap();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(samples.len() >= 8 && samples.iter().all(|line| line.matches(want).count() == 1), "{text}");
        if format == Format::OpenMetrics100 {
            assert!(text.contains(&format!("c_created{{{want}}} 1\n")), "{text}");
            super::open_metrics::parse(&text).unwrap();
        }
    }
    let quoted = Group::gauge("q.x").row(&mine, 1, Int(1));
    let style_of = |format| style(format, Translation::NoTranslation, Escaping::AllowUtf8);
    let quoted = Fake::new(vec![of_scope(quoted, "lib", "", &[])]);
    let (bytes, _) = render_as(quoted, Bounds::default(), style_of(Format::Text100));
    assert!(String::from_utf8(bytes).unwrap().ends_with(&format!("{{\"q.x\",{want}}} 1\n")));
    let (bytes, _) = render_as(Fake::new(groups.to_vec()), Bounds::default(), style_of(Format::Protobuf));
    for family in super::client_model::parse(&bytes).unwrap() {
        let labels = super::client_model::labels(&family.metric[0]).unwrap();
        assert_eq!(labels["otel_scope_name"], "lib;mine");
        assert_eq!(labels.len(), 4, "{labels:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    /// Scopes and attributes with a taste for each other: a series is never told twice, none is lost, and rows of
    /// different scopes never become one.
    #[test]
    fn x11_no_joined_row_meets_another_scope(
        drawn in prop::collection::vec((
            prop::sample::select(vec!["", "l", "l;m", "l;m;n", "m", "l;"]),
            prop::sample::select(vec!["", "1", "1;m", "1;"]),
            prop::sample::select(vec!["", "l", "l;m"]),
            prop::collection::btree_map(
                prop::sample::select(vec!["otel_scope_name", "otel.scope.name", "otel_scope_version", "otel_scope_k",
                    "exported_otel_scope_name", "k"]),
                prop::sample::select(vec!["", "m", "n", "m;n", ";"]), 0..4),
        ), 1..10),
        merge_bytes in prop::sample::select(vec![1, 1_000_000]),
    ) {
        let mut groups: Vec<Group> = Vec::new();
        let mut seen = BTreeSet::new();
        for (i, (name, version, k, attributes)) in drawn.iter().enumerate() {
            if !seen.insert((name, version, k, attributes)) {
                continue;
            }
            let pairs: Vec<(&str, &str)> = attributes.iter().map(|(key, value)| (*key, *value)).collect();
            let scope_pairs: &[(&str, &str)] = if k.is_empty() { &[] } else { &[("k", k)] };
            let group = of_scope(Group::new("g", Kind::Sum, false), name, version, scope_pairs);
            // a bit of its own for each row, so that a sum over two scopes would show
            match groups.iter_mut().find(|known| known.meta.same_space(&group.meta)) {
                Some(known) => known.rows.push(group.row(&pairs, 1, Int(1 << i)).rows.remove(0)),
                None => groups.push(group.row(&pairs, 1, Int(1 << i))),
            }
        }
        let scopes: Vec<i64> = groups.iter().map(|group| group.rows.iter().map(|row| match row.2 {
            Int(value) => value,
            _ => 0,
        }).sum()).collect();
        let (text, report) = render(Fake::new(groups), Bounds { merge_bytes, ..Bounds::default() });
        let read = parse(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        let values: Vec<i64> = read["g"].samples.iter().map(|(_, value)| *value as i64).collect();
        prop_assert_eq!(values.iter().sum::<i64>(), scopes.iter().sum::<i64>(), "{}", text);
        prop_assert_eq!(report.series, values.len() as u64);
        for value in values {
            let of = scopes.iter().filter(|rows| **rows & value != 0).count();
            prop_assert_eq!(of, 1, "{}", text);
        }
    }
}
