//! M28: summaries pass through whole, and the newest wins. M30: a new one beyond the limit is refused.

use crate::common::*;
use catchment::ledger::Note;
use catchment::model::{Kind, Reject};
use opentelemetry_proto::tonic::metrics::v1::SummaryDataPoint;

const T: u64 = START + 10 * SECOND;

fn point(time: u64, count: u64, quantiles: &[(f64, f64)]) -> SummaryDataPoint {
    summary_point(&[("k", "v")], T - 5, time, count, 2.5, quantiles)
}

fn one(point: SummaryDataPoint) -> opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest {
    request(vec![summary("s", vec![point])])
}

#[test]
fn m28_a_summary_leaves_as_it_came_for_every_temporality() {
    let many: Vec<(f64, f64)> = (0..32).map(|i| (f64::from(i) / 31.0, f64::from(i))).collect();
    for (what, sent) in [
        ("three quantiles", point(T, 4, &[(0.0, 0.0), (0.5, 1.25), (1.0, 7.0)])),
        ("no quantiles", point(T, 4, &[])),
        ("no observations: NaN is no negative value", point(T, 0, &[(0.5, f64::NAN)])),
        ("infinite values, and a sum that is less than nothing", {
            SummaryDataPoint { sum: -1.0, ..point(T, 1, &[(0.99, f64::INFINITY)]) }
        }),
        ("as many quantiles as the limit says", point(T, 4, &many)),
        ("no start", SummaryDataPoint { start_time_unix_nano: 0, ..point(T, 4, &[(0.5, 1.0)]) }),
        ("reserved flags are ignored", SummaryDataPoint { flags: 6, ..point(T, 4, &[(0.5, 1.0)]) }),
    ] {
        let mut rig = Rig::new(1);
        assert_eq!(rig.send(0, &one(sent.clone())).rejected, 0, "{what}");
        let out = rig.cut(T + SECOND);
        let sent = format!("{:?}", SummaryDataPoint { flags: 0, ..sent });
        for view in [&out.cumulative, &out.delta] {
            let left = summaries(view);
            assert_eq!((left.len(), format!("{:?}", left[0])), (1, sent.clone()), "{what}");
        }
        assert!(rig.cut(T + 2 * SECOND).cumulative.is_empty(), "{what}: only what was touched leaves");
    }
}

#[test]
fn m28_bad_summaries_are_rejected_singly() {
    let too_many: Vec<(f64, f64)> = (0..33).map(|i| (f64::from(i) / 33.0, 1.0)).collect();
    for (what, bad, reason) in [
        ("below 0", point(T, 1, &[(-0.1, 1.0)]), Reject::BadSummary),
        ("above 1", point(T, 1, &[(1.1, 1.0)]), Reject::BadSummary),
        ("NaN", point(T, 1, &[(f64::NAN, 1.0)]), Reject::BadSummary),
        ("twice", point(T, 1, &[(0.5, 1.0), (0.5, 1.0)]), Reject::BadSummary),
        ("falling", point(T, 1, &[(0.9, 1.0), (0.5, 1.0)]), Reject::BadSummary),
        ("a negative value", point(T, 1, &[(0.5, -1.0)]), Reject::BadSummary),
        ("one more than the limit", point(T, 1, &too_many), Reject::BadSummary),
        ("no time", SummaryDataPoint { start_time_unix_nano: 0, ..point(0, 1, &[]) }, Reject::NoTime),
        ("start after time", point(T - 6, 1, &[]), Reject::StartAfterTime),
    ] {
        let mut rig = Rig::new(1);
        let good = point(T, 9, &[(0.5, 1.0)]);
        // known and new routes alike
        for _ in 0..2 {
            let receipt = rig.send(0, &request(vec![summary("s", vec![bad.clone(), good.clone()])]));
            assert_eq!((receipt.points, receipt.rejected), (2, 1), "{what}");
            assert!(receipt.message.unwrap().contains(reason.help()), "{what}");
        }
        assert_eq!((rig.tally.rejected(reason), rig.tally.rejected_total()), (2, 2), "{what}");
        assert_eq!(summaries(&rig.cut(T + SECOND).cumulative), [good], "{what}");
    }
}

#[test]
fn m28_the_newest_wins_whole_over_cores_cuts_and_numbers_of_quantiles() {
    let (old, new) = (point(T, 9, &[(0.1, 1.0), (0.5, 2.0), (0.9, 3.0)]), point(T + 1, 1, &[(0.5, 9.0)]));
    // of equal times the larger words win, whichever came first
    let (small, large) = (point(T, 3, &[(0.5, 1.0)]), point(T, 3, &[(0.5, 2.0)]));
    for (what, a, b, winner) in [("newer", &old, &new, &new), ("a tie", &small, &large, &large)] {
        for (first, second) in [(a, b), (b, a)] {
            for cores in [1, 2] {
                let mut rig = Rig::new(cores);
                rig.send(0, &one(first.clone()));
                rig.send(1, &one(second.clone()));
                assert_eq!(
                    summaries(&rig.cut(T + SECOND).cumulative),
                    std::slice::from_ref(winner),
                    "{what}, {cores} cores"
                );
                // not newer than what left: no effect
                rig.send(1, &one(a.clone()));
                rig.send(0, &one(b.clone()));
                assert!(rig.cut(T + 2 * SECOND).cumulative.is_empty(), "{what}, {cores} cores");
                rig.send(1, &one(point(T + 2, 5, &[])));
                assert_eq!(summaries(&rig.cut(T + 3 * SECOND).cumulative)[0].count, 5, "{what}, {cores} cores");
                assert_eq!(rig.tally.emitted(), 5);
            }
        }
    }
}

#[test]
fn m30_a_new_summary_beyond_the_limit_is_rejected_and_a_known_one_goes_on() {
    let mut rig = Rig::with(1, 1, 300 * SECOND);
    rig.send(0, &one(point(T, 1, &[])));
    let other = summary_point(&[("k", "other")], 0, T, 1, 1.0, &[]);
    let receipt = rig.send(0, &request(vec![summary("s", vec![other, point(T + 1, 2, &[])])]));
    assert_eq!((receipt.points, receipt.rejected), (2, 1));
    assert_eq!(rig.tally.rejected(Reject::SeriesLimit), 1);
    assert_eq!(summaries(&rig.cut(T + SECOND).cumulative)[0].count, 2);
    assert_eq!(rig.tally.noted(Note::Overflowed), 0);
    let door = catchment::model::Door::OtlpGrpc;
    assert_eq!((rig.tally.applied(door, Kind::Summary), rig.tally.rejected_by(door, Kind::Summary)), (2, 1));
}

#[test]
fn an_idle_summary_dies_and_its_memory_is_used_again() {
    let mut rig = Rig::with(1, 1_000, 20 * SECOND);
    let (mut now, mut bytes) = (T, 0);
    for round in 0..200 {
        let points =
            (0..50).map(|i| summary_point(&[("k", &format!("{round}/{i}"))], 0, now, 1, 1.0, &[(0.5, 1.0)])).collect();
        assert_eq!(rig.send(0, &request(vec![summary("s", points)])).rejected, 0, "round {round}");
        now += 10 * SECOND;
        assert_eq!(summaries(&rig.cut(now).cumulative).len(), 50);
        if round == 100 {
            bytes = rig.registry.slab(0).bytes();
        }
    }
    assert!(rig.tally.noted(Note::SeriesExpired) > 9_000);
    assert_eq!(rig.registry.slab(0).bytes(), bytes, "cells and blocks are used again");
}

#[test]
fn a_burst_of_summaries_or_histograms_stays_within_the_memory_limit_with_the_blocks_of_the_cut() {
    const LIMIT: usize = 4 << 20;
    // a chunk of each slab is whole before it is used
    const SLACK: usize = 2 * 256 * 1024;
    let bounds: Vec<f64> = (0..64).map(f64::from).collect();
    let of = |name: &str, i: u64, time: u64| match name {
        "summary" => summary(name, vec![summary_point(&[("k", &i.to_string())], 0, time, 1, 1.0, &[(0.5, 1.0)])]),
        _ => histogram(name, 2, vec![histogram_point(&[("k", &i.to_string())], time, &[1; 65], &bounds, 1.0)]),
    };
    for name in ["summary", "histogram"] {
        let mut rig = Rig::within(2, 1_000_000, LIMIT, 20 * SECOND);
        let mut rejected = 0;
        for i in 0..20_000 {
            rejected += rig.send(i as usize, &request(vec![of(name, i, T)])).rejected;
        }
        assert!(rejected > 10_000 && rig.tally.rejected(Reject::MemoryLimit) == rejected, "{name}: {rejected}");
        let before = rig.registry.bytes();
        let out = rig.cut(T + SECOND);
        let left = summaries(&out.cumulative).len() + histograms(&out.cumulative).len();
        assert_eq!(left as u64, 20_000 - rejected, "{name}");
        let after = rig.registry.bytes();
        assert!(before <= LIMIT + SLACK && after <= LIMIT + SLACK, "{name}: {before}, then {after}");
        for i in 1..8 {
            rig.cut(T + i * 10 * SECOND);
        }
        // streams, and with them their groups
        rig.sweep(2);
        let slabs = (0..2).map(|core| rig.registry.slab(core).bytes()).sum::<usize>();
        assert_eq!((rig.registry.live(), rig.registry.bytes()), (0, slabs), "{name}: nothing is owed any more");
    }
}

#[test]
fn a_series_that_never_had_a_value_owes_no_block_after_its_death() {
    let mut rig = Rig::with(1, 1_000, 20 * SECOND);
    rig.send(0, &one(point(T, 1, &[])));
    rig.cut(T + 1);
    let none = rig.registry.bytes();
    let flagged = SummaryDataPoint { attributes: attributes(&[("k", "other")]), flags: 1, ..point(T, 1, &[]) };
    rig.send(0, &one(flagged));
    assert!(rig.registry.bytes() > none);
    for i in 1..6 {
        rig.send(0, &one(point(T + i * 10 * SECOND, 1, &[])));
        rig.cut(T + i * 10 * SECOND + 1);
    }
    assert_eq!((rig.registry.live(), rig.registry.bytes()), (1, none));
}
