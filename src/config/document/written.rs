//! An output as a document writes it: `same`, `p99`, `rate(5m)`, `unique(a, b)`, `topk(10, key)`.
//!
//! Knows the grammar; does not know which kinds an output is there for.

use super::check::number;
use crate::limits::{EXPONENTIAL_BUCKETS_MAX, HISTOGRAM_BOUNDS_MAX, RULE_OUTPUT_KEYS_MAX, RULE_TOPK_MAX};
use crate::nearest::nearest;
use crate::problem::Flaw;
use crate::rules::{Bucketing, OUTPUTS, Output};
use crate::units::{count, duration};
use std::sync::Arc;

/// An output, and the window of its own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WrittenOutput {
    pub(super) output: Output,
    pub(super) window_ns: Option<u64>,
}

/// Reads one.
///
/// # Errors
/// What is wrong, without the text itself.
pub(super) fn read(text: &str) -> Result<WrittenOutput, Flaw> {
    let (word, parameters) = match text.split_once('(') {
        None => (text.trim(), Vec::new()),
        Some((word, rest)) => {
            let inside = rest.trim_end().strip_suffix(')').ok_or_else(|| Flaw::new("there is no `)` at its end"))?;
            (word.trim(), inside.split(',').map(str::trim).collect())
        }
    };
    if parameters.iter().any(|parameter| parameter.is_empty()) {
        return Err(Flaw::new("there is nothing between two commas"));
    }
    let output = match word {
        "unique" => return Ok(plain(Output::Unique(keys(&parameters)?))),
        "topk" => return topk(&parameters).map(plain),
        "histogram" => return histogram(&parameters).map(plain),
        "exponential_histogram" => return exponential(&parameters).map(plain),
        "quantile" => {
            let (first, rest) = parameters.split_first().ok_or_else(|| Flaw::outside(QUANTILE))?;
            return Ok(WrittenOutput { output: quantile(first, "")?, window_ns: window(rest)? });
        }
        "same" => Output::Same,
        "sum" => Output::Sum,
        "total" => Output::Total,
        "count" => Output::Count,
        "count_series" => Output::CountSeries,
        "last" => Output::Last,
        "first" => Output::First,
        "min" => Output::Min,
        "max" => Output::Max,
        "avg" => Output::Avg,
        "stddev" => Output::Stddev,
        "stdvar" => Output::Stdvar,
        "increase" => Output::Increase,
        "rate" => Output::Rate,
        other => match other.strip_prefix('p').filter(|percent| percent.starts_with(|c: char| c.is_ascii_digit())) {
            // the decimals of it, two places on: 99.9 is 0.999 and not what a division makes of it
            Some(percent) => quantile(percent, "e-2")?,
            None => return Err(unknown(other)),
        },
    };
    let has_window =
        !matches!(output, Output::Same | Output::Sum | Output::Total | Output::Count | Output::CountSeries);
    if !has_window && !parameters.is_empty() {
        return Err(Flaw::new("it takes nothing in brackets"));
    }
    Ok(WrittenOutput { window_ns: window(&parameters)?, output })
}

fn plain(output: Output) -> WrittenOutput {
    WrittenOutput { output, window_ns: None }
}

fn unknown(word: &str) -> Flaw {
    let flaw = Flaw::new("there is no such output");
    let known = OUTPUTS.iter().map(|row| row.word);
    match nearest(super::trail::cut(word), known.clone()) {
        Some(meant) => flaw.remedy(format!("did you mean {meant}?")),
        None => flaw.allowed(format!("give one of {}, p50 to p99.9", known.collect::<Vec<_>>().join(", "))),
    }
}

const QUANTILE: &str = "write quantile(0.95), or p95";

fn quantile(text: &str, power: &str) -> Result<Output, Flaw> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value = format!("{text}{power}").parse().ok().filter(|value| is_plain && (0.0..=1.0).contains(value));
    value.map(Output::Quantile).ok_or_else(|| Flaw::new("a quantile is from p0 to p100, and 0 to 1").allowed(QUANTILE))
}

/// A window, if one is given.
fn window(parameters: &[&str]) -> Result<Option<u64>, Flaw> {
    match parameters {
        [] => Ok(None),
        [text] => {
            let time = duration(text).ok().and_then(|time| u64::try_from(time.as_nanos()).ok());
            let time = time.filter(|ns| *ns > 0);
            time.map(Some).ok_or_else(|| Flaw::new("what stands in brackets is no duration").allowed("write 5m"))
        }
        _ => Err(Flaw::new("there is more than one window")),
    }
}

fn keys(parameters: &[&str]) -> Result<Vec<Arc<str>>, Flaw> {
    if parameters.is_empty() || parameters.len() > RULE_OUTPUT_KEYS_MAX {
        return Err(Flaw::outside(format!("give 1 to {RULE_OUTPUT_KEYS_MAX} keys of attributes in brackets")));
    }
    Ok(parameters.iter().map(|key| Arc::from(*key)).collect())
}

fn topk(parameters: &[&str]) -> Result<Output, Flaw> {
    let k = parameters.first().and_then(|text| count(text).ok()).filter(|k| (1..=RULE_TOPK_MAX).contains(k));
    let words = || Flaw::outside(format!("write topk(10, KEY), of at most {RULE_TOPK_MAX}"));
    Ok(Output::TopK { k: k.ok_or_else(words)?, keys: keys(&parameters[1..])? })
}

fn histogram(parameters: &[&str]) -> Result<Output, Flaw> {
    let bounds: Option<Vec<f64>> = parameters.iter().map(|text| number(text)).collect();
    let is_right = |bounds: &Vec<f64>| {
        (1..=HISTOGRAM_BOUNDS_MAX).contains(&bounds.len()) && bounds.windows(2).all(|pair| pair[0] < pair[1])
    };
    let words = format!("give 1 to {HISTOGRAM_BOUNDS_MAX} ascending bounds in brackets");
    let bounds = bounds.filter(is_right).ok_or_else(|| Flaw::outside(words))?;
    Ok(Output::Histogram(Bucketing::Explicit(bounds.into())))
}

fn exponential(parameters: &[&str]) -> Result<Output, Flaw> {
    let most = EXPONENTIAL_BUCKETS_MAX as u16;
    let buckets = match parameters {
        [] => Some(most),
        [text] => count(text).ok().filter(|buckets| (1..=most).contains(buckets)),
        _ => None,
    };
    let words = || Flaw::outside(format!("give 1 to {most} buckets a side in brackets"));
    Ok(Output::Histogram(Bucketing::Exponential(buckets.ok_or_else(words)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read_or_refused_with_words() {
        let check = |text: &str, output: Output, window_s: Option<u64>| {
            let want = WrittenOutput { output, window_ns: window_s.map(|s| s * 1_000_000_000) };
            assert_eq!(read(text), Ok(want), "{text}");
        };
        check("same", Output::Same, None);
        check("p99", Output::Quantile(0.99), None);
        check("p99.9", Output::Quantile(0.999), None);
        check("p95(5m)", Output::Quantile(0.95), Some(300));
        check("quantile(0.95)", Output::Quantile(0.95), None);
        check("quantile(0.07, 1m)", Output::Quantile(0.07), Some(60));
        check("rate(5m)", Output::Rate, Some(300));
        check("max", Output::Max, None);
        check("unique(a,b )", Output::Unique(vec!["a".into(), "b".into()]), None);
        check("topk(10, client.address)", Output::TopK { k: 10, keys: vec!["client.address".into()] }, None);
        check("histogram(-1, 0.5,5)", Output::Histogram(Bucketing::Explicit([-1.0, 0.5, 5.0].into())), None);
        check("exponential_histogram(80)", Output::Histogram(Bucketing::Exponential(80)), None);
        check("exponential_histogram", Output::Histogram(Bucketing::Exponential(160)), None);
        for (text, words) in [
            ("smae", "did you mean same?"),
            ("frobnicate", "give one of same, sum"),
            ("rate(5m", "there is no `)`"),
            ("rate(5)", "no duration"),
            ("rate(0s)", "no duration"),
            ("rate(1m, 2m)", "more than one window"),
            ("same(5m)", "takes nothing in brackets"),
            ("p101", "from p0 to p100"),
            ("p9e1", "from p0 to p100"),
            ("p", "there is no such output"),
            ("quantile", "write quantile(0.95)"),
            ("quantile(2)", "from p0 to p100"),
            ("unique", "give 1 to 8 keys"),
            ("unique(a,,b)", "nothing between"),
            ("topk(a)", "write topk(10, KEY)"),
            ("topk(0, a)", "write topk(10, KEY)"),
            ("topk()", "nothing between"),
            ("topk", "write topk(10, KEY)"),
            ("histogram", "ascending bounds"),
            ("histogram(2, 1)", "ascending bounds"),
            ("histogram(nan)", "ascending bounds"),
            ("exponential_histogram(161)", "1 to 160 buckets"),
        ] {
            let flaw = read(text).unwrap_err().to_string();
            assert!(flaw.contains(words), "{text}: {flaw}");
        }
    }
}
