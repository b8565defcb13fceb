//! A file of worked examples, read: all cases, or all that is wrong with them, each with its place.
//!
//! Knows which keys there are and what each may be; does not know what any case comes to. A file of settings that a case
//! names is read here, too, and is given on as a tree.

use crate::aggregate::number::Value;
use crate::config::source;
use crate::config::tree::{TextPlace, TreeEntry, TreeFault, TreeNode, TreeValue, parse};
use crate::ledger::{Effect, Note};
use crate::limits::{TRIAL_CORES_MAX, TRIAL_CUTS_MAX};
use crate::model::{Discard, Temporality};
use crate::nearest::nearest;
use crate::problem::{At, Flaw, Given, Problem};
use crate::rules::InputKind;
use crate::trial::case::{
    Case, Configured, Counted, ExpectedCounter, ExpectedNumber, ExpectedParts, ExpectedRow, ExpectedSeries,
    ExpectedValue, NOTICED, Reload,
};
use crate::trial::notation::{self, ZERO_NS};
use crate::trial::point::{InputPoint, InputStream};
use crate::trial::value::{Bucketed, Summarised, TrialValue};
use std::path::Path;
use std::sync::Arc;

const CASE: [&str; 14] = [
    "name", "config", "interval", "expire", "start", "end", "cores", "cuts", "until", "inputs", "expect", "counters",
    "others", "reload",
];
const RELOAD: [&str; 2] = ["at", "config"];
const INPUT: [&str; 9] = ["series", "kind", "temporality", "unit", "scope", "core", "start", "bounds", "points"];
const EXPECT: [&str; 6] = ["series", "view", "kind", "unit", "scope", "values"];
const PARTS: [&str; 13] = [
    "value",
    "end",
    "count",
    "sum",
    "min",
    "max",
    "bounds",
    "counts",
    "scale",
    "offset",
    "zero",
    "zero_threshold",
    "negative",
];
const INPUT_POINT: [&str; 4] = ["at", "arrival", "start", "quantiles"];
const EXPECTED_POINT: [&str; 4] = ["cut", "start", "time", "quantiles"];
const TEMPORALITIES: [(&str, Temporality); 2] =
    [("cumulative", Temporality::Cumulative), ("delta", Temporality::Delta)];

/// All cases of a text; `name` is what it is called, and files that it names lie beside it.
///
/// # Errors
/// Everything that is wrong.
pub fn read(name: &str, text: &str) -> Result<Vec<Case>, Vec<Problem>> {
    let mut reading = Reading { file: Arc::from(name), problems: Vec::new() };
    let cases = match parse(text) {
        Ok(root) => reading.root(&root),
        Err(faults) => {
            faults.into_iter().for_each(|TreeFault { at, kind }| reading.tell(at, kind.to_string()));
            Vec::new()
        }
    };
    if reading.problems.is_empty() { Ok(cases) } else { Err(reading.problems) }
}

struct Reading {
    file: Arc<str>,
    problems: Vec<Problem>,
}

impl Reading {
    fn tell(&mut self, at: TextPlace, words: impl Into<String>) {
        self.tell_flaw(self.file.clone(), at, Flaw::new(words));
    }

    fn tell_flaw(&mut self, name: Arc<str>, TextPlace { line, column }: TextPlace, flaw: Flaw) {
        let at = At::File { name, line, column };
        self.problems.push(Problem { at, key: "", given: Given::Nothing, flaw: Box::new(flaw) });
    }

    /// What went well, or the words of what did not.
    fn told<T>(&mut self, at: TextPlace, read: Result<T, String>) -> Option<T> {
        read.map_err(|words| self.tell(at, words)).ok()
    }

    fn root(&mut self, root: &TreeNode) -> Vec<Case> {
        let mut cases = Vec::new();
        for TreeEntry { value, .. } in self.entries(root, &[&["tests"]]) {
            for node in self.list(value) {
                cases.extend(self.case(node));
            }
        }
        if cases.is_empty() && self.problems.is_empty() {
            self.tell(root.at, "there are no tests: write `tests:` and a list of them");
        }
        cases
    }

    fn case(&mut self, node: &TreeNode) -> Option<Case> {
        let mut case = Case {
            name: String::new(),
            file: self.file.clone(),
            at: node.at,
            configured: Configured::default(),
            reloads: Vec::new(),
            started_ns: ZERO_NS,
            cores: 1,
            cuts: None,
            until_ns: 0,
            ends_ns: None,
            streams: Vec::new(),
            expected: Vec::new(),
            counters: Vec::new(),
            ignores_others: false,
        };
        for TreeEntry { key, key_at, value } in self.entries(node, &[&CASE]) {
            match key.as_str() {
                "name" => case.name = self.text(value)?.to_owned(),
                "config" => self.config(value, &mut case.configured),
                "reload" => self.list(value).iter().for_each(|node| case.reloads.extend(self.reload(node))),
                "interval" | "expire" => {
                    let flag = if key == "interval" { "interval" } else { "expire" };
                    case.configured.flags.push((flag, *key_at, self.text(value)?.to_owned()));
                }
                "start" => case.started_ns = self.time(value)?,
                "end" => case.ends_ns = Some(self.time(value)?),
                "cores" => case.cores = self.whole(value, 1, TRIAL_CORES_MAX as i64)? as usize,
                "until" => case.until_ns = self.time(value)?,
                "cuts" => case.cuts = Some(self.cuts(value)),
                "inputs" => self.list(value).iter().for_each(|node| case.streams.extend(self.input(node))),
                "expect" => self.list(value).iter().for_each(|node| case.expected.extend(self.expected(node))),
                "counters" => self.counters(value, &mut case.counters),
                _ => case.ignores_others = self.word(value, &[("ignore", true), ("fail", false)])?,
            }
        }
        if case.name.is_empty() {
            self.tell(node.at, "a test has no `name`");
        }
        let started_ns = case.started_ns;
        for stream in &case.streams {
            if stream.core >= case.cores {
                let words = format!("{} comes in at core {}, and there are {}", stream.series, stream.core, case.cores);
                self.tell(node.at, words + ": say `cores`");
            }
            if stream.points.iter().any(|point| point.arrival_ns < started_ns) {
                self.tell(node.at, format!("{} has a point that comes in before the process starts", stream.series));
            }
        }
        Some(case)
    }

    /// Other rules from a cut on.
    fn reload(&mut self, node: &TreeNode) -> Option<Reload> {
        let (mut configured, mut cut_ns) = (Configured::default(), None);
        for TreeEntry { key, value, .. } in self.entries(node, &[&RELOAD]) {
            match key.as_str() {
                "at" => cut_ns = Some(self.time(value)?),
                _ => self.config(value, &mut configured),
            }
        }
        if cut_ns.is_none() || configured.trees.is_empty() {
            self.tell(node.at, "a reload has a cut, `at`, and a `config`");
        }
        Some(Reload { at: node.at, cut_ns: cut_ns?, configured })
    }

    /// Settings that stand here, or the file they stand in.
    fn config(&mut self, node: &TreeNode, into: &mut Configured) {
        let TreeValue::Text { text, .. } = &node.value else {
            into.trees.push((self.file.to_string(), node.clone()));
            return;
        };
        let path = Path::new(&*self.file).parent().map_or_else(|| text.into(), |folder| folder.join(text));
        let refuse = &mut |_: &str| Err(Flaw::new("a test reads files only"));
        let texts = match source::load(&path.to_string_lossy(), refuse) {
            Ok(texts) => texts,
            Err((name, flaw)) => return self.tell_flaw(self.file.clone(), node.at, flaw.of(name)),
        };
        for source::SourceText { name, text } in texts {
            match parse(&text) {
                Ok(root) => into.trees.push((name, root)),
                Err(faults) => {
                    let name: Arc<str> = name.into();
                    for TreeFault { at, kind } in faults {
                        self.tell_flaw(name.clone(), at, Flaw::new(kind.to_string()));
                    }
                }
            }
        }
    }

    fn cuts(&mut self, node: &TreeNode) -> Vec<u64> {
        let mut cuts: Vec<u64> = Vec::new();
        for node in self.list(node) {
            let Some(time) = self.time(node) else { continue };
            if cuts.last().is_some_and(|last| *last >= time) {
                self.tell(node.at, "cuts come one after the other");
            }
            cuts.push(time);
        }
        if cuts.len() > TRIAL_CUTS_MAX {
            self.tell(node.at, format!("{} cuts; {TRIAL_CUTS_MAX} are the most", cuts.len()));
        }
        cuts
    }

    fn input(&mut self, node: &TreeNode) -> Option<InputStream> {
        let mut stream = InputStream {
            series: Default::default(),
            scope: Default::default(),
            unit: String::new(),
            kind: InputKind::Counter,
            temporality: Temporality::Cumulative,
            core: 0,
            points: Vec::new(),
        };
        let (mut start_ns, mut bounds, mut points) = (0, None, None);
        for TreeEntry { key, value, .. } in self.entries(node, &[&INPUT]) {
            match key.as_str() {
                "series" => stream.series = self.series(value)?,
                "kind" => stream.kind = self.kind(value)?,
                "temporality" => stream.temporality = self.word(value, &TEMPORALITIES)?,
                "unit" => stream.unit = self.text(value)?.to_owned(),
                "scope" => stream.scope = self.scope(value)?,
                "core" => stream.core = self.whole(value, 0, TRIAL_CORES_MAX as i64)? as usize,
                "start" => start_ns = self.time(value)?,
                "bounds" => bounds = Some((value.at, self.doubles(value)?)),
                _ => points = Some(value),
            }
        }
        if stream.series.metric.is_empty() {
            self.tell(node.at, "an input has no `series`");
        }
        if let Some((at, _)) = bounds.as_ref().filter(|_| stream.kind != InputKind::Histogram) {
            self.tell(*at, no_part(stream.kind, "bounds"));
        }
        let bounds = bounds.map(|(_, bounds)| bounds);
        let Some(points) = points else {
            self.tell(node.at, "an input has no `points`");
            return None;
        };
        for node in self.one_or_more(points) {
            if let TreeValue::Text { text, .. } = &node.value {
                for (_, point) in notation::points(text) {
                    let point = self.told(node.at, point)?;
                    start_ns = point.start_ns.unwrap_or(start_ns);
                    let value = match point.value {
                        "end" => TrialValue::End,
                        number => TrialValue::Number(self.told(node.at, notation::number(number))?),
                    };
                    let arrival_ns = point.arrival_ns.unwrap_or(point.time_ns);
                    stream.points.push(InputPoint { arrival_ns, start_ns, time_ns: point.time_ns, value });
                }
            } else {
                stream.points.push(self.long_point(node, stream.kind, bounds.as_deref(), &mut start_ns)?);
            }
        }
        let is_right = |value: &TrialValue| match (stream.kind, value) {
            (_, TrialValue::End) => true,
            (InputKind::Histogram | InputKind::ExponentialHistogram, value) => matches!(value, TrialValue::Buckets(_)),
            (InputKind::Summary, value) => matches!(value, TrialValue::Summary(_)),
            (_, value) => matches!(value, TrialValue::Number(_)),
        };
        if !stream.points.iter().all(|point| is_right(&point.value)) {
            let kind = stream.kind.word();
            self.tell(
                node.at,
                format!("a point is no {kind}: say the `kind`, and give histograms as {{at: 5, counts: [1, 2]}}"),
            );
        }
        Some(stream)
    }

    /// A point with keys; the start it names is that of those behind it, too.
    fn long_point(
        &mut self,
        node: &TreeNode,
        kind: InputKind,
        bounds: Option<&[f64]>,
        start_ns: &mut u64,
    ) -> Option<InputPoint> {
        let (mut time_ns, mut arrival_ns) = (None, None);
        for TreeEntry { key, value, .. } in self.entries(node, &[&PARTS, &INPUT_POINT]) {
            match key.as_str() {
                "at" => time_ns = Some(self.time(value)?),
                "arrival" => arrival_ns = Some(self.time(value)?),
                "start" => *start_ns = self.time(value)?,
                _ => {}
            }
        }
        let Some(time_ns) = time_ns else {
            self.tell(node.at, "a point has no `at`");
            return None;
        };
        let said = self.value(node)?;
        if let ExpectedValue::Parts(parts) = &said {
            let wrong = match (parts.foreign_to(kind), parts.rounded()) {
                (Some(part), _) => Some(no_part(kind, part)),
                (None, Some(part)) => Some(format!("`{part}` of a point that comes in has no `~`")),
                (None, None) => None,
            };
            if let Some(wrong) = wrong {
                self.tell(node.at, wrong);
                return None;
            }
        }
        let exact = |number: &Option<ExpectedNumber>| match number {
            Some(ExpectedNumber::Exact(value)) => Some(value.as_f64()),
            _ => None,
        };
        let value = match said {
            ExpectedValue::End => TrialValue::End,
            ExpectedValue::Number(ExpectedNumber::Exact(value)) => TrialValue::Number(value),
            ExpectedValue::Number(ExpectedNumber::Rounded { .. }) => {
                self.tell(node.at, "a point that comes in has no `~`");
                return None;
            }
            ExpectedValue::Parts(parts) if kind == InputKind::Summary => TrialValue::Summary(Summarised {
                count: parts.count.unwrap_or(0),
                sum: exact(&parts.sum).unwrap_or(0.0),
                quantiles: parts.quantiles.unwrap_or_default(),
            }),
            ExpectedValue::Parts(parts) => {
                let (counts, negative) = (parts.counts.unwrap_or_default(), parts.negative.unwrap_or_default());
                let zero_count = parts.zero.unwrap_or(0);
                let counted = counts.iter().chain(&negative).fold(zero_count, |sum, count| sum.saturating_add(*count));
                TrialValue::Buckets(Box::new(Bucketed {
                    count: parts.count.unwrap_or(counted),
                    sum: exact(&parts.sum),
                    min: exact(&parts.min),
                    max: exact(&parts.max),
                    bounds: parts.bounds.or_else(|| bounds.map(<[f64]>::to_vec)),
                    counts,
                    scale: parts.scale.unwrap_or(0),
                    offset: parts.offset.unwrap_or(0),
                    zero_count,
                    zero_threshold: parts.zero_threshold.unwrap_or(0.0),
                    negative_offset: parts.negative_offset.unwrap_or(0),
                    negative,
                }))
            }
        };
        Some(InputPoint { arrival_ns: arrival_ns.unwrap_or(time_ns), start_ns: *start_ns, time_ns, value })
    }

    fn expected(&mut self, node: &TreeNode) -> Option<ExpectedSeries> {
        let mut expected = ExpectedSeries {
            view: Temporality::Cumulative,
            series: Default::default(),
            kind: None,
            unit: None,
            scope: None,
            rows: Vec::new(),
        };
        for TreeEntry { key, value, .. } in self.entries(node, &[&EXPECT]) {
            match key.as_str() {
                "series" => expected.series = self.series(value)?,
                "view" => expected.view = self.word(value, &TEMPORALITIES)?,
                "kind" => expected.kind = Some(self.kind(value)?),
                "unit" => expected.unit = Some(self.text(value)?.to_owned()),
                "scope" => expected.scope = Some(self.scope(value)?),
                _ => {
                    for node in self.one_or_more(value) {
                        self.expected_rows(node, &mut expected.rows);
                    }
                }
            }
        }
        if expected.series.metric.is_empty() {
            self.tell(node.at, "what is expected has no `series`");
        }
        Some(expected)
    }

    fn expected_rows(&mut self, node: &TreeNode, rows: &mut Vec<ExpectedRow>) {
        if let TreeValue::Text { text, .. } = &node.value {
            for (word, point) in notation::points(text) {
                let Some(point) = self.told(node.at, point) else { continue };
                if point.arrival_ns.is_some() {
                    self.tell(
                        node.at,
                        format!("`{word}`: what leaves has no arrival: write VALUE@CUT or VALUE@CUT<START"),
                    );
                }
                let value = match point.value {
                    "end" => Some(ExpectedValue::End),
                    text => self.told(node.at, expected_number(text)).map(ExpectedValue::Number),
                };
                let (cut_ns, start_ns) = (point.time_ns, point.start_ns);
                rows.extend(value.map(|value| ExpectedRow { at: node.at, cut_ns, start_ns, time_ns: None, value }));
            }
            return;
        }
        let (mut cut_ns, mut start_ns, mut time_ns) = (None, None, None);
        for TreeEntry { key, value, .. } in self.entries(node, &[&PARTS, &EXPECTED_POINT]) {
            match key.as_str() {
                "cut" => cut_ns = self.time(value),
                "start" => start_ns = self.time(value),
                "time" => time_ns = self.time(value),
                _ => {}
            }
        }
        match (cut_ns, self.value(node)) {
            (Some(cut_ns), Some(value)) => rows.push(ExpectedRow { at: node.at, cut_ns, start_ns, time_ns, value }),
            (None, _) => self.tell(node.at, "a value that is expected has no `cut`"),
            _ => {}
        }
    }

    /// What the keys of a point say of its value; others are not looked at.
    fn value(&mut self, node: &TreeNode) -> Option<ExpectedValue> {
        let (mut parts, mut number) = (ExpectedParts::default(), None);
        let TreeValue::Map(entries) = &node.value else { return None };
        for TreeEntry { key, value, .. } in entries {
            match key.as_str() {
                "value" => number = Some(self.number(value)?),
                "end" if self.word(value, &[("true", true), ("false", false)])? => return Some(ExpectedValue::End),
                "count" => parts.count = Some(self.whole(value, 0, i64::MAX)? as u64),
                "sum" => parts.sum = Some(self.number(value)?),
                "min" => parts.min = Some(self.number(value)?),
                "max" => parts.max = Some(self.number(value)?),
                "bounds" => parts.bounds = Some(self.doubles(value)?),
                "counts" => parts.counts = Some(self.wholes(value)?),
                "scale" => parts.scale = Some(self.whole(value, i32::MIN.into(), i32::MAX.into())? as i32),
                "offset" => parts.offset = Some(self.whole(value, i32::MIN.into(), i32::MAX.into())? as i32),
                "zero" => parts.zero = Some(self.whole(value, 0, i64::MAX)? as u64),
                "zero_threshold" => parts.zero_threshold = Some(self.double(value)?),
                "negative" => {
                    for TreeEntry { key, value, .. } in self.entries(value, &[&["offset", "counts"]]) {
                        if key == "offset" {
                            parts.negative_offset = Some(self.whole(value, i32::MIN.into(), i32::MAX.into())? as i32);
                        } else {
                            parts.negative = Some(self.wholes(value)?);
                        }
                    }
                }
                "quantiles" => {
                    let TreeValue::Map(entries) = &value.value else {
                        self.tell(value.at, "quantiles are {0.5: 3, 0.99: 7}");
                        return None;
                    };
                    let mut all = Vec::new();
                    for TreeEntry { key, key_at, value } in entries {
                        let quantile = self.told(*key_at, notation::number(key))?.as_f64();
                        all.push((quantile, self.double(value)?));
                    }
                    parts.quantiles = Some(all);
                }
                _ => {}
            }
        }
        let said = parts.said().next();
        match (number, said) {
            (Some(number), None) => Some(ExpectedValue::Number(number)),
            (None, Some(_)) => Some(ExpectedValue::Parts(Box::new(parts))),
            (Some(_), Some(part)) => {
                self.tell(node.at, format!("`value` is a whole number or a double, and has no `{part}` beside it"));
                None
            }
            (None, None) => {
                let words =
                    "nothing is said of the value: give `value`, `end: true`, or parts such as `count` and `counts`";
                self.tell(node.at, words);
                None
            }
        }
    }

    fn counters(&mut self, node: &TreeNode, into: &mut Vec<ExpectedCounter>) {
        let TreeValue::Map(entries) = &node.value else {
            return self.tell(node.at, "counters are {resets: 1, superseded: 2}");
        };
        let all = counters();
        for TreeEntry { key, key_at, value } in entries {
            match all.iter().find(|(name, _)| name == key) {
                Some((_, counter)) => {
                    let Some(value) = self.whole(value, 0, i64::MAX) else { continue };
                    into.push(ExpectedCounter { at: *key_at, counter: *counter, value: value as u64 });
                }
                None => self.unknown(*key_at, key, all.iter().map(|(name, _)| *name)),
            }
        }
    }

    // what a node is

    /// The entries of a mapping, whose keys are known.
    fn entries<'n>(&mut self, node: &'n TreeNode, known: &[&[&'static str]]) -> Vec<&'n TreeEntry> {
        let TreeValue::Map(entries) = &node.value else {
            if node.value == TreeValue::Nothing {
                return Vec::new();
            }
            let all = known.concat().join(", ");
            self.tell(node.at, format!("here stands `key: value`, with these keys: {all}"));
            return Vec::new();
        };
        let mut found = Vec::new();
        for entry in entries {
            if known.iter().any(|some| some.contains(&entry.key.as_str())) {
                // like a key that is not given
                found.extend(Some(entry).filter(|entry| entry.value.value != TreeValue::Nothing));
            } else {
                self.unknown(entry.key_at, &entry.key, known.iter().copied().flatten().copied());
            }
        }
        found
    }

    fn unknown(&mut self, at: TextPlace, key: &str, known: impl Iterator<Item = &'static str> + Clone) {
        let shown: String = key.chars().take(64).collect();
        let meant = nearest(&shown, known.clone()).map(|meant| format!("did you mean `{meant}`? "));
        let all = known.collect::<Vec<_>>().join(", ");
        let flaw = Flaw::new(format!("unknown key `{}`", shown.escape_debug()));
        self.tell_flaw(self.file.clone(), at, flaw.remedy(format!("{}there are {all}", meant.unwrap_or_default())));
    }

    fn list<'n>(&mut self, node: &'n TreeNode) -> &'n [TreeNode] {
        match &node.value {
            TreeValue::List(items) => items,
            TreeValue::Nothing => &[],
            _ => {
                self.tell(node.at, "here stands a list");
                &[]
            }
        }
    }

    fn one_or_more<'n>(&mut self, node: &'n TreeNode) -> &'n [TreeNode] {
        match &node.value {
            TreeValue::List(items) => items,
            _ => std::slice::from_ref(node),
        }
    }

    fn text<'n>(&mut self, node: &'n TreeNode) -> Option<&'n str> {
        match &node.value {
            TreeValue::Text { text, .. } => Some(text),
            _ => {
                self.tell(node.at, "here stands a text or a number");
                None
            }
        }
    }

    fn word<T: Copy>(&mut self, node: &TreeNode, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.tell(node.at, format!("`{}` is none of {}", text.escape_debug(), all.join(", ")));
        }
        found
    }

    fn kind(&mut self, node: &TreeNode) -> Option<InputKind> {
        self.word(node, &InputKind::ALL.map(|kind| (kind.word(), kind)))
    }

    fn series(&mut self, node: &TreeNode) -> Option<crate::trial::value::SeriesName> {
        let read = notation::series(self.text(node)?);
        self.told(node.at, read)
    }

    /// `name`, or `name@version`.
    fn scope(&mut self, node: &TreeNode) -> Option<(String, String)> {
        let text = self.text(node)?;
        let (name, version) = text.split_once('@').unwrap_or((text, ""));
        Some((name.to_owned(), version.to_owned()))
    }

    fn time(&mut self, node: &TreeNode) -> Option<u64> {
        let read = notation::time(self.text(node)?);
        self.told(node.at, read)
    }

    fn whole(&mut self, node: &TreeNode, least: i64, most: i64) -> Option<i64> {
        let text = self.text(node)?;
        let read = text.parse().ok().filter(|n| (least..=most).contains(n));
        if read.is_none() {
            self.tell(node.at, format!("`{}` is no whole number from {least} to {most}", text.escape_debug()));
        }
        read
    }

    fn wholes(&mut self, node: &TreeNode) -> Option<Vec<u64>> {
        self.list(node).iter().map(|node| self.whole(node, 0, i64::MAX).map(|n| n as u64)).collect()
    }

    fn double(&mut self, node: &TreeNode) -> Option<f64> {
        let read = notation::number(self.text(node)?);
        self.told(node.at, read).map(Value::as_f64)
    }

    fn doubles(&mut self, node: &TreeNode) -> Option<Vec<f64>> {
        self.list(node).iter().map(|node| self.double(node)).collect()
    }

    fn number(&mut self, node: &TreeNode) -> Option<ExpectedNumber> {
        let read = expected_number(self.text(node)?);
        self.told(node.at, read)
    }
}

fn no_part(kind: InputKind, part: &str) -> String {
    format!("a point of kind {} has no `{part}`: leave it out, or say another `kind`", kind.word())
}

/// `~1.50` is what rounds to 1.50.
fn expected_number(text: &str) -> Result<ExpectedNumber, String> {
    let Some(rounded) = text.strip_prefix('~') else { return notation::number(text).map(ExpectedNumber::Exact) };
    let value = notation::number(rounded)?.as_f64();
    let (mantissa, exponent) = rounded.split_once(['e', 'E']).unwrap_or((rounded, "0"));
    let decimals = mantissa.split_once('.').map_or(0, |(_, decimals)| decimals.len()) as i32;
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let half_unit = 0.5 * 10f64.powi(exponent - decimals);
    Ok(ExpectedNumber::Rounded { value, half_unit, text: text.to_owned() })
}

/// All that can be counted, by the words that the ledger and the metrics have for them.
fn counters() -> Vec<(&'static str, Counted)> {
    let effects = Effect::ALL.map(|effect| (effect.word(), Counted::Effect(effect)));
    let notes = (0..Note::COUNT).map(|note| (Note::NAMES[note].0, Counted::Note(note)));
    let terms = [("received", Counted::Received), ("applied", Counted::Applied), ("rejected", Counted::Rejected)];
    let discarded = Discard::ALL.map(|why| (why.counter(), Counted::Discarded(why)));
    let terms = terms.into_iter().chain(discarded);
    let noticed = (0..NOTICED.len()).map(|place| (NOTICED[place].0, Counted::Noticed(place)));
    terms.chain(effects).chain(notes).chain(noticed).collect()
}
