//! `catchment plan`: what the rules of a configuration would make of the series that there are, before they run. Changes nothing.
//!
//! Knows flags, and where series are read: of a running instance (`live`), or of a recording, which is applied as a server
//! would, in memory; does not know what rules make of a series (`survey`), or how that is shown (`plan_page`).
//!
//! Bounds: a recording by `--series-limit`, `--group-limit`, `--memory-limit` and `CAPTURE_CUTS_MAX` cuts; an instance by
//! those of `live`.

use super::live::Live;
use super::plan_page::{PlanSource, json, text};
use super::survey::{Survey, SurveyedSeries};
use super::{gather, origin, pages, run};
use crate::capture::{self, Capture};
use crate::config::Plan;
use crate::config::keys::Key;
use crate::ledger::Effect;
use crate::limits::LISTED_MAX;
use crate::problem::{Flaw, Problem};
use crate::rules::MetricSeen;
use crate::runtime::{budget, clock};
use crate::trial::Engine;
use clap::{Args, ValueEnum};
use std::sync::Arc;
use std::time::Duration;

/// Flags of `catchment plan`.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct PlanCommand {
    #[command(flatten)]
    run: run::Options,
    /// Read the series of a running instance: the URL of its admin door, such as http://127.0.0.1:9465
    #[arg(help_heading = "Series", long, value_name = "URL")]
    live: Option<String>,
    /// How it is printed
    #[arg(help_heading = "Configuration", long, value_enum, default_value = "text")]
    format: Format,
}

pub(super) const EXAMPLES: &str = "\
Examples:
  catchment plan --config new.yaml --live http://127.0.0.1:9465
  catchment plan --config new.yaml --capture requests.cap         recorded with catchment run --capture

Series are counted exactly; what leaves in bytes and what is kept in memory are estimates: as if each series had points in
each interval, and attributes of a usual length. Exit codes: 0 counted; 1 the instance does not answer; 2 bad usage, a\nrecording that cannot be read among it.";

/// What `--capture` is here.
pub(super) const CAPTURE_HELP: &str = "Read the series of a recording that catchment run --capture made";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Cuts that are made of a recording, at most: their interval grows with its length.
const CAPTURE_CUTS_MAX: u64 = 500;
/// Between two lines that say how far it is.
const TOLD_EVERY_NS: u64 = 2_000_000_000;

impl PlanCommand {
    /// `--log-format json`
    pub(super) fn is_json(&self) -> bool {
        self.run.is_json()
    }

    /// Prints what would become of the series; the exit code, or why they cannot be read.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub(super) fn plan(self, keys: &[Key]) -> Result<Result<u8, String>, Vec<Problem>> {
        let mut gathered = gather::gather(self.run, keys);
        let mut plan = gathered.settle()?;
        let of_flag = |flaw: Flaw| vec![Problem::bare("live", flaw).at(origin::of("live"))];
        // what a file says of it is where to record
        let capture = plan.capture.take().filter(|_| origin::is_typed("capture")).map(|(path, _)| path);
        let source = match (&self.live, capture) {
            (Some(url), None) => {
                let live = Live::at(url).map_err(|words| {
                    vec![Problem::new("live", url.clone(), Flaw::predicate(words)).at(origin::of("live"))]
                })?;
                SeriesSource::Live(live)
            }
            (None, Some(path)) => SeriesSource::Capture(
                capture::read_asked(&path).map_err(|problem| vec![problem.at(origin::of("capture"))])?,
            ),
            (Some(_), Some(_)) => {
                return Err(of_flag(Flaw::new("and --capture are both given").remedy("leave one of them out")));
            }
            (None, None) => {
                let flaw = Flaw::new("is not given, and neither is --capture: there is no series to count");
                return Err(of_flag(flaw.remedy("give --live URL, or --capture FILE")));
            }
        };
        let settings = gathered.settings;
        let (memory, _) = budget(&mut plan).map_err(|problem| {
            let at = settings.at(problem.key);
            vec![problem.at(at)]
        })?;
        plan.memory_limit = Some(memory.series);
        plan.group_limit = Some(memory.groups_max);
        Ok(count(&plan, source).and_then(|(surveyed, source)| {
            let page = match self.format {
                Format::Text => text(&surveyed, &source),
                Format::Json => format!("{:#}\n", json(&surveyed, &source)),
            };
            pages::write(page.as_bytes())
        }))
    }
}

enum SeriesSource {
    Live(Live),
    Capture(Capture),
}

/// Counts all series of a source.
fn count(plan: &Plan, source: SeriesSource) -> Result<(super::survey::Surveyed, PlanSource), String> {
    let begun = clock::mono();
    let mut survey = Survey::new(&plan.rules);
    let base_ns = u64::try_from(plan.interval.as_nanos()).unwrap_or(u64::MAX);
    let (interval_s, notes) = match source {
        SeriesSource::Live(live) => of_live(&live, &mut survey)?,
        SeriesSource::Capture(capture) => of_capture(plan, &capture, &mut survey),
    };
    let series = survey.series();
    let surveyed = survey.end(interval_s, base_ns);
    let seconds = clock::mono().saturating_sub(begun) as f64 * 1e-9;
    Ok((surveyed, PlanSource { series, seconds, notes }))
}

/// Says now and then how far it is.
struct ReadingProgress {
    told_ns: u64,
}

impl ReadingProgress {
    fn new() -> ReadingProgress {
        ReadingProgress { told_ns: clock::mono() }
    }

    fn tell(&mut self, words: impl FnOnce() -> String) {
        let now = clock::mono();
        if now.saturating_sub(self.told_ns) > TOLD_EVERY_NS {
            self.told_ns = now;
            crate::log::tell(format_args!("catchment: {}", words()));
        }
    }
}

/// Of a running instance: seconds between its cuts, and what else is to be known.
fn of_live(live: &Live, survey: &mut Survey) -> Result<(f64, Vec<String>), String> {
    let mut progress = ReadingProgress::new();
    let end = live.series(&format!("limit={LISTED_MAX}"), &mut |place, metric, series| {
        let seen = MetricSeen {
            resource: &place.resource,
            scope: &place.scope,
            name: &metric.name,
            unit: &metric.unit,
            kind: metric.kind.kind(),
            monotonic: metric.kind == crate::rules::InputKind::Counter,
            held: Some([&place.resource, &place.scope]),
        };
        let [newest, before] = series.cuts;
        survey.add(&SurveyedSeries {
            metric: seen,
            attributes: &series.attributes,
            bounds: &metric.bounds,
            has_cumulative: series.has_cumulative,
            gap: if before == 0 { 0 } else { newest - before },
        });
        if survey.series().is_multiple_of(10_000) {
            progress.tell(|| format!("read {} series", survey.series()));
        }
    })?;
    let mut notes = Vec::new();
    if end.has_more {
        notes.push("there are more series than were read".to_owned());
    }
    // what it noticed of all series that there were
    let overlapping = live.json("/ledger").ok().and_then(|ledger| find_overlapping(&ledger));
    notes.extend(overlapping.filter(|points| *points > 0).map(two_writers));
    Ok((end.interval_s, notes))
}

fn find_overlapping(ledger: &serde_json::Value) -> Option<u64> {
    ledger.get("effects").and_then(|effects| effects.get(Effect::Overlapping.word()))?.as_u64()
}

fn two_writers(points: u64) -> String {
    format!(
        "{points} points came from a second writer of their series and were not counted: give their senders \
         service.instance.id, and take it away here"
    )
}

/// Of a recording, applied to a process without rules.
fn of_capture(plan: &Plan, capture: &Capture, survey: &mut Survey) -> (f64, Vec<String>) {
    let mut progress = ReadingProgress::new();
    let recorded = &capture.requests;
    let (first, last) = (recorded.first().map_or(0, |one| one.at_ns), recorded.iter().map(|one| one.at_ns).max());
    let span_ns = last.unwrap_or(0).saturating_sub(first);
    let base_ns = u64::try_from(plan.interval.as_nanos()).unwrap_or(u64::MAX).max(1);
    let interval_ns = base_ns.saturating_mul((span_ns / base_ns).div_ceil(CAPTURE_CUTS_MAX).max(1));
    // of what came in: no rule has a part in it, and nothing expires
    let bare = Plan { rules: Arc::default(), expire: Duration::from_secs(1 << 30), ..plan.clone() };
    let now_ns = clock::now().wall_ns;
    let mut engine = Engine::new(&bare, 1, now_ns.saturating_sub(span_ns));
    let started_ns = now_ns.saturating_sub(span_ns);
    let (mut refused, mut cut_ns) = (0u64, started_ns + interval_ns);
    for (at, request) in recorded.iter().enumerate() {
        let arrived_ns = started_ns + request.at_ns.saturating_sub(first);
        while arrived_ns >= cut_ns {
            engine.close(cut_ns);
            cut_ns += interval_ns;
        }
        // each was applied when it was recorded, whatever the time is now
        refused += u64::from(engine.send(0, now_ns, &request.body).is_err());
        progress.tell(|| format!("read {at} of {} requests", recorded.len()));
    }
    engine.close(cut_ns);
    engine.each_series(&mut |series| {
        let group = &series.group;
        let [newest, before] = series.cuts();
        let (mut has_cumulative, kind) = (false, group.kind);
        series.each_cell(|cell| has_cumulative |= cell.cumulative);
        survey.add(&SurveyedSeries {
            metric: MetricSeen {
                resource: group.resource(),
                scope: group.scope(),
                name: group.name(),
                unit: group.unit(),
                kind,
                monotonic: group.monotonic,
                held: Some([group.resource(), group.scope()]),
            },
            attributes: &series.attributes,
            bounds: &group.bounds,
            has_cumulative,
            gap: if before == 0 { 0 } else { newest - before },
        });
    });
    let tally = engine.tally();
    let mut notes = Vec::new();
    let mut note = |number: u64, words: &str| {
        if number > 0 {
            notes.push(format!("{number} {words}"));
        }
    };
    note(refused, "requests of the recording were refused, and are not counted");
    note(tally.rejected_total(), "points of the recording were rejected, and are not counted");
    if capture.torn_at.is_some() {
        notes.push("the recording is torn at its end: the process that made it was killed".to_owned());
    }
    let overlapping = tally.settled(Effect::Overlapping);
    if overlapping > 0 {
        notes.push(two_writers(overlapping));
    }
    (interval_ns as f64 * 1e-9, notes)
}
