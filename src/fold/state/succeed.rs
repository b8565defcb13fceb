//! What an output has gathered goes on under another spec (`succession`).
//!
//! Knows which of its parts are kept for which outputs; does not know why the spec is another one.

use super::{MadeState, OutputState, Sinces, SumState, TableState};
use crate::fold::made::Made;
use crate::fold::needs;
use crate::fold::spec::{FoldOutput, FoldSpec, is_histogram};
use crate::fold::succession::Succession;
use crate::rules::Output;

impl OutputState {
    /// Goes on under another spec; `since`: how many cuts of the rule there were before it came into force.
    pub fn succeed(&mut self, succession: &Succession, spec: &FoldSpec, since: u64) {
        let Succession { before, is_anew, .. } = succession;
        let is_shown = |old: usize| self.shown >> old & 1 == 1;
        let places = succession.places.iter().enumerate().filter(|(old, _)| is_shown(*old));
        self.shown = places.filter_map(|(_, place)| *place).fold(0, |bits, place| bits | 1 << place);
        if *is_anew {
            (self.since, self.sinces) = (0, None);
            (self.was_trailing, self.was_wide) = (false, false);
            self.ring = None;
            self.values = None;
        } else {
            let since_of = |now: usize| succession.whole(spec, now).map_or(since, |old| self.since(old));
            let sinces: Box<[u64]> = (0..spec.outputs.len()).map(since_of).collect();
            let differs = sinces.iter().any(|since| *since != u64::from(self.since));
            self.sinces = differs.then(|| Box::new(Sinces(sinces)));
            let ring = self.ring.take().filter(|_| spec.layout.steps > 0);
            self.ring = ring.map(|ring| {
                if before.layout == spec.layout { ring } else { Box::new(ring.refit(&before.layout, &spec.layout)) }
            });
            if let Some(values) = &mut self.values
                && before.value_steps != spec.value_steps
            {
                values.refit(spec.value_steps);
            }
        }
        self.values = self.values.take().filter(|_| spec.needs(needs::VALUES));
        self.levels = self.levels.take().filter(|_| spec.needs(needs::LEVELS));
        self.regions = self.regions.take().filter(|_| spec.needs(needs::REGIONS | needs::NEWEST));
        if let Some(regions) = &mut self.regions {
            regions.refit(spec.region_steps, *is_anew);
        }
        self.succeed_sums(succession, spec);
        if let Some(made) = self.made.take() {
            self.made = Some(Box::new(made.moved(succession, spec)));
        }
        if let Some(tables) = self.tables.take() {
            self.tables = Some(Box::new(tables.moved(succession, spec)));
        }
    }

    /// A sum of histograms' sums that was not there before begins at 0.
    fn succeed_sums(&mut self, succession: &Succession, spec: &FoldSpec) {
        let is_sum = |output: &FoldOutput| matches!(output.output, Output::Sum) && is_histogram(spec.input);
        match spec.outputs.iter().position(is_sum) {
            None => self.sums = None,
            Some(place) if succession.source(place).is_none() => {
                self.sums = Some(Box::new(SumState { start_ns: Some(u64::MAX), ..SumState::default() }));
            }
            Some(_) => {}
        }
    }
}

impl TableState {
    /// Under another spec.
    fn moved(self, succession: &Succession, spec: &FoldSpec) -> TableState {
        let Succession { before, is_anew, .. } = succession;
        let at = |olds: &[usize], now: usize| {
            let old = succession.source(now)?;
            let is_same = !is_anew && before.outputs[old].steps == spec.outputs[now].steps;
            Some((olds.iter().position(|place| *place == old)?, is_same))
        };
        let (mut unique, mut top) = (self.unique, self.top);
        let mut of_unique = |now: &usize| {
            let (old, _) = at(&before.unique, *now).filter(|(_, is_same)| *is_same)?;
            unique.get_mut(old).map(std::mem::take)
        };
        let unique = spec.unique.iter().map(|now| of_unique(now).unwrap_or_default()).collect();
        let mut of_top = |now: &usize| {
            let (old, is_same) = at(&before.top, *now)?;
            let mut top = top.get_mut(old).map(std::mem::take)?;
            if !is_same {
                top.begin_anew();
            }
            Some(top)
        };
        let top = spec.top.iter().map(|now| of_top(now).unwrap_or_default()).collect();
        TableState { unique, counts: Vec::new(), top }
    }
}

impl MadeState {
    /// Under another spec.
    fn moved(mut self, succession: &Succession, spec: &FoldSpec) -> MadeState {
        let mut made = MadeState::default();
        for (now, bucketing) in &spec.made {
            let source = succession.source(*now);
            let old = source.and_then(|old| succession.before.made.iter().position(|(place, _)| *place == old));
            let take = |all: &mut Vec<Made>| {
                let found = old.and_then(|old| all.get_mut(old));
                found.map_or_else(|| Made::new(bucketing), |found| std::mem::replace(found, Made::new(bucketing)))
            };
            made.open.push(take(&mut self.open));
            made.total.push(take(&mut self.total));
            made.starts_ns.push(old.and_then(|old| self.starts_ns.get(old).copied().flatten()));
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::number::Value;
    use crate::fold::{Contribution, FoldPart, FoldWork, RuleClock};
    use crate::rules::{Aggregation, Grouping, InputKind, OutputSpec};

    const S: u64 = 1_000_000_000;

    fn spec(outputs: &[(Output, u64)]) -> FoldSpec {
        let mut says = Aggregation::new(Grouping::All, 10 * S);
        let of = |(output, steps): &(Output, u64)| OutputSpec {
            output: output.clone(),
            window_ns: steps * 10 * S,
            name: "".into(),
            text: "".into(),
        };
        says.outputs[InputKind::Counter as usize] = outputs.iter().map(of).collect();
        FoldSpec::new(&says, InputKind::Counter)
    }

    /// Lists of outputs with windows in intervals, each for so many cuts of 10 s; which of the last list left, and what, at
    /// each of its cuts. One is added in each interval.
    fn last_of(lists: &[(&[(Output, u64)], u64)]) -> Vec<Vec<(usize, f64)>> {
        let (mut work, mut state, mut now) = (FoldWork::default(), OutputState::new(0), spec(lists[0].0));
        let (mut clock, mut number) = (RuleClock::new(10 * S, 30), 0);
        let mut left = Vec::new();
        for (at, (list, cuts)) in lists.iter().enumerate() {
            if at > 0 {
                let (next, before) = (spec(list), lists[at - 1].0);
                let places = before.iter().map(|(old, _)| list.iter().position(|(new, _)| new == old)).collect();
                state.succeed(&Succession::new(&now, places, false), &next, clock.number());
                now = next;
            }
            left.clear();
            for _ in 0..*cuts {
                let (from, to) = (number * 10 * S, (number + 1) * 10 * S);
                number += 1;
                let given = Contribution {
                    delta: Some(Value::Int(1)),
                    points: 1,
                    is_touched: true,
                    is_live: true,
                    distinct: &[number],
                    ..Contribution::default()
                };
                let mut part = FoldPart::default();
                part.add(&now, &given, &mut work);
                state.take(&now, (from, to), Some(&mut part), &mut work);
                let cut = clock.at(from, to, false).expect("each base cut is one");
                let mut seen = Vec::new();
                state.leave(&now, &cut, &mut work, &mut |leaving| {
                    if let crate::fold::LeavingValue::Number { value, .. } = leaving.value {
                        seen.push((leaving.output, value.as_f64()));
                    }
                });
                left.push(seen);
            }
        }
        left
    }

    #[test]
    fn an_output_that_was_waited_for_once_is_not_waited_for_again() {
        let (a, b, c) = ((Output::Increase, 3), (Output::Rate, 2), (Output::Total, 1));
        let (first, second, third) = ([c.clone()], [a.clone(), c], [a, b]);
        let one = last_of(&[(&first, 4), (&second, 4), (&third, 4)]);
        let of = |place: usize| one.iter().map(|seen| seen.iter().any(|(at, _)| *at == place)).collect::<Vec<_>>();
        assert_eq!(of(0), [true; 4], "its window is whole since the exchange before");
        assert_eq!(of(1), [false, true, true, true]);
        // one that is still waited for is not longer than it would be
        let one = last_of(&[(&first, 4), (&second, 2), (&third, 2)]);
        assert!(one[0].iter().any(|(at, _)| *at == 0), "{one:?}");
    }

    #[test]
    fn a_shorter_window_has_its_intervals_and_a_longer_one_is_waited_for() {
        let check = |output: Output, before: u64, now: u64, want: &[f64]| {
            let left = last_of(&[(&[(output.clone(), before)], 8), (&[(output, now)], want.len() as u64)]);
            let got = left.iter().map(|seen| seen.first().map_or(-1.0, |(_, value)| *value)).collect::<Vec<_>>();
            assert_eq!(got, want, "{before} to {now}");
        };
        check(Output::Increase, 4, 2, &[2.0, 2.0]);
        check(Output::Increase, 4, 1, &[1.0, 1.0]);
        check(Output::Increase, 2, 4, &[-1.0, -1.0, -1.0, 4.0]);
        check(Output::Increase, 1, 2, &[-1.0, 2.0]);
        // its tables are made for one window
        check(Output::Unique(vec!["pod".into()]), 3, 2, &[-1.0, 2.0]);
    }
}
