//! The ledger page is an oracle only if it can say no: corrupt counters are seen, in the JSON and in the last line.

use catchment::deliver::DestinationRow;
use catchment::ledger::{Effect, Tally};
use catchment::model::{Discard, Door, Kind, Reject};
use catchment::telemetry::ledger::LedgerPage;

fn tally() -> Tally {
    let mut tally = Tally::default();
    tally.receive(Door::OtlpGrpc.into(), Kind::Sum, 12);
    tally.apply(Door::OtlpGrpc.into(), Kind::Sum, 7);
    tally.reject(Door::OtlpGrpc.into(), Kind::Sum, Reject::NoTime, 3);
    tally.discard(Door::OtlpGrpc.into(), Kind::Sum, Discard::Rule, 2);
    tally.emit(5);
    tally.settle(Effect::WithEffect, 4);
    tally.settle(Effect::Overlapping, 1);
    tally
}

fn balanced(tally: &Tally, destinations: &[(String, DestinationRow)]) -> bool {
    let ledger = LedgerPage { tally, destinations, breakers: &[], drops: &[], rules: &[], verified_open: None };
    let json: serde_json::Value = serde_json::from_str(&ledger.json()).unwrap();
    let says = json["balanced"].as_bool().unwrap();
    assert_eq!(ledger.balanced(), says);
    assert_eq!(ledger.line().ends_with("; balanced"), says, "{}", ledger.line());
    assert_eq!(ledger.line().contains("NOT BALANCED"), !says, "{}", ledger.line());
    says
}

#[test]
fn corrupt_counters_are_seen_wherever_they_are() {
    let row = DestinationRow { encoded: 9, delivered: 4, queued: 5, ..DestinationRow::default() };
    let good = [("otlp-grpc://a:1".to_string(), row)];
    assert!(balanced(&tally(), &good));

    let mut corrupt = tally();
    corrupt.corrupt();
    assert!(!balanced(&corrupt, &good), "an input counter");
    // one shard of several
    assert!(!balanced(&Tally::sum([tally(), corrupt, tally()]), &good), "one row of three");

    type Spoil = fn(&mut Tally);
    let spoils: [(&str, Spoil); 7] = [
        ("received twice", |t| t.receive(Door::OtlpHttp.into(), Kind::Gauge, 1)),
        ("applied, not received", |t| t.apply(Door::OtlpHttp.into(), Kind::Gauge, 1)),
        ("rejected, not received", |t| t.reject(Door::OtlpHttp.into(), Kind::Gauge, Reject::NoValue, 1)),
        ("discarded, not received", |t| t.discard(Door::OtlpHttp.into(), Kind::Gauge, Discard::Dedup, 1)),
        ("counted in the wrong half", |t| {
            t.receive(Door::OtlpGrpc.into(), Kind::Sum, 1);
            t.emit(1);
            t.settle(Effect::WithEffect, 1);
        }),
        ("an effect without a point", |t| t.settle(Effect::Superseded, 1)),
        ("a point without an effect", |t| {
            t.receive(Door::OtlpGrpc.into(), Kind::Sum, 1);
            t.apply(Door::OtlpGrpc.into(), Kind::Sum, 1);
            t.emit(1);
        }),
    ];
    for (what, spoil) in spoils {
        let mut tally = tally();
        spoil(&mut tally);
        assert!(!balanced(&tally, &good), "{what}");
    }

    let spoils: [fn(&mut DestinationRow); 4] =
        [|r| r.encoded += 1, |r| r.delivered -= 1, |r| r.queued += 1, |r| r.on_disk += 1];
    for spoil in spoils {
        let mut bad = row;
        spoil(&mut bad);
        let both = [good[0].clone(), ("stdout".to_string(), bad)];
        assert!(!balanced(&tally(), &both), "an output counter of the second destination");
    }
}
