//! `catchment features`: which features have a gate, how far each is, and whether it is on.
//!
//! Does not know: what a feature does.

use super::pages;
use crate::config::FEATURES;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Flags of `catchment features`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
alpha: off, and may change or go; beta: on; stable: on, and cannot be turned off; deprecated: off, and cannot be turned on.

Examples:
  catchment features
  catchment run --feature-gates=-rules")]
pub(super) struct Features {
    /// How they are printed
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Features {
    /// Prints them.
    ///
    /// # Errors
    /// A sentence, when standard output cannot be written.
    pub(super) fn print(&self) -> Result<u8, String> {
        pages::write(
            match self.format {
                Format::Text => text(),
                Format::Json => json_page(),
            }
            .as_bytes(),
        )
    }
}

fn text() -> String {
    let longest = FEATURES.iter().map(|feature| feature.name.len()).max().unwrap_or(0).max("feature".len());
    let mut out = format!("{:longest$}  {:10}  {:3}  {:7}  what\n", "feature", "stage", "is", "since");
    for feature in &FEATURES {
        let (stage, is) = (feature.stage.word(), if feature.stage.is_on() { "on" } else { "off" });
        let _ = writeln!(out, "{:longest$}  {stage:10}  {is:3}  {:7}  {}", feature.name, feature.since, feature.about);
    }
    out
}

fn json_page() -> String {
    let all = FEATURES.iter().map(|feature| {
        json!({
            "name": feature.name, "stage": feature.stage.word(), "on": feature.stage.is_on(), "since": feature.since,
            "about": feature.about,
        })
    });
    format!("{:#}\n", json!({ "features": all.collect::<Vec<Value>>() }))
}
