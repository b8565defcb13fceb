//! Shares of peers: what one client has taken is no reason to keep others out for good, and alone it may have all.

use crate::common::*;
use catchment::model::{Peer, Reject};
use catchment::series::peers::{Peers, Shares, WHOLE};
use catchment::series::registry::Options;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use std::net::IpAddr;

const CUMULATIVE: i32 = 2;
const DELTA: i32 = 1;
const LIMIT: usize = 200;
const ROUNDS: u64 = 40;

fn peer(address: &str) -> Peer {
    address.parse::<IpAddr>().unwrap().into()
}

/// Two peers that are told apart, as nearly all are.
fn two(rig: &Rig) -> (Peer, Peer) {
    let slot = |peer: &Peer| Peers::slot_of(rig.registry.state().hash_one(peer));
    let attacker = peer("192.0.2.66");
    let mut others = (0..100).map(|i| peer(&format!("2001:db8:0:{i}::1")));
    (attacker, others.find(|other| slot(other) != slot(&attacker)).expect("a hundred of one hash"))
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Full {
    Series,
    Groups,
    Memory,
}

fn rig(cores: usize, full: Full, shares: Shares) -> Rig {
    let mut limits = Options { series_limit: 1_000_000, group_limit: 1_000_000, memory_limit: usize::MAX };
    match full {
        Full::Series => limits.series_limit = LIMIT,
        Full::Groups => limits.group_limit = LIMIT,
        Full::Memory => limits.memory_limit = 2 << 20,
    }
    Rig::shared(cores, limits, shares, 60 * SECOND)
}

/// So many cumulative series that nobody had before `round`, or in groups of their own.
fn made(service: &str, round: u64, count: usize, full: Full, now: u64) -> ExportMetricsServiceRequest {
    let names: Vec<String> = (0..count).map(|i| format!("{round}.{i}")).collect();
    let point = |k: &str| number(&[("k", k)], START, now, int(1));
    let metrics = match full {
        Full::Groups => names.iter().map(|n| sum(n, CUMULATIVE, true, vec![point("v")])).collect(),
        _ => vec![sum("m", CUMULATIVE, true, names.iter().map(|n| point(n)).collect())],
    };
    request_of(service, metrics)
}

/// An attacker that sends new names all the time, always before the others, and a newcomer that comes when all is taken.
/// In how many of the newcomer's exports some point was rejected.
fn newcomer_beside_attacker(cores: usize, full: Full, shares: Shares, every: u64) -> (u64, u64, Rig) {
    let mut rig = rig(cores, full, shares);
    let (attacker, newcomer) = two(&rig);
    let per_round = if full == Full::Memory { 3_000 } else { LIMIT };
    let (mut exports, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        let now = START + round * 10 * SECOND;
        for core in 0..cores {
            rig.peer = attacker;
            rig.send(core, &made("attacker", round, per_round, full, now));
        }
        if round >= 2 && round % every == 0 {
            for core in 0..cores {
                rig.peer = newcomer;
                // the same ten each time
                let receipt = rig.send(core, &made("newcomer", u64::MAX, 10, full, now));
                exports += 1;
                refused += u64::from(receipt.rejected > 0);
            }
        }
        rig.cut(now + 1);
        rig.sweep(6);
    }
    (exports, refused, rig)
}

#[test]
fn places_that_free_up_go_to_a_newcomer_although_the_attacker_keeps_sending_new_names() {
    for full in [Full::Series, Full::Groups, Full::Memory] {
        for cores in [1, 2] {
            let (exports, refused, rig) = newcomer_beside_attacker(cores, full, Shares::default(), 1);
            // what the attacker made first has to expire: 60 s, two cuts, and of groups as many again
            assert!(refused <= 18 * cores as u64 && exports > 30, "{full:?} {cores}: {refused} of {exports}");
            assert!(rig.tally.rejected(Reject::PeerShare) > 0, "{full:?}");
        }
    }
}

#[test]
fn without_shares_it_would_stay_outside() {
    for full in [Full::Series, Full::Groups, Full::Memory] {
        let (exports, refused, rig) = newcomer_beside_attacker(1, full, Shares { share: WHOLE, binds: 2 }, 1);
        assert_eq!(refused, exports, "{full:?}");
        assert_eq!(rig.tally.rejected(Reject::PeerShare), 0);
    }
}

#[test]
fn who_exports_once_a_minute_gets_in_if_the_wish_is_remembered_for_so_long() {
    let (exports, refused, _) = newcomer_beside_attacker(1, Full::Series, Shares { share: WHOLE / 2, binds: 12 }, 6);
    assert!(refused <= 2, "{refused} of {exports}");
    let (exports, refused, _) = newcomer_beside_attacker(1, Full::Series, Shares { share: WHOLE / 2, binds: 2 }, 6);
    assert_eq!(refused, exports, "forgotten before the next export");
}

#[test]
fn alone_a_peer_may_have_all_and_what_frees_up_again() {
    for full in [Full::Series, Full::Groups] {
        let mut rig = rig(2, full, Shares::default());
        for round in 0..ROUNDS {
            let now = START + round * 10 * SECOND;
            for core in 0..2 {
                rig.peer = peer("192.0.2.1");
                rig.send(core, &made("only", round, LIMIT / 8, full, now));
            }
            rig.cut(now + 1);
            rig.sweep(6);
        }
        assert_eq!(rig.tally.rejected(Reject::PeerShare), 0, "{full:?}");
        assert!(rig.tally.noted(catchment::ledger::Note::SeriesExpired) > 200);
    }
    let mut rig = Rig::new(1);
    rig.peer = peer("192.0.2.1");
    for round in 0..10 {
        assert_eq!(rig.send(0, &made("only", round, 10_000, Full::Groups, START)).rejected, 0);
    }
    assert_eq!(rig.registry.group_count(), 100_000);
}

#[test]
fn deltas_of_who_is_bound_overflow() {
    let mut rig = rig(1, Full::Series, Shares::default());
    let (attacker, newcomer) = two(&rig);
    rig.peer = attacker;
    rig.send(0, &made("attacker", 0, LIMIT, Full::Series, START));
    rig.cut(START + 1);
    // three quarters of them expire, and the newcomer wants
    for round in 1..=9 {
        rig.peer = attacker;
        rig.send(0, &made("attacker", 0, LIMIT * 3 / 4, Full::Series, START + round * SECOND));
        rig.peer = newcomer;
        rig.send(0, &made("newcomer", u64::MAX, 1, Full::Series, START + round * SECOND));
        rig.cut(START + round * 10 * SECOND);
    }
    assert!(rig.registry.live() < LIMIT, "there is room");
    rig.peer = newcomer;
    let more = made("newcomer", 1, LIMIT, Full::Series, START + SECOND);
    assert!(rig.send(0, &more).rejected > 0, "until it is full, and the newcomer wants more");
    rig.cut(START + 100 * SECOND);
    rig.peer = attacker;
    let deltas = (0..20).map(|i| number(&[("k", &format!("new.{i}"))], START, START, int(3))).collect();
    let receipt = rig.send(0, &request_of("attacker", vec![sum("d", DELTA, true, deltas)]));
    assert_eq!(receipt.rejected, 0);
    let out = numbers(&rig.cut(START + 110 * SECOND).delta);
    let sums: Vec<f64> = out.iter().filter(|n| n.0 == "d").map(|n| n.4).collect();
    assert_eq!(sums, [60.0], "in one series: {out:?}");
}
