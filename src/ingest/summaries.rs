//! Summary points: from bytes to their cell (M28).
//!
//! Knows how a point becomes a region; does not know what makes one valid (`check`), how routes are found, nor the words of a
//! bank (`cells`).

use super::check::check_summary;
use super::{Ingest, MetricWalk, Place, Walked, stage_birth};
use crate::aggregate::summary::{self, REGION};
use crate::cells::{self, Shape};
use crate::identity::attributes::Limits;
use crate::ledger::Tally;
use crate::model::Reject;
use crate::otlp::attributes;
use crate::otlp::points::{Attributes, NO_RECORDED_VALUE, NUMBER_ATTRIBUTES_KEY};
use crate::otlp::summaries::{SummaryPoint, summary as read};
use crate::resolve::{EXPECTED_BYTES, StreamKey, Target};
use crate::wire::Fault;
use bumpalo::Bump;

use super::stage::Stage;

impl Ingest {
    pub(super) fn summaries<'a>(
        &mut self,
        data: &'a [u8],
        key: StreamKey<'a>,
        walk: &mut MetricWalk<'a>,
        at: &mut Place,
        arena: &'a Bump,
        stage: &mut Stage<'a>,
    ) -> Result<Walked, Fault> {
        let stream = self.stream(walk, &key, stage)?;
        let mut pending = None;
        let mut prediction = self.predict(stream, walk);
        let walked = self.each_point(data, at, arena, stage, |ingest, message, stage| {
            let point =
                read(message, ingest.resolver.expected(&prediction), arena).map_err(|f| f.named("SummaryDataPoint"))?;
            if let Err(reason) = check_summary(&point, ingest.latest) {
                if let Attributes::Run(run) = point.attributes {
                    let _ = attributes::normalise(run, NUMBER_ATTRIBUTES_KEY, Limits::DEFAULT, &mut Vec::new())?;
                }
                stage.reject(key.kind, reason, 1);
                return Ok(());
            }
            let run = match point.attributes {
                Attributes::Expected => {
                    stage.predicted += 1;
                    stage.add_summary(Target::Route(prediction.guess()), point);
                    ingest.resolver.came(&mut prediction, EXPECTED_BYTES);
                    return Ok(());
                }
                Attributes::Run(run) => run,
            };
            stage.lookups += 1;
            if let Some(route) = ingest.resolver.look_up(&mut prediction, run) {
                stage.add_summary(Target::Route(route), point);
                return Ok(());
            }
            if let Some(birth) = stage_birth(run, &key, walk, &mut pending, arena, stage)? {
                stage.add_summary(Target::Birth(birth), point);
            }
            Ok(())
        })?;
        at.last_route = prediction.last();
        Ok(walked)
    }

    pub(super) fn summary(&mut self, route: u32, point: &SummaryPoint<'_>, tally: &mut Tally) -> Result<(), Reject> {
        let line = self.touched(route, Shape::Summary, tally)?;
        let mut region = [0; REGION];
        let has_value = point.flags & NO_RECORDED_VALUE == 0;
        if has_value {
            summary::put(&mut region.as_mut_slice(), point.start, point.count, point.sum, point.quantiles);
        }
        let bank = self.bank_at(line, Shape::Summary);
        let loss = cells::summary::add(bank, point.time, has_value.then_some(&region), tally)?;
        self.show_loss(loss, route);
        Ok(())
    }
}
