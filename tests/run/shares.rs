//! One client holds all series and goes on sending new ones; another gets in as they expire (`--peer-share`).

use crate::binary::process::{Catchment, Http, samples, total, until, wall_ns};
use crate::common::{gauge, int, number, request_of};
use prost::Message;

const LIMIT: usize = 100;

/// Whether all these gauges were taken.
fn send(http: &mut Http, service: &str, names: impl Iterator<Item = String>) -> bool {
    let now = wall_ns();
    let points = names.map(|name| number(&[("k", &name)], 0, now, int(1))).collect();
    let reply = http.export(&request_of(service, vec![gauge("g", points)]).encode_to_vec()).expect("an answer");
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.body.is_empty()
}

#[test]
fn a_newcomer_gets_what_frees_up_although_another_asks_for_all_of_it_all_the_time() {
    let catchment =
        Catchment::start(&["--shards", "2", "--interval", "100ms", "--expire", "500ms", "--series-limit", "100"]);
    let door = catchment.ports.otlp_http.unwrap();
    let mut attacker = catchment.http();
    // two, as one of a thousand shares its slot with the attacker
    let mut newcomers = ["127.0.0.2", "127.0.0.3"].map(|peer| Http::connect_as(peer, door).unwrap());
    assert!(send(&mut attacker, "attacker", (0..LIMIT).map(|i| i.to_string())), "alone it may have all");
    let mut next = LIMIT;
    until("a newcomer with all its series", || {
        send(&mut attacker, "attacker", (next..next + LIMIT).map(|i| i.to_string()));
        next += LIMIT;
        let mine = |n: usize| (0..20).map(move |i| format!("{n}.{i}"));
        let whole = [0, 1].map(|n| send(&mut newcomers[n], "newcomer", mine(n)));
        whole.contains(&true).then_some(())
    });
    // what the attacker asks for while it has most and others want is refused with a reason of its own
    let mut admin = catchment.admin();
    let page = samples(admin.get("/metrics").text());
    let refused = page.iter().filter(|(name, _)| name.contains("reason=\"peer_share\"")).map(|(_, n)| n).sum::<f64>();
    assert!(refused > 0.0, "{page:?}");
    assert!(total(&page, "catchment_series_live") <= LIMIT as f64 + 1.0);
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.ledger().ends_with("; balanced"), "{ended:?}");
    assert!(ended.stderr.contains("peer_share") && ended.stderr.contains("--peer-share"), "{ended:?}");
}
