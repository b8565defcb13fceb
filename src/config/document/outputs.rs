//! What leaves for each kind of input: outputs with their windows and names, settled.
//!
//! Knows which output is there for which kind (asked of `rules`); does not know how one is written (`written`) or computed.

use super::super::tree::{TextPlace, TreeEntry, TreeNode};
use super::check::Telling;
use super::selector;
use super::trail::{Trail, cut};
use super::windows::{Windows, show};
use super::written::{self, WrittenOutput};
use crate::problem::Flaw;
use crate::rules::{InputKind, Output, OutputSpec, Support, words_for};
use std::collections::BTreeSet;
use std::sync::Arc;

/// By number of the kind of input.
pub(super) type OutputsByKind = [Arc<[OutputSpec]>; InputKind::COUNT];

/// What outputs depend on of the rest of their rule.
pub(super) struct OfRule<'a> {
    /// The rule's name.
    pub(super) name: &'a str,
    /// The kinds that `match` names; none: all.
    pub(super) kinds: &'a [InputKind],
    /// Its interval and its window.
    pub(super) windows: Windows,
}

/// One output as it stands in the tree.
#[derive(Clone)]
struct Item<'a> {
    written: WrittenOutput,
    text: &'a str,
    at: TextPlace,
    trail: String,
}

/// All outputs of a rule.
pub(super) fn outputs(telling: &mut Telling<'_>, rule: &TreeNode, trail: &Trail<'_>, of: &OfRule<'_>) -> OutputsByKind {
    let before = telling.problems.len();
    let by_kind = match rule.field("outputs") {
        None => default(telling, rule, trail, of),
        Some(node) if node.entries().is_empty() => of_list(telling, node, &Trail::Key(trail, "outputs"), of),
        Some(node) => of_map(telling, node, &Trail::Key(trail, "outputs"), of),
    };
    let template = rename(telling, rule, trail, of);
    let outputs = InputKind::ALL.map(|input| {
        let specs = by_kind[input as usize].iter().map(|item| spec(item, input, template.as_deref(), of));
        specs.collect::<Arc<[_]>>()
    });
    tell_doubled(telling, &by_kind, &outputs);
    if before == telling.problems.len() {
        tell_unused(telling, rule, trail, &by_kind, of);
        tell_kept_name(telling, rule, trail, &outputs);
    }
    outputs
}

type ItemsByKind<'a> = [Vec<Item<'a>>; InputKind::COUNT];

/// Nothing is said: the merge, for the kinds that have one.
fn default<'a>(telling: &mut Telling<'_>, rule: &TreeNode, trail: &Trail<'_>, of: &OfRule<'_>) -> ItemsByKind<'a> {
    for input in of.kinds.iter().filter(|input| Output::Same.support(**input) != Support::Defined) {
        let flaw =
            Flaw::new(format!("match.kind names {}, of which nothing leaves unless outputs says so", input.word()));
        telling.tell(rule.at, trail, flaw.allowed(there_are(*input)));
    }
    InputKind::ALL.map(|input| {
        let is_taken = of.kinds.is_empty() || of.kinds.contains(&input);
        let written = WrittenOutput { output: Output::Same, window_ns: None };
        let same = Item { written, text: "same", at: rule.at, trail: String::new() };
        if is_taken && Output::Same.support(input) == Support::Defined { vec![same] } else { Vec::new() }
    })
}

/// One list for all kinds: those that `match` names must have each output, of others those count that they have.
fn of_list<'a>(telling: &mut Telling<'_>, node: &'a TreeNode, trail: &Trail<'_>, of: &OfRule<'_>) -> ItemsByKind<'a> {
    let items = items(telling, node, trail, of);
    let mut by_kind = ItemsByKind::default();
    for input in InputKind::ALL {
        let is_named = of.kinds.contains(&input);
        if is_named || of.kinds.is_empty() {
            take(telling, &items, input, is_named, &mut by_kind[input as usize]);
        }
    }
    by_kind
}

/// A list for each kind that is named.
fn of_map<'a>(telling: &mut Telling<'_>, node: &'a TreeNode, trail: &Trail<'_>, of: &OfRule<'_>) -> ItemsByKind<'a> {
    let mut by_kind = ItemsByKind::default();
    for TreeEntry { key, key_at, value } in node.entries() {
        let Some(input) = selector::kind(key) else { continue };
        let trail = Trail::Key(trail, key);
        if !of.kinds.is_empty() && !of.kinds.contains(&input) {
            telling.tell(
                *key_at,
                &trail,
                Flaw::new("match.kind does not name it").remedy("name it there too, or leave it out"),
            );
        }
        let items = items(telling, value, &trail, of);
        take(telling, &items, input, true, &mut by_kind[input as usize]);
    }
    by_kind
}

/// The outputs of a list that can be read.
fn items<'a>(telling: &mut Telling<'_>, node: &'a TreeNode, trail: &Trail<'_>, of: &OfRule<'_>) -> Vec<Item<'a>> {
    let mut items = Vec::new();
    let mut rest = node.items();
    while let Some((item, after)) = rest.split_first() {
        rest = after;
        let Some(text) = item.text().map(str::trim).filter(|text| !text.is_empty()) else { continue };
        if let Some((whole, parts)) = torn(text, after) {
            let flaw = Flaw::new("the comma in its brackets ends an item of the list");
            let flaw = flaw.remedy(format!("put it in quotes: {}", quoted(&whole)));
            telling.tell(item.at, trail, flaw.of(quoted(text)));
            rest = &after[parts..];
            continue;
        }
        match written::read(text) {
            Err(flaw) => telling.tell(item.at, trail, flaw.of(quoted(text))),
            Ok(written) => {
                if let Some(window) = written.window_ns {
                    let trail = format!("{trail}: {}", quoted(text));
                    of.windows.check_window(telling, item.at, &Trail::Told(&trail), window);
                }
                items.push(Item { written, text, at: item.at, trail: trail.to_string() });
            }
        }
    }
    items
}

/// An output whose commas made several items of it, as that of `[topk(2, pod)]` does: the whole of it, and how many items
/// behind its beginning belong to it.
fn torn(text: &str, after: &[TreeNode]) -> Option<(String, usize)> {
    if !text.contains('(') || text.contains(')') {
        return None;
    }
    let mut whole = text.to_owned();
    for (at, item) in after.iter().enumerate() {
        let part = item.text().map(str::trim).filter(|part| !part.contains('('))?;
        whole.push_str(", ");
        whole.push_str(part);
        if part.ends_with(')') {
            return Some((whole, at + 1));
        }
    }
    None
}

/// Those outputs that are there for the kind; where the kind is named, the others are told.
fn take<'a>(telling: &mut Telling<'_>, items: &[Item<'a>], input: InputKind, is_named: bool, into: &mut Vec<Item<'a>>) {
    for item in items {
        let why = match item.written.output.support(input) {
            Support::Defined => {
                into.push(item.clone());
                continue;
            }
            Support::NotYet => format!("of {} this is planned, and not there yet", plural(input)),
            Support::Undefined("") => format!("of {} there is no such output", plural(input)),
            Support::Undefined(why) => why.to_owned(),
        };
        if is_named {
            let flaw = Flaw::new(why).allowed(there_are(input)).of(quoted(item.text));
            telling.tell(item.at, &Trail::Told(&item.trail), flaw);
        }
    }
}

fn plural(input: InputKind) -> &'static str {
    match input {
        InputKind::Counter => "counters",
        InputKind::UpDownCounter => "updowncounters",
        InputKind::Gauge => "gauges",
        InputKind::Histogram => "histograms",
        InputKind::ExponentialHistogram => "exponential histograms",
        InputKind::Summary => "summaries",
    }
}

fn there_are(input: InputKind) -> String {
    format!("{} have {}", plural(input), words_for(input).collect::<Vec<_>>().join(", "))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", cut(text).escape_debug())
}

fn spec(item: &Item<'_>, input: InputKind, template: Option<&str>, of: &OfRule<'_>) -> OutputSpec {
    let output = item.written.output.clone();
    let window_ns = match item.written.window_ns.or(of.windows.window_ns()) {
        _ if !output.has_window(input) => of.windows.interval_ns(),
        Some(window) => window,
        None if output == Output::Rate => of.windows.of_rate_ns(),
        None => of.windows.interval_ns(),
    };
    let suffix = output.suffix(input);
    let name = match template {
        Some(template) => {
            // what keeps its name is called by its word
            let named = output.suffix(InputKind::Gauge);
            template.replace("{output}", if named.is_empty() { output.word() } else { &named })
        }
        None if suffix.is_empty() => KEPT.to_owned(),
        None => format!("{KEPT}.{suffix}"),
    };
    OutputSpec { output, window_ns, name: name.into(), text: item.text.into() }
}

/// The name of what comes in.
const KEPT: &str = "{name}";

/// The template of names with all put in but the input's name and the output's.
fn rename(telling: &mut Telling<'_>, rule: &TreeNode, trail: &Trail<'_>, of: &OfRule<'_>) -> Option<String> {
    let node = rule.field("rename")?;
    let mut rest = node.text()?;
    let mut template = String::new();
    while let Some(at) = rest.find(['{', '}']) {
        template.push_str(&rest[..at]);
        let end = rest[at..].find('}').map_or(rest.len(), |end| at + end + 1);
        match &rest[at..end] {
            KEPT => template.push_str(KEPT),
            "{output}" => template.push_str("{output}"),
            "{rule}" => template.push_str(of.name),
            "{interval}" => template.push_str(&show(of.windows.interval_ns())),
            other => {
                let flaw = Flaw::new(format!("`{}` stands for nothing", cut(other).escape_debug()));
                let flaw = flaw.allowed("there are {name}, {rule}, {output} and {interval}");
                telling.tell(node.at, &Trail::Key(trail, "rename"), flaw);
            }
        }
        rest = &rest[end..];
    }
    Some(template + rest)
}

/// Two outputs of a kind that nobody could tell apart; each is told once, however many kinds have both.
fn tell_doubled(telling: &mut Telling<'_>, by_kind: &ItemsByKind<'_>, outputs: &OutputsByKind) {
    let mut told = BTreeSet::new();
    for input in InputKind::ALL {
        let (items, specs) = (&by_kind[input as usize], &outputs[input as usize]);
        for (place, (item, spec)) in items.iter().zip(specs.iter()).enumerate() {
            let is_alike = |other: &&OutputSpec| {
                other.name == spec.name && other.output.leaves_as(input) == spec.output.leaves_as(input)
            };
            let Some(other) = specs[..place].iter().find(is_alike) else { continue };
            if told.insert(item.at) {
                let flaw =
                    Flaw::new(format!("it leaves under the name {}, as {} does", spec.name, quoted(&other.text)));
                let flaw = flaw.remedy("leave one of them out, or put {output} into rename").of(quoted(item.text));
                telling.tell(item.at, &Trail::Told(&item.trail), flaw);
            }
        }
    }
}

/// A rule that takes nothing, and a window that nothing looks back over.
fn tell_unused(
    telling: &mut Telling<'_>,
    rule: &TreeNode,
    trail: &Trail<'_>,
    by_kind: &ItemsByKind<'_>,
    of: &OfRule<'_>,
) {
    let items =
        || InputKind::ALL.iter().flat_map(|input| by_kind[*input as usize].iter().map(move |item| (*input, item)));
    if let Some(node) = rule.field("outputs").filter(|_| items().next().is_none()) {
        let flaw = Flaw::new("nothing leaves, so that it would take nothing").remedy("give outputs, or action: drop");
        return telling.tell(node.at, &Trail::Key(trail, "outputs"), flaw);
    }
    let uses = |(input, item): (InputKind, &Item<'_>)| {
        item.written.window_ns.is_none() && item.written.output.has_window(input)
    };
    if let Some(node) = rule.field("window").filter(|_| of.windows.window_ns().is_some() && !items().any(uses)) {
        let flaw = Flaw::new("no output looks back over it").remedy("leave it out");
        telling.tell(node.at, &Trail::Key(trail, "window"), flaw);
    }
}

/// What goes on beside an output of its own name would be counted twice by whoever asks for the name.
fn tell_kept_name(telling: &mut Telling<'_>, rule: &TreeNode, trail: &Trail<'_>, outputs: &OutputsByKind) {
    let Some(node) = rule.field("keep_input").filter(|node| node.text() == Some("true")) else { return };
    if let Some(kept) = outputs.iter().flat_map(|specs| specs.iter()).find(|spec| &*spec.name == KEPT) {
        let fault = format!("{} leaves under the input's name: who asks for it would count twice", quoted(&kept.text));
        let flaw = Flaw::new(fault).remedy("give rename, such as \"{name}.{rule}\", or leave keep_input out");
        telling.tell(node.at, &Trail::Key(trail, "keep_input"), flaw);
    }
}
