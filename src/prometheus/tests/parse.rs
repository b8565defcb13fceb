//! A strict parser of text formats 0.0.4 and 1.0.0 (quoted names): whatever the specification does not allow is an error, and so are families
//! opened twice, interleaved samples, series that come twice and histograms that contradict themselves.

use std::collections::{BTreeMap, BTreeSet};

use super::open_metrics::{family_name, sample};

/// Name and labels.
pub(super) type Series = (String, BTreeMap<String, String>);

/// A family as read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parsed {
    pub kind: String,
    pub help: Option<String>,
    pub samples: Vec<(Series, f64)>,
}

/// Reads a whole page.
pub(super) fn parse(page: &str) -> Result<BTreeMap<String, Parsed>, String> {
    let mut families: BTreeMap<String, Parsed> = BTreeMap::new();
    let mut seen: BTreeSet<Series> = BTreeSet::new();
    let (mut open, mut help): (Option<String>, Option<(String, String)>) = (None, None);
    if !page.is_empty() && !page.ends_with('\n') {
        return Err("the last line does not end".into());
    }
    for line in page.split_terminator('\n') {
        let wrong = |what: &str| format!("{what}: {line:?}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = family_name(rest).ok_or_else(|| wrong("no help"))?;
            if help.replace((name, unescape(text, false).ok_or_else(|| wrong("escape"))?)).is_some() {
                return Err(wrong("help without type"));
            }
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family_name(rest).ok_or_else(|| wrong("no type"))?;
            if !["counter", "gauge", "histogram", "summary"].contains(&kind) {
                return Err(wrong("type"));
            }
            let help = match help.take() {
                Some((of, text)) if of == name => Some(text),
                Some(_) => return Err(wrong("help of another family")),
                None => None,
            };
            let family = Parsed { kind: kind.into(), help, samples: vec![] };
            if families.insert(name.clone(), family).is_some() {
                return Err(wrong("opened twice"));
            }
            open = Some(name);
        } else {
            let (series, value, mark) = sample(line).ok_or_else(|| wrong("sample"))?;
            if mark.is_some() {
                return Err(wrong("an exemplar"));
            }
            let name = open.as_ref().ok_or_else(|| wrong("no family"))?;
            let family = families.get_mut(name).unwrap();
            let suffix = series.0.strip_prefix(name.as_str()).ok_or_else(|| wrong("of another family"))?;
            let allowed: &[&str] = match family.kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                "summary" => &["", "_sum", "_count"],
                _ => &[""],
            };
            if !allowed.contains(&suffix)
                || (suffix == "_bucket") != (family.kind == "histogram" && series.1.contains_key("le"))
            {
                return Err(wrong("suffix"));
            }
            // to Prometheus an empty label is none
            let mut identity = series.clone();
            identity.1.retain(|_, value| !value.is_empty());
            if !seen.insert(identity) {
                return Err(wrong("series twice"));
            }
            family.samples.push((series, value));
        }
    }
    for (name, family) in &families {
        if family.samples.is_empty() {
            return Err(format!("{name} has no samples"));
        }
        if family.kind == "histogram" {
            histogram(name, family)?;
        }
    }
    Ok(families)
}

/// Buckets ascend in bound and count, end with `+Inf`, which is the count.
fn histogram(name: &str, family: &Parsed) -> Result<(), String> {
    let (mut last, mut of): (Option<(f64, f64)>, BTreeMap<String, String>) = (None, BTreeMap::new());
    for ((sample, labels), value) in &family.samples {
        let mut rest = labels.clone();
        let le = rest.remove("le");
        if sample.ends_with("_bucket") {
            let bound: f64 = number(&le.unwrap()).ok_or("le")?;
            if let Some((bound_before, count_before)) = last
                && (bound <= bound_before || *value < count_before || rest != of)
            {
                return Err(format!("{name}: buckets do not ascend at {labels:?}"));
            }
            (last, of) = (Some((bound, *value)), rest);
        } else if sample.ends_with("_count") {
            if last != Some((f64::INFINITY, *value)) || rest != of {
                return Err(format!("{name}: +Inf is not the count at {labels:?}"));
            }
            last = None;
        } else if rest != of {
            return Err(format!("{name}: a sum of other labels"));
        }
    }
    if last.is_some() { Err(format!("{name}: no count")) } else { Ok(()) }
}

pub(super) fn value_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|b| {
        let end = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        end
    })
}

pub(super) fn unescape(text: &str, quotes: bool) -> Option<String> {
    let (mut out, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                '"' if quotes => '"',
                _ => return None,
            },
            c => c,
        });
    }
    Some(out)
}

pub(super) fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ if text.bytes().all(|b| b.is_ascii_digit() || b"+-.e".contains(&b)) => text.parse().ok(),
        _ => None,
    }
}

#[test]
fn the_parser_is_strict() {
    let check = |page: &str, good: bool| assert_eq!(parse(page).is_ok(), good, "{page:?}: {:?}", parse(page));
    check("", true);
    check("# HELP a x\\ny\n# TYPE a gauge\na{b=\"c\\\"}\\n\"} 1\na 2.5e-7\n", true);
    check("# TYPE a gauge\na{b=\"c\"} 1", false);
    check("# TYPE a gauge\na{b=\"c\"} 1\na{b=\"c\"} 1\n", false);
    check("# TYPE a gauge\na{b=\"c\"} 1\na{b=\"c\",d=\"\"} 1\n", false);
    check("# TYPE a gauge\na{b=\"c\",b=\"d\"} 1\n", false);
    check("# TYPE a gauge\na{b=\"\\x\"} 1\n", false);
    check("# TYPE a gauge\na{b=\"c} 1\n", false);
    check("# TYPE a gauge\na Inf\n", false);
    check("# TYPE a gauge\nb 1\n", false);
    check("# TYPE a gauge\n", false);
    check("# TYPE a gauge\na 1\n# TYPE a gauge\na{x=\"y\"} 1\n", false);
    check("# TYPE a histogram\na_bucket{le=\"1.0\"} 2\na_bucket{le=\"+Inf\"} 3\na_count 3\n", true);
    check("# TYPE a histogram\na_bucket{le=\"1.0\"} 4\na_bucket{le=\"+Inf\"} 3\na_count 3\n", false);
    check("# TYPE a histogram\na_bucket{le=\"+Inf\"} 3\na_count 4\n", false);
    check("# TYPE a histogram\na_bucket{le=\"1.0\"} 3\na_count 3\n", false);
    check("# TYPE a histogram\na 3\n", false);
}
