//! The settings of a run: from flags, variables and the files that `--config` names, at the start and whenever they are read
//! again.
//!
//! Does not know: what a setting means, or how a file is read.

use super::run::{self, Options};
use super::{fetch, origin};
use crate::config::keys::{FileSetting, FileSettings, Key, read};
use crate::config::{self, Plan, SettingDifferences, Settings, Settled, source};
use crate::deliver::check_files;
use crate::problem::{At, Problem};
use crate::runtime::Sources;

/// Where a run has its settings from: the flags and variables that it was started with, and what they name.
pub(super) struct RunSources {
    options: Options,
    keys: Vec<Key>,
    /// A hash of files before they were read at the start.
    first: u64,
}

impl RunSources {
    /// Of these flags.
    pub(super) fn new(options: Options, keys: Vec<Key>) -> RunSources {
        let first = source::look(&options.configs());
        RunSources { options, keys, first }
    }

    /// The settings as they stand there now.
    pub(super) fn gather(&self) -> Gathered {
        gather(self.options.clone(), &self.keys)
    }
}

impl Sources for RunSources {
    fn read(&self, running: &Settled) -> Result<(Settled, SettingDifferences), Vec<Problem>> {
        let Gathered { settings, problems } = self.gather();
        let settled = in_order(problems, running.again(settings, &run::surroundings()))?;
        // last of all, as it makes the files
        check_files(&settled.0.plan.outs).map(|()| settled)
    }

    fn has_files(&self) -> bool {
        self.options.configs().iter().any(|uri| !uri.trim().is_empty())
    }

    fn first_look(&self) -> u64 {
        self.first
    }

    fn look(&self) -> u64 {
        source::look(&self.options.configs())
    }
}

/// Settings, and what is wrong with the files that they come from.
pub(super) struct Gathered {
    pub(super) settings: Settings,
    pub(super) problems: Vec<Problem>,
}

/// All settings: flags win over variables, and these over files.
pub(super) fn gather(options: Options, keys: &[Key]) -> Gathered {
    let (mut sources, mut problems) = (Vec::new(), Vec::new());
    for uri in options.configs().iter().filter(|uri| !uri.trim().is_empty()) {
        match source::load(uri, &mut fetch::fetch) {
            Ok(more) => sources.extend(more),
            Err((name, flaw)) => problems.push(Problem::new("config", name, flaw).at(origin::of("config"))),
        }
    }
    let variable = |name: &str| std::env::var(name).ok();
    let FileSettings { texts, trees, problems: more } = read(&sources, keys, &variable);
    problems.extend(more);
    let mut settings = options.settings();
    for FileSetting { name, values } in texts {
        if !origin::is_given(name) {
            settings.replace(name, values);
        }
    }
    trees.into_iter().for_each(|tree| settings.add_tree(tree));
    Gathered { settings, problems }
}

impl Gathered {
    /// The plan that the settings come to.
    ///
    /// # Errors
    /// Everything that is wrong, with files and with what they say: in the order of the places in each file.
    pub(super) fn settle(&mut self) -> Result<Plan, Vec<Problem>> {
        let settled = config::settle(&self.settings, &run::surroundings());
        in_order(std::mem::take(&mut self.problems), settled)
    }
}

/// What was settled on, if nothing is wrong; else all problems, those of files in the order of their places.
fn in_order<T>(mut problems: Vec<Problem>, settled: Result<T, Vec<Problem>>) -> Result<T, Vec<Problem>> {
    let settled = settled.map_err(|more| problems.extend(more)).ok();
    if let Some(settled) = settled.filter(|_| problems.is_empty()) {
        return Ok(settled);
    }
    let mut files: Vec<_> = Vec::new();
    for problem in &problems {
        if let At::File { name, .. } = &problem.at
            && !files.contains(name)
        {
            files.push(name.clone());
        }
    }
    problems.sort_by_key(|problem| match &problem.at {
        At::File { name, line, column } => {
            (1 + files.iter().position(|file| file == name).unwrap_or(0), *line, *column)
        }
        _ => (0, 0, 0),
    });
    Err(problems)
}
