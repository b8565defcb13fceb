//! How outputs go on where a rule says something else of them: what their state has under one spec becomes what another one
//! asks for.
//!
//! Knows two specs, and which outputs both have; does not know rules, names or members.
//!
//! Totals and starts go on, and so do windows that both ask for. What a window lacks, because nothing of it was kept or it
//! was shorter, is waited for: such an output leaves once its window lies whole behind the exchange (S10). Where the rule's
//! interval is another one, all windows begin anew: their steps would have different lengths.

use super::spec::{Class, FoldSpec};
use crate::rules::Output;

/// See the file's head.
#[derive(Clone, Debug)]
pub struct Succession {
    /// What was kept.
    pub(super) before: FoldSpec,
    /// By place among the outputs before, the place that it has now.
    pub(super) places: Box<[Option<usize>]>,
    /// The rule's intervals begin anew.
    pub(super) is_anew: bool,
}

impl Succession {
    /// From outputs kept so; `places`: by place among them, the place of the same output behind the exchange. `is_anew`: the
    /// rule's intervals are others, and the one before has been closed.
    pub fn new(before: &FoldSpec, places: Box<[Option<usize>]>, is_anew: bool) -> Succession {
        Succession { before: before.clone(), places, is_anew }
    }

    /// The place that an output has now.
    pub fn place(&self, before: usize) -> Option<usize> {
        self.places.get(before).copied().flatten()
    }

    /// The rule's intervals begin anew.
    pub const fn is_anew(&self) -> bool {
        self.is_anew
    }

    /// The place that an output of now had before.
    pub(super) fn source(&self, now: usize) -> Option<usize> {
        self.places.iter().position(|place| *place == Some(now))
    }

    /// The place before of an output of now, if as much is kept as its window asks for: it has not to be waited for.
    pub(super) fn whole(&self, spec: &FoldSpec, now: usize) -> Option<usize> {
        let old = self.source(now)?;
        let (before, now) = (&self.before.outputs[old], &spec.outputs[now]);
        // tables of keys are made for one window
        let is_table = matches!(now.output, Output::Unique(_) | Output::TopK { .. });
        let has_all = if is_table { before.steps == now.steps } else { before.steps >= now.steps };
        has_all.then_some(old)
    }

    /// An output that merges, and so has added up since the last cut of the rule, is not there any more.
    pub fn ends_a_merge(&self) -> bool {
        let mut outputs = self.before.outputs.iter().zip(&self.places);
        outputs.any(|(output, place)| output.class == Some(Class::Merge) && place.is_none())
    }
}
