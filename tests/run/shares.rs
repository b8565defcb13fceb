//! Shares of a peer, against the binary (`--peer-share`): one client holds all series and goes on sending new ones, or all of
//! the budget for bodies with calls in progress; another gets in.

use crate::binary::process::{Catchment, EXPORT, Http, samples, total, until, wall_ns};
use crate::common::{gauge, int, number, request_of};
use catchment::limits::BODY_GRACE;
use prost::Message;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

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

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let head = [&(payload.len() as u32).to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// A connection with so many calls over HTTP/2 that have brought so many bytes and wait for more.
fn calls(catchment: &Catchment, count: u32, bytes: usize) -> TcpStream {
    let mut block = vec![0x83, 0x86, 0x04, EXPORT.len() as u8];
    block.extend_from_slice(EXPORT.as_bytes());
    // :authority, content-type
    block.extend_from_slice(b"\x01\x01x\x0f\x10\x10application/grpc");
    let mut stream = TcpStream::connect(catchment.ports.otlp_grpc.expect("a door")).expect("a listener");
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").expect("it reads");
    // the window of a call is the usual one; that of the connection is there once it is told
    let mut head = [0; 9];
    loop {
        stream.read_exact(&mut head).expect("a frame");
        let mut rest = vec![0; usize::from(head[2])];
        stream.read_exact(&mut rest).expect("a short one");
        if head[3] == 8 {
            break;
        }
    }
    let mut all = Vec::new();
    for stream in (1..).step_by(2).take(count as usize) {
        all.extend_from_slice(&frame(1, 4, stream, &block));
        // of a message of 1 MB
        let body = [&[0, 0, 0x0f, 0x42, 0x40][..], &vec![0; bytes]].concat();
        body.chunks(10_000).for_each(|piece| all.extend_from_slice(&frame(0, 0, stream, piece)));
    }
    stream.write_all(&all).expect("it reads");
    stream
}

/// There is no limit of calls in progress for each peer, as they are within the budget for bodies, which has one: whoever
/// holds it with calls, large or of no bytes at all, gives way to another as soon as that one is refused.
///
/// Calls that bring nothing for `BODY_GRACE` are ended for that: a machine that is not through by then has shown nothing of
/// shares, and it is tried again.
#[test]
fn calls_of_one_client_keep_no_other_out() {
    const TRIES: usize = 5;
    for (bytes, shards) in [(5, "1"), (50_000, "1"), (5, "2"), (50_000, "2")] {
        let is_judged = (0..TRIES).any(|_| another_gets_in_beside_calls(bytes, shards));
        assert!(is_judged, "not through within {BODY_GRACE:?}, {TRIES} times");
    }
}

/// Calls of so many bytes each take all of the budget, and another client gets in. `false`: the first calls have become so old
/// that they may have been ended for it.
fn another_gets_in_beside_calls(bytes: usize, shards: &str) -> bool {
    // small, so that few calls take all
    let arguments = ["--shards", shards, "--interval", "200ms", "--memory-limit", "48MiB", "--max-body", "2MiB"];
    let catchment = Catchment::start(&arguments);
    let mut admin = catchment.admin();
    let begun = Instant::now();
    // nothing once the first calls are too old
    let mut page = || {
        let page = samples(admin.get("/metrics").text());
        let refused = page.iter().filter(|(name, _)| name.contains("overloaded")).map(|(_, n)| n).sum::<f64>();
        let budget = ["catchment_body_budget_bytes", "catchment_body_budget_limit_bytes"].map(|n| total(&page, n));
        (begun.elapsed() < BODY_GRACE).then_some((budget[0], budget[1], refused))
    };
    let mut held = Vec::new();
    let mut is_taken = false;
    for _ in 0..120 {
        held.push(calls(&catchment, 250, bytes));
        let all = held.len() as f64 * 250.0;
        // each is there, or was refused
        let seen = until("its calls", || match page() {
            None => Some(None),
            Some(seen) => (seen.0 >= (all - seen.2) * (1_024.0 + bytes as f64)).then_some(Some(seen)),
        });
        let Some((taken, limit, refused)) = seen else { return false };
        if refused > 0.0 {
            assert!(taken > limit * 0.95, "alone it may have all: {taken} of {limit}");
            is_taken = true;
            break;
        }
    }
    assert!(is_taken, "all of it is taken");
    let door = catchment.ports.otlp_http.expect("a door");
    let is_in = (1..50).any(|_| {
        let mut other = Http::connect_as("127.0.0.2", door).expect("a place");
        // some 400 kB of points
        let points = (0..10_000).map(|i| number(&[("k", &i.to_string())], 0, wall_ns(), int(1))).collect();
        other.export(&request_of("other", vec![gauge("g", points)]).encode_to_vec()).is_ok_and(|r| r.status == 200)
    });
    let seen = until("the first one has its share", || match page() {
        None => Some(None),
        Some(seen) => (!is_in || seen.0 <= seen.1 * 0.51).then_some(Some(seen)),
    });
    let Some((taken, limit, _)) = seen else { return false };
    assert!(is_in, "the other one gets in");
    assert!(taken > limit * 0.3, "no more of its calls are ended than that: {taken} of {limit}");
    drop(held);
    until("all is given back", || {
        let page = samples(admin.get("/metrics").text());
        (total(&page, "catchment_body_budget_bytes") == 0.0).then_some(())
    });
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.ledger().ends_with("; balanced"), "{ended:?}");
    true
}
