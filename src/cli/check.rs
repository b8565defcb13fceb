//! `catchment check`: what a run with these flags and files would be, or all that is wrong with them. Changes nothing.
//!
//! Knows settings as texts, the plan and the memory it takes; does not know what a setting means.

use super::{gather, origin, pages, rules_memory, rules_page, run};
use crate::config::describe::quoted;
use crate::config::keys::Key;
use crate::config::printed::{self, escaped};
use crate::config::{Plan, Settings};
use crate::files::unwritten;
use crate::problem::{At, Flaw, Problem, variable};
use crate::rules::{Dedup, Failover};
use crate::runtime::{Memory, budget, show_size};
use crate::units::show_duration;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

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
        let mut gathered = gather::gather(self.run, keys);
        let mut plan = gathered.settle()?;
        let settings = gathered.settings;
        let given = |problem: Problem| {
            let at = settings.at(problem.key);
            problem.at(at)
        };
        let unwritable: Vec<Problem> =
            ["out", "capture", "ports-file"].iter().flat_map(|key| unwritable(&settings, key)).collect();
        if !unwritable.is_empty() {
            return Err(unwritable);
        }
        let (memory, shrunk) = budget(&mut plan).map_err(|problem| vec![given(problem)])?;
        let page = match self.format {
            Format::Text => text(&settings, keys, &plan, &memory, &shrunk),
            Format::Yaml => yaml(&settings, keys),
            Format::Json => json(&settings, keys),
        };
        Ok(pages::write(page.as_bytes()))
    }
}

/// Files that the setting names and that could not be written: told without writing one.
fn unwritable(settings: &Settings, key: &'static str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for setting in settings.all(key) {
        let text = setting.text();
        let path = if key == "out" {
            text.strip_prefix("file:").and_then(|path| path.split('?').next())
        } else {
            Some(&*text)
        };
        let Some(path) = path.map(Path::new) else { continue };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let error = if path.is_dir() {
            ErrorKind::IsADirectory
        } else if folder.is_some_and(|folder| !folder.exists()) {
            ErrorKind::NotFound
        } else {
            continue;
        };
        let flaw = Flaw::predicate(unwritten(path, &error.into()));
        problems.push(Problem::new(key, text.into_owned(), flaw).at(setting.at.clone()));
    }
    problems
}

/// What stands for a value that is not printed. No destination and no header: a file that has it is refused.
const NOT_SHOWN: &str = "(not shown: may hold a secret)";

/// The values of a key as they may be printed: a header may be a secret, if it is not in a file, and so may the path of a
/// URL.
fn shown(settings: &Settings, key: &Key) -> Vec<String> {
    let is_shown = |text: &str| (!key.is_secret || names_a_file(text)) && !may_hold_secret(text);
    let all = settings.all(key.name).iter().map(|one| one.text().into_owned());
    all.map(|text| if is_shown(&text) { text } else { NOT_SHOWN.to_owned() }).collect()
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

fn text(settings: &Settings, keys: &[Key], plan: &Plan, memory: &Memory, shrunk: &[String]) -> String {
    let mut rows = vec![("setting".to_owned(), "value".to_owned(), "given in".to_owned())];
    for key in keys {
        let values = shown(settings, key).join(" ");
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
    let page = plan.prometheus.iter().map(|_| "the scrape page");
    let outs: Vec<&str> = plan.outs.iter().map(|out| &*out.name).chain(page).collect();
    let _ = writeln!(
        out,
        "\nsettled  {} shards, {} connections, up to {} series in {} groups, every {:?} to {}",
        plan.shards,
        plan.connections,
        plan.series_limit,
        memory.groups_max,
        plan.interval,
        outs.join(", ")
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
    plan.dedup.entries().iter().for_each(|entry| out += &dedup_text(entry));
    out += &rules_page::text(plan);
    out += &rules_memory::text(plan, memory);
    out.push_str("no problem found\n");
    out
}

/// What an entry of `dedup` does, and what it costs.
fn dedup_text(Dedup { name, by, per, failover, .. }: &Dedup) -> String {
    let failover = match failover {
        Failover::Auto => "2.5 of its own periods".to_owned(),
        Failover::After(ns) => show_duration(Duration::from_nanos(*ns)),
    };
    format!(
        "dedup    {name}: of senders that {} tells apart one counts for each {}, and another one once it is silent for {failover}; \
         deltas of the time between are lost\n",
        by.join(", "),
        per.join(", ")
    )
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
        let tree = match key.name {
            "out" => printed::destinations(settings, shown(settings, key)),
            name => printed::joined(settings.trees(), name),
        };
        if let Some(tree) = tree {
            let _ = write!(out, "{}:{}", key.name, printed::yaml(&tree));
            continue;
        }
        let values: Vec<String> = shown(settings, key).iter().map(|value| quoted(&escaped(value))).collect();
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
        let mut values: Vec<Value> = shown(settings, key).iter().map(|value| escaped(value).into()).collect();
        let chosen = (key.name == "out").then(|| printed::destinations(settings, shown(settings, key))).flatten();
        let value = if let Some(tree) = chosen {
            serde_json::from_str(&printed::json(&tree, 1)).ok()
        } else if key.is_list {
            Some(values.into()).filter(|list: &Value| *list != Value::Array(vec![]))
        } else {
            values.pop()
        };
        value.into_iter().for_each(|value| drop(out.insert(key.name.to_owned(), value)));
    }
    let mut text = format!("{:#}\n", Value::Object(out));
    // with their keys in the order in which they were written: of a map the first value that fits counts
    for key in keys.iter().filter(|key| key.shape.is_some()) {
        if let Some(tree) = printed::joined(settings.trees(), key.name) {
            text.truncate(text.trim_end().trim_end_matches('}').trim_end().len());
            let _ = write!(text, ",\n  \"{}\": {}\n}}\n", key.name, printed::json(&tree, 1));
        }
    }
    text
}
