//! The subcommand: what is measured, in which order, and what is made of it. Does not know how a round is measured.

use super::child::Folder;
use super::machine::Machine;
use super::options::{Options, PointSource, TunePlan};
use super::report::{Round, TuneReport, human, recommend};
use super::stop::Stop;
use super::{chart, memory, png, scaling, sockets, stdout, stored, worker};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Between two problems that are told as one.
const ANOTHER_LINE: &str = "\ncatchment: ";

/// The subcommand: progress on standard error, the table or JSON on standard output.
pub fn command(options: &Options) -> Result<u8, String> {
    if let Some(work) = &options.worker {
        return worker::work(work);
    }
    let plan = options.settle().map_err(|all| all.join(ANOTHER_LINE))?;
    let stop = Stop::register()?;
    let folder = Folder::new()?;
    if plan.scaling {
        stdout::print(&scaling::measure(&plan, &folder, &stop)?)?;
        return Ok(crate::SUCCESS);
    }
    let (source, note) = plan.source();
    let note = match (note, plan.left_out(source)) {
        (Some(note), Some(more)) => Some(format!("{note}; {more}")),
        (note, more) => note.or(more.map(String::from)),
    };
    if let Some(note) = &note {
        crate::log::tell(format_args!("catchment: {note}"));
    }
    let mut meter = Meter { plan: &plan, folder: &folder, stop: &stop, rounds: Vec::new(), capture: None };
    if source == PointSource::Memory {
        meter.capture = Some(memory::recording(&plan, &folder, "recording", &stop)?);
    }
    let max = plan.max(source);
    meter.measure(&powers(max))?;
    let near = neighbours(recommend(&meter.rounds).0, max, &meter.counts());
    meter.measure(&near)?;
    let (recommended, why) = recommend(&meter.rounds);
    let why = if source == PointSource::Sockets && recommended == max && max < plan.cores.len() {
        format!("{why}; more could not be measured here, as the generator needs the other cores")
    } else {
        why
    };
    let report = TuneReport {
        machine: Machine::here(),
        source: source.label().into(),
        traffic: plan.traffic(),
        note,
        rounds: std::mem::take(&mut meter.rounds),
        recommended,
        why,
    };
    // first of all what cannot be had again; then every file, whichever fails
    let printed = stdout::print(&if plan.json { report.json() + "\n" } else { report.table() });
    let charts = plan.charts.iter().map(|path| write_chart(&report, path));
    let saved = plan.save.iter().map(|path| stored::save(&report, path));
    let problems: Vec<String> = std::iter::once(printed).chain(charts).chain(saved).filter_map(Result::err).collect();
    if problems.is_empty() { Ok(crate::SUCCESS) } else { Err(problems.join(ANOTHER_LINE)) }
}

struct Meter<'a> {
    plan: &'a TunePlan,
    folder: &'a Folder,
    stop: &'a Stop,
    rounds: Vec<Round>,
    capture: Option<PathBuf>,
}

impl Meter<'_> {
    fn counts(&self) -> Vec<usize> {
        self.rounds.iter().map(|round| round.shards).collect()
    }

    /// Measures these counts, interleaved.
    fn measure(&mut self, counts: &[usize]) -> Result<(), String> {
        let terminal = std::io::stderr().is_terminal();
        for number in 1..=self.plan.rounds {
            for &shards in counts {
                self.stop.check()?;
                let round = match &self.capture {
                    Some(capture) => memory::round(self.plan, capture, shards, self.stop)?,
                    None => sockets::round(self.plan, self.folder, shards, self.stop)?,
                };
                let line = format!(
                    "round {number} of {}: {shards} {}, {} points/s",
                    self.plan.rounds,
                    if shards == 1 { "shard" } else { "shards" },
                    human(round.points_per_s)
                );
                let (before, after) = if terminal { ("\r\x1b[2K", "") } else { ("", "\n") };
                // progress that cannot be shown is no reason to stop
                let _ = write!(std::io::stderr(), "{before}{line}{after}");
                self.rounds.push(round);
            }
        }
        if terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
        }
        Ok(())
    }
}

/// 1, 2, 4 … and `max`.
pub(super) fn powers(max: usize) -> Vec<usize> {
    let mut counts: Vec<usize> = std::iter::successors(Some(1), |n| Some(n * 2)).take_while(|n| *n < max).collect();
    counts.push(max);
    counts
}

/// The counts around `knee` that have not been measured: beside it, and halfway to the powers of two around it.
pub(super) fn neighbours(knee: usize, max: usize, measured: &[usize]) -> Vec<usize> {
    let mut counts = vec![knee.saturating_sub(1), knee + 1, knee - knee / 4, knee + knee / 2];
    counts.sort_unstable();
    counts.dedup();
    counts.retain(|n| (1..=max).contains(n) && !measured.contains(n));
    counts
}

fn write_chart(report: &TuneReport, path: &Path) -> Result<(), String> {
    let picture = chart::draw(report);
    let bytes = match path.extension().and_then(|e| e.to_str()) {
        Some("svg") => chart::svg(&picture).into_bytes(),
        _ => png::png(&picture),
    };
    let told = |error| format!("--chart {}: {}", path.display(), crate::files::unwritten(path, &error));
    crate::files::write(path, &bytes).map_err(told)
}
