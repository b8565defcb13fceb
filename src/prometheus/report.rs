//! What the page had to leave out, join or choose: counters, and the first few cases by name.
//!
//! Knows reasons; does not log. The caller turns warnings into (rate-limited) log lines.
//!
//! Bounds: `limits::PAGE_WARNINGS_MAX` warnings, each with names of at most `limits::PAGE_NAME_BYTES_SHOWN` bytes.

use crate::limits;

/// Why something is not on the page as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum WarningReason {
    /// X5: an older metric has the same family name and another TYPE; this one is left out.
    TypeConflict = 0,
    /// X6: a histogram or summary needs this family's name for `_bucket`, `_sum` or `_count`, or `target_info` does;
    /// the metric is left out.
    NameTaken,
    /// The name has no character that Prometheus allows; the metric is left out.
    Unnameable,
    /// X5: several descriptions under one name; the longest is shown.
    HelpConflict,
    /// Rows of one Prometheus identity were made one.
    Merged,
    /// Histograms of one identity and different bounds: only the newest bounds are shown.
    BoundsConflict,
    /// Counts of one identity that add up past 2^64: the row is left out.
    CountOverflow,
    /// A row's value is not of its metric's kind; the row is left out.
    WrongKind,
    /// X12: several resources have one job and instance; `target_info` shows the oldest.
    TargetConflict,
    /// X5: several units under one name; the one that the name ends with is shown.
    UnitConflict,
    /// A counter of OpenMetrics is neither negative nor NaN; the row is left out there.
    NotACounter,
    /// X15: an exponential histogram without a sum has no native form; the row is left out of the protobuf format.
    NativeSum,
    /// X15: a scale below −4 has no native form; the row is left out of the protobuf format.
    NativeScale,
}

impl WarningReason {
    /// Number of reasons.
    pub const COUNT: usize = 13;
    /// All reasons, by number.
    pub const ALL: [WarningReason; Self::COUNT] = [
        WarningReason::TypeConflict,
        WarningReason::NameTaken,
        WarningReason::Unnameable,
        WarningReason::HelpConflict,
        WarningReason::Merged,
        WarningReason::BoundsConflict,
        WarningReason::CountOverflow,
        WarningReason::WrongKind,
        WarningReason::TargetConflict,
        WarningReason::UnitConflict,
        WarningReason::NotACounter,
        WarningReason::NativeSum,
        WarningReason::NativeScale,
    ];

    /// The label value in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            WarningReason::TypeConflict => "type_conflict",
            WarningReason::NameTaken => "name_taken",
            WarningReason::Unnameable => "unnameable",
            WarningReason::HelpConflict => "help_conflict",
            WarningReason::Merged => "merged",
            WarningReason::BoundsConflict => "bounds_conflict",
            WarningReason::CountOverflow => "count_overflow",
            WarningReason::WrongKind => "wrong_kind",
            WarningReason::TargetConflict => "target_conflict",
            WarningReason::UnitConflict => "unit_conflict",
            WarningReason::NotACounter => "not_a_counter",
            WarningReason::NativeSum => "native_sum",
            WarningReason::NativeScale => "native_scale",
        }
    }

    /// What the operator is told, with the remedy.
    pub const fn help(self) -> &'static str {
        match self {
            WarningReason::TypeConflict => "metrics of one Prometheus name have different types: rename one",
            WarningReason::NameTaken => "the metric's name is needed for another's _bucket, _sum or _count: rename one",
            WarningReason::Unnameable => "the metric's name has no letter or digit that Prometheus allows: rename it",
            WarningReason::HelpConflict => "metrics of one Prometheus name have different descriptions",
            WarningReason::Merged => {
                "series of different senders have one Prometheus identity: set service.instance.id"
            }
            WarningReason::BoundsConflict => {
                "histograms of one Prometheus identity have different bounds: set service.instance.id or the same bounds"
            }
            WarningReason::CountOverflow => "histogram counts of one Prometheus identity add up past 2^64",
            WarningReason::WrongKind => "a series' value is not of its metric's kind: this is a bug, please report it",
            WarningReason::TargetConflict => "resources differ under one job and instance: set service.instance.id",
            WarningReason::UnitConflict => "metrics of one Prometheus name have different units",
            WarningReason::NotACounter => "a counter of OpenMetrics is neither negative nor NaN: send it as a gauge",
            WarningReason::NativeSum => "a native histogram needs a sum: record it",
            WarningReason::NativeScale => {
                "a native histogram's scale is at least -4: lower the range or raise the scale"
            }
        }
    }
}

/// One case, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Why.
    pub reason: WarningReason,
    /// The Prometheus name, or the OpenTelemetry name where there is none; shortened.
    pub family: String,
    /// The OpenTelemetry name, where one metric is meant; shortened.
    pub metric: String,
}

/// What one page had to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Families with a TYPE line, `target_info` included.
    pub families: u64,
    /// Series shown: rows after merging, `target_info` not counted.
    pub series: u64,
    /// Cases by `WarningReason`: metrics, rows or resources, as the reason says. For `Merged`, the rows that vanished
    /// into another.
    pub cases: [u64; WarningReason::COUNT],
    /// The first cases by name; of `Merged` and `BoundsConflict` one a family.
    pub warnings: Vec<Warning>,
}

impl Report {
    /// How often `reason` was met.
    pub fn count(&self, reason: WarningReason) -> u64 {
        self.cases[reason as usize]
    }

    pub(super) fn warn(&mut self, reason: WarningReason, cases: u64, family: &str, metric: &str) {
        if cases == 0 {
            return;
        }
        self.cases[reason as usize] += cases;
        if self.warnings.len() < limits::PAGE_WARNINGS_MAX
            && !self
                .warnings
                .iter()
                .any(|w| w.reason == reason && w.family == shown(family) && w.metric == shown(metric))
        {
            let (family, metric) = (shown(family).to_string(), shown(metric).to_string());
            self.warnings.push(Warning { reason, family, metric });
        }
    }
}

fn shown(name: &str) -> &str {
    &name[..name.floor_char_boundary(limits::PAGE_NAME_BYTES_SHOWN)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_bounded_and_counters_are_not() {
        let mut report = Report::default();
        for i in 0..1_000 {
            report.warn(WarningReason::Merged, 2, &format!("family_{i}"), "");
        }
        report.warn(WarningReason::Unnameable, 1, &"é".repeat(limits::PAGE_NAME_BYTES_SHOWN), "");
        assert_eq!(report.count(WarningReason::Merged), 2_000);
        assert_eq!(report.count(WarningReason::Unnameable), 1);
        assert_eq!(report.warnings.len(), limits::PAGE_WARNINGS_MAX);
        for (i, reason) in WarningReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, i);
        }
    }
}
