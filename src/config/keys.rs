//! Settings in files: which keys there are, and what a file gives for them, as text that flags are read from, too.
//!
//! Knows the table of keys that it is handed, trees and places; does not know what a value means: a duration is checked
//! where the flag's is, and its problem has the file's place. So a key and a flag are one setting with one reader.
//!
//! Invariants
//! 1. Every problem of every file is told, each with its place, and no value with a problem is handed on; who reads files with a
//!    problem makes no plan of them.
//! 2. Of several files the later one wins, key by key, and a list is taken whole; settings with parts are all handed on, in the
//!    order of the files. Flags and variables win over all files.

use super::document::{CHOICE, CHOICE_SHAPE, STRUCTURED, Telling, Trail, ValueShape, check};
use super::settings::TreeSetting;
use super::source::{SourceText, expand};
use super::tree::{TextPlace, TreeEntry, TreeFault, TreeNode, TreeValue, parse};
use crate::limits::CONFIG_LIST_MAX;
use crate::nearest::nearest;
use crate::problem::{At, Flaw, Given, Problem};
use std::sync::Arc;

/// A setting that can be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// As its flag is called, without dashes.
    pub name: &'static str,
    /// What it is for, in one line.
    pub about: String,
    /// The rest of its help.
    pub more: String,
    /// Under which head it stands in the help.
    pub section: String,
    /// What its value is called: `DURATION`, `SIZE|auto`.
    pub value_name: String,
    /// What it is if nobody gives it.
    pub default: Option<String>,
    /// All that it may be; empty: many things.
    pub words: Vec<String>,
    /// It may be given more than once: in a file it is a list.
    pub is_list: bool,
    /// Its values are never shown.
    pub is_secret: bool,
    /// In a file a value may be a mapping, of `url` and these: what stands behind `?` otherwise.
    pub options: Vec<&'static str>,
    /// It stands in files alone and has parts, of this shape.
    pub shape: Option<ValueShape>,
}

impl Key {
    /// Those that have parts.
    pub fn structured() -> impl Iterator<Item = Key> {
        STRUCTURED.iter().map(|field| Key {
            name: field.name,
            about: field.about.to_owned(),
            more: String::new(),
            section: "Rules".to_owned(),
            value_name: field.shape.words(),
            default: None,
            words: Vec::new(),
            is_list: false,
            is_secret: false,
            options: Vec::new(),
            shape: Some(field.shape),
        })
    }
}

/// What files give: settings as texts, in the order of the keys, and those with parts in the order of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSettings {
    /// Texts.
    pub texts: Vec<FileSetting>,
    /// Trees, each of its shape but for what is told as a problem.
    pub trees: Vec<TreeSetting>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// What a file gives for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSetting {
    /// The key.
    pub name: &'static str,
    /// One, or for a list any number, each with where it stands.
    pub values: Vec<(At, String)>,
}

/// What `texts` give for `keys`; `variable` is asked for `${env:NAME}`. All problems of all texts are told, and what has none
/// is read all the same, so that its meaning can be checked, too.
pub fn read(texts: &[SourceText], keys: &[Key], variable: &dyn Fn(&str) -> Option<String>) -> FileSettings {
    let trees: Vec<_> = texts.iter().map(|text| (&*text.name, parse(&text.text))).collect();
    read_trees(trees.iter().map(|(name, tree)| (*name, tree.as_ref().map_err(Vec::as_slice))), keys, variable)
}

/// The same of texts that are trees already, each with its name, or with what made it none.
pub fn read_trees<'a>(
    trees: impl IntoIterator<Item = (&'a str, Result<&'a TreeNode, &'a [TreeFault]>)>,
    keys: &[Key],
    variable: &dyn Fn(&str) -> Option<String>,
) -> FileSettings {
    let mut found = FileSettings::default();
    let mut given: Vec<Option<FileSetting>> = vec![None; keys.len()];
    for (name, tree) in trees {
        let mut reading = Reading { file: Arc::from(name), keys, variable, found: &mut found };
        match tree {
            Ok(root) => reading.root(root, &mut given),
            Err(faults) => {
                faults.iter().for_each(|TreeFault { at, kind }| reading.tell(*at, "", Flaw::new(kind.to_string())));
            }
        }
    }
    found.texts.extend(given.into_iter().flatten());
    found
}

/// One file being read.
struct Reading<'a> {
    file: Arc<str>,
    keys: &'a [Key],
    variable: &'a dyn Fn(&str) -> Option<String>,
    found: &'a mut FileSettings,
}

impl Reading<'_> {
    fn at(&self, TextPlace { line, column }: TextPlace) -> At {
        At::File { name: self.file.clone(), line, column }
    }

    fn tell(&mut self, at: TextPlace, key: &'static str, flaw: Flaw) {
        let at = self.at(at);
        self.found.problems.push(Problem { at, key, given: Given::Nothing, flaw: Box::new(flaw) });
    }

    fn root(&mut self, root: &TreeNode, given: &mut [Option<FileSetting>]) {
        let entries: &[TreeEntry] = match &root.value {
            // a file of comments
            TreeValue::Nothing => &[],
            TreeValue::Map(entries) => entries,
            _ => {
                let flaw = Flaw::new("this is not `key: value`").remedy("see `catchment config example`");
                return self.tell(root.at, "", flaw);
            }
        };
        for TreeEntry { key, key_at, value } in entries {
            let Some(place) = self.keys.iter().position(|known| known.name == key) else {
                self.unknown(key, *key_at);
                continue;
            };
            let known = &self.keys[place];
            if let Some(shape) = known.shape {
                self.tree(known.name, shape, value.clone());
            } else if let Some(values) = self.values(known, value) {
                given[place] = Some(FileSetting { name: known.name, values });
            }
        }
    }

    /// A setting with parts: variables are put into its texts, and it is held against its shape.
    fn tree(&mut self, key: &'static str, shape: ValueShape, mut node: TreeNode) {
        if node.value == TreeValue::Nothing {
            return;
        }
        let mut left = vec![&mut node];
        while let Some(TreeNode { at, value }) = left.pop() {
            match value {
                TreeValue::Nothing => {}
                TreeValue::Text { text, .. } => match expand(text, self.variable) {
                    Ok(expanded) => *text = expanded.trim_end_matches('\n').to_owned(),
                    Err(flaw) => self.tell(*at, key, flaw),
                },
                TreeValue::List(items) => left.extend(items),
                TreeValue::Map(entries) => left.extend(entries.iter_mut().map(|entry| &mut entry.value)),
            }
        }
        let mut telling = Telling { file: &self.file, key, problems: &mut self.found.problems };
        check(&mut telling, &node, &shape, &Trail::Start);
        self.found.trees.push(TreeSetting { key, file: self.file.clone(), node });
    }

    fn unknown(&mut self, key: &str, at: TextPlace) {
        let shown = cut(key);
        let flaw = Flaw::new(format!("unknown key `{}`", shown.escape_debug()));
        let flaw = match nearest(&shown.replace('_', "-").to_lowercase(), self.keys.iter().map(|known| known.name)) {
            Some(meant) => flaw.remedy(format!("did you mean `{meant}`?")),
            None => flaw.remedy("`catchment config example` has all there are"),
        };
        self.tell(at, "", flaw);
    }

    /// The values of a key as texts; nothing where there is a problem, or nothing is given.
    fn values(&mut self, key: &Key, node: &TreeNode) -> Option<Vec<(At, String)>> {
        let before = self.found.problems.len();
        let values: Vec<_> = match &node.value {
            // like a flag that is not given
            TreeValue::Nothing => return None,
            TreeValue::List(items) if items.len() > CONFIG_LIST_MAX => {
                let fault = format!("has {} values, {CONFIG_LIST_MAX} are the most", items.len());
                self.tell(node.at, key.name, Flaw::predicate(fault));
                return None;
            }
            TreeValue::List(items) if key.is_list => items.iter().filter_map(|item| self.text(key, item)).collect(),
            _ => self.text(key, node).into_iter().collect(),
        };
        (self.found.problems.len() == before).then_some(values)
    }

    fn text(&mut self, key: &Key, node: &TreeNode) -> Option<(At, String)> {
        let allowed = if key.is_list { "a text, or a list of texts" } else { "a text or a number" };
        let fault = match &node.value {
            TreeValue::Text { text, .. } => match expand(text, self.variable) {
                // what `|` leaves behind the last line is nobody's
                Ok(text) => return self.checked(key, node.at, text.trim_end_matches('\n').to_owned()),
                Err(flaw) => {
                    self.tell(node.at, key.name, flaw);
                    return None;
                }
            },
            TreeValue::Nothing => "is nothing here",
            TreeValue::List(_) => "is a list here",
            TreeValue::Map(entries) if !key.options.is_empty() => return self.url(key, node.at, entries),
            TreeValue::Map(_) => "is a mapping here",
        };
        self.tell(node.at, key.name, Flaw::predicate(fault).allowed(format!("it is {allowed}: {}", key.value_name)));
        None
    }

    /// `{url: stdout, temporality: delta}` as `stdout?temporality=delta`.
    fn url(&mut self, key: &Key, at: TextPlace, entries: &[TreeEntry]) -> Option<(At, String)> {
        let before = self.found.problems.len();
        let (mut url, mut options) = (None, String::new());
        let mut chosen = Vec::new();
        for entry in entries {
            let TreeEntry { key: name, key_at, value } = entry;
            let is_option = key.options.contains(&name.as_str());
            if CHOICE.iter().any(|field| field.name == name) {
                chosen.push(entry.clone());
                continue;
            }
            if name != "url" && !is_option {
                let known = || key.options.iter().copied().chain(["url"]);
                let flaw = Flaw::new(format!("unknown key `{}`", cut(name).escape_debug()));
                let all = known().collect::<Vec<_>>().join(", ");
                let meant = nearest(name, known()).map(|meant| format!("did you mean `{meant}`? "));
                let flaw = flaw.remedy(format!("{}there are {all}", meant.unwrap_or_default()));
                self.tell(*key_at, key.name, flaw);
                continue;
            }
            // as an option that is not given
            if value.value == TreeValue::Nothing {
                continue;
            }
            let plain = Key { options: Vec::new(), is_list: false, value_name: name.clone(), ..key.clone() };
            let Some((_, text)) = self.text(&plain, value) else { continue };
            if !is_option {
                url = Some(text);
            } else if text.contains('&') {
                self.tell(value.at, key.name, Flaw::new(format!("`{name}` cannot have a `&` in it")));
            } else {
                options += &format!("&{name}={text}");
            }
        }
        if !chosen.is_empty() {
            self.tree(key.name, CHOICE_SHAPE, TreeNode { at, value: TreeValue::Map(chosen) });
        }
        if url.is_none() && self.found.problems.len() == before {
            self.tell(at, key.name, Flaw::new("there is no `url`").allowed(format!("it is {}", key.value_name)));
        }
        let url = url.filter(|_| self.found.problems.len() == before)?;
        let all = if url.contains('?') || options.is_empty() { url + &options } else { url + "?" + &options[1..] };
        Some((self.at(at), all))
    }

    /// A text that may be one of few words is one of them.
    fn checked(&mut self, key: &Key, at: TextPlace, text: String) -> Option<(At, String)> {
        let at = self.at(at);
        if key.words.is_empty() || key.words.contains(&text) {
            return Some((at, text));
        }
        let meant =
            nearest(&text, key.words.iter().map(String::as_str)).map(|meant| format!("did you mean `{meant}`?"));
        let allowed = format!("give {}", key.words.join(", "));
        let flaw = Flaw { remedy: meant.unwrap_or_default(), ..Flaw::outside(allowed) };
        self.found.problems.push(Problem { at, key: key.name, given: Given::Quoted(text), flaw: Box::new(flaw) });
        None
    }
}

/// A key as it may be repeated.
fn cut(key: &str) -> String {
    key.chars().take(KEY_SHOWN_CHARS).collect()
}

/// Of a key that nobody knows so much is repeated.
const KEY_SHOWN_CHARS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &'static str) -> Key {
        Key {
            name,
            about: String::new(),
            more: String::new(),
            section: String::new(),
            value_name: "DURATION".into(),
            default: None,
            words: Vec::new(),
            is_list: false,
            is_secret: false,
            options: Vec::new(),
            shape: None,
        }
    }

    fn keys() -> Vec<Key> {
        let words = vec!["on".to_owned(), "off".to_owned(), "auto".to_owned()];
        let out = Key { is_list: true, options: vec!["name", "queue", "temporality"], ..key("out") };
        vec![key("interval"), out, Key { words, ..key("pin") }, key("max-body")]
    }

    fn read_all(texts: &[&str]) -> Result<Vec<FileSetting>, Vec<String>> {
        let named = |(n, text): (usize, &&str)| SourceText { name: format!("f{n}.yaml"), text: (*text).to_owned() };
        let texts: Vec<SourceText> = texts.iter().enumerate().map(named).collect();
        let variable = |name: &str| (name == "HOST").then(|| "db".to_owned());
        let FileSettings { texts, problems, .. } = read(&texts, &keys(), &variable);
        if problems.is_empty() { Ok(texts) } else { Err(problems.iter().map(Problem::to_string).collect()) }
    }

    fn values(texts: &[&str]) -> Vec<(&'static str, Vec<String>)> {
        read_all(texts)
            .unwrap()
            .into_iter()
            .map(|setting| (setting.name, setting.values.into_iter().map(|(_, text)| text).collect()))
            .collect()
    }

    #[test]
    fn a_key_is_what_its_flag_is() {
        let got =
            values(&["max-body: 64MiB\ninterval: 10s\nout:\n- stdout\n- \"otlp-grpc://${env:HOST}:4317\"\npin: off\n"]);
        let want: [(&str, Vec<String>); 4] = [
            ("interval", vec!["10s".into()]),
            ("out", vec!["stdout".into(), "otlp-grpc://db:4317".into()]),
            ("pin", vec!["off".into()]),
            ("max-body", vec!["64MiB".into()]),
        ];
        assert_eq!(got, want);
        assert_eq!(values(&["out: stdout\n"]), [("out", vec!["stdout".to_owned()])], "one is a list of one");
        assert_eq!(values(&["out: []\n"]), [("out", vec![])]);
        assert!(values(&["# nothing\n"]).is_empty() && values(&["interval:\n"]).is_empty());
    }

    #[test]
    fn a_destination_may_be_a_mapping() {
        let check = |text: &str, want: &str| {
            assert_eq!(values(&[text]), [("out", vec![want.to_owned()])], "{text}");
        };
        check("out: {url: stdout}\n", "stdout");
        check("out:\n- url: stdout\n  temporality: delta\n  queue: 8MiB\n", "stdout?temporality=delta&queue=8MiB");
        check("out: [{url: 'stdout?queue=8MiB', name: a}]\n", "stdout?queue=8MiB&name=a");
        check("out: [{name: a, url: 'otlp-grpc://${env:HOST}', queue: }]\n", "otlp-grpc://db?name=a");
        let problems = read_all(&["out: [{name: a}, {url: x, name: 'a&b'}, {url: [x]}]\n"]).unwrap_err();
        let want = [
            "f0.yaml:1:7 out: there is no `url`; it is DURATION",
            "f0.yaml:1:33 out: `name` cannot have a `&` in it",
            "f0.yaml:1:47 out is a list here; it is a text or a number: url",
        ];
        assert_eq!(problems, want);
    }

    #[test]
    fn of_several_files_the_later_one_wins() {
        let got = values(&["interval: 10s\nout: [a, b]\n", "out: [c]\nmax-body: 1\n"]);
        let want: [(&str, Vec<String>); 3] =
            [("interval", vec!["10s".into()]), ("out", vec!["c".into()]), ("max-body", vec!["1".into()])];
        assert_eq!(got, want);
        let all = read_all(&["interval: 10s\n", "\n\ninterval: 5s\n"]);
        assert_eq!(all.unwrap()[0].values[0].0, At::File { name: "f1.yaml".into(), line: 3, column: 11 });
    }

    /// All problems of all files, each with its place.
    #[test]
    fn all_problems_are_told_at_once() {
        let problems = read_all(&[
            "intervall: 10s\nPIN: on\npin: outo\nout: {urn: stdout}\nmax-body: [1]\nout: x\n",
            "interval: ${env:ABSENT}\nfrobnicate: 1\nout: [a, [b], ]\n",
            "a: [1\n",
            "- interval\n",
        ]);
        let problems = problems.unwrap_err();
        for (n, words) in [
            "f0.yaml:6:1: `out` is there twice: first in line 4, column 1",
            "f1.yaml:1:11 interval: the variable ABSENT is not set: set it, or write ${env:ABSENT:-default}",
            "f1.yaml:2:1: unknown key `frobnicate`: `catchment config example` has all there are",
            "f1.yaml:3:10 out is a list here; it is a text, or a list of texts: DURATION",
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(problems[n], words, "{problems:#?}");
        }
        assert!(problems[4].starts_with("f2.yaml:") && problems[4].contains("this is not YAML"), "{problems:#?}");
        assert_eq!(problems[5], "f3.yaml:1:1: this is not `key: value`: see `catchment config example`");
        let problems =
            read_all(&["intervall: 10s\nPIN: on\npin: outo\nout: {urn: stdout}\nmax-body: [1]\n"]).unwrap_err();
        let want = [
            "f0.yaml:1:1: unknown key `intervall`: did you mean `interval`?",
            "f0.yaml:2:1: unknown key `PIN`: did you mean `pin`?",
            "f0.yaml:3:6 pin 'outo': give on, off, auto: did you mean `auto`?",
            "f0.yaml:4:7 out: unknown key `urn`: did you mean `url`? there are name, queue, temporality, url",
            "f0.yaml:5:11 max-body is a list here; it is a text or a number: DURATION",
        ];
        assert_eq!(problems, want);
    }

    /// What a variable holds makes no keys, no lists and no second variable.
    #[test]
    fn a_variable_is_text() {
        let text = SourceText { name: "f".into(), text: "interval: ${env:EVIL}\n".into() };
        let evil = "10s\nout: [x]\n# ${env:EVIL}".to_owned();
        let got = read(&[text], &keys(), &|_| Some(evil.clone())).texts;
        assert_eq!((got.len(), &got[0].values[0].1), (1, &evil));
    }
}
