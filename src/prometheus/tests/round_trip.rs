//! T23: whatever the bytes of names, keys, values and descriptions, the page reads back as the series that went in.

use crate::limits;
use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::fake::*;
use super::parse::{Series, parse};
use super::{client_model, open_metrics};
use crate::model::Kind;
use crate::prometheus::escape::Escaping;
use crate::prometheus::name::LabelPlace;
use crate::prometheus::text::MetricType;
use crate::prometheus::*;

/// Text with a taste for what could end a value, a line or a page.
fn text() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(vec![
        "\\", "\"", "\n", "}", "{", ",", "=", " ", "#", "\\n", "\r", "\0", "é", "a", "_", ".",
    ]);
    prop_oneof![vec(nasty, 0..8).prop_map(|parts| parts.concat()), any::<String>(), "[a-c._]{0,3}"]
}

type Attributes = Vec<(String, String)>;

fn attributes() -> impl Strategy<Value = Attributes> {
    prop::collection::btree_map(text(), text(), 0..4).prop_map(|map| map.into_iter().collect())
}

fn pairs(attributes: &Attributes) -> Vec<(&str, &str)> {
    attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// The labels that the specification asks for, worked out the slow way.
fn expected_labels(attributes: &Attributes, naming: Naming) -> BTreeMap<String, String> {
    let mut by_label: BTreeMap<String, Vec<(&str, &str)>> = BTreeMap::new();
    for (key, value) in attributes {
        by_label.entry(naming.label_name(key, LabelPlace::Point(MetricType::Counter))).or_default().push((key, value));
    }
    by_label
        .into_iter()
        .map(|(label, mut pairs)| {
            pairs.sort();
            (label, pairs.iter().map(|(_, value)| *value).collect::<Vec<_>>().join(";"))
        })
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// The counters of a page, whatever its format, without their starts.
fn samples(page: &[u8], format: Format) -> Result<BTreeMap<Series, i64>, String> {
    let mut out = BTreeMap::new();
    if format == Format::Protobuf {
        for family in client_model::parse(page)? {
            for metric in &family.metric {
                let mut labels = client_model::labels(metric).ok_or("labels")?;
                labels.retain(|_, value| !value.is_empty());
                let value = metric.counter.as_ref().ok_or("a counter")?.value();
                out.insert((family.name().to_string(), labels), value as i64);
            }
        }
        return Ok(out);
    }
    let text = std::str::from_utf8(page).map_err(|error| error.to_string())?;
    // a page of text is one of OpenMetrics but for its end and the names of counters
    let read: Vec<(Series, f64)> = if format.is_open_metrics() {
        let families = open_metrics::parse(text)?;
        let started = |(family, parsed): (String, open_metrics::Parsed)| {
            let start = format!("{family}_created");
            parsed
                .samples
                .into_iter()
                .filter(move |((name, _), ..)| *name != start)
                .map(|(series, value, _)| (series, value))
        };
        families.into_iter().flat_map(started).collect()
    } else {
        let families = parse(text)?;
        families.into_values().flat_map(|family| family.samples).collect()
    };
    for ((name, mut labels), value) in read {
        labels.retain(|_, value| !value.is_empty());
        out.insert((name, labels), value as i64);
    }
    Ok(out)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn t23_x4_the_same_series_come_back(
        metrics in vec((text(), text(), text(), attributes(), vec((attributes(), -1_000i64..1_000), 1..6)), 1..4),
        merge_bytes in prop::sample::select(vec![1, 1_000, limits::PAGE_MERGE_BYTES]),
    ) {
        // what should be there: per family, labels (with the prefix) and the sum of what has them
        let mut want: BTreeMap<String, BTreeMap<BTreeMap<String, String>, i64>> = BTreeMap::new();
        let mut groups = Vec::new();
        for (name, unit, job, scope_attributes, rows) in &metrics {
            let job = format!("j{job}");
            let mut group = Group::counter(name).with(|meta| {
                meta.unit = unit.as_str().into();
                meta.description = job.as_str().into();
                meta.resource = resource(&[("service.name", &job), ("service.instance.id", unit)]).into();
                meta.scope = scope(name, unit, &pairs(scope_attributes)).into();
            });
            // attributes are unique within one metric, as the index has them
            let unique: BTreeMap<&Attributes, i64> = rows.iter().map(|(a, v)| (a, *v)).collect();
            for (attributes, value) in unique {
                group = group.row(&pairs(attributes), 1, Owned::Int(value));
                let Some(family) = Naming::default().metric_name(name, unit, crate::model::Kind::Sum, true) else { continue };
                let mut labels = expected_labels(attributes, Naming::default());
                labels.insert("job".into(), job.clone());
                labels.insert("instance".into(), unit.clone());
                labels.insert("otel_scope_name".into(), name.clone());
                labels.insert("otel_scope_version".into(), unit.clone());
                let mut scope_labels: BTreeMap<String, Vec<(&str, &str)>> = BTreeMap::new();
                for (key, value) in scope_attributes {
                    if let Some(label) = Naming::default().scope_label_name(key) {
                        scope_labels.entry(label).or_default().push((key, value));
                    }
                }
                for (label, mut pairs) in scope_labels {
                    pairs.sort();
                    labels.insert(label, pairs.iter().map(|(_, value)| *value).collect::<Vec<_>>().join(";"));
                }
                labels.retain(|_, value| !value.is_empty());
                *want.entry(family).or_default().entry(labels).or_default() += value;
            }
            groups.push(group);
        }
        // metrics drawn twice, resource and all, would be one metric to the index
        for (i, group) in groups.iter().enumerate() {
            prop_assume!(groups[..i].iter().all(|other| !other.meta.same_space(&group.meta)));
        }
        let (page, report) = render(Fake::new(groups), Bounds { merge_bytes, ..Bounds::default() });
        let read = parse(&page).map_err(TestCaseError::fail)?;
        let mut got: BTreeMap<String, BTreeMap<BTreeMap<String, String>, i64>> = BTreeMap::new();
        for (family, parsed) in read {
            prop_assert_eq!(&parsed.kind, "counter");
            for ((_, mut labels), value) in parsed.samples {
                labels.retain(|_, value| !value.is_empty());
                got.entry(family.clone()).or_default().insert(labels, value as i64);
            }
        }
        prop_assert_eq!(report.series, want.values().map(|series| series.len() as u64).sum::<u64>());
        prop_assert_eq!(got, want);
    }

    #[test]
    fn t23_x3_x4_x17_the_same_series_come_back_in_every_format(
        metrics in vec((text(), text(), vec((attributes(), 0i64..1_000), 1..4)), 1..4),
        format in prop::sample::select(vec![
            Format::Text004, Format::Text100, Format::OpenMetrics001, Format::OpenMetrics100, Format::Protobuf,
        ]),
        strategy in prop::sample::select(vec![
            Translation::UnderscoreEscapingWithSuffixes, Translation::UnderscoreEscapingWithoutSuffixes,
            Translation::NoUtf8EscapingWithSuffixes, Translation::NoTranslation,
        ]),
        escaping in prop::sample::select(Escaping::ALL.to_vec()),
        chunk_bytes in prop::sample::select(vec![1, 300, limits::PAGE_CHUNK_BYTES]),
    ) {
        let quotes = matches!(format, Format::Text100 | Format::OpenMetrics100 | Format::Protobuf);
        let escaping = if quotes || escaping != Escaping::AllowUtf8 { escaping } else { Escaping::Underscores };
        let naming = Naming { strategy, escaping };
        let mut want: BTreeMap<Series, i64> = BTreeMap::new();
        let mut groups = Vec::new();
        for (number, (name, unit, rows)) in metrics.iter().enumerate() {
            let mut group = Group::counter(name).with(|meta| {
                meta.unit = unit.as_str().into();
                meta.description = unit.as_str().into();
                meta.resource = resource(&[("service.name", "j"), ("service.instance.id", &number.to_string())]).into();
            });
            group.start_ns = 5;
            let unique: BTreeMap<&Attributes, i64> = rows.iter().map(|(a, v)| (a, *v)).collect();
            for (attributes, value) in unique {
                group = group.row(&pairs(attributes), 1, Owned::Int(value));
                let Some(family) = naming.metric_name(name, unit, Kind::Sum, true) else { continue };
                if family == "target_info" {
                    continue;
                }
                let mut labels = expected_labels(attributes, naming);
                labels.insert("job".into(), "j".into());
                labels.insert("instance".into(), number.to_string());
                *want.entry((family, labels)).or_default() += value;
            }
            groups.push(group);
        }
        let bounds = Bounds { chunk_bytes, ..Bounds::default() };
        let (page, report) = render_as(Fake::new(groups), bounds, style(format, strategy, escaping));
        let got = samples(&page, format).map_err(TestCaseError::fail)?;
        prop_assert_eq!(report.series, want.len() as u64);
        prop_assert_eq!(got, want);
    }

    #[test]
    fn t23_help_comes_back(description in text()) {
        let group = Group::gauge("g").with(|m| m.description = description.as_str().into()).row(&[], 1, Owned::Int(1));
        let (page, _) = render(Fake::new(vec![group]), Bounds::default());
        let read = parse(&page).map_err(TestCaseError::fail)?;
        prop_assert_eq!(read["g"].help.clone().unwrap_or_default(), description);
    }

    #[test]
    fn x19_doubles_come_back(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        let group = Group::gauge("g").row(&[], 1, Owned::Double(value));
        let (page, _) = render(Fake::new(vec![group]), Bounds::default());
        let read = parse(&page).map_err(TestCaseError::fail)?["g"].samples[0].1;
        prop_assert!(read.to_bits() == value.to_bits() || (read.is_nan() && value.is_nan()), "{}", page);
    }
}
