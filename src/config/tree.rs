//! YAML 1.2 as a bounded tree in which every key and every value knows where it stands.
//!
//! Knows mappings, lists and texts; does not know which keys there are or what a text means: whoever owns a key says what
//! type it has, so `no` is a text and `010` is what its key reads it as. Pure: the same text, the same tree.
//!
//! ```text
//!   text ─► events (granit-parser) ─► stack of open mappings and lists ─► TreeNode{at, value}
//! ```
//!
//! Invariants
//! 1. Every node and every key has the place at which it was written; what an alias repeats has the place of its anchor.
//! 2. Keys of a mapping are texts, each there once. A second one is told with the place of the first.
//! 3. Work and memory are bounded by the text's length and the limits below, whatever is in it: no recursion, an alias is
//!    paid for as if it were written out, in nodes and in bytes.
//!
//! Not taken, and said in words: a second document, tags other than the core schema's, merge keys (`<<`), keys that are no
//! text.
//!
//! Bounds: `limits::CONFIG_BYTES_MAX`, `CONFIG_DEPTH_MAX`, `CONFIG_NODES_MAX`, `CONFIG_ALIASES_MAX`.
//!
//! Source: YAML 1.2.2. An events' reader and not a deserialiser, because keys need places too and errors must not end at the
//! first.

use crate::limits::{CONFIG_ALIASES_MAX, CONFIG_BYTES_MAX, CONFIG_DEPTH_MAX, CONFIG_NODES_MAX};
use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, Tag};
use std::collections::HashMap;

/// A place in a text, both from 1; columns are characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextPlace {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

impl TextPlace {
    fn of(marker: Marker) -> TextPlace {
        let from_1 = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        TextPlace { line: from_1(marker.line()), column: from_1(marker.col().saturating_add(1)) }
    }
}

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeNode {
    /// Where it begins.
    pub at: TextPlace,
    /// What it is.
    pub value: TreeValue,
}

impl TreeNode {
    /// Its text, if it is one.
    pub fn text(&self) -> Option<&str> {
        if let TreeValue::Text { text, .. } = &self.value { Some(text) } else { None }
    }

    /// Its keys with their values, if it is a mapping; nothing otherwise.
    pub fn entries(&self) -> &[TreeEntry] {
        if let TreeValue::Map(entries) = &self.value { entries } else { &[] }
    }

    /// What a key of it has, if it is a mapping and the key has anything.
    pub fn field(&self, key: &str) -> Option<&TreeNode> {
        let entry = self.entries().iter().find(|entry| entry.key == key)?;
        Some(&entry.value).filter(|node| node.value != TreeValue::Nothing)
    }

    /// The items of a list; of anything else it is the only one.
    pub fn items(&self) -> &[TreeNode] {
        if let TreeValue::List(items) = &self.value { items } else { std::slice::from_ref(self) }
    }
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeValue {
    /// Nothing, `~` or `null`, unquoted.
    Nothing,
    /// Any other scalar.
    Text {
        /// As it reads once YAML's escapes are gone.
        text: String,
        /// It stood in quotes or in a block: it is a text even where it looks like a number.
        quoted: bool,
    },
    /// A sequence.
    List(Vec<TreeNode>),
    /// A mapping, in the order in which it was written.
    Map(Vec<TreeEntry>),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// The key.
    pub key: String,
    /// Where the key begins.
    pub key_at: TextPlace,
    /// Its value.
    pub value: TreeNode,
}

/// Why a text is not such a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeFault {
    /// Where.
    pub at: TextPlace,
    /// What is wrong.
    pub kind: TreeFaultKind,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeFaultKind {
    /// It is not YAML; the parser's words.
    Syntax(String),
    /// It is longer than `limits::CONFIG_BYTES_MAX`.
    TooLong,
    /// It nests deeper than `limits::CONFIG_DEPTH_MAX`.
    TooDeep,
    /// It has, with what aliases repeat, more than `limits::CONFIG_NODES_MAX` values or `limits::CONFIG_BYTES_MAX` bytes.
    TooMany,
    /// It has more than `limits::CONFIG_ALIASES_MAX` aliases.
    TooManyAliases,
    /// An alias inside what it stands for.
    AliasOfItself,
    /// A key is there twice; where it stands first.
    Duplicate {
        /// The key.
        key: String,
        /// Where it stands first.
        first: TextPlace,
    },
    /// A key is a list or a mapping.
    KeyNotText,
    /// `<<`.
    MergeKey,
    /// A tag that is none of the core schema's.
    Tag(String),
    /// A second document begins.
    SecondDocument,
}

impl std::fmt::Display for TreeFaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TreeFaultKind::Syntax(words) => write!(f, "this is not YAML: {words}"),
            TreeFaultKind::TooLong => write!(f, "longer than {CONFIG_BYTES_MAX} bytes: give it in several files"),
            TreeFaultKind::TooDeep => write!(f, "nested deeper than {CONFIG_DEPTH_MAX} levels"),
            TreeFaultKind::TooMany => write!(
                f,
                "more than {CONFIG_NODES_MAX} values or {CONFIG_BYTES_MAX} bytes once aliases are written out: give it in several files"
            ),
            TreeFaultKind::TooManyAliases => {
                write!(f, "more than {CONFIG_ALIASES_MAX} aliases: write some of them out")
            }
            TreeFaultKind::AliasOfItself => f.write_str("an alias stands inside what it stands for"),
            TreeFaultKind::Duplicate { key, first } => {
                write!(f, "`{key}` is there twice: first in line {}, column {}", first.line, first.column)
            }
            TreeFaultKind::KeyNotText => f.write_str("a key must be a text"),
            TreeFaultKind::MergeKey => {
                f.write_str("`<<` is not part of YAML 1.2: write the keys out, or use an alias as a value")
            }
            TreeFaultKind::Tag(tag) => write!(f, "the tag `{tag}` means nothing here: leave it out"),
            TreeFaultKind::SecondDocument => f.write_str("a second document begins: one file has one"),
        }
    }
}

/// Something whose end has not come.
struct Open {
    at: TextPlace,
    anchor: usize,
    what: OpenWhat,
}

enum OpenWhat {
    List(Vec<TreeNode>),
    Map {
        entries: Vec<TreeEntry>,
        /// By key, its place among the entries.
        places: HashMap<String, usize>,
        /// The key whose value comes next.
        key: Option<(String, TextPlace)>,
    },
}

/// What is known while events come in.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<TreeNode>,
    documents: usize,
    nodes: usize,
    /// Of texts that aliases repeat.
    repeated_bytes: usize,
    aliases: usize,
    anchors: HashMap<usize, TreeNode>,
    faults: Vec<TreeFault>,
}

/// Reads `text`; nothing in it is `TreeValue::Nothing`.
///
/// # Errors
/// All faults that were found: doubled keys, tags and the like are gathered, what makes the rest unreadable is the last.
pub fn parse(text: &str) -> Result<TreeNode, Vec<TreeFault>> {
    if text.len() > CONFIG_BYTES_MAX {
        return Err(vec![TreeFault { at: TextPlace { line: 1, column: 1 }, kind: TreeFaultKind::TooLong }]);
    }
    // the parser's own limits are above ours, which have words of ours
    let options = granit_parser::options! {
        flow_nesting_limit: 2 * CONFIG_DEPTH_MAX,
        block_nesting_limit: 2 * CONFIG_DEPTH_MAX,
    };
    let mut builder = Builder::default();
    for next in Parser::new_from_str_with_options(text, options) {
        let taken = match next {
            Ok((event, span)) => {
                builder.take(event, TextPlace::of(span.start), TextPlace::of(span.tag_start.unwrap_or(span.start)))
            }
            Err(error) => {
                // the parser looks ahead, and may meet its limit before ours is met
                let kind = match error.kind() {
                    ErrorKind::RecursionLimitExceeded => TreeFaultKind::TooDeep,
                    other => TreeFaultKind::Syntax(other.to_string()),
                };
                Err(TreeFault { at: TextPlace::of(*error.marker()), kind })
            }
        };
        if let Err(fault) = taken {
            builder.faults.push(fault);
            break;
        }
    }
    if !builder.faults.is_empty() {
        return Err(builder.faults);
    }
    Ok(builder.root.unwrap_or(TreeNode { at: TextPlace { line: 1, column: 1 }, value: TreeValue::Nothing }))
}

impl Builder {
    /// A fault ends the reading; what does not is put to the others.
    fn take(&mut self, event: Event<'_>, at: TextPlace, tag_at: TextPlace) -> Result<(), TreeFault> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(TreeFault { at, kind: TreeFaultKind::SecondDocument });
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.check_tag(tag.as_deref(), tag_at);
                let quoted = style != ScalarStyle::Plain;
                let value = if !quoted && matches!(&*text, "" | "~" | "null") {
                    TreeValue::Nothing
                } else {
                    TreeValue::Text { text: text.into_owned(), quoted }
                };
                self.count(at)?;
                self.put(TreeNode { at, value }, anchor)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), tag_at);
                self.begin(Open { at, anchor, what: OpenWhat::List(Vec::new()) })?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), tag_at);
                let what = OpenWhat::Map { entries: Vec::new(), places: HashMap::new(), key: None };
                self.begin(Open { at, anchor, what })?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { at, anchor, what }) = self.open.pop() {
                    let value = match what {
                        OpenWhat::List(items) => TreeValue::List(items),
                        OpenWhat::Map { entries, .. } => TreeValue::Map(entries),
                    };
                    self.put(TreeNode { at, value }, anchor)?;
                }
            }
            Event::Alias(anchor) => {
                self.aliases += 1;
                if self.aliases > CONFIG_ALIASES_MAX {
                    return Err(TreeFault { at, kind: TreeFaultKind::TooManyAliases });
                }
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(TreeFault { at, kind: TreeFaultKind::AliasOfItself });
                };
                let (nodes, bytes, depth) = size(node);
                self.nodes += nodes;
                self.repeated_bytes += bytes;
                if self.nodes > CONFIG_NODES_MAX || self.repeated_bytes > CONFIG_BYTES_MAX {
                    return Err(TreeFault { at, kind: TreeFaultKind::TooMany });
                }
                if self.open.len() + depth > CONFIG_DEPTH_MAX {
                    return Err(TreeFault { at, kind: TreeFaultKind::TooDeep });
                }
                let node = node.clone();
                self.put(node, 0)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self, at: TextPlace) -> Result<(), TreeFault> {
        self.nodes += 1;
        if self.nodes > CONFIG_NODES_MAX {
            return Err(TreeFault { at, kind: TreeFaultKind::TooMany });
        }
        Ok(())
    }

    fn begin(&mut self, open: Open) -> Result<(), TreeFault> {
        self.count(open.at)?;
        if self.open.len() >= CONFIG_DEPTH_MAX {
            return Err(TreeFault { at: open.at, kind: TreeFaultKind::TooDeep });
        }
        self.open.push(open);
        Ok(())
    }

    /// A whole node goes where it belongs; as a key it must be a text.
    fn put(&mut self, node: TreeNode, anchor: usize) -> Result<(), TreeFault> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.what) {
            None => self.root = Some(node),
            Some(OpenWhat::List(items)) => items.push(node),
            Some(OpenWhat::Map { entries, places, key }) => {
                let Some((key, key_at)) = key.take() else {
                    let TreeValue::Text { text, quoted } = node.value else {
                        return Err(TreeFault { at: node.at, kind: TreeFaultKind::KeyNotText });
                    };
                    if text == "<<" && !quoted {
                        self.faults.push(TreeFault { at: node.at, kind: TreeFaultKind::MergeKey });
                    }
                    *key = Some((text, node.at));
                    return Ok(());
                };
                if let Some(first) = places.get(&key) {
                    let first = entries[*first].key_at;
                    self.faults.push(TreeFault { at: key_at, kind: TreeFaultKind::Duplicate { key, first } });
                    return Ok(());
                }
                places.insert(key.clone(), entries.len());
                entries.push(TreeEntry { key, key_at, value: node });
            }
        }
        Ok(())
    }

    fn check_tag(&mut self, tag: Option<&Tag>, at: TextPlace) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            self.faults.push(TreeFault { at, kind: TreeFaultKind::Tag(tag.original()) });
        }
    }
}

/// Values of a node and below, bytes of their texts, and levels that are mappings or lists.
fn size(node: &TreeNode) -> (usize, usize, usize) {
    let (mut nodes, mut bytes, mut deepest) = (0, 0, 0);
    let mut left = vec![(node, 0)];
    while let Some((node, depth)) = left.pop() {
        nodes += 1;
        match &node.value {
            TreeValue::Nothing => {}
            TreeValue::Text { text, .. } => bytes += text.len(),
            TreeValue::List(items) => {
                deepest = deepest.max(depth + 1);
                left.extend(items.iter().map(|item| (item, depth + 1)));
            }
            TreeValue::Map(entries) => {
                deepest = deepest.max(depth + 1);
                bytes += entries.iter().map(|entry| entry.key.len()).sum::<usize>();
                nodes += entries.len();
                left.extend(entries.iter().map(|entry| (&entry.value, depth + 1)));
            }
        }
    }
    (nodes, bytes, deepest)
}

/// Reads `data` as a tree, writes that out and reads it again: it says the same. What is refused is told with a place in
/// the text. For fuzzing and its corpus.
///
/// # Panics
/// Where that does not hold.
#[doc(hidden)]
pub fn fuzz_tree(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // any character that YAML breaks a line at
    let lines = text.chars().filter(|c| matches!(c, '\n' | '\r')).count() as u32 + 2;
    match parse(text) {
        Ok(node) => {
            let mut again = String::new();
            put_flow(&node, &mut again);
            match parse(&again) {
                Ok(read) => assert!(same(&node, &read), "{again}"),
                // an alias is shorter than what it stands for
                Err(faults) => assert!(
                    matches!(faults[..], [TreeFault { kind: TreeFaultKind::TooLong, .. }]),
                    "{again}: {faults:?}"
                ),
            }
        }
        Err(faults) => assert!(!faults.is_empty() && faults.iter().all(|fault| fault.at.line <= lines), "{faults:?}"),
    }
}

/// A node as flow collections of quoted texts.
fn put_flow(node: &TreeNode, out: &mut String) {
    let quoted = |text: &str| {
        let mut quoted = String::from("\"");
        for c in text.chars() {
            match c {
                '"' | '\\' => quoted.extend(['\\', c]),
                ' '..='~' => quoted.push(c),
                _ => quoted.push_str(&format!("\\U{:08X}", u32::from(c))),
            }
        }
        quoted + "\""
    };
    match &node.value {
        TreeValue::Nothing => out.push('~'),
        TreeValue::Text { text, .. } => out.push_str(&quoted(text)),
        TreeValue::List(items) => {
            out.push('[');
            for item in items {
                put_flow(item, out);
                out.push_str(",\n");
            }
            out.push(']');
        }
        TreeValue::Map(entries) => {
            out.push('{');
            for TreeEntry { key, value, .. } in entries {
                // a long key must say that it is one
                out.push_str("? ");
                out.push_str(&quoted(key));
                out.push_str("\n: ");
                put_flow(value, out);
                out.push_str(",\n");
            }
            out.push('}');
        }
    }
}

/// Whether both say the same, wherever it stands and however it is quoted.
fn same(one: &TreeNode, other: &TreeNode) -> bool {
    match (&one.value, &other.value) {
        (TreeValue::Nothing, TreeValue::Nothing) => true,
        (TreeValue::Text { text, .. }, TreeValue::Text { text: other, .. }) => text == other,
        (TreeValue::List(one), TreeValue::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (TreeValue::Map(one), TreeValue::Map(other)) => {
            let alike = |(one, other): (&TreeEntry, &TreeEntry)| one.key == other.key && same(&one.value, &other.value);
            one.len() == other.len() && one.iter().zip(other).all(alike)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(node: &TreeNode) -> &str {
        let TreeValue::Text { text, .. } = &node.value else { panic!("{node:?}") };
        text
    }

    fn map(node: &TreeNode) -> &[TreeEntry] {
        let TreeValue::Map(entries) = &node.value else { panic!("{node:?}") };
        entries
    }

    fn faults(text: &str) -> Vec<(u32, u32, String)> {
        let told = |fault: TreeFault| (fault.at.line, fault.at.column, fault.kind.to_string());
        parse(text).unwrap_err().into_iter().map(told).collect()
    }

    #[test]
    fn every_key_and_value_has_its_place() {
        let root = parse("interval: 10s\nout:\n  - url: \"stdout\"  # seen\n    match: [a, b]\n").unwrap();
        let [interval, out] = map(&root) else { panic!("{root:?}") };
        assert_eq!(
            (interval.key_at, interval.value.at),
            (TextPlace { line: 1, column: 1 }, TextPlace { line: 1, column: 11 })
        );
        let TreeValue::List(outs) = &out.value.value else { panic!("{out:?}") };
        let [url, matches] = map(&outs[0]) else { panic!("{outs:?}") };
        assert_eq!((url.key_at.line, url.key_at.column, text(&url.value)), (3, 5, "stdout"));
        let TreeValue::List(matches) = &matches.value.value else { panic!("{matches:?}") };
        assert_eq!((matches[1].at, text(&matches[1])), (TextPlace { line: 4, column: 16 }, "b"));
    }

    /// What a text means is its key's affair: nothing is turned into a number or a truth here.
    #[test]
    fn scalars_stay_as_they_are_written() {
        let root = parse("a: no\nb: 010\nc: 1e3\nd: ~\ne:\nf: \"~\"\ng: 'null'\nh: |\n  two\n  lines\n").unwrap();
        let values: Vec<TreeValue> = map(&root).iter().map(|entry| entry.value.value.clone()).collect();
        let plain = |text: &str| TreeValue::Text { text: text.into(), quoted: false };
        let quoted = |text: &str| TreeValue::Text { text: text.into(), quoted: true };
        let nothing = || TreeValue::Nothing;
        let want = [
            plain("no"),
            plain("010"),
            plain("1e3"),
            nothing(),
            nothing(),
            quoted("~"),
            quoted("null"),
            quoted("two\nlines\n"),
        ];
        assert_eq!(values, want);
        assert_eq!(parse("").unwrap().value, TreeValue::Nothing);
        assert_eq!(parse("# nothing yet\n").unwrap().value, TreeValue::Nothing);
    }

    #[test]
    fn an_alias_is_what_its_anchor_is_with_the_place_of_that() {
        let root = parse("a: &x\n  k: v\nb: *x\n").unwrap();
        let [a, b] = map(&root) else { panic!("{root:?}") };
        assert_eq!(a.value, b.value);
        assert_eq!(map(&b.value)[0].key_at, TextPlace { line: 2, column: 3 });
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_more_than_once() {
        let both = faults("a: 1\nb: 2\na: 3\nc: !frob 4\nb: 5\n");
        assert_eq!(
            both,
            [
                (3, 1, "`a` is there twice: first in line 1, column 1".into()),
                (4, 4, "the tag `!frob` means nothing here: leave it out".to_string()),
                (5, 1, "`b` is there twice: first in line 2, column 1".into()),
            ]
        );
        assert!(faults("a: 1\n---\nb: 2\n")[0].2.contains("second document"));
        assert!(faults("base: &b {x: 1}\nc:\n  <<: *b\n")[0].2.contains("write the keys out"));
        assert!(faults("[a, b]: 1\n")[0].2.contains("must be a text"));
        let syntax = faults("a: [1, 2\nb: 3\n");
        assert!(syntax[0].0 >= 1 && syntax[0].2.starts_with("this is not YAML"), "{syntax:?}");
        assert!(faults("a: *nobody\n")[0].2.starts_with("this is not YAML"));
    }

    /// Bombs: what a few bytes would blow up is refused in words, in time and memory of the text's own size.
    #[test]
    fn bombs_are_refused() {
        let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..20 {
            let of = vec![format!("*a{}", level - 1); 10].join(", ");
            laughs += &format!("a{level}: &a{level} [{of}]\n");
        }
        assert!(matches!(
            parse(&laughs).unwrap_err()[..],
            [TreeFault { kind: TreeFaultKind::TooManyAliases | TreeFaultKind::TooMany, .. }]
        ));
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(CONFIG_BYTES_MAX / 8), ["*a"; 20].join(", "));
        assert!(matches!(parse(&long).unwrap_err()[..], [TreeFault { kind: TreeFaultKind::TooMany, .. }]));
        for deep in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "? ".repeat(100_000)] {
            let faults = parse(&deep).unwrap_err();
            assert!(
                matches!(faults[..], [TreeFault { kind: TreeFaultKind::TooDeep | TreeFaultKind::KeyNotText, .. }]),
                "{faults:?}"
            );
        }
        let wide = "- x\n".repeat(CONFIG_NODES_MAX + 1);
        assert!(matches!(parse(&wide).unwrap_err()[..], [TreeFault { kind: TreeFaultKind::TooMany, .. }]));
        let itself = parse("a: &a [*a]\n").unwrap_err();
        assert!(
            matches!(itself[..], [TreeFault { kind: TreeFaultKind::AliasOfItself | TreeFaultKind::Syntax(_), .. }]),
            "{itself:?}"
        );
        let huge = " ".repeat(CONFIG_BYTES_MAX + 1);
        assert!(matches!(parse(&huge).unwrap_err()[..], [TreeFault { kind: TreeFaultKind::TooLong, .. }]));
    }

    /// Deep trees of aliases are as deep as they would be written out.
    #[test]
    fn aliases_go_no_deeper_than_what_is_written() {
        let mut deep = String::from("a0: &a0 [x]\n");
        for level in 1..40 {
            deep += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
        }
        assert!(matches!(parse(&deep).unwrap_err()[..], [TreeFault { kind: TreeFaultKind::TooDeep, .. }]));
    }
}
