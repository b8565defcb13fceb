//! The settings of a run: from flags, variables and the files that `--config` names, at the start and whenever they are read
//! again.
//!
//! Does not know: what a setting means, or how a file is read.

use super::run::{self, Options};
use super::{fetch, origin};
use crate::config::keys::{FileSetting, FileSettings, Key, read_trees};
use crate::config::source::{self, FirstTexts, SourceText};
use crate::config::tree::{TreeNode, TreeValue, parse};
use crate::config::{self, Plan, SettingDifferences, Settings, Settled};
use crate::deliver::check_files;
use crate::problem::{At, Flaw, Problem};
use crate::runtime::Sources;
use std::sync::{Mutex, PoisonError};

/// Where a run has its settings from: the flags and variables that it was started with, and what they name.
pub(super) struct RunSources {
    options: Options,
    keys: Vec<Key>,
    /// What files gave at the start.
    first: FirstTexts,
    /// The names of texts that said something when they were last read without a problem.
    said: Mutex<Vec<String>>,
}

impl RunSources {
    /// Of these flags, and the settings as they stand there now.
    pub(super) fn begin(options: Options, keys: Vec<Key>) -> (RunSources, Gathered) {
        let mut first = FirstTexts::default();
        let gathered = gather_from(options.clone(), &keys, &mut |uri| first.load(uri, &mut fetch::fetch));
        let said = Mutex::new(gathered.said.clone());
        (RunSources { options, keys, first, said }, gathered)
    }
}

impl Sources for RunSources {
    fn read(&self, running: &Settled) -> Result<(Settled, SettingDifferences), Vec<Problem>> {
        let load = &mut |uri: &str| self.first.load_again(uri, &mut fetch::fetch);
        let Gathered { settings, mut problems, said, silent } = gather_from(self.options.clone(), &self.keys, load);
        // poisoned: a thread that read has panicked, and left names that were true before
        let before = || self.said.lock().unwrap_or_else(PoisonError::into_inner);
        problems.extend(silent.iter().filter(|name| before().contains(name)).map(|name| fallen_silent(name)));
        let settled = in_order(problems, running.again(settings, &run::surroundings()))?;
        // last of all, as it makes the files
        check_files(&settled.0.plan.outs)?;
        *before() = said;
        Ok(settled)
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
    /// The names of texts that say something, all of that name, and of those that say nothing at all.
    said: Vec<String>,
    silent: Vec<String>,
}

/// Of a text that is empty now, which may be because whoever writes it has not written it yet.
fn fallen_silent(name: &str) -> Problem {
    let flaw = Flaw::new("this says nothing any more, and would take away all that it said")
        .remedy("write `rules: []` to take all rules away, or take the file out of its folder");
    Problem::bare("", flaw).at(At::File { name: name.into(), line: 1, column: 1 })
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
    let read: Vec<_> = sources.into_iter().map(|SourceText { name, text }| (name, parse(&text))).collect();
    let named = read.iter().map(|(name, tree)| (&**name, tree.as_ref().map_err(Vec::as_slice)));
    let FileSettings { texts, trees, problems: more } = read_trees(named, keys, &variable);
    problems.extend(more);
    let mut settings = options.settings();
    for FileSetting { name, values } in texts {
        if !origin::is_given(name) {
            settings.replace(name, values);
        }
    }
    trees.into_iter().for_each(|tree| settings.add_tree(tree));
    let is_silent = |tree: &Result<TreeNode, _>| tree.as_ref().is_ok_and(|root| root.value == TreeValue::Nothing);
    let (silent, said): (Vec<_>, Vec<_>) = read.into_iter().partition(|(_, tree)| is_silent(tree));
    let names = |texts: Vec<(String, _)>| texts.into_iter().map(|(name, _)| name).collect();
    let (mut said, silent): (Vec<String>, Vec<String>) = (names(said), names(silent));
    // several may have one name
    said.retain(|name| !silent.contains(name));
    Gathered { settings, problems, said, silent }
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
