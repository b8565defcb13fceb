//! Whether two rules make the same of the same series.
//!
//! Knows what a rule says; does not know its name, or what does not change what leaves: limits, `stale`, `continue`,
//! `keep_input`. Equal within one version of the program only: the words that it is made of may change.

use super::rule::{Action, Aggregation, Rule};
use ring::digest::{SHA256, digest};

impl Rule {
    /// Eight hexadecimal digits when it is shown: of what it matches, changes, groups by, and of its outputs with their names,
    /// intervals and windows, all of it settled. A default and what it stands for have the same.
    pub fn fingerprint(&self) -> u32 {
        let does = match &self.action {
            Action::Aggregate(aggregation) => {
                let Aggregation { changes, grouping, outputs, interval_ns, .. } = &**aggregation;
                // how an output is written does not matter
                let outputs: Vec<_> = outputs
                    .iter()
                    .map(|specs| {
                        specs.iter().map(|spec| (&spec.output, spec.window_ns, &spec.name)).collect::<Vec<_>>()
                    })
                    .collect();
                format!("{changes:?} {grouping:?} {outputs:?} {interval_ns}")
            }
            Action::Drop => "drop".to_owned(),
            Action::Keep => "keep".to_owned(),
            Action::Relabel(changes) => format!("{changes:?}"),
        };
        let text = format!("{:?} {:?} {does}", self.selector, self.except);
        let digest = digest(&SHA256, text.as_bytes());
        digest.as_ref().iter().take(4).fold(0, |sum, byte| sum << 8 | u32::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::{Grouping, InputKind, Output, OutputSpec, Pattern, PatternKind, Selector, Stale};
    use super::*;
    use std::sync::Arc;

    fn rule(change: impl FnOnce(&mut Rule, &mut Aggregation)) -> u32 {
        let outputs: [Arc<[OutputSpec]>; InputKind::COUNT] = std::array::from_fn(|_| {
            [OutputSpec { output: Output::Quantile(0.95), window_ns: 1, name: "{name}.p95".into(), text: "p95".into() }]
                .into()
        });
        let mut aggregation = Aggregation { outputs, ..Aggregation::new(Grouping::All, 1) };
        let selector = Selector::default();
        let mut rule =
            Rule { name: "a".into(), was: None, selector, except: None, action: Action::Drop, goes_on: false };
        change(&mut rule, &mut aggregation);
        rule.action = Action::Aggregate(Box::new(aggregation));
        rule.fingerprint()
    }

    #[test]
    fn what_leaves_is_in_it_and_nothing_else() {
        let first = rule(|_, _| {});
        let same: [fn(&mut Rule, &mut Aggregation); 4] = [
            |rule, _| rule.name = "b".into(),
            |rule, _| rule.goes_on = true,
            |_, aggregation| {
                (aggregation.keeps_input, aggregation.series_limit, aggregation.stale) =
                    (true, Some(1), Stale::After(1))
            },
            |_, aggregation| {
                let spec = aggregation.outputs[0][0].clone();
                aggregation.outputs[0] = [OutputSpec { text: "quantile(0.95)".into(), ..spec }].into();
            },
        ];
        same.into_iter().for_each(|change| assert_eq!(rule(change), first));
        let others: [fn(&mut Rule, &mut Aggregation); 5] = [
            |rule, _| rule.except = Some(Selector::default()),
            |rule, _| {
                rule.selector.unit = vec![Pattern { text: "s".into(), kind: PatternKind::Glob, is_negated: false }]
            },
            |_, aggregation| aggregation.interval_ns = 2,
            |_, aggregation| aggregation.grouping = Grouping::By(Vec::new()),
            |_, aggregation| aggregation.outputs[2] = [].into(),
        ];
        others.into_iter().for_each(|change| assert_ne!(rule(change), first));
    }
}
