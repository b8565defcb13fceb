//! Series that go idle, die and come back, and a wall clock that steps, on the aggregation without sockets.

use crate::common::*;
use catchment::ledger::Note;
use catchment::model::Reject;
use catchment::sync::cut::CutTimes;

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;
const T: u64 = START + 10 * SECOND;

#[test]
fn an_idle_series_dies_in_two_cuts_and_comes_back_as_a_new_one() {
    for cores in [1, 2] {
        let mut rig = Rig::with(cores, 1_000_000, 60 * SECOND);
        let send = |rig: &mut Rig, v| {
            let hist = histogram("h", DELTA, vec![histogram_point(&[("a", "1")], T, &[1, 2], &[5.0], 3.5)]);
            let points = vec![number(&[("a", "1")], T, T, int(v)), number(&[("a", "2")], T, T, int(v))];
            rig.send(0, &request(vec![sum("m", DELTA, true, points.clone()), hist.clone()]));
            rig.send(1, &request(vec![sum("m", DELTA, true, points), hist]));
        };
        send(&mut rig, 3);
        rig.cut(T);
        assert_eq!(rig.registry.live(), 3);
        for i in 1..=8 {
            // touched now and then by points of one series only: it must stay
            rig.send(i, &request(vec![sum("m", DELTA, true, vec![number(&[("a", "1")], T, T, int(1))])]));
            rig.cut(T + i as u64 * 10 * SECOND);
        }
        assert_eq!(rig.registry.live(), 1, "{cores} cores: the others expired");
        assert_eq!(rig.tally.noted(Note::SeriesExpired), 2);
        send(&mut rig, 7);
        let out = rig.cut(T + 100 * SECOND);
        let twice = 2.0;
        assert_eq!(values(&out.cumulative), [6.0 + 8.0 + 7.0 * twice, 7.0 * twice], "a=1 goes on, a=2 started over");
        assert_eq!(numbers(&out.cumulative)[1].2, T + 80 * SECOND, "with a new start (M16)");
        assert_eq!(rig.registry.live(), 3);
        // a long time of coming and going leaves nothing behind
        let routes = rig.cores[0].routes();
        for i in 0..40u64 {
            rig.cut(T + (110 + i * 70) * SECOND);
            send(&mut rig, 1);
        }
        assert!(rig.cores[0].routes() <= routes + 1, "routes are freed");
    }
}

/// Series `k`=… of a delta sum, alive at the cut before and dead after the last of these.
fn die(rig: &mut Rig, points: Vec<opentelemetry_proto::tonic::metrics::v1::NumberDataPoint>) {
    rig.send(0, &request(vec![sum("m", DELTA, true, points)]));
    for after in [0, 60, 61] {
        rig.cut(T + after * SECOND);
    }
    assert_eq!(rig.registry.live(), 0);
}

#[test]
fn a_dead_series_comes_back_by_two_routes_and_keeps_the_points_of_both() {
    let mut rig = Rig::with(1, 1_000_000, 60 * SECOND);
    let point = |pairs: &[(&str, &str)], v| number(pairs, T, T, int(v));
    die(&mut rig, vec![point(&[("a", "1"), ("b", "2")], 1)]);
    // bytes that are new make the series, then bytes that led into the dead one find it
    rig.send(0, &request(vec![sum("m", DELTA, true, vec![point(&[("b", "2"), ("a", "1")], 3)])]));
    rig.send(0, &request(vec![sum("m", DELTA, true, vec![point(&[("a", "1"), ("b", "2")], 5)])]));
    assert_eq!(values(&rig.cut(T + 70 * SECOND).delta), [8.0]);
}

#[test]
fn m30_a_dead_series_that_may_not_come_back_overflows_or_is_rejected_every_time() {
    let mut rig = Rig::with(1, 1, 60 * SECOND);
    let point = |k: &str, v| number(&[("k", k)], T, T, int(v));
    die(&mut rig, vec![point("old", 1)]);
    rig.send(0, &request(vec![sum("m", DELTA, true, vec![point("new", 2)])]));
    for _ in 0..3 {
        assert_eq!(rig.send(0, &request(vec![sum("m", DELTA, true, vec![point("old", 5)])])).rejected, 0);
    }
    let out = numbers(&rig.cut(T + 70 * SECOND).delta);
    assert_eq!(out.iter().map(|n| n.4).collect::<Vec<_>>(), [2.0, 15.0]);
    assert!(out[1].1.contains("otel.metric.overflow"));
    // what cannot overflow is rejected, the second time too
    let mut rig = Rig::with(1, 1, 60 * SECOND);
    let gauge_at = |time| request(vec![gauge("g", vec![number(&[], 0, time, int(1))])]);
    rig.send(0, &gauge_at(T));
    for after in [0, 60, 61] {
        rig.cut(T + after * SECOND);
    }
    rig.send(0, &request(vec![sum("m", DELTA, true, vec![point("new", 2)])]));
    for i in 0..3 {
        assert_eq!(rig.send(0, &gauge_at(T + i)).rejected, 1);
    }
    assert_eq!(values(&rig.cut(T + 70 * SECOND).cumulative), [2.0]);
    assert_eq!(rig.tally.rejected(Reject::SeriesLimit), 3);
}

#[test]
fn groups_of_clients_that_come_and_go_are_forgotten() {
    let mut rig = Rig::with(2, 1_000_000, 60 * SECOND);
    let mut most = 0;
    for i in 0..200u64 {
        // each client lives for one export, as short-lived jobs do
        let service = format!("job-{i}");
        let now = T + i * 10 * SECOND;
        let points = vec![number(&[("a", "1")], now, now, int(1)), number(&[("a", "2")], now, now, int(1))];
        rig.send(i as usize, &request_of(&service, vec![sum("m", DELTA, true, points)]));
        assert_eq!(values(&rig.cut(now + 1).cumulative), [1.0, 1.0]);
        rig.sweep(6);
        most = most.max(rig.registry.group_count());
    }
    assert!(most <= 24, "{most} groups at once, of 200");
    assert_eq!(rig.tally.noted(Note::SeriesBorn), 400);
    assert!(rig.registry.live() <= 48);
    // and one that comes back is found again
    let now = T + 5000 * SECOND;
    let again = request_of("job-0", vec![sum("m", DELTA, true, vec![number(&[("a", "1")], now, now, int(5))])]);
    rig.send(0, &again);
    rig.send(1, &again);
    assert_eq!(values(&rig.cut(now + 1).cumulative), [10.0]);
}

const INTERVAL: u64 = 10 * SECOND;
const HOUR: u64 = 3_600 * SECOND;

/// One cut of series fed at every other one, an interval after the last, while the wall clock is ahead by `ahead`. What
/// the delta sum and the cumulative one show.
fn at_every_other_cut(rig: &mut Rig, n: u64, ahead: u64, from: u64) -> Vec<(String, String, u64, u64, f64)> {
    if n.is_multiple_of(2) {
        let time = T + n * INTERVAL;
        let deltas = vec![number(&[], time, time, int(10))];
        let totals = vec![number(&[], START + SECOND, time, int(10 * (n as i64 / 2 + 1)))];
        let hist = histogram("h", DELTA, vec![histogram_point(&[], time, &[1, 2], &[5.0], 3.5)]);
        rig.send(n as usize, &request(vec![sum("d", DELTA, true, deltas), sum("c", CUMULATIVE, true, totals), hist]));
    }
    let mono_ns = T + (n + 1) * INTERVAL;
    let boundary_ns = mono_ns + ahead;
    let out = rig.cut_at(CutTimes { from_ns: from, boundary_ns, mono_ns, is_last: false, is_exchange: false });
    for point in numbers(&out.delta) {
        assert_eq!((point.2, point.3), (from, boundary_ns), "cut {n}: the window");
    }
    for point in histograms(&out.cumulative) {
        assert!(point.start_time_unix_nano < point.time_unix_nano, "cut {n}: {point:?}");
        assert_eq!((point.count, point.time_unix_nano), (3 * (n / 2 + 1), boundary_ns), "cut {n}");
    }
    let shown = numbers(&out.cumulative);
    shown.iter().for_each(|point| assert!(point.2 < point.3, "cut {n}: {point:?}"));
    shown
}

/// A wall clock that steps expires nothing alive, loses and doubles nothing, and when it comes back so do the times.
#[test]
fn a_wall_clock_that_steps_forgets_nothing_and_pins_nothing() {
    for ahead in [HOUR, 8_760 * HOUR] {
        for first_ahead in [0, 4] {
            let mut rig = Rig::with(2, 1_000_000, 300 * SECOND);
            let mut from = START;
            for n in 0..24 {
                let now_ahead = if (first_ahead..14).contains(&n) { ahead } else { 0 };
                let boundary = T + (n + 1) * INTERVAL + now_ahead;
                // as the control makes windows
                from = if from < boundary { from.max(boundary - 2 * INTERVAL) } else { boundary - INTERVAL };
                let shown = at_every_other_cut(&mut rig, n, now_ahead, from);
                from = boundary;
                if n.is_multiple_of(2) {
                    let total = 10.0 * (n as f64 / 2.0 + 1.0);
                    assert_eq!(shown.iter().map(|point| point.4).collect::<Vec<_>>(), [total; 2], "cut {n}");
                    assert_eq!(shown[1].3, boundary, "the delta sum is stamped with the clock");
                }
            }
            assert_eq!(rig.registry.live(), 3);
            assert_eq!(rig.tally.noted(Note::SeriesExpired), 0);
            assert!(rig.tally.balanced());
            // and they do expire, by time that passes
            for n in 24..56 {
                let mono_ns = T + (n + 1) * INTERVAL;
                rig.cut_at(CutTimes {
                    from_ns: mono_ns - INTERVAL,
                    boundary_ns: mono_ns,
                    mono_ns,
                    is_last: false,
                    is_exchange: false,
                });
            }
            assert_eq!(rig.tally.noted(Note::SeriesExpired), 3);
        }
    }
}
