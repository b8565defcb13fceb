//! The page: families one after the other, in chunks, resumable after every step.
//!
//! Knows the order of things; names, labels, lines and additions are its neighbours' work. See the room's header for
//! the picture, the invariants and the bounds.
//!
//! A *class* is the groups of one family whose job, instance and scope labels are the same: only their rows can collide.
//! - One metric, however many shards it comes from: its rows are *scanned* first, keys and types only. Nearly always
//!   nothing can collide, and they are streamed.
//! - Otherwise (several metrics, outputs of rules, or the scan says *ambiguous*) rows are *fingerprinted*: 64 bits of a keyed hash each,
//!   sorted. No fingerprint twice: stream. Else rows of unique fingerprints are streamed and the others merged, as many
//!   identities at once as fit [`Bounds::merge_bytes`], in as many passes as that takes.

use std::collections::btree_map;
use std::sync::Arc;

use bytes::Bytes;

use crate::prometheus::class::{OpenFamily, OpenMetricsType, PageWriter};
use crate::prometheus::gather::{Directory, Hint, MetricFamily, Names, TargetInfo, base_of};
use crate::prometheus::label_encoding::LabelEncoding;
use crate::prometheus::message::Annotations;
use crate::prometheus::message::Messages;
use crate::prometheus::name::INFO;
use crate::prometheus::negotiate::Format;
use crate::prometheus::report::{Report, WarningReason};
use crate::prometheus::source::{Overtaken, Progress, Source};
use crate::prometheus::style::{Bounds, Style};
use crate::prometheus::target::put_target_info;
use crate::prometheus::text::{MetricType, put_family, put_head};

const TARGET_INFO: &str = "target_info";
const TARGET_HELP: &str = "Target metadata";
/// Without the suffix that the type `info` adds.
const TARGET: &str = "target";

/// What one step brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next bytes of the page; never empty.
    Chunk(Bytes),
    /// Work was done, nothing is ready to send yet: step again when convenient.
    Working,
    /// A newer cut overtook the scrape. Break the response off, without its last chunk; there is nothing more to come.
    Overtaken,
    /// The page is complete.
    End,
}

/// A page being rendered.
pub struct Page<S: Source> {
    source: S,
    writer: PageWriter,
    phase: Phase<S::Group>,
    taken: TakenNames,
}

/// Which names families have, and what follows for others.
#[derive(Default)]
struct TakenNames {
    /// Histograms and summaries met so far, ascending: their suffixed names are taken.
    suffixed: Vec<(Arc<str>, MetricType)>,
    /// All family names, once all groups are gathered.
    names: Option<Names>,
    /// `target_info` is shown, as a family of that name or as `target`.
    targets: bool,
    /// `target_info` is shown as the family `target`.
    target: bool,
}

enum Phase<G> {
    Gather {
        groups: std::vec::IntoIter<G>,
        directory: Directory<G>,
    },
    Targets {
        targets: btree_map::IntoIter<Box<[u8]>, TargetInfo>,
        families: btree_map::IntoIter<Arc<str>, MetricFamily<G>>,
    },
    Families {
        families: btree_map::IntoIter<Arc<str>, MetricFamily<G>>,
        open: Option<OpenFamily<G>>,
    },
    Over,
}

impl<S: Source> Page<S> {
    /// A page of what `source` holds, written in `style`. `keys` keys the hashes, so that nobody can aim at them; nothing visible but the
    /// order of merged rows depends on them.
    pub fn new(source: S, keys: ahash::RandomState, bounds: Bounds, style: Style) -> Self {
        assert!(bounds.chunk_bytes > 0 && bounds.merge_bytes > 0 && bounds.rows_per_step > 0, "{bounds:?}");
        let groups = source.groups().into_iter();
        Page {
            source,
            phase: Phase::Gather { groups, directory: Directory::new(keys.clone(), style.naming, style.encoding()) },
            writer: PageWriter::new(keys, bounds, style),
            taken: TakenNames::default(),
        }
    }

    /// What was left out, joined or chosen so far.
    pub fn report(&self) -> &Report {
        &self.writer.report
    }

    /// The next chunk; `None` at the end. Works on until there is one: see `step` for slices.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Result<Bytes, Overtaken>> {
        loop {
            match self.step() {
                Step::Chunk(chunk) => return Some(Ok(chunk)),
                Step::Working => {}
                Step::Overtaken => return Some(Err(Overtaken)),
                Step::End => return None,
            }
        }
    }

    /// Works a little: at most one chunk or `rows_per_step` visits.
    pub fn step(&mut self) -> Step {
        if matches!(self.phase, Phase::Over) {
            let rest = std::mem::take(&mut self.writer.out);
            return if rest.is_empty() { Step::End } else { Step::Chunk(Bytes::from(rest)) };
        }
        match self.advance() {
            Ok(()) if self.writer.is_full() => {
                let empty = Vec::with_capacity(self.writer.out.capacity().min(2 * self.writer.bounds.chunk_bytes));
                Step::Chunk(Bytes::from(std::mem::replace(&mut self.writer.out, empty)))
            }
            Ok(()) => Step::Working,
            Err(Overtaken) => {
                self.phase = Phase::Over;
                self.writer.out = Vec::new();
                Step::Overtaken
            }
        }
    }

    fn advance(&mut self) -> Result<(), Overtaken> {
        let Page { source, writer, phase, taken } = self;
        match phase {
            Phase::Gather { groups, directory } => {
                for group in groups.take(writer.bounds.rows_per_step) {
                    directory.add(source, group, &mut writer.report);
                }
                if groups.as_slice().is_empty() {
                    writer.know(std::mem::take(&mut directory.prefixes), directory.take_prefix_places());
                    let targets = std::mem::take(&mut directory.targets);
                    let families = std::mem::take(&mut directory.families);
                    taken.names = Some(directory.take_names());
                    if !targets.is_empty() {
                        writer.report.families += 1;
                        taken.targets = true;
                        taken.target = open_targets(writer, taken);
                    }
                    *phase = Phase::Targets { targets: targets.into_iter(), families: families.into_iter() };
                }
            }
            Phase::Targets { targets, families } => {
                for (labels, target) in targets.take(writer.bounds.rows_per_step) {
                    put_target(writer, &labels, &target);
                    if writer.is_full() {
                        return Ok(());
                    }
                }
                if targets.len() == 0 {
                    writer.end_message(TARGET_INFO, TARGET_HELP, MetricType::Gauge, None);
                    *phase = Phase::Families { families: std::mem::take(families), open: None };
                }
            }
            Phase::Families { families, open } => match open {
                Some(family) => {
                    if family.advance(source, writer)? == Progress::Done {
                        *open = None;
                    }
                }
                None => match families.next() {
                    Some((name, family)) => *open = open_family(name, family, source, writer, taken),
                    None => {
                        if writer.style.format.is_open_metrics() {
                            writer.out.extend_from_slice(b"# EOF\n");
                        }
                        *phase = Phase::Over;
                    }
                },
            },
            Phase::Over => {}
        }
        Ok(())
    }
}

/// Writes the header of `target_info`; whether it is the family `target`, of type `info`.
fn open_targets(writer: &mut PageWriter, taken: &TakenNames) -> bool {
    let open_metrics = writer.style.format.is_open_metrics();
    let as_info = open_metrics && !taken.is_name(TARGET);
    match writer.style.format {
        Format::Protobuf => {}
        _ if as_info => put_family(&mut writer.out, TARGET, "info", None, TARGET_HELP, true),
        _ => put_family(&mut writer.out, TARGET_INFO, MetricType::Gauge.word(), None, TARGET_HELP, open_metrics),
    }
    as_info
}

fn put_target(writer: &mut PageWriter, labels: &[u8], target: &TargetInfo) {
    let (naming, encoding) = (writer.style.naming, writer.style.encoding());
    match encoding {
        LabelEncoding::Text => {
            put_head(&mut writer.out, TARGET_INFO, "", false, b"");
            let mut text = std::mem::take(&mut writer.metric);
            text.clear();
            put_target_info(&mut text, labels, &target.resource, naming, encoding);
            writer.out.extend_from_slice(text.strip_prefix(b",").unwrap_or(&text));
            writer.out.extend_from_slice(b"} 1\n");
            writer.metric = text;
        }
        LabelEncoding::Message => {
            writer.metric.clear();
            put_target_info(&mut writer.metric, labels, &target.resource, naming, encoding);
            let annotations = Annotations { start_ns: 0, exemplars: &[] };
            Messages::default().put_number(&mut writer.metric, MetricType::Gauge, 1.0, annotations, naming);
            writer.put_metric();
            if writer.metrics.len() >= writer.bounds.chunk_bytes {
                writer.end_message(TARGET_INFO, TARGET_HELP, MetricType::Gauge, None);
            }
        }
    }
}

impl TakenNames {
    fn is_name(&self, name: &str) -> bool {
        self.names.as_ref().is_some_and(|names| names.contains(name))
    }

    /// A histogram or summary has this name for one of its own samples.
    fn is_suffixed(&self, name: &str, open_metrics: bool) -> bool {
        const BOTH: &[MetricType] = &[MetricType::Histogram, MetricType::Summary];
        let base_is = |suffix: &str, types: &[MetricType]| {
            name.strip_suffix(suffix).is_some_and(|base| {
                let found = self.suffixed.binary_search_by(|(known, _)| (**known).cmp(base));
                found.is_ok_and(|i| types.contains(&self.suffixed[i].1))
            })
        };
        base_is("_bucket", &[MetricType::Histogram])
            || base_is("_sum", BOTH)
            || base_is("_count", BOTH)
            || (open_metrics && base_is("_created", BOTH))
    }

    /// Whether OpenMetrics may call this info by its name without `_info`. It gives way to whatever else may have that.
    fn is_info(&self, name: &str) -> bool {
        let Some(base) = name.strip_suffix(INFO).filter(|base| !base.is_empty()) else { return false };
        let is_total = |stem: &str| self.is_name(&format!("{stem}_total"));
        let is_taken = self.is_name(base)
            || is_total(base)
            || base.strip_suffix("_created").is_some_and(is_total)
            || self.is_suffixed(base, true)
            || (self.targets && base == TARGET_INFO);
        !is_taken
    }

    /// Whether OpenMetrics may call this counter by its name without `_total`.
    fn is_counter(&self, name: &str) -> bool {
        let base = base_of(name, MetricType::Counter);
        let is_told = base.len() < name.len() && !base.is_empty();
        let is_start = |stem: &str| self.is_name(&format!("{stem}_total"));
        let is_taken = self.is_name(base)
            || self.is_name(&format!("{base}_created"))
            // a counter's start, whether or not starts are shown: names do not depend on that
            || base.strip_suffix("_created").is_some_and(is_start)
            || self.is_suffixed(base, true)
            || (self.target && base == TARGET)
            || (self.targets && base == TARGET_INFO);
        is_told && !is_taken
    }
}

/// Begins a family, unless its name is taken (X6).
fn open_family<S: Source>(
    name: Arc<str>,
    mut family: MetricFamily<S::Group>,
    source: &S,
    writer: &mut PageWriter,
    taken: &mut TakenNames,
) -> Option<OpenFamily<S::Group>> {
    let open_metrics = writer.style.format.is_open_metrics();
    if &*name == TARGET_INFO || taken.is_suffixed(&name, open_metrics) {
        let metric = source.meta(&family.members[0].group).name.clone();
        writer.report.warn(WarningReason::NameTaken, 1, &name, &metric);
        return None;
    }
    family.settle(&name, source, &mut writer.report);
    if matches!(family.kind, MetricType::Histogram | MetricType::Summary) {
        // families come by name, so this stays sorted
        taken.suffixed.push((name.clone(), family.kind));
    }
    let shown_as = match family.kind {
        _ if !open_metrics => OpenMetricsType::Plain,
        MetricType::Counter if taken.is_counter(&name) => OpenMetricsType::Counter,
        MetricType::Gauge if family.is_said(Hint::Info) && taken.is_info(&name) => OpenMetricsType::Info,
        MetricType::Gauge if family.is_said(Hint::StateSet) => OpenMetricsType::StateSet,
        _ => OpenMetricsType::Plain,
    };
    // UNIT is how the name that is shown ends; for a counter of protobuf that is the one without `_total`
    let base = if shown_as == OpenMetricsType::Counter || writer.style.encoding() == LabelEncoding::Message {
        base_of(&name, family.kind)
    } else {
        &name
    };
    family.unit = family.unit.filter(|unit| base.strip_suffix(&**unit).is_some_and(|before| before.ends_with('_')));
    Some(OpenFamily::new(name, family, shown_as))
}
