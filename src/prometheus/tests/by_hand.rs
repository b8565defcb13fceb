//! Run by hand: how fast and how large, and a page for `promtool check metrics`.
//!
//! `cargo test --release --lib prometheus::tests::by_hand -- --ignored --nocapture --test-threads 1`

use std::io::Write as _;
use std::ops::ControlFlow;
use std::time::Instant;

use super::fake::*;
use crate::aggregate::number;
use crate::prometheus::*;
use crate::rows::{Row, RowValue};

const ROWS: usize = 1_000_000;

/// A million rows whose bytes lie in one block, so that the memory measured is the page's.
struct Block {
    metas: Vec<Meta>,
    bytes: Vec<u8>,
    row_bytes: usize,
}

impl Block {
    /// Every meta has all rows.
    fn new(metas: Vec<Meta>, rows: usize) -> Block {
        let row = |i: usize| {
            let (user, path) = (format!("user-{i:08}"), format!("/api/v1/items/{:03}", i % 1_000));
            records(&[
                ("http.request.method", "GET"),
                ("http.route", &path),
                ("user.id", &user),
                ("http.response.status_code", "200"),
                ("network.protocol.version", "1.1"),
            ])
        };
        let row_bytes = row(0).len();
        Block { metas, bytes: (0..rows).flat_map(row).collect(), row_bytes }
    }
}

impl Source for &Block {
    type Group = usize;

    fn groups(&self) -> Vec<usize> {
        (0..self.metas.len()).collect()
    }

    fn meta<'a>(&self, group: &'a usize) -> &'a Meta {
        // metas outlive the page; the handle here is a number, where the index has an `Arc`
        Box::leak(Box::new(self.metas[*group].clone()))
    }

    fn rows(
        &self,
        _: &usize,
        cursor: &mut usize,
        visit: &mut dyn FnMut(PageRow<'_>) -> ControlFlow<()>,
    ) -> Result<Progress, Overtaken> {
        for attributes in self.bytes[*cursor * self.row_bytes..].chunks_exact(self.row_bytes) {
            let value = RowValue::Number(number::Value::Int(*cursor as i64 * 1_000));
            *cursor += 1;
            let row = Row { attributes, time_ns: 1, start_ns: 1, value, exemplars: &[] };
            if visit(PageRow { row, cut: 1 }).is_break() {
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Done)
    }
}

/// `VmHWM` or `VmRSS`, MiB.
fn memory_mib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn measure(what: &str, metas: Vec<Meta>, rows: usize) {
    let block = Block::new(metas, rows);
    let before = memory_mib("VmRSS");
    // 5 clears the peak
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let start = Instant::now();
    let mut page = Page::new(&block, ahash::RandomState::with_seeds(1, 2, 3, 4), Bounds::default(), plain());
    let (mut bytes, mut chunks, mut checksum, mut longest, mut steps) = (0usize, 0usize, 0u64, 0u128, 0usize);
    loop {
        let began = Instant::now();
        let step = page.step();
        longest = longest.max(began.elapsed().as_micros());
        steps += 1;
        match step {
            Step::Chunk(chunk) => {
                bytes += chunk.len();
                chunks += 1;
                checksum = chunk.iter().fold(checksum, |sum, &b| sum.wrapping_mul(31).wrapping_add(u64::from(b)));
            }
            Step::Working => {}
            Step::Overtaken => panic!("nothing overtakes here"),
            Step::End => break,
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{what}: {} series, {:.2} s (checksum included), {:.2} M series/s, {:.0} MB/s, {chunks} chunks, {steps} steps, \
         longest {longest} us, peak +{} MiB, merged {}, checksum {checksum:016x}",
        page.report().series,
        seconds,
        page.report().series as f64 / seconds / 1e6,
        bytes as f64 / seconds / 1e6,
        memory_mib("VmHWM").saturating_sub(before),
        page.report().count(WarningReason::Merged),
    );
}

#[test]
#[ignore = "by hand, in release"]
fn speed_and_memory() {
    let meta = || Group::counter("http.server.requests").meta;
    let other = || Meta {
        resource: resource(&[("service.name", "api"), ("service.instance.id", "1"), ("host.name", "h")]).into(),
        ..meta()
    };
    measure("stream, five attributes", vec![meta()], ROWS);
    measure("merge, half a million twice", vec![meta(), other()], ROWS / 2);
}

#[test]
#[ignore = "prints a page for promtool"]
fn a_page_for_promtool() {
    let groups = vec![
        Group::counter("http.server.requests")
            .with(|m| {
                m.description = "Requests \\ with a\nnewline.".into();
                m.resource = resource(&[("service.name", "api"), ("host.name", "h\"1\"")]).into();
                m.scope = scope("meter", "1.0", &[("short.name", "m")]).into();
            })
            .row(&[("http.route", "/a\\b\n\"c\""), ("1st", "x"), ("ключ", "значение")], 1, Owned::Int(7)),
        Group::gauge("cpu.usage").with(|m| m.unit = "1".into()).row(&[], 1, Owned::Double(1e-9)),
        Group::gauge("room.temperature").with(|m| m.unit = "Cel".into()).row(&[], 1, Owned::Double(f64::NEG_INFINITY)),
        Group::histogram("http.server.duration", &[0.005, 1.0, 2.5, 1e6]).with(|m| m.unit = "s".into()).row(
            &[("le", "mine")],
            1,
            Owned::Histogram(10, Some(12.5), vec![1, 2, 3, 4, 0]),
        ),
        Group::new("queue.size", crate::model::Kind::Sum, false).row(&[], 1, Owned::Int(-3)),
        Group::new("latency", crate::model::Kind::ExponentialHistogram, false).row(&[], 1, exponential(3, None)),
        Group::new("old", crate::model::Kind::Summary, false).row(
            &[],
            1,
            Owned::Summary(3, 4.5, vec![(0.5, 1.0), (0.99, 2.0)]),
        ),
    ];
    std::io::stdout().write_all(render(Fake::new(groups), Bounds::default()).0.as_bytes()).unwrap();
}
