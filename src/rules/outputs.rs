//! Which output is there for which kind of input, what leaves as it, and how it is called.
//!
//! Knows the table of outputs; does not know how one is computed (`fold`), or how a document writes it (`config`).

use super::rule::{Bucketing, InputKind, Output};

/// Whether an output is there for a kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It is.
    Defined,
    /// It has a meaning, and is not built yet.
    NotYet,
    /// It has none, and why; empty where nothing is to be said.
    Undefined(&'static str),
}

/// An output, whatever its parameters are.
#[derive(Clone, Copy, Debug)]
pub struct OutputWord {
    /// As rules write it; a quantile is `quantile`.
    pub word: &'static str,
    /// What it takes in brackets: `5m` where it has a window, or its parameters.
    pub parameters: &'static str,
    /// In one line.
    pub about: &'static str,
    /// By number of the kind of input.
    support: [Support; InputKind::COUNT],
    /// By number of the kind of input: it looks back over the rule's window.
    has_window: [bool; InputKind::COUNT],
}

const YES: Support = Support::Defined;
const LATER: Support = Support::NotYet;
const NO: Support = Support::Undefined("");
const USE_SAME: Support = Support::Undefined("use same");
const NO_MERGE: Support =
    Support::Undefined("a gauge has no merge of its own: say which value the members have together");
const QUANTILES: Support = Support::Undefined("the quantiles of summaries do not add");
const BUCKETS: Support = Support::Undefined("buckets of given bounds do not bound it");
const USE_COUNT: Support = Support::Undefined("use count");

const NEVER: [bool; InputKind::COUNT] = [false; InputKind::COUNT];
const ALWAYS: [bool; InputKind::COUNT] = [true; InputKind::COUNT];
/// What is added over time looks back; a level is taken at the cut.
const ADDED: [bool; InputKind::COUNT] = [true, false, false, true, true, false];

const fn row(
    word: &'static str,
    parameters: &'static str,
    about: &'static str,
    support: [Support; InputKind::COUNT],
    has_window: [bool; InputKind::COUNT],
) -> OutputWord {
    OutputWord { word, parameters, about, support, has_window }
}

/// All outputs. Kinds stand in the order counter, updowncounter, gauge, histogram, exponential histogram, summary.
pub const OUTPUTS: [OutputWord; 19] = [
    row("same", "", "the merge, under the same name", [YES, YES, NO_MERGE, YES, YES, QUANTILES], NEVER),
    row("sum", "", "the sum of the members' values", [YES, YES, YES, YES, YES, QUANTILES], NEVER),
    row(
        "total",
        "",
        "the running total, cumulative for everybody",
        [YES, USE_SAME, NO, USE_COUNT, USE_COUNT, NO],
        NEVER,
    ),
    row("count", "", "points, or observations of histograms", [YES, YES, YES, YES, YES, NO], NEVER),
    row("count_series", "", "members that are live", [YES, YES, YES, YES, YES, YES], NEVER),
    row("last", "5m", "the newest value; of summaries the newest whole", [USE_SAME, NO, YES, NO, NO, YES], ALWAYS),
    row("first", "5m", "the oldest value", [USE_SAME, NO, YES, NO, NO, NO], ALWAYS),
    row("min", "5m", "the smallest value", [LATER, YES, YES, YES, YES, NO], ALWAYS),
    row("max", "5m", "the largest value", [LATER, YES, YES, YES, YES, NO], ALWAYS),
    row("avg", "5m", "the mean", [LATER, YES, YES, YES, YES, NO], ALWAYS),
    row("stddev", "5m", "the standard deviation of the members", [LATER, YES, YES, BUCKETS, YES, NO], ALWAYS),
    row("stdvar", "5m", "its square", [LATER, YES, YES, BUCKETS, YES, NO], ALWAYS),
    row("increase", "5m", "what was added in the window", [YES, NO, NO, YES, YES, NO], ALWAYS),
    row("rate", "5m", "the same, a second", [YES, NO, NO, YES, YES, NO], ALWAYS),
    row("unique", "KEY, …", "how many different values the keys have together", [YES; InputKind::COUNT], ALWAYS),
    row("quantile", "0.95, 5m", "a quantile; p95 is the same", [LATER, YES, YES, YES, YES, QUANTILES], ALWAYS),
    row("histogram", "BOUND, …", "a histogram of these bounds", [NO, NO, YES, YES, YES, NO], NEVER),
    row(
        "exponential_histogram",
        "BUCKETS",
        "an exponential histogram of at most so many buckets a side",
        [NO, NO, YES, YES, YES, NO],
        NEVER,
    ),
    row(
        "topk",
        "COUNT, KEY, …",
        "the largest of the groups that the keys make, and the others as one",
        [YES, YES, YES, YES, YES, NO],
        ADDED,
    ),
];

/// The words of the outputs that are there for a kind.
pub fn words_for(kind: InputKind) -> impl Iterator<Item = &'static str> {
    OUTPUTS.iter().filter(move |row| row.support[kind as usize] == Support::Defined).map(|row| row.word)
}

impl Output {
    /// As rules write it, without parameters.
    pub const fn word(&self) -> &'static str {
        match self {
            Output::Same => "same",
            Output::Sum => "sum",
            Output::Total => "total",
            Output::Count => "count",
            Output::CountSeries => "count_series",
            Output::Last => "last",
            Output::First => "first",
            Output::Min => "min",
            Output::Max => "max",
            Output::Avg => "avg",
            Output::Stddev => "stddev",
            Output::Stdvar => "stdvar",
            Output::Increase => "increase",
            Output::Rate => "rate",
            Output::Unique(_) => "unique",
            Output::Quantile(_) => "quantile",
            Output::Histogram(Bucketing::Explicit(_)) => "histogram",
            Output::Histogram(Bucketing::Exponential(_)) => "exponential_histogram",
            Output::TopK { .. } => "topk",
        }
    }

    /// Its row of the table.
    fn row(&self) -> &'static OutputWord {
        let word = self.word();
        OUTPUTS.iter().find(|row| row.word == word).unwrap_or_else(|| panic!("{word} has no row"))
    }

    /// Whether it is there for this kind.
    pub fn support(&self, input: InputKind) -> Support {
        self.row().support[input as usize]
    }

    /// Whether it looks back over the rule's window; all others tell of the interval, or of the moment of the cut.
    pub fn has_window(&self, input: InputKind) -> bool {
        self.row().has_window[input as usize]
    }

    /// What leaves as it: what counts up is a counter, what a histogram becomes is one, and all evaluations are gauges.
    pub fn leaves_as(&self, input: InputKind) -> InputKind {
        match (self, input) {
            (Output::Same, input) => input,
            (Output::Sum, InputKind::Counter | InputKind::UpDownCounter) => input,
            (Output::Sum, InputKind::Histogram | InputKind::ExponentialHistogram) => InputKind::Counter,
            (Output::Total | Output::Count, _) => InputKind::Counter,
            (Output::Last, InputKind::Summary) => InputKind::Summary,
            (Output::Histogram(Bucketing::Explicit(_)), _) => InputKind::Histogram,
            (Output::Histogram(Bucketing::Exponential(_)), _) => InputKind::ExponentialHistogram,
            _ => InputKind::Gauge,
        }
    }

    /// The unit that it leaves with, of a metric with this one (UCUM): what is counted is an annotation, a rate is by the
    /// second, a variance has the square.
    pub fn unit(&self, input: InputKind, unit: &str) -> String {
        let is_histogram = matches!(input, InputKind::Histogram | InputKind::ExponentialHistogram);
        // what its observations are counted in
        let counted = if is_histogram { "{observation}" } else { unit };
        match self {
            Output::Count if is_histogram => "{observation}".into(),
            Output::Count => "{point}".into(),
            Output::CountSeries => "{series}".into(),
            Output::Unique(_) => "{value}".into(),
            Output::Increase | Output::TopK { .. } => counted.into(),
            Output::Rate if is_histogram || unit.is_empty() => "1/s".into(),
            Output::Rate => format!("{unit}/s"),
            Output::Stdvar if unit.is_empty() || unit == "1" => unit.into(),
            Output::Stdvar if unit.contains(['/', '.', '(']) => format!("({unit})2"),
            Output::Stdvar => format!("{unit}2"),
            _ => unit.into(),
        }
    }

    /// What stands behind the name of the metric, unless the rule renames; empty: it keeps the name.
    ///
    /// A quantile is `p` and its percents: `p99.9`.
    pub fn suffix(&self, input: InputKind) -> String {
        match self {
            Output::Same => String::new(),
            Output::Histogram(_) if input == InputKind::Gauge => "histogram".into(),
            Output::Histogram(_) => String::new(),
            Output::CountSeries => "series".into(),
            // what the decimals say, not what a product of doubles does
            Output::Quantile(quantile) => format!("p{}", (quantile * 1e11).round() / 1e9),
            other => other.word().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Output> {
        let keys = || vec!["k".into()];
        vec![
            Output::Same,
            Output::Sum,
            Output::Total,
            Output::Count,
            Output::CountSeries,
            Output::Last,
            Output::First,
            Output::Min,
            Output::Max,
            Output::Avg,
            Output::Stddev,
            Output::Stdvar,
            Output::Increase,
            Output::Rate,
            Output::Unique(keys()),
            Output::Quantile(0.95),
            Output::Histogram(Bucketing::Explicit([1.0].into())),
            Output::Histogram(Bucketing::Exponential(80)),
            Output::TopK { k: 1, keys: keys() },
        ]
    }

    /// The table of the specification, by its signs: `y` defined, `2` not yet, `.` undefined.
    #[test]
    fn the_table_says_what_the_specification_does() {
        let signs: Vec<String> = samples()
            .iter()
            .map(|output| {
                let sign = |kind: &InputKind| match output.support(*kind) {
                    Support::Defined => 'y',
                    Support::NotYet => '2',
                    Support::Undefined(_) => '.',
                };
                format!("{} {}", output.word(), InputKind::ALL.iter().map(sign).collect::<String>())
            })
            .collect();
        let want = [
            "same yy.yy.",
            "sum yyyyy.",
            "total y.....",
            "count yyyyy.",
            "count_series yyyyyy",
            "last ..y..y",
            "first ..y...",
            "min 2yyyy.",
            "max 2yyyy.",
            "avg 2yyyy.",
            "stddev 2yy.y.",
            "stdvar 2yy.y.",
            "increase y..yy.",
            "rate y..yy.",
            "unique yyyyyy",
            "quantile 2yyyy.",
            "histogram ..yyy.",
            "exponential_histogram ..yyy.",
            "topk yyyyy.",
        ];
        assert_eq!(signs, want);
        assert_eq!(OUTPUTS.len(), want.len(), "no row without an output");
        assert_eq!(words_for(InputKind::Summary).collect::<Vec<_>>(), ["count_series", "last", "unique"]);
    }

    #[test]
    fn what_leaves_has_a_unit() {
        let check =
            |output: Output, input, unit: &str, want: &str| assert_eq!(output.unit(input, unit), want, "{output:?}");
        use InputKind::{Counter, Gauge, Histogram};
        check(Output::Same, Counter, "By", "By");
        check(Output::Rate, Counter, "By", "By/s");
        check(Output::Rate, Counter, "", "1/s");
        check(Output::Rate, Histogram, "s", "1/s");
        check(Output::Increase, Histogram, "s", "{observation}");
        check(Output::Count, Histogram, "s", "{observation}");
        check(Output::Count, Gauge, "Cel", "{point}");
        check(Output::CountSeries, Gauge, "Cel", "{series}");
        check(Output::Stdvar, Gauge, "s", "s2");
        check(Output::Stdvar, Gauge, "By/s", "(By/s)2");
        check(Output::Quantile(0.5), Histogram, "s", "s");
    }

    #[test]
    fn what_leaves_has_a_kind_and_a_name() {
        let check = |output: Output, input, kind, suffix: &str| {
            assert_eq!((output.leaves_as(input), output.suffix(input)), (kind, suffix.to_owned()), "{output:?}");
        };
        use InputKind::{Counter, ExponentialHistogram, Gauge, Histogram, Summary, UpDownCounter};
        check(Output::Same, UpDownCounter, UpDownCounter, "");
        check(Output::Sum, Gauge, Gauge, "sum");
        check(Output::Sum, Counter, Counter, "sum");
        check(Output::Sum, Histogram, Counter, "sum");
        check(Output::Count, Gauge, Counter, "count");
        check(Output::CountSeries, Summary, Gauge, "series");
        check(Output::Last, Summary, Summary, "last");
        check(Output::Rate, ExponentialHistogram, Gauge, "rate");
        check(Output::Quantile(0.999), Histogram, Gauge, "p99.9");
        check(Output::Quantile(0.07), Histogram, Gauge, "p7");
        let bounds = || Output::Histogram(Bucketing::Explicit([1.0].into()));
        check(bounds(), Gauge, Histogram, "histogram");
        check(bounds(), ExponentialHistogram, Histogram, "");
        check(Output::Histogram(Bucketing::Exponential(8)), Histogram, ExponentialHistogram, "");
    }
}
