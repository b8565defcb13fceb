//! What was asked for, as it was given: a text for each setting, and where it stood.
//!
//! Does not know: what the texts mean, or which settings there are. Texts of settings that may hold a secret are not shown
//! (T21).

use crate::problem::At;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// Settings whose texts may hold a secret.
const SECRET: [&str; 2] = ["out", "out-header"];

/// One setting, as it was given.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    /// As its flag is called: `max-body`.
    pub key: &'static str,
    /// Where it was given.
    pub at: At,
    /// What was given.
    pub text: OsString,
}

impl Setting {
    /// As text; every setting that is no path is UTF-8.
    pub fn text(&self) -> Cow<'_, str> {
        self.text.to_string_lossy()
    }

    /// As a path.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(&self.text)
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if SECRET.contains(&self.key) { "[REDACTED]".into() } else { self.text() };
        write!(f, "{} ({:?}) {text:?}", self.key, self.at)
    }
}

/// All that was asked for, and the defaults of the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<&'static str, Vec<Setting>>);

impl Settings {
    /// One more value of a setting, behind those that it has.
    pub fn add(&mut self, key: &'static str, at: At, text: impl Into<OsString>) {
        self.0.entry(key).or_default().push(Setting { key, at, text: text.into() });
    }

    /// The values of a setting in place of those that it has.
    pub fn replace(&mut self, key: &'static str, values: impl IntoIterator<Item = (At, String)>) {
        let values = values.into_iter().map(|(at, text)| Setting { key, at, text: text.into() });
        self.0.insert(key, values.collect());
    }

    /// The setting, if it has a value: the last one, where it has several.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.all(key).last()
    }

    /// Every value of the setting, in the order in which they were given.
    pub fn all(&self, key: &str) -> &[Setting] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Where the setting was given.
    pub fn at(&self, key: &str) -> At {
        self.get(key).map(|setting| setting.at.clone()).unwrap_or_default()
    }
}
