//! A body for fuzzing documents of rules, and a small fuzzer of its own that plain tests run.
//!
//! Knows how documents are read and printed; does not know what a rule means.

use super::document::rules;
use super::keys::{FileSettings, Key, read};
use super::settings::Settings;
use super::source::SourceText;
use super::{printed, tree};
use crate::limits::CONFIG_BYTES_MAX;
use crate::problem::{At, Problem};
use crate::rules::Rule;

/// Between two base cuts.
const BASE_NS: u64 = 10_000_000_000;

fn read_document(text: String) -> (Settings, Vec<Rule>, Vec<Problem>) {
    let keys: Vec<Key> = Key::structured().collect();
    let source = SourceText { name: "f".to_owned(), text };
    let FileSettings { trees, mut problems, .. } = read(&[source], &keys, &|_| None);
    let mut settings = Settings::default();
    trees.into_iter().for_each(|tree| settings.add_tree(tree));
    let plan = rules(&settings, Some(BASE_NS), &mut problems);
    (settings, plan.map(|plan| plan.rules().to_vec()).unwrap_or_default(), problems)
}

/// Reads `data` as a document of rules: what is refused is told with a place in it, and what is taken is printed as a document
/// that says the same, in both forms.
///
/// # Panics
/// Where that does not hold.
#[doc(hidden)]
pub fn fuzz_document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines = text.chars().filter(|c| matches!(c, '\n' | '\r')).count() as u32 + 2;
    let (settings, rules, problems) = read_document(text.to_owned());
    for problem in &problems {
        let At::File { line, .. } = problem.at else { panic!("{problem} has no place") };
        assert!(line <= lines && !problem.to_string().is_empty(), "{problem}");
    }
    if !problems.is_empty() {
        return;
    }
    let trees: Vec<(&str, tree::TreeNode)> =
        ["defaults", "rules"].iter().filter_map(|key| Some((*key, printed::joined(settings.trees(), key)?))).collect();
    let yaml: String = trees.iter().map(|(key, node)| format!("{key}:{}", printed::yaml(node))).collect();
    let json: Vec<String> = trees.iter().map(|(key, node)| format!("\"{key}\": {}", printed::json(node, 1))).collect();
    for printed in [yaml, format!("{{{}}}", json.join(","))] {
        // an alias is shorter than what it stands for
        if printed.len() <= CONFIG_BYTES_MAX {
            let (_, again, problems) = read_document(printed.clone());
            assert!(problems.is_empty() && again == rules, "{printed}: {problems:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::EXAMPLE;
    use super::*;
    use crate::chance::Chance;

    /// Pieces that documents are made of.
    const PIECES: [&str; 40] = [
        "same",
        "rate(5m)",
        "p99",
        "quantile(0.5, 1m)",
        "unique(a)",
        "topk(2, b)",
        "histogram(1, 5)",
        "gauge",
        "counter",
        "summary",
        "30s",
        "10s",
        "7s",
        "1h",
        "auto",
        "true",
        "drop",
        "relabel",
        "keep",
        "aggregate",
        "by: [a]",
        "without: {point: [b]}",
        "name: x",
        "[",
        "]",
        "{",
        "}",
        "~(",
        "!*",
        "{a,b}",
        "$${x}",
        "${env:NO:-d}",
        "\"",
        "'",
        "~",
        "match: {kind: gauge}",
        "keep_input: true",
        "rename: '{name}'",
        "&a",
        "*a",
    ];

    #[test]
    fn documents_at_random_are_read_or_refused_in_words() {
        let mut chance = Chance::new(13);
        fuzz_document(EXAMPLE.as_bytes());
        for _ in 0..ROUNDS {
            let mut words: Vec<&str> = EXAMPLE.split_inclusive([' ', '\n', ',']).collect();
            for _ in 0..=chance.up_to(4) {
                let at = chance.place(words.len());
                match chance.up_to(3) {
                    0 => drop(words.remove(at)),
                    1 => words[at] = PIECES[chance.place(PIECES.len())],
                    2 => words.insert(at, PIECES[chance.place(PIECES.len())]),
                    _ => {
                        let other = chance.place(words.len());
                        words.swap(at, other);
                    }
                }
            }
            fuzz_document(words.concat().as_bytes());
        }
    }

    const ROUNDS: usize = 300;
}
