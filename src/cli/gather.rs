//! The settings of a run: from flags, variables and the files that `--config` names.
//!
//! Does not know: what a setting means, or how a file is read.

use super::run::{self, Options};
use super::{fetch, origin};
use crate::config::keys::{FileSetting, FileSettings, Key, read};
use crate::config::{self, Plan, Settings, source};
use crate::fold::FoldSpec;
use crate::problem::{At, Flaw, Problem};
use crate::rules::{Action, InputKind};

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
        let mut problems = std::mem::take(&mut self.problems);
        let settled = config::settle(&self.settings, &run::surroundings());
        let plan = settled.map_err(|more| problems.extend(more)).ok();
        if let Some(plan) = plan.filter(|_| problems.is_empty()) {
            return Ok(plan);
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
}

/// What rules say that this build checks and does not do yet: the number of the rule, and what it is.
pub(super) fn unapplied(plan: &Plan) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    for (number, rule) in plan.rules.rules().iter().enumerate() {
        match &rule.action {
            Action::Drop | Action::Keep | Action::Relabel(_) => {}
            Action::Aggregate(aggregation) => {
                // of one output all kinds together
                let mut missing: Vec<(&str, Vec<&str>)> = Vec::new();
                for input in InputKind::ALL {
                    let specs = aggregation.outputs[input as usize].iter();
                    for spec in specs.filter(|spec| !FoldSpec::is_computed(&spec.output, input)) {
                        match missing.iter_mut().find(|(text, _)| *text == &*spec.text) {
                            Some((_, kinds)) => kinds.push(input.word()),
                            None => missing.push((&spec.text, vec![input.word()])),
                        }
                    }
                }
                let said = missing.iter().map(|(text, kinds)| format!("the output {text} of {}", kinds.join(", ")));
                all.extend(said.map(|what| (number, what)));
            }
        }
    }
    all
}

/// A plan of which this build does all.
///
/// # Errors
/// What is not done, by rule.
pub(super) fn unruled(plan: Plan, settings: &Settings) -> Result<Plan, Vec<Problem>> {
    let in_file = settings.trees().iter().find(|tree| tree.key == "rules").map(|tree| ("rules", tree.at()));
    let (key, at) = in_file.unwrap_or(("without", settings.at("without")));
    let problem = |(number, what): (usize, String)| {
        let name = &plan.rules.rules()[number].name;
        let flaw = Flaw::new(format!("\"{name}\": {what} is checked, and not yet applied by this build"));
        Problem::bare(key, flaw.remedy("leave it out to run")).at(at.clone())
    };
    let problems: Vec<Problem> = unapplied(&plan).into_iter().map(problem).collect();
    if problems.is_empty() { Ok(plan) } else { Err(problems) }
}
