//! A strict parser of OpenMetrics 1.0, with quoted names: whatever the specification does not allow is an error.

use std::collections::{BTreeMap, BTreeSet};

use super::parse::{Series, number, unescape, value_end};
use crate::prometheus::text::{is_label_name, is_metric_name};

/// An exemplar: labels, value, time in seconds.
pub(super) type Mark = (BTreeMap<String, String>, f64, Option<f64>);

/// A family as read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Parsed {
    pub kind: String,
    pub help: Option<String>,
    pub unit: Option<String>,
    pub samples: Vec<(Series, f64, Option<Mark>)>,
}

/// Suffixes of a type's samples; names of families that would be another's sample clash.
fn suffixes(kind: &str) -> &'static [&'static str] {
    match kind {
        "counter" => &["_total", "_created"],
        "histogram" => &["_bucket", "_sum", "_count", "_created"],
        "summary" => &["", "_sum", "_count", "_created"],
        "info" => &["_info"],
        _ => &[""],
    }
}

/// Reads a whole page.
pub(super) fn parse(page: &str) -> Result<BTreeMap<String, Parsed>, String> {
    let body = page.strip_suffix("# EOF\n").ok_or("no # EOF at the end")?;
    if !body.is_empty() && !body.ends_with('\n') {
        return Err("the last line does not end".into());
    }
    let mut families: BTreeMap<String, Parsed> = BTreeMap::new();
    let mut seen: BTreeSet<Series> = BTreeSet::new();
    let mut open: Option<String> = None;
    for line in body.split_terminator('\n') {
        let wrong = |what: &str| format!("{what}: {line:?}");
        if let Some(rest) = line.strip_prefix("# ") {
            let (word, rest) = rest.split_once(' ').ok_or_else(|| wrong("word"))?;
            let (name, text) = family_name(rest).ok_or_else(|| wrong("name"))?;
            if open.as_ref() != Some(&name) {
                if families.contains_key(&name) {
                    return Err(wrong("opened twice"));
                }
                open = Some(name.clone());
            }
            let family = families.entry(name.clone()).or_default();
            if !family.samples.is_empty() {
                return Err(wrong("after samples"));
            }
            let twice = match word {
                "HELP" => family.help.replace(unescape(text, true).ok_or_else(|| wrong("escape"))?).is_some(),
                "TYPE" => !std::mem::replace(&mut family.kind, text.into()).is_empty(),
                "UNIT" if name.ends_with(&format!("_{text}")) => family.unit.replace(text.into()).is_some(),
                _ => return Err(wrong("metadata")),
            };
            if twice {
                return Err(wrong("metadata twice"));
            }
            continue;
        }
        let (series, value, mark) = sample(line).ok_or_else(|| wrong("sample"))?;
        let name = open.clone().ok_or_else(|| wrong("no family"))?;
        let family = families.get_mut(&name).unwrap();
        let suffix = series.0.strip_prefix(name.as_str()).ok_or_else(|| wrong("of another family"))?;
        check_sample(family, suffix, &series, value, mark.as_ref()).map_err(|what| wrong(&what))?;
        let mut identity = series.clone();
        identity.1.retain(|_, value| !value.is_empty());
        if !seen.insert(identity) {
            return Err(wrong("series twice"));
        }
        family.samples.push((series, value, mark));
    }
    clashes(&families)?;
    Ok(families)
}

fn check_sample(family: &Parsed, suffix: &str, series: &Series, value: f64, mark: Option<&Mark>) -> Result<(), String> {
    let kind = family.kind.as_str();
    if !["counter", "gauge", "histogram", "summary", "unknown", "info", "stateset"].contains(&kind) {
        return Err(format!("type {kind:?}"));
    }
    if !suffixes(kind).contains(&suffix) {
        return Err(format!("suffix {suffix:?} of {kind}"));
    }
    let counts = matches!(suffix, "_total" | "_bucket" | "_count" | "_sum") && kind != "gauge";
    if counts && (value.is_nan() || value < 0.0) {
        return Err("a count below zero, or none".into());
    }
    if mark.is_some() && !matches!(suffix, "_total" | "_bucket") {
        return Err("an exemplar here".into());
    }
    if (suffix == "_bucket") != (kind == "histogram" && series.1.contains_key("le")) {
        return Err("le".into());
    }
    if kind == "summary" && suffix.is_empty() && (!series.1.contains_key("quantile") || value < 0.0) {
        return Err("quantile".into());
    }
    if kind == "info" && value != 1.0 {
        return Err("info is 1".into());
    }
    if kind == "stateset" && !(matches!(value, 0.0 | 1.0) && series.1.get(&series.0).is_some_and(|v| !v.is_empty())) {
        return Err("a state is 0 or 1, and has a label of its name".into());
    }
    if let Some((labels, ..)) = mark {
        let points: usize = labels.iter().map(|(k, v)| k.chars().count() + v.chars().count()).sum();
        if points > 128 {
            return Err("an exemplar that is too long".into());
        }
    }
    Ok(())
}

/// No family's sample names may be another family's.
fn clashes(families: &BTreeMap<String, Parsed>) -> Result<(), String> {
    let mut owners: BTreeMap<String, &String> = BTreeMap::new();
    for (name, family) in families {
        if family.samples.is_empty() {
            return Err(format!("{name} has no samples"));
        }
        let of = |suffix: &str| -> BTreeSet<&Labels> {
            let named = format!("{name}{suffix}");
            family.samples.iter().filter(|s| s.0.0 == named).map(|s| &s.0.1).collect()
        };
        if family.kind == "histogram" && of("_count") != of("_sum") {
            return Err(format!("{name} has a count or a sum without the other"));
        }
        let sample_names = suffixes(&family.kind).iter().map(|suffix| format!("{name}{suffix}"));
        for taken in sample_names.chain([name.clone()]).collect::<BTreeSet<_>>() {
            if let Some(owner) = owners.insert(taken.clone(), name) {
                return Err(format!("{taken} is of {owner} and of {name}"));
            }
        }
    }
    Ok(())
}

pub(super) fn family_name(rest: &str) -> Option<(String, &str)> {
    if let Some(inside) = rest.strip_prefix('"') {
        let end = value_end(inside)?;
        let name = unescape(&inside[..end], true)?;
        return (!is_metric_name(&name)).then_some((name, inside[end + 1..].strip_prefix(' ')?));
    }
    let (name, text) = rest.split_once(' ')?;
    is_metric_name(name).then_some((name.into(), text))
}

type Labels = BTreeMap<String, String>;

/// Labels up to `}`; a quoted name without a value is the metric's.
fn labels(mut inside: &str) -> Option<(Option<String>, Labels, &str)> {
    let (mut metric, mut labels) = (None, Labels::new());
    if let Some(rest) = inside.strip_prefix('}') {
        return Some((None, labels, rest));
    }
    loop {
        let (name, quoted, after) = match inside.strip_prefix('"') {
            Some(text) => {
                let end = value_end(text)?;
                (unescape(&text[..end], true)?, true, &text[end + 1..])
            }
            None => {
                let end = inside.find('=')?;
                (inside[..end].to_string(), false, &inside[end..])
            }
        };
        if let Some(text) = after.strip_prefix("=\"") {
            let end = value_end(text)?;
            if is_label_name(&name) == quoted || labels.insert(name, unescape(&text[..end], true)?).is_some() {
                return None;
            }
            inside = &text[end + 1..];
        } else {
            if !quoted || metric.is_some() || !labels.is_empty() || is_metric_name(&name) {
                return None;
            }
            metric = Some(name);
            inside = after;
        }
        if let Some(rest) = inside.strip_prefix('}') {
            return Some((metric, labels, rest));
        }
        inside = inside.strip_prefix(',')?;
    }
}

pub(super) fn sample(line: &str) -> Option<(Series, f64, Option<Mark>)> {
    let name_end = line.find(['{', ' '])?;
    let (bare, rest) = line.split_at(name_end);
    let (quoted, labels_read, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (None, Labels::new(), rest),
    };
    let name = match quoted {
        Some(name) if bare.is_empty() => name,
        None if is_metric_name(bare) => bare.to_string(),
        _ => return None,
    };
    let rest = rest.strip_prefix(' ')?;
    let (value, mark) = match rest.split_once(" # {") {
        Some((value, mark)) => {
            let (none, labels_read, rest) = labels(mark)?;
            let mut numbers = rest.strip_prefix(' ')?.split(' ').map(number);
            let mark = (labels_read, numbers.next()??, numbers.next().map(|n| n.unwrap_or(f64::NAN)));
            (value, (none.is_none() && numbers.next().is_none()).then_some(Some(mark))?)
        }
        None => (rest, None),
    };
    Some(((name, labels_read), number(value)?, mark))
}

#[test]
fn the_parser_is_strict() {
    let check = |page: &str, good: bool| assert_eq!(parse(page).is_ok(), good, "{page:?}: {:?}", parse(page));
    check("# EOF\n", true);
    check("", false);
    check("# EOF", false);
    check("# TYPE a counter\na_total{b=\"c\"} 1 # {d=\"e\"} 2 3\na_created{b=\"c\"} 1.5\n# EOF\n", true);
    check("# TYPE a counter\na{b=\"c\"} 1\n# EOF\n", false);
    check("# TYPE a counter\na_total -1\n# EOF\n", false);
    check("# TYPE a gauge\na 1 # {} 2\n# EOF\n", false);
    check("# TYPE a_b gauge\n# UNIT a_b b\na_b 1\n# EOF\n", true);
    check("# TYPE a_b gauge\n# UNIT a_b c\na_b 1\n# EOF\n", false);
    check("# TYPE a gauge\na 1\n# TYPE a counter\na_total 1\n# EOF\n", false);
    check("# TYPE a counter\na_total 1\n# TYPE a_created gauge\na_created 1\n# EOF\n", false);
    check("# TYPE \"a.b\" gauge\n{\"a.b\",\"c.d\"=\"e\"} 1\n# EOF\n", true);
    check("# TYPE \"a.b\" gauge\n{\"a.b\",\"cd\"=\"e\"} 1\n# EOF\n", false);
    check("# TYPE target info\ntarget_info{a=\"b\"} 1\n# EOF\n", true);
    check("# TYPE a gauge\na 1\n\n# EOF\n", false);
    check("# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n# EOF\n", true);
    check("# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\n# EOF\n", true);
    check("# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 1\n# EOF\n", false);
}
