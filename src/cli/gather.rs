//! The settings of a run: from flags, variables and the files that `--config` names.
//!
//! Does not know: what a setting means, or how a file is read.

use super::run::Options;
use super::{fetch, origin};
use crate::config::keys::{FileSetting, Key, read};
use crate::config::{Settings, source};
use crate::problem::Problem;

/// All settings: flags win over variables, and these over files.
///
/// # Errors
/// Everything that is wrong with the files.
pub(super) fn gather(options: Options, keys: &[Key]) -> Result<Settings, Vec<Problem>> {
    let (mut texts, mut problems) = (Vec::new(), Vec::new());
    for uri in options.configs().iter().filter(|uri| !uri.trim().is_empty()) {
        match source::load(uri, &mut fetch::fetch) {
            Ok(more) => texts.extend(more),
            Err((name, flaw)) => problems.push(Problem::new("config", name, flaw).at(origin::of("config"))),
        }
    }
    let variable = |name: &str| std::env::var(name).ok();
    let given = read(&texts, keys, &variable).unwrap_or_else(|more| {
        problems.extend(more);
        Vec::new()
    });
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut settings = options.settings();
    for FileSetting { name, values } in given {
        if !origin::is_given(name) {
            settings.replace(name, values);
        }
    }
    Ok(settings)
}
