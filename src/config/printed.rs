//! Settings with parts, printed as a file that gives them again: YAML or JSON, several files as one.
//!
//! Knows trees; does not know what they mean. A dollar is written so that it stays one.

use super::describe::quoted;
use super::settings::{Setting, Settings, TreeSetting};
use super::tree::{TreeEntry, TreeNode, TreeValue};
use crate::problem::At;
use serde_json::Value;

/// A dollar stays a dollar when the file is read again.
pub fn escaped(value: &str) -> String {
    value.replace('$', "$$")
}

/// All that the files give for a setting as one: lists stand one behind the other, of mappings the later one wins, key by key.
pub fn joined(trees: &[TreeSetting], key: &str) -> Option<TreeNode> {
    let mut trees = trees.iter().filter(|tree| tree.key == key);
    let mut joined = trees.next()?.node.clone();
    for TreeSetting { node, .. } in trees {
        match (&mut joined.value, &node.value) {
            (TreeValue::List(items), TreeValue::List(more)) => items.extend(more.iter().cloned()),
            (TreeValue::Map(entries), TreeValue::Map(more)) => {
                for entry in more {
                    match entries.iter_mut().find(|known| known.key == entry.key) {
                        Some(known) => known.value = entry.value.clone(),
                        None => entries.push(entry.clone()),
                    }
                }
            }
            _ => joined = node.clone(),
        }
    }
    Some(joined)
}

/// The destinations with what each chooses; nothing if none does. `urls`: as they may be shown, in their order.
pub fn destinations(settings: &Settings, urls: Vec<String>) -> Option<TreeNode> {
    let given = settings.all("out");
    let tree_of = |at: &At| settings.trees().iter().find(|tree| tree.key == "out" && tree.at() == *at);
    // of a file whose destinations count
    let at = given.iter().find_map(|url| tree_of(&url.at))?.node.at;
    let text = |text: String| TreeNode { at, value: TreeValue::Text { text, quoted: true } };
    let one = |(given, url): (&Setting, String)| {
        let Some(TreeNode { value: TreeValue::Map(chosen), .. }) = tree_of(&given.at).map(|tree| &tree.node) else {
            return text(url);
        };
        let url = TreeEntry { key: "url".into(), key_at: at, value: text(url) };
        TreeNode { at, value: TreeValue::Map([vec![url], chosen.clone()].concat()) }
    };
    Some(TreeNode { at, value: TreeValue::List(given.iter().zip(urls).map(one).collect()) })
}

/// As YAML, from behind the `:` of its key to the end of its last line.
pub fn yaml(node: &TreeNode) -> String {
    let mut out = String::new();
    put_yaml(node, 1, &mut out);
    out
}

/// As JSON, its lines indented by so many levels but for the first.
pub fn json(node: &TreeNode, level: usize) -> String {
    let mut out = String::new();
    put_json(node, level, &mut out);
    out
}

fn is_flat(node: &TreeNode) -> bool {
    matches!(node.value, TreeValue::Nothing | TreeValue::Text { .. })
}

/// A value on the line of its key, or under it.
fn put_yaml(node: &TreeNode, level: usize, out: &mut String) {
    let indent = "  ".repeat(level);
    match &node.value {
        TreeValue::Nothing => out.push_str(" ~\n"),
        TreeValue::Text { text, .. } => *out += &format!(" {}\n", quoted(&escaped(text))),
        TreeValue::List(items) if items.iter().all(is_flat) => {
            let items: Vec<String> =
                items.iter().map(|item| item.text().map_or("~".into(), |text| quoted(&escaped(text)))).collect();
            *out += &format!(" [{}]\n", items.join(", "));
        }
        TreeValue::List(items) => {
            out.push('\n');
            for item in items {
                let mut text = String::new();
                put_yaml(item, level + 1, &mut text);
                // a mapping begins on the line of its dash
                let text = text.strip_prefix('\n').map_or(text.trim_start(), |text| text.trim_start());
                *out += &format!("{indent}- {text}");
            }
        }
        TreeValue::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
        TreeValue::Map(entries) => {
            out.push('\n');
            for TreeEntry { key, value, .. } in entries {
                *out += &format!("{indent}{}:", quoted(key));
                put_yaml(value, level + 1, out);
            }
        }
    }
}

fn put_json(node: &TreeNode, level: usize, out: &mut String) {
    let (indent, end) = ("  ".repeat(level + 1), "  ".repeat(level));
    let text = |text: &str| Value::from(text).to_string();
    match &node.value {
        TreeValue::Nothing => out.push_str("null"),
        TreeValue::Text { text: value, .. } => *out += &text(&escaped(value)),
        TreeValue::List(items) if items.is_empty() => out.push_str("[]"),
        TreeValue::List(items) => {
            for (index, item) in items.iter().enumerate() {
                *out += &format!("{}\n{indent}", if index == 0 { "[" } else { "," });
                put_json(item, level + 1, out);
            }
            *out += &format!("\n{end}]");
        }
        TreeValue::Map(entries) if entries.is_empty() => out.push_str("{}"),
        TreeValue::Map(entries) => {
            for (index, TreeEntry { key, value, .. }) in entries.iter().enumerate() {
                *out += &format!("{}\n{indent}{}: ", if index == 0 { "{" } else { "," }, text(key));
                put_json(value, level + 1, out);
            }
            *out += &format!("\n{end}}}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::parse;
    use super::*;

    fn tree(text: &str) -> TreeSetting {
        TreeSetting { key: "rules", file: "f".into(), node: parse(text).unwrap() }
    }

    /// Without places, which differ.
    fn shape(node: &TreeNode) -> String {
        json(node, 0)
    }

    #[test]
    fn what_is_printed_reads_as_the_same() {
        for text in [
            "[{name: a, match: {metric: ['*', '!x'], k: }, without: []}, {name: b, map: {values: {z: 1, a: 'on'}}}]",
            "[[a, [b]], {}, [], {x: [{y: z}]}, 'two\nlines', ~]",
            "{stale: auto, limits: {series: 5}}",
            "{'a: b': '#', '': \"\\u0007\"}",
        ] {
            let node = parse(text).unwrap();
            for printed in [format!("key:{}", yaml(&node)), format!("key: {}", json(&node, 0))] {
                let again = parse(&printed).unwrap_or_else(|faults| panic!("{printed}: {faults:?}"));
                assert_eq!(shape(again.field("key").unwrap()), shape(&node), "{printed}");
            }
        }
        let node = parse("[{name: a, match: {metric: '$x'}, by: [b, c]}]").unwrap();
        assert_eq!(yaml(&node), "\n  - name: a\n    match:\n      metric: \"$$x\"\n    by: [b, c]\n");
    }

    #[test]
    fn several_files_print_as_one() {
        let joined_of = |texts: &[&str]| {
            let trees: Vec<TreeSetting> = texts.iter().map(|text| tree(text)).collect();
            shape(&joined(&trees, "rules").unwrap())
        };
        assert_eq!(joined_of(&["[a]", "[b, c]"]), shape(&parse("[a, b, c]").unwrap()));
        assert_eq!(joined_of(&["{a: 1, b: 2}", "{b: 3}"]), shape(&parse("{a: 1, b: 3}").unwrap()));
        assert_eq!(joined(&[], "rules"), None);
    }
}
