//! Words in, exit code out: one file per subcommand.
//!
//! Knows flags, environment variables, their defaults, and what `--config` names (a URL is fetched here, by `fetch`); does
//! not know what a setting may be (`config`), nor how anything is done.

mod check;
mod explain;
mod features;
mod fetch;
mod gather;
mod keys;
mod live;
mod origin;
mod pages;
mod plan;
mod plan_page;
mod rules;
mod rules_memory;
mod rules_page;
mod run;
mod running;
mod survey;

use crate::FAILURE;
use crate::config::{DoorAddresses, Settings, Settled};
use crate::deliver::check_files;
use crate::nearest::nearest;
use crate::problem::Heading;
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::sync::Arc;

const ABOUT: &str = "OpenTelemetry metrics in, exact aggregates out";

const LONG_ABOUT: &str = "\
Catchment takes OpenTelemetry metrics in from SDKs, agents and collectors, aggregates every series over time, and hands \
few, correct batches to backends. Every point is accounted for.

Try it:
  catchment run                                         listen on loopback, show results on a scrape page
  catchment run --out stdout                            and print every interval's aggregates as OTLP/JSON
  catchment run --out otlp-grpc://backend:4317          and push them on
  catchment check --config fleet.yaml                   say what is wrong with a file of settings
  catchment load --endpoint grpc://127.0.0.1:4317 --duration 10s

Exit codes: 0 all delivered; 1 failure at run time; 2 bad usage; 3 some output points were dropped or not delivered.";

#[derive(Parser)]
#[command(name = "catchment", version = crate::VERSION, about = ABOUT, long_about = LONG_ABOUT, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant)]
enum Command {
    /// Listen, aggregate, deliver: the main job
    Run(run::Options),
    /// Say what a run with these flags and files would be, or all that is wrong with them
    Check(check::Check),
    /// Say what rules make of a series, rule by rule
    Explain(explain::Explain),
    /// Say what rules would make of the series that there are, before they run
    Plan(plan::PlanCommand),
    /// Print an example of a file of settings, or the schema of one
    Config(pages::Config),
    /// Try rules out on worked examples
    Rules(rules::Rules),
    /// Print which features can be turned on and off, and how far each is
    Features(features::Features),
    /// Send load to this or any other OTLP server, and measure it
    Load(crate::load::Options),
    /// Measure how many shards this machine and this traffic want
    Tune(crate::tune::Options),
    /// Be a counting backend: take OTLP in, keep exact totals, and fail to order
    Sink(crate::load::SinkOptions),
    /// Print the completions of a shell
    Completions(pages::Completions),
    /// Print the manual page, of one command if it is named
    Man(pages::Man),
}

/// All commands and their flags, as they are shown.
fn definition() -> clap::Command {
    // where a run records is where a plan reads
    let reads = |arg: clap::Arg| {
        arg.help(plan::CAPTURE_HELP).long_help(None::<&str>).help_heading("Series").env(None::<&'static str>)
    };
    // all of them, as one alone would go to the end of the list
    Arguments::command().mut_subcommands(|command| match command.get_name() {
        "plan" => command.mut_arg("capture", reads),
        _ => command,
    })
}

/// Runs the command line; returns the exit code.
pub fn main() -> u8 {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(mut error) => {
            explain(&mut error);
            if std::env::args_os().any(|word| word.to_string_lossy().starts_with("--out-header")) {
                hide_stray_words(&mut error);
            }
            if error.use_stderr() && run::asks_for_json() {
                crate::log::speak_json();
                crate::log::tell(format_args!("{}", error.to_string().trim_end()));
            } else {
                // help and version are printed, and are no failure
                let _ = error.print();
            }
            return error.exit_code() as u8;
        }
    };
    match arguments.command {
        Command::Run(options) => run(options),
        Command::Check(options) => {
            if options.is_json() {
                crate::log::speak_json();
            }
            options.check(&keys::of(&Arguments::command())).map_or_else(|problems| refused(&problems), told)
        }
        Command::Explain(options) => {
            if options.is_json() {
                crate::log::speak_json();
            }
            options.explain(&keys::of(&Arguments::command())).map_or_else(|problems| refused(&problems), told)
        }
        Command::Plan(options) => {
            if options.is_json() {
                crate::log::speak_json();
            }
            options.plan(&keys::of(&Arguments::command())).map_or_else(|problems| refused(&problems), told)
        }
        Command::Config(options) => told(options.print(&keys::of(&Arguments::command()))),
        Command::Rules(options) => {
            options.run(&keys::of(&Arguments::command()), &defaults).map_or_else(|problems| refused(&problems), told)
        }
        Command::Features(options) => told(options.print()),
        Command::Load(options) => told(crate::load::command(&options)),
        Command::Tune(options) => match options.check() {
            Ok(()) => told(crate::tune::command(&options)),
            Err(problems) => refused(&problems),
        },
        Command::Sink(options) => match options.check() {
            Ok(()) => told(crate::load::sink_command(&options)),
            Err(problem) => refused(&[problem]),
        },
        Command::Completions(options) => told(options.print(definition())),
        Command::Man(options) => match options.page(definition()) {
            Ok(page) => told(pages::Man::print(page)),
            Err(problem) => refused(&[problem]),
        },
    }
}

/// An environment variable that is empty counts as not set, as for all that OpenTelemetry itself defines (specification,
/// "Environment Variable Specification").
fn parse() -> Result<Arguments, clap::Error> {
    let is_empty = |arg: &clap::Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    // help names the variables whatever they are
    let helps = std::env::args_os().any(|arg| arg == "--help" || arg == "-h");
    let unset = |arg: clap::Arg| if !helps && is_empty(&arg) { arg.env(None::<&'static str>) } else { arg };
    // `--interval -5s` is a wrong time, not a flag that nobody knows
    let measured = |arg: clap::Arg| {
        let is_measure = |name: &clap::builder::Str| MEASURES.contains(&name.as_str());
        let is_one = arg.get_value_names().is_some_and(|names| names.iter().any(is_measure));
        if is_one { arg.allow_hyphen_values(true) } else { arg }
    };
    let mut command = definition().mut_subcommands(|command| command.mut_args(unset).mut_args(measured));
    let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Arguments::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// The settings of a run without flags and without variables.
fn defaults() -> Settings {
    let unset = |arg: clap::Arg| arg.env(None::<&'static str>);
    let command = Arguments::command().mut_subcommands(|command| command.mut_args(unset));
    let matches = command.get_matches_from(["catchment", "run"]);
    match Arguments::from_arg_matches(&matches).map(|arguments| arguments.command) {
        Ok(Command::Run(options)) => options.settings(),
        _ => unreachable!("`run` needs no flag"),
    }
}

/// Value names of flags that take a time, a size or a number.
const MEASURES: [&str; 10] =
    ["DURATION", "SIZE", "SIZE|auto", "N", "N|auto", "POINTS", "SHARE", "SERIES", "EXPORTS", "SECONDS"];

/// What clap cannot know: that a wrong value came from the environment.
fn explain(error: &mut clap::Error) {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else { return };
    let flag = word.split([' ', '=']).next().unwrap_or("");
    if error.kind() == clap::error::ErrorKind::UnknownArgument {
        return;
    }
    let Some(key) = flag.strip_prefix("--") else { return };
    let whole = word.replacen(flag, &Heading(&origin::of(key), key).to_string(), 1);
    error.insert(ContextKind::InvalidArg, ContextValue::String(whole));
}

/// `--out-header authorization=Bearer TOKEN` without quotes leaves the token as a word that belongs to no flag: it is a
/// secret that must not be repeated (T21).
fn hide_stray_words(error: &mut clap::Error) {
    if matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(word)) if !word.starts_with('-')) {
        error.insert(ContextKind::InvalidArg, ContextValue::String("(not repeated: it may be a secret)".to_owned()));
        let tip = "a value with blanks in it is one word when quoted: --out-header 'NAME=VALUE'";
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
}

/// Warns of variables that look like ours and are none: what they say is in force nowhere.
fn doubt_variables() {
    let command = Arguments::command();
    let all = command.get_subcommands().flat_map(clap::Command::get_arguments).filter_map(clap::Arg::get_env);
    let ours: Vec<&str> = all.filter_map(std::ffi::OsStr::to_str).collect();
    let names = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    let names = names.map(|(name, _)| name.to_string_lossy().into_owned());
    for name in strangers(names, &ours).into_iter().take(VARIABLES_NAMED_MAX) {
        let meant = nearest(&name, ours.iter().copied()).map(|meant| format!("; did you mean {meant}?"));
        let meant = meant.unwrap_or_else(|| "; run --help has all there are".into());
        crate::log::warn(format_args!("{}: no flag has this variable, so it is ignored{meant}", name.escape_debug()));
    }
}

/// Variables named at the start, where more are unknown.
const VARIABLES_NAMED_MAX: usize = 8;

/// `CATCHMENT_…` that are not `ours`, in order; those that Kubernetes sets for a service of that name are left
/// out, and the build's own, which `cargo run` hands on.
fn strangers(names: impl Iterator<Item = String>, ours: &[&str]) -> Vec<String> {
    let is_anothers = |rest: &str| {
        let port = rest.strip_prefix("PORT_").map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
        rest == "PORT"
            || rest == "COMMIT"
            || rest == "SERVICE_HOST"
            || rest == "SERVICE_PORT"
            || rest.starts_with("SERVICE_PORT_")
            || port.is_some_and(|rest| ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| rest.starts_with(protocol)))
    };
    let is_strange = |name: &String| {
        let rest = name.strip_prefix("CATCHMENT_");
        rest.is_some_and(|rest| !ours.contains(&name.as_str()) && !is_anothers(rest))
    };
    let mut strange: Vec<String> = names.filter(is_strange).collect();
    strange.sort_unstable();
    strange
}

fn run(options: run::Options) -> u8 {
    if options.is_json() {
        crate::log::speak_json();
    }
    doubt_variables();
    // first of all: gone even where the configuration is refused
    if let Some(Err(problem)) = options.ports_file().map(crate::runtime::remove_ports) {
        return refused(&[problem]);
    }
    let (sources, mut gathered) = gather::RunSources::begin(options, keys::of(&Arguments::command()));
    if gathered.settings.get("log-format").is_some_and(|format| format.text() == "json") {
        crate::log::speak_json();
    }
    if let Some(Err(problem)) =
        gathered.settings.get("ports-file").map(|file| crate::runtime::remove_ports(&file.path()))
    {
        return refused(&[problem]);
    }
    // last of all, as it makes the files
    let checked = gathered.settle().and_then(|plan| check_files(&plan.outs).map(|()| plan));
    match checked {
        Ok(plan) => {
            let settled = Settled { settings: gathered.settings, plan, listening: DoorAddresses::default() };
            crate::runtime::run(settled, Arc::new(sources))
        }
        Err(problems) => refused(&problems),
    }
}

/// Bad usage: a line for each problem.
fn refused(problems: &[impl std::fmt::Display]) -> u8 {
    for problem in problems {
        crate::log::tell(format_args!("catchment: {problem}"));
    }
    crate::USAGE
}

fn told(result: Result<u8, String>) -> u8 {
    result.unwrap_or_else(|problem| {
        crate::log::tell(format_args!("catchment: {problem}"));
        FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::reloadable;

    /// What can be set is in the table of what a reload makes of it, once.
    #[test]
    fn every_setting_can_change_while_it_runs_or_needs_a_restart() {
        let mut keys: Vec<&str> = keys::of(&Arguments::command()).iter().map(|key| key.name).collect();
        let mut rows: Vec<&str> = reloadable().map(|(key, _)| key).collect();
        keys.sort_unstable();
        rows.sort_unstable();
        assert_eq!(rows, keys);
    }

    #[test]
    fn variables_that_nobody_reads_are_found_but_for_those_of_a_service() {
        let ours = ["CATCHMENT_OUT", "CATCHMENT_PORTS_FILE"];
        let check = |name: &str, strange: bool| {
            assert_eq!(strangers([name.to_owned()].into_iter(), &ours).len(), usize::from(strange), "{name}");
        };
        for name in ["CATCHMENT_OUTS", "CATCHMENT_", "CATCHMENT_PORTSFILE", "CATCHMENT_SERVICE", "CATCHMENT_PORT_4317"]
        {
            check(name, true);
        }
        for name in
            ["CATCHMENT_OUT", "CATCHMENT_COMMIT", "PATH", "CATCHMENTS", "CATCHMENT_PORT", "CATCHMENT_SERVICE_HOST"]
        {
            check(name, false);
        }
        for name in ["CATCHMENT_PORT_4317_TCP", "CATCHMENT_PORT_4317_TCP_ADDR", "CATCHMENT_SERVICE_PORT_GRPC"] {
            check(name, false);
        }
    }
}
