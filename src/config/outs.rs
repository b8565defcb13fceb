//! Where aggregates are pushed to, with what every destination needs to be reached.
//!
//! Does not know: what a URL means; `deliver` reads it.

use super::document::{Telling, choice};
use super::doors::DoorSetting;
use super::reading::Reading;
use super::settings::{Setting, Settings};
use super::surroundings::Surroundings;
use crate::deliver::{Access, Destination, name_apart, parse_out};
use crate::limits::DESTINATIONS_MAX;
use crate::problem::{Flaw, Problem};
use crate::rules::{RulePlan, Selections};
use std::sync::Arc;

/// Reads every destination, and the files that they need.
pub(super) fn destinations(
    reading: &mut Reading<'_>,
    doors: &[&DoorSetting<'_>],
    scrapes: bool,
    around: &Surroundings<'_>,
) -> Vec<Destination> {
    let mut outs = Vec::new();
    let mut urls = urls(reading.settings);
    if urls.len() > DESTINATIONS_MAX {
        let fault = format!("{} destinations, at most {DESTINATIONS_MAX} can be given", urls.len());
        reading.problems.push(Problem::bare("out", Flaw::new(fault)).at(urls[DESTINATIONS_MAX].at.clone()));
        urls.truncate(DESTINATIONS_MAX);
    }
    for url in &urls {
        match parse_out(&url.text()) {
            Ok(out) => {
                if let Some(problem) = doors.iter().find_map(|door| door.refuses(&out, around)) {
                    reading.problems.push(problem.at(url.at.clone()));
                }
                if out.is_named && outs.iter().any(|other: &Destination| other.is_named && other.name == out.name) {
                    let flaw =
                        Flaw::new(format!("two destinations are called {}", out.name)).remedy("give one another");
                    reading.problems.push(Problem::bare("out", flaw).at(url.at.clone()));
                }
                outs.push(out);
            }
            Err(problem) => reading.problems.push(problem.at(url.at.clone())),
        }
    }
    name_apart(&mut outs);
    if urls.is_empty() && !scrapes {
        let flaw = Flaw::new("nothing would leave, as there is no --out");
        let remedy = "leave the scrape page on, or give a destination, such as --out stdout";
        reading.note(Problem::new("prometheus", "off", flaw.remedy(remedy)));
    }
    let access = Access {
        ca: reading.path("out-ca"),
        cert: reading.path("out-cert"),
        key: reading.path("out-key"),
        headers: reading.settings.all("out-header").iter().map(|header| header.text().into_owned().into()).collect(),
    };
    if outs.len() == urls.len()
        && let Err(all) = access.apply(&mut outs)
    {
        all.into_iter().for_each(|problem| reading.note(problem));
    }
    outs
}

/// Several blanks between two, or at the end, are as good as one; nothing at all is not.
fn urls(settings: &Settings) -> Vec<&Setting> {
    let given = settings.all("out");
    let mut urls: Vec<&Setting> = given.iter().filter(|url| !url.text.is_empty()).collect();
    if urls.is_empty() {
        urls.extend(given.first());
    }
    urls
}

/// What each destination chooses; nothing if all are given everything.
pub(super) fn choose(reading: &mut Reading<'_>, outs: &mut [Destination], rules: &RulePlan) -> Option<Arc<Selections>> {
    let (urls, before) = (urls(reading.settings), reading.problems.len());
    for tree in reading.settings.trees().iter().filter(|tree| tree.key == "out") {
        // of a file whose destinations count
        let Some(place) = urls.iter().position(|url| url.at == tree.at()) else { continue };
        let mut telling = Telling { file: &tree.file, key: "out", problems: &mut reading.problems };
        let selection = choice(&mut telling, &tree.node, rules.rules());
        if outs.len() == urls.len() {
            outs[place].selection = selection;
        }
    }
    if reading.problems.len() > before {
        return None;
    }
    match Selections::new(outs.iter().map(|out| &out.selection)) {
        Ok(selections) => selections.map(Arc::new),
        Err(faults) => {
            // each alone was told about where it stands
            for fault in faults {
                reading.problems.push(Problem::bare("out", Flaw::new(format!("match and except: {}", fault.words))));
            }
            None
        }
    }
}
