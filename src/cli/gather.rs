//! The settings of a run: from flags, variables and the files that `--config` names, at the start and whenever they are read
//! again.
//!
//! Does not know: what a setting means, or how a file is read.

use super::run::{self, Options};
use super::{fetch, origin};
use crate::config::keys::{FileSetting, FileSettings, Key, read};
use crate::config::source::{self, FirstTexts, SourceText};
use crate::config::{self, Plan, SettingDifferences, Settings, Settled};
use crate::deliver::check_files;
use crate::problem::{At, Flaw, Problem};
use crate::runtime::Sources;

/// Where a run has its settings from: the flags and variables that it was started with, and what they name.
pub(super) struct RunSources {
    options: Options,
    keys: Vec<Key>,
    /// What files gave at the start.
    first: FirstTexts,
}

impl RunSources {
    /// Of these flags, and the settings as they stand there now.
    pub(super) fn begin(options: Options, keys: Vec<Key>) -> (RunSources, Gathered) {
        let mut first = FirstTexts::default();
        let gathered = gather_from(options.clone(), &keys, &mut |uri| first.load(uri, &mut fetch::fetch));
        (RunSources { options, keys, first }, gathered)
    }
}

impl Sources for RunSources {
    fn read(&self, running: &Settled) -> Result<(Settled, SettingDifferences), Vec<Problem>> {
        let load = &mut |uri: &str| self.first.load_again(uri, &mut fetch::fetch);
        let Gathered { settings, problems } = gather_from(self.options.clone(), &self.keys, load);
        let settled = in_order(problems, running.again(settings, &run::surroundings()))?;
        // last of all, as it makes the files
        check_files(&settled.0.plan.outs).map(|()| settled)
    }

    fn has_files(&self) -> bool {
        !uris(&self.options).is_empty()
    }

    fn first_look(&self) -> u64 {
        self.first.first_look()
    }

    fn look(&self) -> u64 {
        self.first.look(&uris(&self.options))
    }
}

/// Settings, and what is wrong with the files that they come from.
pub(super) struct Gathered {
    pub(super) settings: Settings,
    pub(super) problems: Vec<Problem>,
}

/// What `--config` names.
fn uris(options: &Options) -> Vec<&str> {
    options.configs().into_iter().filter(|uri| !uri.trim().is_empty()).collect()
}

/// Reads what a `--config` names.
type Load<'a> = &'a mut dyn FnMut(&str) -> Result<Vec<SourceText>, (String, Flaw)>;

/// All settings: flags win over variables, and these over files.
pub(super) fn gather(options: Options, keys: &[Key]) -> Gathered {
    gather_from(options, keys, &mut |uri| source::load(uri, &mut fetch::fetch))
}

fn gather_from(options: Options, keys: &[Key], load: Load<'_>) -> Gathered {
    let (mut sources, mut problems) = (Vec::new(), Vec::new());
    for uri in uris(&options) {
        match load(uri) {
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
