//! `catchment check`: what a run with these flags and files would be, or all that is wrong with them. Changes nothing.
//!
//! Knows settings as texts, the plan and the memory it takes; does not know what a setting means.

use super::{gather, origin, pages, run};
use crate::config::describe::quoted;
use crate::config::keys::Key;
use crate::config::{self, Plan, Settings};
use crate::problem::{At, Problem, variable};
use crate::runtime::{Memory, budget, show_size};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// Flags of `catchment check`.
#[derive(Args)]
pub(super) struct Check {
    #[command(flatten)]
    run: run::Options,
    /// How the settings are printed: as a table with where each was given, or as a file that gives them again
    #[arg(help_heading = "Configuration", long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Yaml,
    Json,
}

impl Check {
    /// `--log-format json`
    pub(super) fn is_json(&self) -> bool {
        self.run.is_json()
    }

    /// Prints what was settled; the exit code, or that standard output cannot be written.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub(super) fn check(self, keys: &[Key]) -> Result<Result<u8, String>, Vec<Problem>> {
        let settings = gather::gather(self.run, keys)?;
        let plan = config::settle(&settings, &run::surroundings())?;
        let (memory, shrunk) = budget(&plan).map_err(|problem| {
            let at = settings.at(problem.key);
            vec![problem.at(at)]
        })?;
        let page = match self.format {
            Format::Text => text(&settings, keys, &plan, &memory, &shrunk),
            Format::Yaml => yaml(&settings, keys),
            Format::Json => json(&settings, keys),
        };
        Ok(pages::write(page.as_bytes()))
    }
}

/// The values of a key that may be printed, and how many may not: a header may be a secret, if it is not in a file, and so
/// may the path of a URL.
fn shown(settings: &Settings, key: &Key) -> (Vec<String>, usize) {
    let all = settings.all(key.name);
    let is_shown = |text: &str| (!key.is_secret || names_a_file(text)) && !may_hold_secret(text);
    let shown: Vec<String> = all.iter().map(|one| one.text().into_owned()).filter(|text| is_shown(text)).collect();
    let hidden = all.len() - shown.len();
    (shown, hidden)
}

/// `NAME=@FILE`: the value stands in a file. One that has `=@` within itself stands here.
fn names_a_file(header: &str) -> bool {
    header.split_once('=').is_some_and(|(_, value)| value.starts_with('@'))
}

/// Of `otlp-http…://HOST/PATH?…` the path, if it is not the usual one: some vendors have tokens there.
fn may_hold_secret(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let path = rest.split('?').next().and_then(|rest| rest.split_once('/')).map_or("", |(_, path)| path);
    scheme.starts_with("otlp-") && !matches!(path, "" | "v1/metrics")
}

fn hidden_words(hidden: usize) -> String {
    format!("{hidden} not shown: may hold a secret")
}

fn text(settings: &Settings, keys: &[Key], plan: &Plan, memory: &Memory, shrunk: &[String]) -> String {
    let mut rows = vec![("setting".to_owned(), "value".to_owned(), "given in".to_owned())];
    for key in keys {
        let (values, hidden) = shown(settings, key);
        let hidden = (hidden > 0).then(|| hidden_words(hidden));
        let values = values.into_iter().chain(hidden).collect::<Vec<_>>().join(" ");
        if !values.is_empty() {
            rows.push((key.name.to_owned(), values, place(settings, key)));
        }
    }
    let width = |of: fn(&(String, String, String)) -> &String| {
        rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0)
    };
    let (first, second) = (width(|row| &row.0), width(|row| &row.1).min(48));
    let mut out = String::new();
    for (key, value, place) in &rows {
        let _ = writeln!(out, "{key:first$}  {value:second$}  {place}");
    }
    let names: Vec<&str> = plan.outs.iter().map(|out| &*out.name).collect();
    let outs = if names.is_empty() { "no destination".to_owned() } else { format!("to {}", names.join(", ")) };
    let _ = writeln!(
        out,
        "\nsettled  {} shards, {} connections, every {:?} {outs}",
        plan.shards, plan.connections, plan.interval
    );
    let parts = [
        ("an empty process and its shards", memory.base),
        ("connections and pages", memory.connections),
        ("queues", memory.queues + memory.held),
        ("request bodies", memory.bodies),
        ("series", memory.series),
    ];
    let parts: Vec<String> = parts.iter().map(|(what, bytes)| format!("{} {what}", show_size(*bytes))).collect();
    let _ = writeln!(out, "memory   {} = {}", show_size(memory.limit), parts.join(" + "));
    for what in shrunk {
        let _ = writeln!(out, "         to fit: {what}");
    }
    out.push_str("no problem found\n");
    out
}

/// Where a setting was given.
fn place(settings: &Settings, key: &Key) -> String {
    match settings.at(key.name) {
        At::File { name, line, column } => format!("{name}:{line}:{column}"),
        At::Variable => variable(key.name),
        At::Flag if origin::is_given(key.name) => format!("--{}", key.name),
        At::Flag => "default".to_owned(),
    }
}

fn yaml(settings: &Settings, keys: &[Key]) -> String {
    let mut out = String::new();
    for key in keys {
        let (values, hidden) = shown(settings, key);
        if hidden > 0 {
            let _ = writeln!(out, "# {}: {}", key.name, hidden_words(hidden));
        }
        let values: Vec<String> = values.iter().map(|value| quoted(&escaped(value))).collect();
        match &values[..] {
            [] => {}
            [value] if !key.is_list => drop(writeln!(out, "{}: {value}", key.name)),
            values => drop(writeln!(out, "{}: [{}]", key.name, values.join(", "))),
        }
    }
    out
}

fn json(settings: &Settings, keys: &[Key]) -> String {
    let mut out = Map::new();
    for key in keys {
        let (values, _) = shown(settings, key);
        let mut values: Vec<Value> = values.iter().map(|value| escaped(value).into()).collect();
        let value = if key.is_list {
            Some(values.into()).filter(|list: &Value| *list != Value::Array(vec![]))
        } else {
            values.pop()
        };
        value.into_iter().for_each(|value| drop(out.insert(key.name.to_owned(), value)));
    }
    format!("{:#}\n", Value::Object(out))
}

/// A dollar stays a dollar when the file is read again.
fn escaped(value: &str) -> String {
    value.replace('$', "$$")
}
