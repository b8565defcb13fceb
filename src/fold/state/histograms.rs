//! What leaves of histograms: those that are made, and those that are merged.
//!
//! Knows the interval that a cut closed; does not know how buckets are gathered (`windows`, `made`).

use super::{Closing, Leaving, LeavingValue, MadeState, OutputState, Variant};
use crate::fold::made::Made;
use crate::fold::part::made_for;
use crate::fold::spec::{FoldSpec, is_histogram};
use crate::fold::windows::{RegionLeaving, store};
use crate::fold::work::FoldWork;
use crate::rules::Output;

impl OutputState {
    /// What is made of samples leaves if there were any, of histograms if a member was touched.
    pub(super) fn leave_made(
        &mut self,
        spec: &FoldSpec,
        closing: &Closing<'_>,
        work: &mut FoldWork,
        visit: &mut impl FnMut(Leaving<'_>),
    ) {
        let MadeState { open, total, starts_ns } = &mut **self.made.get_or_insert_default();
        made_for(open, spec);
        made_for(total, spec);
        starts_ns.resize(spec.made.len(), None);
        for (i, (output, _)) in spec.made.iter().enumerate() {
            let (open, total, start_ns) = (&mut open[i], &mut total[i], &mut starts_ns[i]);
            if let Some(regions) = &self.regions {
                regions.make(open, work);
            }
            if open.count() == 0 && !(is_histogram(spec.input) && closing.interval.is_touched) {
                continue;
            }
            if total.absorb(open) {
                work.notes.count_overflows += 1;
                *start_ns = None;
            }
            let start_ns = *start_ns.get_or_insert(closing.cut.from_ns());
            let [delta_words, total_words] = &mut work.regions;
            let (variant, value) = match (&mut *open, total) {
                (Made::Explicit { bounds, sum }, Made::Explicit { sum: total, .. }) => {
                    sum.copy_to(delta_words);
                    total.copy_to(total_words);
                    (Variant::Bounds(bounds), LeavingValue::Explicit { delta: delta_words, total: total_words })
                }
                (Made::Exponential { value, .. }, Made::Exponential { value: total, .. }) => {
                    store(value, delta_words);
                    store(total, total_words);
                    (Variant::Plain, LeavingValue::Exponential { delta: delta_words, total: total_words })
                }
                _ => unreachable!("an output's interval and total are made with one bucketing"),
            };
            let time_ns = closing.cut.boundary_ns;
            visit(Leaving { output: *output, variant, start_ns, time_ns, value });
            open.clear();
        }
    }

    /// Histograms leave bounds by bounds.
    pub(super) fn leave_regions(
        &mut self,
        spec: &FoldSpec,
        closing: &Closing<'_>,
        work: &mut FoldWork,
        visit: &mut impl FnMut(Leaving<'_>),
    ) {
        let Some(regions) = &mut self.regions else { return };
        let same = spec.outputs.iter().enumerate().filter(|(_, output)| matches!(output.output, Output::Same));
        regions.settle(closing.cut.from_ns(), work, |start_ns, leaving| {
            let (variant, value) = match leaving {
                RegionLeaving::Explicit { bounds, delta, total } => {
                    (Variant::Bounds(bounds), LeavingValue::Explicit { delta, total })
                }
                RegionLeaving::Exponential { delta, total } => {
                    (Variant::Plain, LeavingValue::Exponential { delta, total })
                }
            };
            for (output, _) in same.clone() {
                visit(Leaving { output, variant, start_ns, time_ns: closing.cut.boundary_ns, value });
            }
        });
    }
}
