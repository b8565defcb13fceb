//! How a histogram's point goes to its cell.
//!
//! Knows points of both kinds and how they become regions (`regions`); does not know the words of a bank (`cells`).

use super::Ingest;
use super::regions::{fill_exponential, fill_region};
use crate::cells::cumulative_histogram::Times;
use crate::cells::{Bank, explicit_histogram, exponential_histogram};
use crate::ledger::Tally;
use crate::model::Reject;
use crate::otlp::points::{ExponentialPoint, HistogramPoint, NO_RECORDED_VALUE};

impl Ingest {
    pub(super) fn histogram(
        &mut self,
        route: u32,
        point: &HistogramPoint<'_>,
        tally: &mut Tally,
    ) -> Result<(), Reject> {
        let shape = self.resolver.shape(route);
        let line = self.touched(route, shape, tally)?;
        let times = Times { start: point.start, time: point.time };
        let mut region = std::mem::take(&mut self.region);
        let has_value = point.flags & NO_RECORDED_VALUE == 0;
        if has_value {
            region.resize(shape.region_words(), 0);
            fill_region(&mut region, point);
        }
        let loss = explicit_histogram::add(self.bank_at(line, shape), times, has_value.then_some(&region), tally);
        self.region = region;
        self.show_loss(loss?, route);
        Ok(())
    }

    pub(super) fn exponential(
        &mut self,
        route: u32,
        point: &ExponentialPoint<'_>,
        tally: &mut Tally,
    ) -> Result<(), Reject> {
        let shape = self.resolver.shape(route);
        let line = self.touched(route, shape, tally)?;
        let times = Times { start: point.start, time: point.time };
        let has_value = point.flags & NO_RECORDED_VALUE == 0;
        if has_value {
            fill_exponential(&mut self.scratch.point, point);
        }
        let bank = Bank::new(self.resolver.slab().run(line, shape.words()), shape, self.bank);
        let loss = exponential_histogram::add(bank, times, has_value, &mut self.scratch, tally)?;
        self.show_loss(loss, route);
        Ok(())
    }
}
