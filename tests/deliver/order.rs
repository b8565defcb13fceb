//! In which order requests come: those of one cut at once, those of the next when all of these have an outcome, whatever goes
//! wrong, unless `?order=none` lifts it.
//!
//! No test sleeps: each waits, at most `PATIENCE`, for something it can observe.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use crate::support::*;
use catchment::deliver::{
    Compression, DeliveryOrder, Dropped, Encoded, Hold, NewDestinations, Offer, Sender, parse_out, start,
};
use catchment::model::Flushed;

/// A batch of one point, whose bytes say which it is.
fn of_cut(cut: u32, number: u32) -> Arc<Encoded> {
    let bytes = [cut.to_le_bytes(), number.to_le_bytes()].concat();
    Arc::new(Encoded { bytes: bytes.into(), points: 1, flushed: Flushed { cut, number, ..flushed() } })
}

fn cut_of(body: &[u8]) -> u32 {
    u32::from_le_bytes(body[..4].try_into().unwrap())
}

fn offer(sender: &Sender, batches: impl Iterator<Item = Arc<Encoded>>) {
    batches.for_each(|batch| assert_eq!(sender.offer(0, batch), Offer::Queued));
}

/// A server that answers 500, 503, nothing at all or 200, at random: what comes is never of a cut before one that has come,
/// and no request comes while one of a cut before it has no outcome. One of a kind may be lost, as 500 says so; none else.
#[test]
fn e10_no_request_comes_before_those_of_the_cut_before_have_an_outcome() {
    const CUTS: u32 = 30;
    const EACH: u32 = 6;
    for seed in 0..3_usize {
        // by body: how often it came, and whether that was the end of it
        let seen = Arc::new(Mutex::new(BTreeMap::<Vec<u8>, bool>::new()));
        let book = seen.clone();
        let server = HttpServer::new(move |n, request| {
            let chance = (n.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(0x9E37_79B9)) >> 7;
            let reply = match chance % 8 {
                0 => Reply::new(500, "", vec![]),
                1 | 2 => Reply::new(503, "", vec![]),
                3 => Reply::Reset,
                _ => Reply::ok(),
            };
            let is_final = matches!(reply, Reply::Answer(200 | 500, ..));
            let mut seen = book.lock().unwrap();
            let cut = cut_of(&request.body);
            let is_early = seen.iter().any(|(body, ended)| cut_of(body) < cut && !ended);
            let is_late = seen.keys().any(|body| cut_of(body) > cut);
            assert!(!is_early && !is_late, "a request of cut {cut} among {seen:?}");
            seen.insert(request.body.clone(), is_final);
            reply
        });
        let mut destination = server.destination();
        (destination.in_flight, destination.compression) = (Some(4), Compression::None);
        let mut options = options();
        options.backoff_max = Duration::from_millis(8);
        let (sender, handle) = start(vec![destination], options).unwrap();
        let all = (1..=CUTS).flat_map(|cut| (0..EACH).map(move |number| of_cut(cut, number)));
        offer(&sender, all);
        wait_row(&sender, 0, |row| row.queued == 0);
        let row = sender.ledger(0);
        let count = u64::from(CUTS * EACH);
        assert!(row.delivered + row.dropped(Dropped::Refused) == count && row.dropped(Dropped::Refused) > 0, "{row:?}");
        let seen = seen.lock().unwrap();
        assert!(seen.len() as u64 == count && seen.values().all(|ended| *ended), "every request came to an end");
        assert!(sender.stats(0).retries > 20, "{:?}", sender.stats(0));
        assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
    }
}

/// E10: the requests of one cut go at once, as many as `?in-flight=` says.
#[test]
fn e10_requests_of_one_cut_go_at_once() {
    let barrier = Arc::new(Barrier::new(3));
    let server = HttpServer::new(move |_, _| {
        // nobody is answered before all are there
        barrier.wait();
        Reply::ok()
    });
    let out = parse_out(&format!("otlp-http://{}?in-flight=3&order=cut", server.address)).unwrap();
    let (sender, handle) = start(vec![out], options()).unwrap();
    offer(&sender, (1..=4).flat_map(|cut| (0..3).map(move |number| of_cut(cut, number))));
    wait_row(&sender, 0, |row| row.delivered == 12);
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// A request that hangs holds the next cut back, and with `?order=none` it does not. The end keeps its time all the same, and
/// what is left still counts as queued.
#[test]
fn a_request_that_hangs_holds_the_next_cut_back_unless_order_is_none() {
    for order in ["cut", "none"] {
        let server = HttpServer::new(|n, _| if n == 0 { Reply::Hang } else { Reply::ok() });
        let address = server.address;
        let out = parse_out(&format!("otlp-http://{address}?in-flight=4&timeout=20s&order={order}")).unwrap();
        assert_eq!(out.order, if order == "none" { DeliveryOrder::None } else { DeliveryOrder::ByCut });
        let (sender, handle) = start(vec![out], options()).unwrap();
        offer(&sender, [of_cut(1, 0)].into_iter());
        server.requests.recv_timeout(PATIENCE).unwrap();
        // of the same cut: nothing to wait for
        offer(&sender, [of_cut(1, 1)].into_iter());
        wait_row(&sender, 0, |row| row.delivered == 1);
        offer(&sender, (2..5).map(|cut| of_cut(cut, 0)));
        if order == "none" {
            wait_row(&sender, 0, |row| row.delivered == 4);
        }
        let begun = Instant::now();
        let row = handle.shutdown(begun + Duration::from_millis(200))[0];
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        let left = if order == "none" { 1 } else { 4 };
        assert!(row.balances() && (row.queued, row.delivered) == (left, 5 - left), "{row:?}");
    }
}

/// A shard that is late puts requests of a cut into the queue behind those of the next that another shard wrote: they hold
/// nobody's series, and go.
#[test]
fn requests_of_a_late_shard_go_and_are_waited_for() {
    let (free, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let (gate, book) = (free.clone(), seen.clone());
    let server = HttpServer::new(move |_, request| {
        book.lock().unwrap().push(cut_of(&request.body));
        let begun = Instant::now();
        while cut_of(&request.body) == 2 && !gate.load(Ordering::SeqCst) && begun.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        Reply::ok()
    });
    let out = parse_out(&format!("otlp-http://{}?in-flight=4&timeout=20s", server.address)).unwrap();
    let (sender, handle) = start(vec![out], options()).unwrap();
    offer(&sender, [2, 1, 2, 3].into_iter().map(|cut| of_cut(cut, cut)));
    wait_row(&sender, 0, |row| row.delivered == 1);
    // the second of cut 2 waited for that of cut 1, and the one of cut 3 waits for both
    free.store(true, Ordering::SeqCst);
    wait_row(&sender, 0, |row| row.delivered == 4);
    let seen = seen.lock().unwrap();
    assert!(*seen == [2, 1, 2, 3] || *seen == [1, 2, 2, 3], "{seen:?}");
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// The request that waits for its turn is lost by no exchange: a lane that is taken out drops it with its reason, and one
/// whose queue goes to a file delivers it itself.
#[test]
fn what_waits_for_its_turn_is_counted_when_its_destination_goes_or_becomes_a_file() {
    let path = std::env::temp_dir().join(format!("catchment-order-{}", std::process::id()));
    for becomes_a_file in [false, true] {
        let _ = std::fs::remove_file(&path);
        let answered = Arc::new(AtomicUsize::new(0));
        let count = answered.clone();
        let server = HttpServer::new(move |n, _| match n < 3 || !becomes_a_file {
            true => Reply::new(503, "", vec![]),
            false => {
                count.fetch_add(1, Ordering::SeqCst);
                Reply::ok()
            }
        });
        let mut destination = server.destination();
        (destination.name, destination.in_flight) = ("moves".into(), Some(2));
        let (sender, mut handle) = start(vec![destination], options()).unwrap();
        let mut hold = Hold::new(sender.clone(), 0);
        // one is under way, one waits for it outside of the queue, and the others in it
        for cut in 1..=4 {
            // a request of one empty resource, whose schema is "x": a file takes no other
            let request = Encoded { bytes: b"\x0a\x03\x1a\x01x".as_slice().into(), ..encoded(cut) };
            assert_eq!(hold.offer(0, Arc::new(request)), Offer::Queued);
        }
        wait_stats(&sender, 0, |stats| stats.retries >= 1);
        let mut next = Vec::new();
        if becomes_a_file {
            next.push(parse_out(&format!("file:{}?name=moves", path.display())).unwrap());
        }
        let wanted = NewDestinations {
            destinations: next,
            from_cut: 5,
            in_flight: 2,
            held_bytes_max: None,
            end_within: if becomes_a_file { PATIENCE } else { Duration::from_millis(50) },
        };
        handle.exchange(wanted).unwrap();
        assert!(hold.adopt(5));
        wait_row(&sender, 0, |row| row.queued == 0);
        let row = sender.ledger(0);
        let lines = std::fs::read_to_string(&path).unwrap_or_default().lines().count();
        let by_lane = answered.load(Ordering::SeqCst);
        match becomes_a_file {
            true => assert!(row.delivered == 4 && by_lane + lines == 4 && by_lane >= 1, "{row:?} {by_lane} {lines}"),
            false => assert_eq!((row.delivered, row.dropped(Dropped::Removed)), (0, 4), "{row:?}"),
        }
        assert!(handle.shutdown(Instant::now() + PATIENCE).iter().all(|row| row.balances()));
    }
    let _ = std::fs::remove_file(&path);
}

fn encoded(cut: u32) -> Encoded {
    let batch = of_cut(cut, 0);
    Encoded { bytes: batch.bytes.clone(), points: batch.points, flushed: batch.flushed }
}

/// What is no order is refused with words, and a file has none.
#[test]
fn orders_are_parsed() {
    for (url, words) in [
        ("otlp-http://h:1?order=series", "cut or none"),
        ("file:/tmp/x?order=none", "otlp-… destinations"),
        ("stdout?order=cut", "otlp-… destinations"),
        ("otlp-http://h:1?ordr=none", "did you mean `order`?"),
    ] {
        let said = parse_out(url).expect_err(url).to_string();
        assert!(said.contains(words), "{said}");
    }
    let orders: HashSet<_> = ["", "?order=cut"].map(|option| format!("otlp-grpc://h:1{option}")).into();
    assert!(orders.iter().all(|url| parse_out(url).unwrap().order == DeliveryOrder::ByCut));
}
