//! Random streams against a reference that keeps everything and computes each output anew from the table of RULES 2: one
//! thread, ints as they are and doubles as multiples of 2^-10, so that every sum is exact and all must be equal to the bit
//! (deviations but for rounding).

use crate::group::{Group, Left, S, Seen};
use catchment::aggregate::number::Value;
use catchment::aggregate::summary;
use catchment::fold::{Contribution, LiveNeed};
use catchment::rules::{InputKind, Output};
use proptest::prelude::*;

const MEMBERS: usize = 5;

/// What happens to a member in a base interval.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// It is not there, or not live any more.
    Gone,
    /// It says nothing.
    Silent,
    /// It says so many 1024ths, as an int if they are whole.
    Says(i32),
    /// The same, and before that another value in the same interval.
    Swings(i32, i32),
    /// A gauge or a summary says what is no number.
    SaysNan,
    /// It says so, and ends.
    Ends(i32),
}

/// A base cut: how long its window is, whether the clock jumps before it, and what members do.
#[derive(Clone, Debug)]
struct Cut {
    length_s: u64,
    jump_s: u64,
    events: [Event; MEMBERS],
}

fn value_of(thousandths: i32) -> Value {
    if thousandths % 1_024 == 0 {
        Value::Int(i64::from(thousandths / 1_024))
    } else {
        Value::Double(f64::from(thousandths) / 1_024.0)
    }
}

fn event() -> impl Strategy<Value = Event> {
    let amount = prop_oneof![-4_000_000i32..4_000_000, (-30i32..30).prop_map(|whole| whole * 1_024)];
    prop_oneof![
        2 => Just(Event::Gone),
        4 => Just(Event::Silent),
        6 => amount.clone().prop_map(Event::Says),
        2 => (amount.clone(), amount.clone()).prop_map(|(before, says)| Event::Swings(before, says)),
        1 => Just(Event::SaysNan),
        1 => amount.prop_map(Event::Ends),
    ]
}

fn cuts() -> impl Strategy<Value = Vec<Cut>> {
    let length = prop_oneof![8 => Just(10u64), 1 => 1u64..10, 1 => 11u64..25];
    let jump = prop_oneof![30 => Just(0u64), 1 => 1u64..200];
    let quiet = prop_oneof![4 => Just(false), 1 => Just(true)];
    let cut = (length, jump, quiet, prop::array::uniform5(event())).prop_map(|(length_s, jump_s, quiet, events)| {
        let calm = |event| if matches!(event, Event::Gone) { event } else { Event::Silent };
        Cut { length_s, jump_s, events: if quiet { events.map(calm) } else { events } }
    });
    prop::collection::vec(cut, 1..30)
}

/// A summary that stands for a value: of two the one of larger bits has the larger words.
fn summary_of(value: Value) -> Vec<u64> {
    let quantiles = [(0.5, value.as_f64()), (0.9, 1.0)];
    let quantiles = &quantiles[..(value.bits() % 3) as usize];
    let mut words = vec![0; summary::REGION];
    let sum = f64::from(u8::from(value.is_double()));
    summary::put(&mut words.as_mut_slice(), 1, value.bits(), sum, quantiles);
    words
}

/// A member at a base cut, as the reference sees it.
#[derive(Clone, Copy, Debug, Default)]
struct Seat {
    gave: Option<Value>,
    level: Option<Value>,
    /// What a gauge said before that in the interval.
    before: Option<Value>,
    time_s: u64,
    is_touched: bool,
    is_live: bool,
}

/// A base cut of the past.
#[derive(Clone, Debug)]
struct Past {
    from_s: u64,
    to_s: u64,
    seats: [Seat; MEMBERS],
}

/// Plays the cuts: windows and seats.
fn play(cuts: &[Cut], input: InputKind) -> Vec<Past> {
    let (mut now_s, mut seats, mut played) = (0, [Seat::default(); MEMBERS], Vec::new());
    for cut in cuts {
        let from_s = now_s + cut.jump_s;
        now_s = from_s + cut.length_s;
        for (member, (seat, event)) in seats.iter_mut().zip(cut.events).enumerate() {
            let says =
                |thousandths: i32| value_of(if input == InputKind::Counter { thousandths.abs() } else { thousandths });
            let touched = |value, is_live| Seat {
                gave: Some(value),
                level: Some(value),
                before: None,
                time_s: from_s + (member as u64 * 3) % cut.length_s,
                is_touched: true,
                is_live,
            };
            *seat = match event {
                Event::Gone => Seat::default(),
                Event::Silent => Seat { gave: None, before: None, is_touched: false, ..*seat },
                Event::Says(thousandths) => touched(says(thousandths), true),
                Event::Swings(before, thousandths) => {
                    let before = Some(says(before)).filter(|_| input == InputKind::Gauge);
                    Seat { before, ..touched(says(thousandths), true) }
                }
                Event::SaysNan if matches!(input, InputKind::Gauge | InputKind::Summary) => {
                    touched(Value::Double(f64::NAN), true)
                }
                Event::SaysNan => touched(value_of(0), true),
                Event::Ends(thousandths) => touched(says(thousandths), false),
            };
        }
        played.push(Past { from_s, to_s: now_s, seats });
        for seat in &mut seats {
            if !seat.is_live {
                *seat = Seat::default();
            }
        }
    }
    played
}

/// The exact sum of some values: 1024ths, and whether there was a double.
fn sum(values: impl Iterator<Item = Value>) -> (i128, bool) {
    values.fold((0, false), |(sum, double), value| match value {
        Value::Int(int) => (sum + i128::from(int) * 1_024, double),
        Value::Double(value) => (sum + (value * 1_024.0) as i128, true),
    })
}

fn as_value((thousandths, is_double): (i128, bool)) -> Value {
    if is_double { Value::Double(thousandths as f64 / 1_024.0) } else { Value::Int((thousandths / 1_024) as i64) }
}

/// One interval of the rule: its base cuts.
type Interval<'a> = &'a [Past];

/// All that is known at a rule cut: the intervals so far, the newest last.
struct Reference<'a> {
    input: InputKind,
    interval_s: u64,
    intervals: Vec<Interval<'a>>,
    is_last: bool,
}

impl Reference<'_> {
    fn live_at_end(interval: Interval<'_>) -> usize {
        interval.last().map_or(0, |past| past.seats.iter().filter(|seat| seat.is_live).count())
    }

    fn is_touched(interval: Interval<'_>) -> bool {
        interval.iter().any(|past| past.seats.iter().any(|seat| seat.is_touched))
    }

    fn of_samples(&self) -> bool {
        self.input != InputKind::Counter
    }

    /// Number `i` of the intervals changed: touched, or the live set at its end is another size than at the end before.
    fn is_changed(&self, i: usize) -> bool {
        let before = i.checked_sub(1).map_or(0, |before| Self::live_at_end(self.intervals[before]));
        Self::is_touched(self.intervals[i]) || self.of_samples() && before != Self::live_at_end(self.intervals[i])
    }

    /// So much of it happened after its first base cut that the next may differ.
    fn is_trailing(&self, i: usize) -> bool {
        let interval = self.intervals[i];
        if !self.of_samples() {
            return Self::is_touched(interval);
        }
        let late = Self::is_touched(&interval[1..]);
        late || self.is_changed(i) && !Self::is_touched(interval) && interval.len() > 1
    }

    /// Some member that lives at its cut said another value inside the interval.
    fn swings(interval: Interval<'_>) -> bool {
        let swings = |seat: &Seat| seat.is_live && seat.before.is_some_and(|before| Some(before) != seat.level);
        interval.iter().any(|past| past.seats.iter().any(swings))
    }

    /// What an output says at the newest rule cut; nothing: it does not leave; an end is said by its caller.
    fn says(&self, output: &Output, window_s: u64) -> Option<Value> {
        let newest = self.intervals.len() - 1;
        let steps = window_s.div_ceil(self.interval_s) as usize;
        let interval = self.intervals[newest];
        let all = || self.intervals.iter().copied().flatten();
        let gave = |past: &Past| past.seats.map(|seat| seat.gave).into_iter().flatten();
        let at_end: Vec<Seat> = interval.last().map_or(Vec::new(), |past| past.seats.to_vec());
        let live = Self::live_at_end(interval);
        let live_before = newest.checked_sub(1).map_or(0, |before| Self::live_at_end(self.intervals[before]));
        let (is_touched, set_changed) = (Self::is_touched(interval), live != live_before);
        let finite = |value: &Value| value.as_f64().is_finite();
        match (output, self.input) {
            (Output::Same | Output::Total, InputKind::Counter) => {
                return is_touched.then(|| as_value(sum(all().flat_map(gave))));
            }
            (Output::Count, _) => {
                let points = all().flat_map(|past| past.seats).filter(|seat| seat.is_touched).count();
                return is_touched.then_some(Value::Int(points as i64));
            }
            (Output::Same | Output::Sum, _) => {
                let levels = at_end.iter().filter(|seat| seat.is_live).filter_map(|seat| seat.level).filter(finite);
                return (is_touched || set_changed).then(|| as_value(sum(levels)));
            }
            (Output::CountSeries, _) => return (is_touched || set_changed).then_some(Value::Int(live as i64)),
            _ => {}
        }
        let first = (newest + 1).checked_sub(steps)?;
        let window: Vec<&Past> = self.intervals[first..].iter().copied().flatten().collect();
        let covered_s: u64 = window.iter().map(|past| past.to_s - past.from_s).sum();
        let is_whole = first > 0 || covered_s >= steps as u64 * self.interval_s;
        let is_extreme = matches!(output, Output::Min | Output::Max);
        let differs = (first..=newest).any(|i| self.is_changed(i))
            || first > 0 && (self.is_trailing(first - 1) || is_extreme && Self::swings(self.intervals[first - 1]));
        if self.is_last || !is_whole || !differs {
            return None;
        }
        let added = || sum(window.iter().copied().flat_map(gave));
        let samples = || {
            let of = |past: &Past| {
                let length_s = past.to_s - past.from_s;
                let seats = past.seats.into_iter().filter(|seat| seat.is_live);
                seats.filter_map(move |seat| seat.level.map(|level| (level, seat.time_s, length_s)))
            };
            window.iter().copied().flat_map(of)
        };
        let weighed: Vec<(f64, f64)> = samples()
            .filter(|(level, ..)| finite(level))
            .map(|(level, _, length_s)| (level.as_f64(), length_s as f64))
            .collect();
        let weight: f64 = weighed.iter().map(|(_, weight)| weight).sum();
        let mean = weighed.iter().map(|(value, weight)| value * weight).sum::<f64>() / weight;
        let mut values: Vec<f64> = weighed.iter().map(|(value, _)| *value).collect();
        values.sort_by(f64::total_cmp);
        // what was inside an interval counts for the smallest and the largest alone
        let of_past = |past: &Past| past.seats.into_iter().filter(|seat| seat.is_live).filter_map(|seat| seat.before);
        let inside = window.iter().copied().flat_map(of_past).map(Value::as_f64).chain(values.iter().copied());
        let key = |(value, time_s, _): &(Value, u64, u64)| (*time_s, value.bits(), value.is_double());
        let oldest_key = |(value, time_s, _): &(Value, u64, u64)| (u64::MAX - *time_s, value.bits(), value.is_double());
        match output {
            Output::Increase => Some(as_value(added())),
            Output::Rate => Some(Value::Double(added().0 as f64 / 1_024.0 * 1e9 / (covered_s * S) as f64)),
            Output::Avg => (weight > 0.0).then_some(Value::Double(mean)),
            Output::Stdvar => (weight > 0.0).then(|| {
                let squares = weighed.iter().map(|(value, weight)| (value - mean).powi(2) * weight);
                Value::Double(squares.sum::<f64>() / weight)
            }),
            Output::Min => inside.clone().reduce(f64::min).map(Value::Double),
            Output::Max => inside.clone().reduce(f64::max).map(Value::Double),
            Output::Last => samples().max_by_key(key).map(|(value, ..)| value),
            Output::First => samples().max_by_key(oldest_key).map(|(value, ..)| value),
            Output::Quantile(quantile) => {
                let rank = quantile * values.len().checked_sub(1)? as f64;
                let (low, part) = (rank.floor() as usize, rank - rank.floor());
                let high = (low + 1).min(values.len() - 1);
                Some(Value::Double(values[low] * (1.0 - part) + values[high] * part))
            }
            other => panic!("{other:?} is not in the reference"),
        }
    }
}

/// Whether what left is what the reference says: levels and evaluations of a group where nobody lives are not compared, as
/// they end; deviations are compared but for rounding.
fn agree(output: &Output, left: Value, want: Value) -> bool {
    let (left_f64, want_f64) = (left.as_f64(), want.as_f64());
    match output {
        Output::Stdvar => (left_f64 - want_f64).abs() <= 1e-9 * want_f64.abs() + 1e-6,
        // ints and doubles of one value may stand for one another
        Output::Min | Output::Max => left_f64 == want_f64,
        _ => left.is_double() == want.is_double() && (left.bits() == want.bits() || left_f64 == want_f64),
    }
}

fn check(
    cuts: &[Cut],
    input: InputKind,
    interval_s: u64,
    shards: usize,
    turn: usize,
    outputs: &[(Output, u64)],
) -> Result<(), TestCaseError> {
    let played = play(cuts, input);
    let mut group = Group::new(input, interval_s, shards, outputs);
    let need = group.spec.live();
    let (mut ends, mut before_s) = (vec![0], played[0].from_s);
    let mut shown = vec![false; outputs.len()];
    for (i, past) in played.iter().enumerate() {
        let is_last = i + 1 == played.len();
        let is_rule_cut = is_last || past.to_s / interval_s != before_s / interval_s;
        before_s = past.to_s;
        let all_live = need == LiveNeed::AtBaseCuts || need == LiveNeed::AtRuleCuts && is_rule_cut;
        let shown_whole = |seat: &Seat| seat.level.filter(|_| input == InputKind::Summary).map(summary_of);
        let summaries = past.seats.each_ref().map(shown_whole);
        let mut given: Vec<Contribution<'_>> = past
            .seats
            .iter()
            .zip(&summaries)
            .filter(|(seat, _)| seat.is_touched || seat.is_live && all_live)
            .map(|(seat, summary)| Contribution {
                delta: seat.gave.filter(|_| matches!(input, InputKind::Counter | InputKind::UpDownCounter)),
                level: seat.level.filter(|_| matches!(input, InputKind::UpDownCounter | InputKind::Gauge)),
                extremes: seat.before.zip(seat.level).map(|(before, level)| {
                    let is_less = level.as_f64() < before.as_f64();
                    if is_less { (level, before) } else { (before, level) }
                }),
                summary: summary.as_deref().filter(|_| seat.is_live),
                points: u64::from(seat.is_touched),
                time_ns: seat.time_s * S,
                is_touched: seat.is_touched,
                is_live: seat.is_live,
                ..Contribution::default()
            })
            .collect();
        let turn = turn % given.len().max(1);
        given.rotate_left(turn);
        let seen = group.cut_as((past.from_s * S, past.to_s * S), is_last, &given);
        if !is_rule_cut {
            prop_assert!(seen.is_empty());
            continue;
        }
        ends.push(i + 1);
        let intervals = ends.windows(2).map(|pair| &played[pair[0]..pair[1]]).collect();
        let reference = Reference { input, interval_s, intervals, is_last };
        let live = Reference::live_at_end(reference.intervals[reference.intervals.len() - 1]);
        for (place, (output, window_s)) in outputs.iter().enumerate() {
            let left: Vec<&Seen> = seen.iter().filter(|seen| seen.output == place).collect();
            let want = reference.says(output, *window_s);
            let is_merge =
                matches!(output, Output::Count) || input == InputKind::Counter && matches!(output, Output::Same);
            let of_live = !is_merge && (input != InputKind::Counter || matches!(output, Output::CountSeries));
            let is_window = !is_merge && !matches!(output, Output::Same | Output::Sum | Output::CountSeries);
            if of_live && live == 0 {
                let may_end = shown[place] && !(is_last && is_window);
                prop_assert_eq!(left.len(), usize::from(may_end), "{:?} at cut {}", output, i);
                prop_assert!(left.iter().all(|seen| seen.left == Left::End));
                shown[place] &= !may_end;
                continue;
            }
            match (left.as_slice(), want) {
                ([], None) => {}
                ([Seen { left: Left::End, .. }], None) if is_window && shown[place] => shown[place] = false,
                ([Seen { left: Left::Number { value, .. }, .. }], Some(want)) => {
                    prop_assert!(agree(output, *value, want), "{:?} at cut {}: {:?}, not {:?}", output, i, value, want);
                    shown[place] = true;
                }
                ([Seen { left: Left::Summary(words), .. }], Some(want)) => {
                    let want = summary_of(want);
                    prop_assert_eq!(words.as_slice(), &want[..words.len()], "{:?} at cut {}", output, i);
                    prop_assert_eq!(words.len(), summary::used(&want.as_slice()));
                    shown[place] = true;
                }
                _ => prop_assert!(false, "{:?} at cut {}: {:?}, not {:?}", output, i, left, want),
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn counters_are_what_the_reference_says(
        cuts in cuts(), interval in 1u64..4, steps in 1u64..6, shards in 1usize..5, turn in 0usize..8,
    ) {
        let (interval, window) = (interval * 10, interval * steps * 10);
        check(&cuts, InputKind::Counter, interval, shards, turn, &[
            (Output::Same, interval), (Output::Count, interval), (Output::CountSeries, interval),
            (Output::Increase, window), (Output::Rate, window), (Output::Increase, interval),
        ])?;
    }

    #[test]
    fn a_merge_needs_none_but_the_touched(cuts in cuts(), interval in 1u64..4, shards in 1usize..5) {
        check(&cuts, InputKind::Counter, interval * 10, shards, 0, &[(Output::Same, 10), (Output::Count, 10)])?;
    }

    #[test]
    fn summaries_are_what_the_reference_says(
        cuts in cuts(), interval in 1u64..4, steps in 1u64..6, shards in 1usize..5, turn in 0usize..8,
    ) {
        let (interval, window) = (interval * 10, interval * steps * 10);
        check(&cuts, InputKind::Summary, interval, shards, turn, &[
            (Output::Last, window), (Output::CountSeries, interval), (Output::Last, interval),
        ])?;
    }

    #[test]
    fn levels_and_gauges_are_what_the_reference_says(
        cuts in cuts(), is_gauge in any::<bool>(), interval in 1u64..4, steps in 1u64..6, shards in 1usize..5, turn in 0usize..8,
    ) {
        let (interval, window) = (interval * 10, interval * steps * 10);
        let input = if is_gauge { InputKind::Gauge } else { InputKind::UpDownCounter };
        let mut outputs = vec![
            (Output::Sum, interval), (Output::CountSeries, interval), (Output::Count, interval), (Output::Avg, window),
            (Output::Min, window), (Output::Max, window), (Output::Stdvar, window), (Output::Quantile(0.5), window),
            (Output::Avg, interval), (Output::Quantile(0.9), interval),
        ];
        if is_gauge {
            outputs.extend([(Output::First, window), (Output::Last, window), (Output::Last, interval)]);
        }
        check(&cuts, input, interval, shards, turn, &outputs)?;
        check(&cuts, input, interval, shards, turn, &outputs[..3])?;
    }
}
