//! Exemplars at a cut: of all cells of a series the newest few, for batches and for scrapes (M29).
//!
//! Knows closed reservoirs and what was gathered of them; does not know how they came there (`series::exemplars`). They
//! leave with the series' value, in both views, and never change it. A cut without any costs nothing; in one that has
//! some, each series that leaves is looked up once for each of its cells.
//!
//! Bounds: one `Shown` a cut, at most `limits::EXEMPLARS_BYTES_MAX`; what has no room is counted.

use crate::ledger::{Note, Tally};
use crate::otlp::encode::exemplars_key;
use crate::series::Series;
use crate::series::exemplars::{KeptExemplar, LastShown, NewestExemplars, Reservoir, Shown};
use crate::series::registry::Registry;
use crate::sync::cut::ShardView;
use std::sync::Arc;

/// The exemplars of the cut being merged.
#[derive(Default)]
pub(super) struct Gathering {
    /// By core, what it closed at this cut.
    closed: Vec<Option<Arc<Reservoir>>>,
    any: bool,
    shown: Shown,
    last: LastShown,
}

impl Gathering {
    /// Begins with what the cores closed.
    pub(super) fn begin(&mut self, cut: u32, cores: &[ShardView], registry: &Registry) {
        self.closed.clear();
        self.closed.extend(cores.iter().enumerate().map(|(core, view)| {
            let closed = view.closed?;
            let reservoir = registry.exemplars(core);
            (reservoir.interval() == closed.interval && !reservoir.is_empty()).then_some(reservoir)
        }));
        self.any = self.closed.iter().any(Option::is_some);
        self.shown = Shown::begin(cut, if self.any { &self.last.newest } else { &self.shown });
    }

    /// Gathers those of a series: where they are, one higher, and their bytes; (0, 0) if it has none.
    #[cold]
    pub(super) fn of(&mut self, series: &Arc<Series>, tally: &mut Tally) -> (u32, usize) {
        let mut newest = NewestExemplars::default();
        each_of(&self.closed, series, |kept| newest.offer(kept));
        show(&mut self.shown, series, newest.sorted(), tally)
    }

    /// Calls `visit` with each that the cores kept of a series.
    pub(super) fn each_of<'a>(&'a self, series: &Series, visit: impl FnMut(KeptExemplar<'a>)) {
        each_of(&self.closed, series, visit);
    }

    /// Shows these of a series, oldest first: as `of` says where they are.
    #[cold]
    pub(super) fn show(&mut self, series: &Arc<Series>, all: &[KeptExemplar<'_>], tally: &mut Tally) -> (u32, usize) {
        show(&mut self.shown, series, all, tally)
    }

    /// Some core closed any.
    pub(super) const fn any(&self) -> bool {
        self.any
    }

    /// The fields of what `of` found.
    #[cold]
    pub(super) fn fields(&self, place: u32) -> &[u8] {
        place.checked_sub(1).map_or(&[], |place| self.shown.fields(place))
    }

    /// The cut is merged: scrapes may see them.
    pub(super) fn publish(&mut self, owner: usize, registry: &Registry) {
        self.closed.clear();
        if self.shown.is_empty() && self.last.newest.is_empty() && self.last.before.is_empty() {
            return;
        }
        let newest = Arc::new(std::mem::take(&mut self.shown));
        self.last = LastShown { newest: newest.clone(), before: std::mem::replace(&mut self.last.newest, newest) };
        registry.show_exemplars(owner, Arc::new(self.last.clone()));
    }
}

fn each_of<'a>(closed: &'a [Option<Arc<Reservoir>>], series: &Series, mut visit: impl FnMut(KeptExemplar<'a>)) {
    series.each_cell(|cell| {
        if let Some(Some(reservoir)) = closed.get(cell.core as usize) {
            reservoir.of(cell.line).for_each(&mut visit);
        }
    });
}

fn show(shown: &mut Shown, series: &Arc<Series>, all: &[KeptExemplar<'_>], tally: &mut Tally) -> (u32, usize) {
    if all.is_empty() {
        return (0, 0);
    }
    match shown.add(series, exemplars_key(series.group.kind), all) {
        Some(place) => (place + 1, shown.fields(place).len()),
        None => {
            tally.note(Note::ExemplarsDropped, all.len() as u64);
            (0, 0)
        }
    }
}
