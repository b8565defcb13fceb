//! The table of settings, from the definitions of the flags of `run`: what files may say, and what is told of it.
//!
//! Knows clap's definitions; does not know files. One table, so that a flag and its key cannot differ.

use crate::config::keys::Key;
use crate::deliver::DESTINATION_OPTIONS;
use clap::builder::{PossibleValue, StyledStr};
use clap::{Arg, ArgAction, Command};

/// Flags that say where settings are, or what to print: no settings themselves.
const NO_SETTINGS: [&str; 2] = ["config", "help"];
/// What these hold is never shown.
const SECRET: [&str; 1] = ["out-header"];

/// The settings of `run`, a command of these definitions, in the order of its help, and those that stand in files alone.
pub(super) fn of(command: &Command) -> Vec<Key> {
    let run = command.find_subcommand("run").map(Command::get_arguments);
    run.into_iter().flatten().filter_map(key).chain(Key::structured()).collect()
}

fn key(arg: &Arg) -> Option<Key> {
    let name = arg.get_long().filter(|name| !NO_SETTINGS.contains(name))?;
    let text = |styled: Option<&StyledStr>| styled.map(ToString::to_string).unwrap_or_default();
    let about = text(arg.get_help());
    let more = text(arg.get_long_help());
    let more = more.strip_prefix(&*about).unwrap_or(&more).trim().to_owned();
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    let names = arg.get_value_names().unwrap_or_default();
    let words = arg.get_possible_values();
    Some(Key {
        // a few words that live as long as the process: problems carry them
        name: name.to_owned().leak(),
        about,
        more,
        section: arg.get_help_heading().unwrap_or("Other").to_owned(),
        value_name: names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        default: (!defaults.is_empty()).then(|| defaults.join(" ")),
        words: words.iter().map(PossibleValue::get_name).map(str::to_owned).collect(),
        is_list: matches!(arg.get_action(), ArgAction::Append),
        is_secret: SECRET.contains(&name),
        options: if name == "out" { DESTINATION_OPTIONS.split(", ").collect() } else { Vec::new() },
        shape: None,
    })
}
