//! A histogram's or summary's lines, a few at a time.
//!
//! Knows `_bucket`, `_sum`, `_count`, `_created` and `quantile` (X14), and what OpenMetrics forbids: a `_sum` that is
//! negative, NaN, or beside negative bounds, a histogram's `_count` without its `_sum`, and negative quantile values;
//! does not know merging. A row of a thousand buckets with long
//! labels is larger than any chunk, so its lines can stop between two of them and go on later.
//!
//! Invariant: `le="+Inf"`, and `_count` where it stands, are the count; buckets only rise towards it.

use std::sync::Arc;

use crate::prometheus::exemplar::by_bucket;
use crate::prometheus::message::Annotations;
use crate::prometheus::name::Naming;
use crate::prometheus::text::{Number, put_bound, put_head, put_number, put_seconds, put_uint};

/// Bounds and how they are spelled.
#[derive(Default)]
struct Bounds {
    values: Option<Arc<[f64]>>,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Bounds {
    fn set(&mut self, values: Option<&Arc<[f64]>>) {
        let known = match (&self.values, values) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        if known {
            return;
        }
        self.values = values.cloned();
        self.text.clear();
        self.ends.clear();
        for &bound in values.into_iter().flat_map(|v| v.iter()) {
            // +Inf has its own line
            if bound < f64::INFINITY {
                put_bound(&mut self.text, bound);
                self.ends.push(self.text.len());
            }
        }
    }
}

/// The lines of one row that are still to be written.
#[derive(Default)]
pub(super) struct Lines {
    bounds: Bounds,
    /// Job, instance, scope and attributes, without braces.
    labels: Vec<u8>,
    /// Buckets, or quantiles and their values' bits.
    buckets: Vec<u64>,
    quantiles: Vec<(f64, f64)>,
    count: u64,
    sum: Option<f64>,
    /// 0: none is shown.
    created_ns: u64,
    /// Of buckets, by place: where the exemplar's text is.
    exemplars: Vec<(usize, std::ops::Range<usize>)>,
    exemplar_text: Vec<u8>,
    at: usize,
    cumulative: u64,
    pending: bool,
}

/// What the lines of a family have in common.
#[derive(Clone, Copy)]
pub(super) struct LineStyle<'a> {
    pub name: &'a str,
    /// The name needs quotes.
    pub quoted: bool,
    pub is_summary: bool,
    pub open_metrics: bool,
}

impl Lines {
    /// Whether lines of a row are left.
    pub(super) fn pending(&self) -> bool {
        self.pending
    }

    /// Emptied for the labels of the next row.
    pub(super) fn labels(&mut self) -> &mut Vec<u8> {
        assert!(!self.pending, "the row before is not written yet");
        self.labels.clear();
        &mut self.labels
    }

    /// A histogram. Fewer buckets than bounds, as in one without any, shows the count alone.
    pub(super) fn histogram(&mut self, bounds: Option<&Arc<[f64]>>, buckets: &[u64], count: u64, sum: Option<f64>) {
        let bounds = bounds.filter(|bounds| buckets.len() == bounds.len() + 1);
        self.bounds.set(bounds);
        self.buckets.clear();
        self.buckets.extend_from_slice(buckets);
        self.quantiles.clear();
        self.begin(count, sum);
    }

    /// What OpenMetrics has besides, for the row begun last.
    pub(super) fn annotations(&mut self, annotations: Annotations<'_>, naming: Naming) {
        self.created_ns = annotations.start_ns;
        let bounds = self.bounds.values.as_deref().unwrap_or(&[]);
        for (bucket, exemplar) in by_bucket(annotations.exemplars, &bounds[..self.bounds.ends.len()]) {
            let start = self.exemplar_text.len();
            exemplar.put_text(&mut self.exemplar_text, naming);
            self.exemplars.push((bucket, start..self.exemplar_text.len()));
        }
        let negative = bounds.first().is_some_and(|bound| *bound < 0.0);
        self.sum = self.sum.filter(|sum| *sum >= 0.0 && !negative);
        self.quantiles.retain(|(quantile, value)| (0.0..=1.0).contains(quantile) && (*value >= 0.0 || value.is_nan()));
    }

    /// A summary.
    pub(super) fn summary(&mut self, quantiles: &[(f64, f64)], count: u64, sum: f64) {
        self.bounds.set(None);
        self.buckets.clear();
        self.quantiles.clear();
        self.quantiles.extend_from_slice(quantiles);
        self.begin(count, Some(sum));
    }

    fn begin(&mut self, count: u64, sum: Option<f64>) {
        (self.count, self.sum, self.at, self.cumulative, self.pending) = (count, sum, 0, 0, true);
        self.created_ns = 0;
        self.exemplars.clear();
        self.exemplar_text.clear();
    }

    /// Writes lines until `out` is `full` or none are left.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, line_style: LineStyle<'_>, full: usize) {
        let lines = if line_style.is_summary { self.quantiles.len() } else { self.bounds.ends.len() + 1 };
        while self.pending && out.len() < full {
            match self.at.checked_sub(lines) {
                None if line_style.is_summary => self.put_quantile(out, line_style),
                None => self.put_bucket(out, line_style),
                Some(0) => {
                    if let Some(sum) = self.sum {
                        self.put_plain(out, line_style, "_sum", Number::Double(sum));
                    }
                }
                Some(1) => {
                    // in OpenMetrics a histogram has both or neither; its count is that of +Inf
                    if self.sum.is_some() || line_style.is_summary || !line_style.open_metrics {
                        self.put_plain(out, line_style, "_count", Number::Uint(self.count));
                    }
                    self.pending = line_style.open_metrics && self.created_ns > 0;
                }
                Some(_) => {
                    put_head(out, line_style.name, "_created", line_style.quoted, &self.labels);
                    out.extend_from_slice(b"} ");
                    put_seconds(out, self.created_ns);
                    out.push(b'\n');
                    self.pending = false;
                }
            }
            self.at += 1;
        }
    }

    fn put_bucket(&mut self, out: &mut Vec<u8>, line_style: LineStyle<'_>) {
        put_head(out, line_style.name, "_bucket", line_style.quoted, &self.labels);
        out.extend_from_slice(b",le=\"");
        if let Some(&end) = self.bounds.ends.get(self.at) {
            let start = if self.at == 0 { 0 } else { self.bounds.ends[self.at - 1] };
            out.extend_from_slice(&self.bounds.text[start..end]);
            // the count is their sum, so this holds; were it not so, the line would still not pass the count
            self.cumulative = self.cumulative.saturating_add(self.buckets[self.at]).min(self.count);
        } else {
            out.extend_from_slice(b"+Inf");
            self.cumulative = self.count;
        }
        out.extend_from_slice(b"\"} ");
        put_uint(out, self.cumulative);
        if let Ok(found) = self.exemplars.binary_search_by_key(&self.at, |(bucket, _)| *bucket) {
            out.extend_from_slice(&self.exemplar_text[self.exemplars[found].1.clone()]);
        }
        out.push(b'\n');
    }

    fn put_quantile(&mut self, out: &mut Vec<u8>, line_style: LineStyle<'_>) {
        let (quantile, value) = self.quantiles[self.at];
        put_head(out, line_style.name, "", line_style.quoted, &self.labels);
        out.extend_from_slice(b",quantile=\"");
        put_bound(out, quantile);
        out.extend_from_slice(b"\"} ");
        put_number(out, Number::Double(value));
        out.push(b'\n');
    }

    fn put_plain(&self, out: &mut Vec<u8>, line_style: LineStyle<'_>, suffix: &str, value: Number) {
        put_head(out, line_style.name, suffix, line_style.quoted, &self.labels);
        out.extend_from_slice(b"} ");
        put_number(out, value);
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(full: usize, set: impl FnOnce(&mut Lines), summary: bool) -> (String, usize) {
        let mut lines = Lines::default();
        lines.labels().extend_from_slice(b",a=\"b\"");
        set(&mut lines);
        let (mut text, mut parts) = (Vec::new(), 0);
        while lines.pending() {
            let mut out = Vec::new();
            lines.put(&mut out, LineStyle { name: "h", quoted: false, is_summary: summary, open_metrics: false }, full);
            text.extend_from_slice(&out);
            parts += 1;
        }
        (String::from_utf8(text).unwrap(), parts)
    }

    #[test]
    fn x14_buckets_are_cumulative_and_end_with_inf() {
        let bounds: Arc<[f64]> = [0.5, 1.0, 1e6].into();
        let set = |lines: &mut Lines| lines.histogram(Some(&bounds), &[1, 0, 2, 4], 7, Some(3.5));
        let want = "h_bucket{a=\"b\",le=\"0.5\"} 1\nh_bucket{a=\"b\",le=\"1.0\"} 1\nh_bucket{a=\"b\",le=\"1e+06\"} 3\n\
                    h_bucket{a=\"b\",le=\"+Inf\"} 7\nh_sum{a=\"b\"} 3.5\nh_count{a=\"b\"} 7\n";
        assert_eq!(lines(usize::MAX, set, false), (want.to_string(), 1));
        assert_eq!(lines(1, set, false), (want.to_string(), 6), "one line at a time");
    }

    #[test]
    fn x14_no_sum_no_buckets_and_an_explicit_infinity() {
        let check = |bounds: &[f64], buckets: &[u64], want: &str| {
            let bounds: Arc<[f64]> = bounds.into();
            let set = |lines: &mut Lines| lines.histogram(Some(&bounds), buckets, 3, None);
            assert_eq!(lines(usize::MAX, set, false).0, want);
        };
        check(&[], &[], "h_bucket{a=\"b\",le=\"+Inf\"} 3\nh_count{a=\"b\"} 3\n");
        check(&[], &[3], "h_bucket{a=\"b\",le=\"+Inf\"} 3\nh_count{a=\"b\"} 3\n");
        check(
            &[1.0, f64::INFINITY],
            &[1, 2, 0],
            "h_bucket{a=\"b\",le=\"1.0\"} 1\nh_bucket{a=\"b\",le=\"+Inf\"} 3\nh_count{a=\"b\"} 3\n",
        );
    }

    #[test]
    fn x13_summaries_show_their_quantiles() {
        let want =
            "h{a=\"b\",quantile=\"0.5\"} 2\nh{a=\"b\",quantile=\"1.0\"} +Inf\nh_sum{a=\"b\"} 9\nh_count{a=\"b\"} 4\n";
        let set = |lines: &mut Lines| lines.summary(&[(0.5, 2.0), (1.0, f64::INFINITY)], 4, 9.0);
        assert_eq!(lines(usize::MAX, set, true), (want.to_string(), 1));
        assert_eq!(lines(1, set, true).1, 4);
        let none = lines(usize::MAX, |lines| lines.summary(&[], 4, 9.0), true).0;
        assert_eq!(none, "h_sum{a=\"b\"} 9\nh_count{a=\"b\"} 4\n");
    }
}
