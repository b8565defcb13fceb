//! Every batch says which one it is: numbered without gaps within its cut, shard and view, with the time of its cut.

use crate::common::*;
use catchment::limits::BATCH_POINTS_MAX;
use catchment::model::{EpochNumber, Flushed, PlanNumber, Temporality, Tenant, View};

/// Counters that fill three batches and a bit on two shards together, and gauges, which have no delta.
fn requests(time: u64) -> [opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest; 2] {
    let texts: Vec<String> = (0..BATCH_POINTS_MAX * 7 / 2).map(|n| n.to_string()).collect();
    let points = || texts.iter().map(|n| number(&[("n", n)], time - 1, time, int(1))).collect();
    [request(vec![sum("counter", 1, true, points())]), request(vec![gauge("gauge", points())])]
}

#[test]
fn batches_of_a_cut_are_numbered_without_gaps_and_have_its_boundary() {
    let mut rig = Rig::new(2);
    for cut in 1..4u32 {
        let boundary = START + u64::from(cut) * 10 * SECOND;
        // nothing comes in the second
        if cut != 2 {
            requests(boundary - SECOND).iter().enumerate().for_each(|(core, request)| {
                assert_eq!(rig.send(core, request).rejected, 0);
            });
        }
        let out = rig.cut(boundary);
        assert_eq!(out.flushed.is_empty(), cut == 2);
        for shard in 0..2 {
            for view in [Temporality::Cumulative, Temporality::Delta].map(View::of_all) {
                let of_view = |flushed: &&Flushed| flushed.shard == shard && flushed.view == view;
                let found: Vec<&Flushed> = out.flushed.iter().filter(of_view).collect();
                assert_eq!(found.len() > 1, cut != 2, "the cut takes more than one batch a shard");
                for (number, found) in found.into_iter().enumerate() {
                    let want = Flushed {
                        plan: PlanNumber::FIRST,
                        epoch: EpochNumber::FIRST,
                        cut,
                        shard,
                        number: number as u32,
                        tenant: Tenant::DEFAULT,
                        view,
                        boundary_ns: boundary,
                    };
                    assert_eq!(*found, want);
                }
            }
        }
    }
}
