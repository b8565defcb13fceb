//! The command line of `catchment tune`: as typed, then settled.

use super::machine;
use crate::capture;
use crate::files;
use crate::limits::{SHARDS_MAX, TUNE_DURATION_MAX, TUNE_DURATION_MIN, TUNE_ROUNDS_MAX};
use crate::load::Preset;
use crate::problem::{Flaw, Problem};
use crate::units::{Unread, count, duration};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where points come from while a round is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PointSource {
    /// Sockets where server and generator can have cores of their own, else memory.
    Auto,
    /// The real server, and the generator on the other cores.
    Sockets,
    /// Recorded requests, replayed inside one process: no sockets, no kernel.
    Memory,
}

impl PointSource {
    /// How a report calls it.
    pub const fn label(self) -> &'static str {
        match self {
            PointSource::Auto => "auto",
            PointSource::Sockets => "sockets",
            PointSource::Memory => "in process",
        }
    }
}

/// Measure how many shards this machine and this traffic want.
///
/// Runs the real server at 1, 2, 4 … shards, with the generator pinned to the other cores, and at the counts around the
/// best; prints a table and a recommendation: the smallest count within 5 % of the best throughput. Where the machine is
/// too small for server and generator side by side, recorded requests are replayed inside one process, without sockets,
/// and the report says so.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub struct Options {
    /// Most shards to try [default: what can be measured: half of the cores over sockets, all of them in process]
    #[arg(long, value_name = "N", value_parser = count::<usize>)]
    pub max: Option<usize>,
    /// Rounds of each count, interleaved; the median counts
    #[arg(long, value_name = "N", value_parser = count::<usize>, default_value_t = 3)]
    pub rounds: usize,
    /// How long each round is measured, after a warm-up
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    pub duration: String,
    /// Where points come from
    #[arg(long, value_enum, default_value_t = PointSource::Auto)]
    pub source: PointSource,
    /// Your own traffic: requests recorded by `catchment run --capture FILE`
    #[arg(long, value_name = "FILE")]
    pub capture: Option<PathBuf>,
    /// The generator's traffic by name, as `catchment load --preset` has it
    #[arg(long, value_enum, value_name = "NAME", conflicts_with = "capture")]
    pub preset: Option<Preset>,
    /// Series of the generator's traffic [default: 100000, or what the preset says]
    #[arg(long, value_name = "N", value_parser = count::<usize>, conflicts_with = "capture")]
    pub series: Option<usize>,
    /// Draw throughput and efficiency to this file, .svg or .png; repeatable
    #[arg(long = "chart", value_name = "FILE")]
    pub charts: Vec<PathBuf>,
    /// Keep the result for `catchment run --shards auto --tuning FILE`
    #[arg(long, value_name = "FILE", alias = "tuning")]
    pub save: Option<PathBuf>,
    /// Print the result as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
    /// Measure scaling instead: what a second core adds in memory, where each shard has series of its own and where both
    /// hit the same 100, beside two processes that share nothing and two of plain arithmetic; the result is text
    #[arg(long, conflicts_with_all = ["max", "source", "charts", "save", "json"])]
    pub scaling: bool,
    /// One round of a child's, as JSON
    #[arg(long, hide = true)]
    pub worker: Option<String>,
}

const AFTER: &str = "\
Examples:
  catchment tune --chart shards.svg
  catchment run --capture traffic.capture      # for a while, with your own clients
  catchment tune --capture traffic.capture --save tuning.json
  catchment tune --preset sdk-fleet            # or traffic with a name
  catchment run --shards auto --tuning tuning.json
  catchment tune --scaling                     # what a second core adds

Close what else runs on the machine first. Exit codes: 0 measured; 1 a failure, or stopped; 2 bad usage.";

/// Settled options.
#[derive(Clone, Debug)]
pub struct TunePlan {
    max: Option<usize>,
    pub rounds: usize,
    pub duration: Duration,
    source: PointSource,
    pub capture: Option<PathBuf>,
    pub preset: Option<Preset>,
    pub series: Option<usize>,
    pub charts: Vec<PathBuf>,
    pub save: Option<PathBuf>,
    pub json: bool,
    pub scaling: bool,
    /// The cores this process may use.
    pub cores: Vec<usize>,
}

/// Series of the generator.
const SERIES_DEFAULT: usize = 100_000;

impl Options {
    /// Everything that can be found wrong before anything is measured, in words.
    pub fn check(&self) -> Result<(), Vec<String>> {
        if self.worker.is_some() {
            return Ok(());
        }
        let plan = self.settle()?;
        let unwritten = |key: &'static str, path: &Path, error: &std::io::Error| {
            Problem::new(key, path.display().to_string(), Flaw::new(files::unwritten(path, error))).to_string()
        };
        let charts =
            plan.charts.iter().map(|path| files::writable(path).map_err(|error| unwritten("chart", path, &error)));
        let saved =
            plan.save.iter().map(|path| files::replaceable(path).map_err(|error| unwritten("save", path, &error)));
        let captured = plan.capture.iter().map(|path| check_capture(path));
        let problems: Vec<String> = charts.chain(saved).chain(captured).filter_map(Result::err).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// What is wrong with single flags.
    fn problems(&self, duration: &Result<Duration, Unread>, cores: usize) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut outside = |key: &'static str, given: &dyn std::fmt::Display, allowed: String| {
            problems.push(Problem::new(key, given.to_string(), Flaw::outside(allowed)));
        };
        if let Some(max) = self.max.filter(|max| !(1..=SHARDS_MAX).contains(max)) {
            outside("max", &max, format!("give a number from 1 to {SHARDS_MAX}"));
        }
        if !(1..=TUNE_ROUNDS_MAX).contains(&self.rounds) {
            outside("rounds", &self.rounds, format!("give a number from 1 to {TUNE_ROUNDS_MAX}"));
        }
        if self.series == Some(0) {
            outside("series", &0, "give at least 1".into());
        }
        if duration.as_ref().is_ok_and(|duration| !(TUNE_DURATION_MIN..=TUNE_DURATION_MAX).contains(duration)) {
            outside("duration", &self.duration, "give a duration from 50ms to 10m".into());
        }
        for path in &self.charts {
            let kind = path.extension().and_then(|extension| extension.to_str());
            if !matches!(kind, Some("svg" | "png")) {
                outside("chart", &path.display(), "give a name that ends with .svg or .png".into());
            }
        }
        if let Err(why) = duration {
            problems.push(Problem::unread("duration", why.clone()));
        }
        if self.source != PointSource::Sockets {
            return problems;
        }
        if let Some(max) = self.max.filter(|max| *max >= cores) {
            let most = cores.saturating_sub(1);
            let fault = format!("the generator needs a core of its own, so at most {most} of {cores} cores");
            problems.push(Problem::new("max", format!("{max} --source sockets"), Flaw::new(fault)));
        } else if cores < 2 {
            let flaw = Flaw::new("the generator needs a core of its own, and there is one").allowed("use memory");
            problems.push(Problem::new("source", "sockets", flaw));
        }
        problems
    }

    /// Checks every flag.
    ///
    /// # Errors
    /// Everything that is wrong, in words.
    pub fn settle(&self) -> Result<TunePlan, Vec<String>> {
        let (duration, cores) = (duration(&self.duration), machine::cores());
        let problems = self.problems(&duration, cores.len());
        let (true, Ok(duration)) = (problems.is_empty(), duration) else {
            return Err(problems.iter().map(Problem::to_string).collect());
        };
        let plan = TunePlan {
            max: self.max,
            rounds: self.rounds,
            duration,
            source: self.source,
            capture: self.capture.clone(),
            preset: self.preset,
            series: self.series,
            charts: self.charts.clone(),
            save: self.save.clone(),
            json: self.json,
            scaling: self.scaling,
            cores,
        };
        // contradictions of the traffic, as the generator would find them, in its words
        let traffic = plan.load_flags(0, 1).and_then(|flags| crate::load::traffic(&flags));
        traffic.map(|_| plan).map_err(|words| vec![words])
    }
}

/// Whether a capture can be replayed; says where it is torn.
fn check_capture(path: &Path) -> Result<(), String> {
    let capture = capture::read_asked(path).map_err(|problem| problem.to_string())?;
    if let Some(at) = capture.torn_at {
        let path = path.display();
        crate::log::tell(format_args!("catchment: --capture {path}: its last record, at byte {at}, is not whole"));
    }
    Ok(())
}

impl TunePlan {
    /// The source to use, and what to say about it. A generator core outruns a shard, and no more than one.
    pub fn source(&self) -> (PointSource, Option<String>) {
        let (cores, half) = (self.cores.len(), self.cores.len() / 2);
        let wanted = self.max.unwrap_or(if cores < 4 { cores } else { half });
        match self.source {
            PointSource::Auto if wanted <= half => (PointSource::Sockets, None),
            PointSource::Auto => {
                let note = format!(
                    "{cores} cores are too few for a server of up to {wanted} shards and a generator that outruns it: \
                     recorded requests are replayed inside one process instead, without sockets and kernel"
                );
                (PointSource::Memory, Some(note))
            }
            source => (source, None),
        }
    }

    /// What a measurement from this source leaves out of the traffic that was asked for.
    pub fn left_out(&self, source: PointSource) -> Option<&'static str> {
        let churns = self.preset == Some(Preset::Churn);
        (churns && source == PointSource::Memory)
            .then_some("one export is recorded and replayed: series that come and go are measured over sockets only")
    }

    /// Most shards to try.
    pub fn max(&self, source: PointSource) -> usize {
        let most = if source == PointSource::Sockets { (self.cores.len() / 2).max(1) } else { self.cores.len() };
        self.max.unwrap_or(most).min(SHARDS_MAX)
    }

    /// What the traffic is called.
    pub fn traffic(&self) -> String {
        match (&self.capture, self.preset, self.series) {
            (Some(path), _, _) => format!("capture {}", path.display()),
            (None, Some(preset), None) => format!("preset {}", preset.name()),
            (None, Some(preset), Some(series)) => format!("preset {}, {series} series", preset.name()),
            (None, None, series) => format!("delta sums, {} series", series.unwrap_or(SERIES_DEFAULT)),
        }
    }

    /// Flags of `catchment load` that choose the traffic of one generator of so many. Where kinds only add, all of them
    /// send the same series, as replicas behind one name would; else each has resources of its own.
    pub fn load_flags(&self, number: usize, of: usize) -> Result<Vec<String>, String> {
        if let (Some(preset), true) = (self.preset, of > 1) {
            let settings = preset.settings()?;
            if !settings.mix.is_delta() {
                let (series, resources) = (self.series.unwrap_or(settings.series), settings.resources.div_ceil(of));
                return Ok(vec![
                    "--preset".into(),
                    preset.name(),
                    "--series".into(),
                    series.div_ceil(of).to_string(),
                    "--resources".into(),
                    resources.to_string(),
                    "--first-resource".into(),
                    (resources * number).to_string(),
                ]);
            }
        }
        let series = self.series.or(if self.preset.is_none() { Some(SERIES_DEFAULT) } else { None });
        let preset = self.preset.iter().flat_map(|preset| ["--preset".to_owned(), preset.name()]);
        let series = series.iter().flat_map(|series| ["--series".to_owned(), series.to_string()]);
        Ok(preset.chain(series).collect())
    }
}
