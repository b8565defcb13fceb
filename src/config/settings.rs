//! What was asked for, as it was given: a text for each setting, and where it stood.
//!
//! Does not know: what the texts mean, or which settings there are. Texts of settings that may hold a secret are not shown
//! (T21).

use super::tree::TreeNode;
use crate::problem::At;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Settings whose texts may hold a secret.
pub(super) const SECRET: [&str; 2] = ["out", "out-header"];

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

/// A setting that has parts, as one file gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeSetting {
    /// Its key in the file.
    pub key: &'static str,
    /// The file.
    pub file: Arc<str>,
    /// What stands there.
    pub node: TreeNode,
}

impl TreeSetting {
    /// Where it begins.
    pub fn at(&self) -> At {
        At::File { name: self.file.clone(), line: self.node.at.line, column: self.node.at.column }
    }
}

/// All that was asked for, and the defaults of the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    texts: BTreeMap<&'static str, Vec<Setting>>,
    trees: Vec<TreeSetting>,
}

impl Settings {
    /// One more value of a setting, behind those that it has.
    pub fn add(&mut self, key: &'static str, at: At, text: impl Into<OsString>) {
        self.texts.entry(key).or_default().push(Setting { key, at, text: text.into() });
    }

    /// The values of a setting in place of those that it has.
    pub fn replace(&mut self, key: &'static str, values: impl IntoIterator<Item = (At, String)>) {
        let values = values.into_iter().map(|(at, text)| Setting { key, at, text: text.into() });
        self.texts.insert(key, values.collect());
    }

    /// The setting as `other` has it, in place of what is here.
    pub(super) fn keep(&mut self, key: &'static str, other: &Settings) {
        match other.texts.get(key) {
            Some(values) => drop(self.texts.insert(key, values.clone())),
            None => drop(self.texts.remove(key)),
        }
        if self.trees.iter().chain(&other.trees).any(|tree| tree.key == key) {
            self.trees.retain(|tree| tree.key != key);
            self.trees.extend(other.trees.iter().filter(|tree| tree.key == key).cloned());
        }
    }

    /// The setting, if it has a value: the last one, where it has several.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.all(key).last()
    }

    /// Every value of the setting, in the order in which they were given.
    pub fn all(&self, key: &str) -> &[Setting] {
        self.texts.get(key).map_or(&[], Vec::as_slice)
    }

    /// One more setting with parts, behind those of files before.
    pub fn add_tree(&mut self, tree: TreeSetting) {
        self.trees.push(tree);
    }

    /// Settings with parts, in the order of their files.
    pub fn trees(&self) -> &[TreeSetting] {
        &self.trees
    }

    /// Where the setting was given.
    pub fn at(&self, key: &str) -> At {
        self.get(key).map(|setting| setting.at.clone()).unwrap_or_default()
    }
}
