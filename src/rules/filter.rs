//! Which of many series somebody asks for: by a pattern of the metric's name, and patterns of attributes.
//!
//! Knows the patterns of rules; does not know rules, or who asks. A series is meant as by the `match` of a rule.

use super::identity::MetricSeen;
use super::matcher::RuleMatcher;
use super::plan::RulePlan;
use super::rule::{Action, Pattern, Rule, Selector};
use std::sync::Arc;

/// Series that are asked for.
#[derive(Debug)]
pub struct SeriesFilter {
    /// Nothing: all of them.
    matcher: Option<RuleMatcher>,
}

impl SeriesFilter {
    /// Those whose metric is like a pattern, and whose attributes are, wherever they stand: `KEY=PATTERN,…`. Patterns are
    /// those of rules.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn new(metric: &str, attributes: &str) -> Result<SeriesFilter, String> {
        let metric: Vec<Pattern> =
            Some(metric).filter(|text| !text.is_empty()).map(Pattern::read).into_iter().collect();
        let pairs = attributes.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, pattern) = pair.split_once('=').ok_or_else(|| format!("`{pair}` is no KEY=PATTERN"))?;
            Ok((Arc::from(key.trim()), vec![Pattern::read(pattern.trim())]))
        });
        let attributes: Vec<(Arc<str>, Vec<Pattern>)> = pairs.collect::<Result<_, String>>()?;
        if metric.is_empty() && attributes.is_empty() {
            return Ok(SeriesFilter { matcher: None });
        }
        let selector = Selector { metric, attributes, ..Selector::default() };
        let alone = Rule { name: "".into(), selector, except: None, action: Action::Keep, goes_on: false, was: None };
        let words =
            |faults: Vec<super::fault::RuleFault>| faults.first().map_or(String::new(), |fault| fault.words.clone());
        let plan = RulePlan::new(vec![alone]).map_err(words)?;
        Ok(SeriesFilter { matcher: Some(RuleMatcher::new(Arc::new(plan))) })
    }

    /// Whether it is asked for.
    pub fn means(&mut self, metric: &MetricSeen<'_>, attributes: &[u8]) -> bool {
        self.matcher.as_mut().is_none_or(|matcher| matcher.means(0, metric, attributes))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::model::Kind;
    use crate::wire::put_bytes;

    fn run(key: &str, value: &str) -> Vec<u8> {
        let [mut any, mut pair, mut run] = <[Vec<u8>; 3]>::default();
        put_bytes(&mut any, 0x0a, value.as_bytes());
        put_bytes(&mut pair, 0x0a, key.as_bytes());
        put_bytes(&mut pair, 0x12, &any);
        put_bytes(&mut run, 0x0a, &pair);
        run
    }

    /// All that is given must hold, wherever an attribute stands; nothing given is everything.
    #[test]
    fn a_series_is_asked_for_by_its_metric_and_its_attributes() {
        let resource = run("pod", "p1");
        let metric = MetricSeen {
            resource: &resource,
            scope: &[],
            name: "http.requests",
            unit: "",
            kind: Kind::Sum,
            monotonic: true,
            held: None,
        };
        let attributes = run("route", "/a");
        let check = |name: &str, pairs: &str, is_meant: bool| {
            let mut filter = SeriesFilter::new(name, pairs).unwrap();
            assert_eq!(filter.means(&metric, &attributes), is_meant, "{name} {pairs}");
        };
        check("", "", true);
        check("http.*", "", true);
        check("!http.*", "", false);
        check("~http[.]req.*", "pod=p1", true);
        check("", " route=/a , pod=p? ", true);
        check("", "route=/a,pod=p2", false);
        check("", "absent=!x", true);
        for (name, pairs) in [("~(", ""), ("", "route"), ("", "a=~(")] {
            assert!(SeriesFilter::new(name, pairs).is_err(), "{name} {pairs}");
        }
    }
}
