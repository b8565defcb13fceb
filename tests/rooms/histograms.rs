//! The rules of histograms of both kinds (conformance M19 to M24), one by one, on the aggregation without sockets.

use crate::common::*;
use catchment::ledger::Note;
use catchment::model::Reject;

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;
const T: u64 = START + 10 * SECOND;

/// As client_golang does, whose table of bounds is off by a unit in the last place.
#[test]
fn m24_a_zero_bucket_that_widens_to_a_bound_as_the_producer_rounds_it_is_no_reset() {
    const ROOT: f64 = std::f64::consts::FRAC_1_SQRT_2;
    let point = |time, zero: u64, threshold: f64, offset, counts: &[u64]| {
        let mut point = exponential_point(&[], T, time, 1, offset, counts);
        (point.zero_count, point.zero_threshold, point.count) = (zero, threshold, counts.iter().sum::<u64>() + zero);
        request(vec![exponential("e", CUMULATIVE, vec![point])])
    };
    for bound in [f64::from_bits(ROOT.to_bits() - 1), ROOT, f64::from_bits(ROOT.to_bits() + 1)] {
        // in one interval and over two
        for cuts in [false, true] {
            let mut rig = Rig::new(1);
            let mut left = 0;
            let mut cut = |rig: &mut Rig, at| {
                left += exponentials(&rig.cut(at).delta).iter().map(|e| e.count).sum::<u64>();
                left
            };
            rig.send(0, &point(T + 1, 1, 0.0, -2, &[2, 3, 4]));
            if cuts {
                cut(&mut rig, T + 10);
            }
            rig.send(0, &point(T + 11, 4, bound, -1, &[3, 5]));
            assert_eq!(cut(&mut rig, T + 20), 12, "{bound:e}, {cuts}");
            assert_eq!(rig.tally.noted(Note::Reset), 0);
        }
    }
}

#[test]
fn m24_no_zero_bucket_that_leaves_overlaps_a_populated_one() {
    let point = |scale, zero, threshold, offset| {
        let mut point = exponential_point(&[], T, T + 1, scale, offset, &[1]);
        (point.zero_count, point.zero_threshold, point.count) = (zero, threshold, 1 + zero);
        point
    };
    for cores in [1, 2] {
        let mut rig = Rig::new(cores);
        rig.send(0, &request(vec![exponential("e", DELTA, vec![point(1, 1, 2f64.sqrt(), 1)])]));
        rig.send(1, &request(vec![exponential("e", DELTA, vec![point(0, 0, 0.0, 3)])]));
        let out = rig.cut(T + 10);
        for e in [exponentials(&out.cumulative).remove(0), exponentials(&out.delta).remove(0)] {
            assert_eq!((e.count, e.scale, e.zero_count, e.zero_threshold), (3, 0, 2, 2.0), "{cores} cores");
            assert_eq!(e.positive.map(|side| (side.offset, side.bucket_counts)), Some((3, vec![1])));
        }
    }
}

#[test]
fn m8_counts_that_leave_64_bits_are_left_out_or_begin_again_and_are_counted() {
    const HALF: u64 = 1 << 63;
    let both = |temporality, start, time, n: u64| {
        let mut h = histogram_point(&[], time, &[n, 0], &[1.0], 1.0);
        let mut e = exponential_point(&[], start, time, 0, 0, &[]);
        (h.start_time_unix_nano, e.count, e.zero_count, e.sum) = (start, n, n, Some(1.0));
        request(vec![histogram("h", temporality, vec![h]), exponential("e", temporality, vec![e])])
    };
    let mut rig = Rig::new(3);
    let mut notes = 0;
    let cut = |rig: &mut Rig, notes: &mut u64, at: u64, total: (u64, u64), step: u64, noted: u64| {
        let out = rig.cut(at);
        let (h, e) = (histograms(&out.cumulative).remove(0), exponentials(&out.cumulative).remove(0));
        assert_eq!((h.start_time_unix_nano, h.count, h.bucket_counts[0]), (total.0, total.1, total.1));
        assert_eq!((e.start_time_unix_nano, e.count, e.zero_count), (total.0, total.1, total.1));
        let (h, e) = (histograms(&out.delta).remove(0), exponentials(&out.delta).remove(0));
        assert_eq!((h.count, h.bucket_counts[0], e.count, e.zero_count), (step, step, step, step));
        *notes += 2 * noted;
        assert_eq!(rig.tally.noted(Note::CountOverflow), *notes);
    };
    // cores that do not fit together: the last one is left out
    for (core, n) in [HALF, HALF - 1, 5].into_iter().enumerate() {
        rig.send(core, &both(DELTA, T, T, n));
    }
    cut(&mut rig, &mut notes, T + 10, (START, u64::MAX), u64::MAX, 1);
    // the total does not fit: it starts over
    rig.send(0, &both(DELTA, T, T, 7));
    cut(&mut rig, &mut notes, T + 20, (T + 10, 7), 7, 1);
    rig.send(0, &both(DELTA, T, T, 2));
    cut(&mut rig, &mut notes, T + 30, (T + 10, 9), 2, 0);
    // resets within an interval: what was gained does not fit, then not behind the first point; the stream goes on
    let mut rig = Rig::new(1);
    notes = 0;
    for (i, n) in [HALF, 3, HALF, 5, HALF + 1].into_iter().enumerate() {
        rig.send(0, &both(CUMULATIVE, START + 1, T + i as u64, n));
    }
    cut(&mut rig, &mut notes, T + 10, (START + 1, HALF + 1), HALF, 2);
    rig.send(0, &both(CUMULATIVE, START + 1, T + 15, HALF + 3));
    cut(&mut rig, &mut notes, T + 20, (START + 1, HALF + 3), 2, 0);
}

#[test]
fn m19_to_m22_histograms_move_as_one() {
    let mut rig = Rig::new(2);
    let point = |counts: &[u64], sum| histogram("h", DELTA, vec![histogram_point(&[], T, counts, &[1.0, 2.0], sum)]);
    rig.send(0, &request(vec![point(&[1, 0, 2], 7.5)]));
    rig.send(1, &request(vec![point(&[0, 5, 0], 8.5)]));
    let out = rig.cut(T + 1);
    let first = histograms(&out.cumulative);
    assert_eq!((first[0].count, first[0].sum, &first[0].bucket_counts[..]), (8, Some(16.0), &[1, 5, 2][..]));
    assert_eq!((first[0].min, first[0].max), (Some(0.5), Some(9.0)));
    rig.send(0, &request(vec![point(&[1, 1, 1], 3.0)]));
    let out = rig.cut(T + 2);
    assert_eq!(histograms(&out.cumulative)[0].bucket_counts, [2, 6, 3]);
    assert_eq!((histograms(&out.delta)[0].count, histograms(&out.delta)[0].min), (3, Some(0.5)));
    // M21: other bounds are another stream
    rig.send(0, &request(vec![histogram("h", DELTA, vec![histogram_point(&[], T, &[1, 1], &[1.0], 3.0)])]));
    assert_eq!(histograms(&rig.cut(T + 3).cumulative)[0].bucket_counts, [1, 1]);
    let bad: [(&[u64], &[f64]); 4] =
        [(&[1, 2], &[1.0, 2.0]), (&[1, 2, 3], &[2.0, 1.0]), (&[1, 2, 3], &[1.0, f64::NAN]), (&[], &[1.0])];
    for (counts, bounds) in bad {
        let receipt =
            rig.send(0, &request(vec![histogram("h", DELTA, vec![histogram_point(&[], T, counts, bounds, 1.0)])]));
        assert_eq!(receipt.rejected, 1, "{counts:?} {bounds:?}");
    }
    let mut lies = histogram_point(&[], T, &[1, 1], &[1.0], 3.0);
    lies.count = 3;
    assert_eq!(rig.send(0, &request(vec![histogram("h", DELTA, vec![lies])])).rejected, 1);
    assert_eq!(rig.tally.rejected(Reject::BadHistogram), 5);
}

#[test]
fn m22_cumulative_histograms_leave_whole_and_as_increments_without_extremes() {
    let mut rig = Rig::new(1);
    let mut send = |start, time, counts: &[u64], sum| {
        let mut p = histogram_point(&[], time, counts, &[1.0], sum);
        p.start_time_unix_nano = start;
        rig.send(0, &request(vec![histogram("h", CUMULATIVE, vec![p])]));
        let out = rig.cut(time + 1);
        (histograms(&out.cumulative).remove(0), histograms(&out.delta).remove(0))
    };
    let (whole, step) = send(START - 5, T, &[4, 4], 10.0);
    assert_eq!((whole.count, whole.start_time_unix_nano, step.count), (8, START - 5, 0));
    let (whole, step) = send(START - 5, T + 10, &[5, 6], 14.0);
    assert_eq!((whole.count, &step.bucket_counts[..], step.sum), (11, &[1, 2][..], Some(4.0)));
    assert_eq!((whole.min, step.min, step.max), (Some(0.5), None, None));
    let (_, step) = send(START - 5, T + 20, &[1, 1], 2.0);
    assert_eq!(step.bucket_counts, [1, 1], "a fall is a reset");
}

#[test]
fn m22_points_of_a_cumulative_histogram_that_count_whole_lose_their_extremes() {
    let mut rig = Rig::new(1);
    // (start, time, count): a first point and a fall; a fall behind a cut; a new start behind a cut
    let intervals: [(&[(u64, u64, u64)], u64); 3] =
        [(&[(1, 1, 9), (1, 2, 3)], 12), (&[(1, 10, 2)], 2), (&[(11, 20, 5)], 5)];
    for (points, want) in intervals {
        for (start, time, n) in points {
            let mut h = histogram_point(&[], T + time, &[*n, 0], &[1.0], *n as f64);
            let mut e = exponential_point(&[], START + start, T + time, 0, 0, &[*n]);
            (h.start_time_unix_nano, e.min, e.max) = (START + start, Some(0.5), Some(9.0));
            rig.send(0, &request(vec![histogram("h", CUMULATIVE, vec![h]), exponential("e", CUMULATIVE, vec![e])]));
        }
        let out = rig.cut(T + points[0].1 + 5);
        let (h, e) = (histograms(&out.delta).remove(0), exponentials(&out.delta).remove(0));
        assert_eq!((h.count, h.sum, h.min, h.max), (want, Some(want as f64), None, None));
        assert_eq!((e.sum, e.min, e.max), (Some(want as f64), None, None));
        let (h, e) = (histograms(&out.cumulative).remove(0), exponentials(&out.cumulative).remove(0));
        assert_eq!((h.min, h.max, e.min, e.max), (Some(0.5), Some(9.0), Some(0.5), Some(9.0)), "whole they keep them");
    }
}

#[test]
fn m22_a_sum_of_no_values_is_there_if_every_point_had_one() {
    let check = |sums: [Option<f64>; 3], want: Option<f64>| {
        let mut rig = Rig::new(2);
        for (core, sum) in sums.into_iter().enumerate() {
            let mut h = histogram_point(&[], T, &[0, 0], &[1.0], 0.0);
            let mut e = exponential_point(&[], T, T, 0, 0, &[]);
            (h.sum, e.sum, e.count, e.zero_count) = (sum, sum, 0, 0);
            let receipt =
                rig.send(core, &request(vec![histogram("h", DELTA, vec![h]), exponential("e", DELTA, vec![e])]));
            assert_eq!(receipt.rejected, 0);
        }
        let out = rig.cut(T + 1);
        for view in [&out.cumulative, &out.delta] {
            assert_eq!((histograms(view)[0].count, histograms(view)[0].sum), (0, want), "{sums:?}");
            assert_eq!((exponentials(view)[0].count, exponentials(view)[0].sum), (0, want), "{sums:?}");
        }
        let (h, e) = (histogram_point(&[], T, &[1, 0], &[1.0], 0.5), exponential_point(&[], T, T, 0, 0, &[2]));
        rig.send(0, &request(vec![histogram("h", DELTA, vec![h]), exponential("e", DELTA, vec![e])]));
        let out = rig.cut(T + 2);
        for view in [&out.cumulative, &out.delta] {
            assert_eq!(histograms(view)[0].sum, Some(0.5), "values without a sum there were none");
            assert_eq!(exponentials(view)[0].sum, Some(2.0));
        }
    };
    check([Some(0.0); 3], Some(0.0));
    check([Some(0.0), None, Some(0.0)], None);
    check([None; 3], None);
}

#[test]
fn m23_exponential_histograms_merge_and_difference() {
    let mut rig = Rig::new(2);
    let point = |scale, offset, counts: &[u64], temporality, start, time| {
        exponential("e", temporality, vec![exponential_point(&[], start, time, scale, offset, counts)])
    };
    rig.send(0, &request(vec![point(3, 0, &[1, 2, 3], DELTA, T, T)]));
    rig.send(1, &request(vec![point(2, 0, &[4, 1], DELTA, T, T)]));
    let out = rig.cut(T + 1);
    let e = exponentials(&out.cumulative).remove(0);
    assert_eq!((e.count, e.scale), (11 + 2, 2));
    assert_eq!(e.positive.unwrap().bucket_counts, [1 + 2 + 4, 3 + 1]);
    let mut rig = Rig::new(1);
    rig.send(0, &request(vec![point(3, 0, &[1, 2], CUMULATIVE, START - 1, T)]));
    rig.cut(T + 1);
    rig.send(0, &request(vec![point(3, 0, &[1, 5], CUMULATIVE, START - 1, T + 5)]));
    let out = rig.cut(T + 10);
    assert_eq!(exponentials(&out.delta)[0].positive.as_ref().unwrap().bucket_counts, [3]);
    assert_eq!(exponentials(&out.cumulative)[0].positive.as_ref().unwrap().bucket_counts, [1, 5]);
}
