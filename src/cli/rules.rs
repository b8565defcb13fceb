//! `catchment rules test`: worked examples of what a configuration makes of points, run, and told apart from what was
//! expected. Listens nowhere and delivers nothing.
//!
//! Knows files, flags and exit codes; does not know what a test is made of (`trial`).

use super::{fetch, pages, run};
use crate::config::keys::{FileSettings, Key, read_trees};
use crate::config::tree::{TreeNode, parse};
use crate::config::{self, DoorAddresses, Plan, Settings, Settled, source};
use crate::problem::{At, Problem};
use crate::trial::{self, Case, Configured};
use clap::{Args, Subcommand, ValueEnum};

/// Flags of `catchment rules`.
#[derive(Args)]
pub(super) struct Rules {
    #[command(subcommand)]
    command: RulesCommand,
}

#[derive(Subcommand)]
enum RulesCommand {
    /// Run worked examples: points with times in, and what must leave
    Test(Test),
}

#[derive(Args)]
#[command(after_long_help = EXAMPLE)]
struct Test {
    /// Files of tests, or folders of them (*.yaml)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Settings and rules of tests that have no `config` of their own: as --config of run
    #[arg(long, value_name = "URI")]
    config: Vec<String>,
    /// How the outcome is printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Shown below the flags, and run by a test.
pub(super) const EXAMPLE: &str = "\
A file of tests:

  tests:
    - name: a restart of the client is no fall
      interval: 10s            # interval and expire may stand here, other settings under `config`
      start: 0                 # when the process starts, in seconds (default 0)
      inputs:
        - series: requests{route=/a} @ service.name=cart
          kind: counter        # updowncounter gauge histogram exponential_histogram summary
          temporality: cumulative
          start: 1             # of the stream; `<` at a point begins another
          points: 5@2 9@8 12@13 2@18<16
      expect:
        - series: requests{route=/a} @ service.name=cart
          values: 9@10<1 2@20<16
        - series: requests{route=/a} @ service.name=cart
          view: delta
          values: 9@10 5@20
      counters: {resets: 1}

A point is VALUE@TIME, with /ARRIVAL where it comes later than that, and <START; VALUE is a number, or `end` for no
recorded value. What is expected is VALUE@CUT, with <START if it matters; ~1.33 is what rounds to it. Points of
histograms have names: points: [{at: 2, bounds: [1, 5], counts: [3, 0, 1], sum: 12}], and what is expected of one is
written alike, with `cut`. `config` is a mapping of settings, or a file beside this one.

Rules and `dedup` may change while it runs: `reload: [{at: 30, config: {rules: [...]}}]` brings others into force behind the
cut at 30; what else its config says stays as it was.

A test may also say cores, cuts (a list of times; otherwise one at each interval's end), until (how long there are cuts) and
end (when the process ends); an input unit, scope (NAME@VERSION) and core; what is expected kind, unit and scope. Counters
are those of the ledger and of /metrics, and what rules notice: not_finite, no_sum, no_extremes, mixed_bounds,
unbounded_rebucketed.

What comes in at the time of a cut is in the next one. A view of which a test speaks must be as it says: nothing else may
leave there (`others: ignore` lets other series), and no point may be rejected that `counters` does not name.

Exit codes: 0 all passed; 1 some failed; 2 a file cannot be read.";

impl Rules {
    /// Runs all cases; the exit code, or that standard output cannot be written.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub(super) fn run(self, keys: &[Key], defaults: &dyn Fn() -> Settings) -> Result<Result<u8, String>, Vec<Problem>> {
        let RulesCommand::Test(test) = self.command;
        let (mut problems, mut cases) = (Vec::new(), Vec::new());
        let shared = load(&test.config, "config", &mut problems);
        for source::SourceText { name, text } in load(&test.files, "", &mut problems) {
            match trial::read(&name, &text) {
                Ok(more) => cases.extend(more),
                Err(more) => problems.extend(more),
            }
        }
        let mut planned = Vec::new();
        for mut case in cases {
            if case.configured.trees.is_empty() {
                for source::SourceText { name, text } in &shared {
                    // what is wrong with it is told below
                    case.configured.trees.extend(parse(text).ok().map(|tree| (name.clone(), tree)));
                }
            }
            match plans(&case, keys, defaults) {
                Ok((plan, reloads)) => planned.push((case, plan, reloads)),
                Err(more) => problems.extend(more),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let verdicts: Vec<_> = planned.iter().map(|(case, plan, reloads)| trial::judge(case, plan, reloads)).collect();
        let page = match test.format {
            Format::Text => trial::text(&verdicts),
            Format::Json => trial::json(&verdicts),
        };
        let failed = verdicts.iter().any(|verdict| !verdict.differences.is_empty());
        Ok(pages::write(page.as_bytes()).map(|code| if failed { crate::FAILURE } else { code }))
    }
}

/// The texts of all that is named; the key of those that say where settings are is `key`.
fn load(names: &[String], key: &'static str, problems: &mut Vec<Problem>) -> Vec<source::SourceText> {
    let mut texts = Vec::new();
    for name in names {
        match source::load(name, &mut fetch::fetch) {
            Ok(more) => texts.extend(more),
            Err((name, flaw)) => problems.push(Problem::new(key, name, flaw)),
        }
    }
    texts
}

/// The settled plan of a case, and those of its reloads: what cannot change while a process runs stays.
fn plans(case: &Case, keys: &[Key], defaults: &dyn Fn() -> Settings) -> Result<(Plan, Vec<Plan>), Vec<Problem>> {
    let (settings, mut problems) = settings(case, &case.configured, keys, defaults());
    let around = &run::surroundings();
    let first = config::settle(&settings, around).map_err(|more| problems.extend(more)).ok();
    let mut running = first.map(|plan| Settled { settings, plan, listening: DoorAddresses::default() });
    let plan = running.as_ref().map(|running| running.plan.clone());
    let mut reloads = Vec::new();
    for reload in &case.reloads {
        let (settings, more) = self::settings(case, &reload.configured, keys, defaults());
        problems.extend(more);
        let again = match &running {
            Some(running) => running.again(settings, around).map(|(next, _)| next),
            // what is wrong with it is told all the same
            None => config::settle(&settings, around).map(|plan| Settled {
                settings,
                plan,
                listening: DoorAddresses::default(),
            }),
        };
        match again {
            Ok(next) => {
                reloads.push(next.plan.clone());
                running = running.map(|_| next);
            }
            Err(more) => problems.extend(more),
        }
    }
    plan.filter(|_| problems.is_empty()).map(|plan| (plan, reloads)).ok_or(problems)
}

/// What a case says for settings, and what is wrong with how it is written; flags are the case's.
fn settings(case: &Case, configured: &Configured, keys: &[Key], mut settings: Settings) -> (Settings, Vec<Problem>) {
    let (trees, flags) = (&configured.trees, &case.configured.flags);
    let named = trees.iter().map(|(name, tree): &(String, TreeNode)| (name.as_str(), Ok(tree)));
    let variable = |name: &str| std::env::var(name).ok();
    let FileSettings { texts, trees, problems } = read_trees(named, keys, &variable);
    texts.into_iter().for_each(|given| settings.replace(given.name, given.values));
    trees.into_iter().for_each(|tree| settings.add_tree(tree));
    for (flag, at, text) in flags {
        let at = At::File { name: case.file.clone(), line: at.line, column: at.column };
        settings.replace(flag, [(at, text.clone())]);
    }
    (settings, problems)
}
