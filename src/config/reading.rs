//! Reads one setting after the other, and keeps what is wrong with each.
//!
//! Does not know: which settings there are. A value that cannot be read is replaced by one that fits, so that all others
//! are read, too; there is no plan then.

use super::settings::{Setting, Settings};
use crate::problem::{Flaw, Given, Problem};
use crate::units::{Unread, count, duration, size};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// What a number that is not given is.
pub(super) const AUTO: &str = "auto";

/// The settings, and what is wrong with them.
pub(super) struct Reading<'a> {
    pub settings: &'a Settings,
    pub problems: Vec<Problem>,
}

impl<'a> Reading<'a> {
    /// Keeps a problem; where its setting was given is put in.
    pub(super) fn note(&mut self, problem: Problem) {
        let at = self.settings.at(problem.key);
        self.problems.push(problem.at(at));
    }

    /// Keeps what is wrong with a setting, whose text may be shown.
    pub(super) fn wrong(&mut self, setting: &Setting, flaw: Flaw) {
        self.problems.push(Problem::new(setting.key, setting.text(), flaw).at(setting.at.clone()));
    }

    /// Keeps that a text cannot be read.
    pub(super) fn unread(&mut self, setting: &Setting, why: Unread) {
        self.problems.push(Problem::unread(setting.key, why).at(setting.at.clone()));
    }

    /// A setting that always has a value: whoever made the settings gave every default.
    pub(super) fn one(&self, key: &'static str) -> &'a Setting {
        self.settings.get(key).unwrap_or_else(|| panic!("{key} has no default"))
    }

    pub(super) fn path(&self, key: &'static str) -> Option<PathBuf> {
        self.settings.get(key).map(Setting::path)
    }

    /// A whole number in the range.
    pub(super) fn number(&mut self, key: &'static str, range: RangeInclusive<usize>) -> usize {
        let setting = self.one(key);
        let read = count(&setting.text()).ok().filter(|n| range.contains(n));
        read.unwrap_or_else(|| {
            self.wrong(setting, Flaw::outside(format!("give a number from {} to {}", range.start(), range.end())));
            *range.start()
        })
    }

    /// A whole number in the range; `None` for `auto`.
    pub(super) fn number_or_auto(&mut self, key: &'static str, range: RangeInclusive<usize>) -> Option<usize> {
        let setting = self.one(key);
        if setting.text() == AUTO {
            return None;
        }
        let read = count(&setting.text()).ok().filter(|n| range.contains(n));
        Some(read.unwrap_or_else(|| {
            let allowed = format!("give a number from {} to {}, or auto", range.start(), range.end());
            self.wrong(setting, Flaw::outside(allowed));
            *range.start()
        }))
    }

    /// A size in the range.
    pub(super) fn size(&mut self, key: &'static str, range: RangeInclusive<usize>, allowed: &str) -> usize {
        let setting = self.one(key);
        let read = size(&setting.text()).ok().filter(|bytes| range.contains(bytes));
        read.unwrap_or_else(|| {
            self.wrong(setting, Flaw::outside(allowed));
            *range.start()
        })
    }

    /// A size of at least so many bytes.
    pub(super) fn size_from(&mut self, key: &'static str, least: usize, allowed: &str) -> usize {
        let setting = self.one(key);
        match size(&setting.text()) {
            Ok(bytes) if bytes >= least => return bytes,
            Ok(_) => self.wrong(setting, Flaw::outside(allowed)),
            Err(why) => self.unread(setting, why),
        }
        least
    }

    /// A time; `None` if it cannot be read.
    pub(super) fn time(&mut self, key: &'static str) -> Option<Duration> {
        let setting = self.one(key);
        duration(&setting.text()).map_err(|why| self.unread(setting, why)).ok()
    }

    /// One of these words.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> T {
        let setting = self.one(key);
        let found = words.iter().find(|(word, _)| *word == setting.text());
        let (_, value) = found.unwrap_or_else(|| {
            let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(setting, Flaw::outside(format!("give one of {}", all.join(", "))));
            &words[0]
        });
        *value
    }

    /// Keeps a problem of which the text stands in quotes.
    pub(super) fn wrong_in_quotes(&mut self, setting: &Setting, flaw: Flaw) {
        let given = Given::Quoted(setting.text().into_owned());
        self.problems.push(Problem { given, ..Problem::bare(setting.key, flaw).at(setting.at.clone()) });
    }
}
