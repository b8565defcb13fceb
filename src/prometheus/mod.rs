//! The scrape page: what the index holds, in the format that the scraper asks for, in chunks.
//!
//! Knows how OpenTelemetry translates to Prometheus and how each format is written. Deliberately does not know sockets,
//! HTTP, clocks, threads, cells or banks: it reads a [`Source`], which the index implements, and gives out bytes. The
//! seams: [`negotiate`] reads an Accept header, [`name`] and [`escape`] spell names, `label_encoding` labels, [`text`] and
//! `histogram` lines, `message` protobuf; nothing else knows a format's bytes.
//!
//! ```text
//!  Source::groups ─► family (name, TYPE, HELP) ─► class (same job, instance, scope) ─► rows ─► chunks
//!                                                  scan ─► stream                 nothing can collide
//!                                                  scan ─► hash ─► stream          nothing does collide
//!                                                          hash ─► merge, in passes of bounded memory
//! ```
//!
//! Translation:
//! - *Names* are those that Prometheus itself gives to the same metric over OTLP, in each of its four strategies: see
//!   [`name`].
//! - *Labels* stand in a fixed order: `job`, `instance`, `otel_scope_name`, `_version`, `_schema_url`, scope attributes
//!   by name, then the point's attributes by name, then `le` or `quantile`. A label with an empty value is the same as
//!   none in Prometheus and is left out; only `instance=""` is written, as the compatibility specification asks, so that
//!   `honor_labels` does not put the scraper's own instance there.
//! - *Labels that meet* are joined with `;`: attributes of one name in key order, and an attribute behind the scope's
//!   label of its name, where no scope could be mistaken for what comes out (see `scope_join`).
//! - *Reserved labels*: an attribute that would land on `job`, `instance`, on `le` in a histogram, `quantile` in a summary
//!   or on an `otel_scope_*` that it may not be joined to is written as `exported_…`, as Prometheus itself does where a
//!   target's labels meet its own. Joined, `job` would no longer find its `target_info`, `le` would be no number, and a
//!   client could write itself into another scope's series.
//! - *One identity, one row*: sums of either monotonicity and histograms of equal bounds add; gauges and summaries keep
//!   the newest (ties: the larger bits). Histograms of other bounds than the newest are left out. All of it is counted
//!   in [`Report`], with the first few named. A sum that one part lacks is left out, never invented.
//! - *TYPE conflicts* drop the metric that was born later, with a warning. So does a family whose name a histogram or
//!   summary needs for its `_bucket`, `_sum` or `_count`, and one that is called `target_info`.
//! - *Hints*: the metadata of a gauge or non-monotonic sum may say `prometheus.type`. One metric of `unknown` type, or
//!   one whose senders differ, makes its family, if that is a gauge, `unknown`: `untyped` in text 0.0.4, 1.0.0 and
//!   protobuf. An `info` ends in `_info` where names have suffixes, and neither it nor a `stateset` in `_ratio`; both
//!   are gauges in those formats. OpenMetrics has a family as `info` or `stateset` if all its metrics say so and all
//!   its rows may be: a value of 1; 1 or 0 and a label called like the family. Else it is a gauge there too.
//! - *HELP* is the longest description, ties by bytes. UNIT (OpenMetrics, protobuf) is what the name ends with.
//! - Exponential histograms show `_count`, `_sum` and `le="+Inf"` in text, and are native histograms in protobuf. No
//!   timestamps.
//! - *OpenMetrics*: a counter's family has no `_total`; where that name is another family's, or the name does not end
//!   with it, the type is `unknown`, so that no series is lost. `target_info` is `target`, of type `info`. Starts are
//!   `_created`. What it forbids is left out: counters that are negative or NaN, such sums, a histogram's
//!   `_count` without its `_sum` (`le="+Inf"` has it), negative quantile values.
//! - *Protobuf*: a family larger than a chunk is several messages of one name, one after the other.
//! - *Merged rows* have the start of the longest, and no exemplars.
//!
//! Invariants
//! 1. No two lines of one page have the same name and labels, no family is opened twice, and families do not interleave.
//! 2. Two classes of one family cannot collide: their prefixes differ, and an attribute that is joined to a prefix makes
//!    none that another has.
//! 3. A page that was overtaken gives no further chunk: what was sent so far is visibly cut off.
//! 4. One `step` visits at most [`Bounds::rows_per_step`] rows, groups or merged rows, or fills one chunk. Two steps are
//!    longer: the first (`Source::groups`), and sorting a class's fingerprints (87 and 105 ms for a million rows,
//!    measured on a machine busy with other work).
//!
//! Bounds: a chunk is `limits::PAGE_CHUNK_BYTES` and at most one line more. While rendering, memory is one chunk; the distinct
//! label prefixes and the family directory (by estimate under 30 MiB at 100,000 groups, not measured); 8 bytes a row for
//! the largest class in which rows *can* collide, twice that while they are sorted; `limits::PAGE_MERGE_BYTES` of rows that *do*,
//! the others waiting for the next pass over the class.
//!
//! Sources: OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility", "Metrics Exporter - Prometheus",
//! "AnyValue representation for non-OTLP protocols"; Prometheus "Exposition formats", text format 0.0.4, "Scrape protocol
//! content negotiation", "Escaping schemes"; OpenMetrics 1.0; prometheus/client_model metrics.proto;
//! prometheus/otlptranslator for what names come out in practice.

mod any;
mod class;
pub mod escape;
mod exemplar;
mod gather;
mod histogram;
mod label_encoding;
mod labels;
mod merge;
mod message;
pub mod name;
pub mod negotiate;
mod page;
mod report;
mod scope_join;
mod source;
mod style;
mod target;
pub mod text;

#[cfg(test)]
mod tests;

pub use name::{Naming, Translation};
pub use negotiate::{Format, Negotiated, negotiate};
pub use page::{Page, Step};
pub use report::{Report, Warning, WarningReason};
pub use source::{Meta, Overtaken, PageRow, Progress, Source};
pub use style::{Bounds, Style};
