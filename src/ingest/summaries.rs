//! Summary points: from bytes to their cell (M28).
//!
//! Knows the layout of a summary's bank; does not know what makes one valid (`check`), nor how routes are found. Nothing is added:
//! of the points of an interval the newest stays, whole.

use super::check::check_summary;
use super::commit::{get, put, settled};
use super::{EXPECTED_BYTES, Ingest, MetricWalk, Place, Walked, stage_birth};
use crate::aggregate::summary::{self, REGION};
use crate::cells::shape::{FLAGS, SUMMARY_TIME, Shape, ended_flag, value_flag};
use crate::ledger::{Effect, Note, Tally};
use crate::model::Reject;
use crate::otlp::attributes;
use crate::otlp::points::{Attributes, NO_RECORDED_VALUE, NUMBER_ATTRIBUTES_KEY};
use crate::otlp::summaries::{SummaryPoint, summary as read};
use crate::wire::Fault;
use bumpalo::Bump;

use super::contexts::StreamKey;
use super::histograms::count_point;
use super::stage::{Stage, Target};

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
        let mut follow = self.follow(stream, walk);
        let walked = self.each_point(data, at, arena, stage, |ingest, message, stage| {
            let point =
                read(message, ingest.expected(stream, follow.guess), arena).map_err(|f| f.named("SummaryDataPoint"))?;
            if let Err(reason) = check_summary(&point, ingest.latest) {
                if let Attributes::Run(run) = point.attributes {
                    let _ = attributes::normalise(
                        run,
                        NUMBER_ATTRIBUTES_KEY,
                        attributes::Limits::DEFAULT,
                        &mut Vec::new(),
                    )?;
                }
                stage.reject(key.kind, reason, 1);
                return Ok(());
            }
            let run = match point.attributes {
                Attributes::Expected => {
                    stage.predicted += 1;
                    stage.add_summary(Target::Route(follow.guess), point);
                    follow.step(follow.guess, &ingest.routes, EXPECTED_BYTES);
                    return Ok(());
                }
                Attributes::Run(run) => run,
            };
            stage.lookups += 1;
            if let Some(route) = ingest.look_up(&mut follow, run) {
                stage.add_summary(Target::Route(route), point);
                return Ok(());
            }
            if let Some(birth) = stage_birth(run, NUMBER_ATTRIBUTES_KEY, &key, walk, &mut pending, arena, stage)? {
                stage.add_summary(Target::Birth(birth), point);
            }
            Ok(())
        })?;
        at.last_route = follow.last;
        Ok(walked)
    }

    pub(super) fn summary(&mut self, route: u32, point: &SummaryPoint<'_>, tally: &mut Tally) -> Result<(), Reject> {
        let shape = Shape::Summary;
        let at = shape.bank(self.bank).start;
        let line = self.touched(route, shape, at, tally)?;
        let words = self.slab.run(line, shape.words());
        count_point(words, at)?;
        let flags = get(words, FLAGS);
        let (value, ended) = (flags & value_flag(self.bank) != 0, flags & ended_flag(self.bank) != 0);
        let before = get(words, at + SUMMARY_TIME);
        if point.flags & NO_RECORDED_VALUE != 0 {
            tally.note(Note::NoRecordedValue, 1);
            if point.time <= before {
                self.without_effect(words, at, 1, Effect::Superseded, route, tally);
            } else {
                settled(words, at, 1, Effect::WithEffect, tally);
                put(words, at + SUMMARY_TIME, point.time);
                put(words, FLAGS, flags & !value_flag(self.bank) | ended_flag(self.bank));
            }
            return Ok(());
        }
        let mut new = [0; REGION];
        summary::put(&mut new.as_mut_slice(), point.start, point.count, point.sum, point.quantiles);
        let range = shape.region_in_bank(0);
        let mut held = &words[at + range.start..at + range.end];
        let wins_tie = ended || value && summary::larger(&new.as_slice(), &held);
        if point.time < before || point.time == before && !wins_tie {
            self.without_effect(words, at, 1, Effect::Superseded, route, tally);
            return Ok(());
        }
        summary::copy(&mut held, &new.as_slice());
        put(words, at + SUMMARY_TIME, point.time);
        put(words, FLAGS, flags & !ended_flag(self.bank) | value_flag(self.bank));
        Ok(())
    }
}
