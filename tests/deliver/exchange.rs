//! Destinations that come, change and go while batches flow: nothing is lost or sent twice, and all is counted.

use crate::support::*;
use catchment::deliver::{
    Destination, DestinationStanding, Dropped, Encoded, ExchangeRefused, Exchanged, Handle, Hold, NewDestinations,
    Offer, Options, Sender, parse_out, start,
};
use std::net::TcpListener;
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::{Duration, Instant};

/// Room beside each queue.
const HELD: usize = 1 << 20;

fn named(name: &str, url: &str) -> Destination {
    let sign = if url.contains('?') { '&' } else { '?' };
    let name =
        if url.starts_with("otlp") { format!("{sign}name={name}&timeout=20s") } else { format!("{sign}name={name}") };
    parse_out(&format!("{url}{name}")).unwrap()
}

fn at(name: &str, server: &HttpServer) -> Destination {
    named(name, &format!("otlp-http://{}", server.address))
}

/// An address at which nobody listens.
fn nowhere(name: &str) -> Destination {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    named(name, &format!("otlp-http://{address}"))
}

/// A server that answers once the gate is open.
fn gated() -> (HttpServer, Arc<(Mutex<bool>, Condvar)>) {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let door = gate.clone();
    let server = HttpServer::new(move |_, _| {
        let open = door.0.lock().unwrap();
        drop(door.1.wait_timeout_while(open, PATIENCE, |open| !*open).unwrap());
        Reply::ok()
    });
    (server, gate)
}

fn open(gate: &(Mutex<bool>, Condvar)) {
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
}

fn wanted(destinations: &[Destination], from_cut: u32, end_within: Duration) -> NewDestinations {
    let destinations = destinations.to_vec();
    NewDestinations { destinations, from_cut, in_flight: 1, held_bytes_max: None, end_within }
}

/// Nothing is tried a second time within a test.
fn patient() -> Options {
    let hour = Duration::from_secs(3_600);
    Options { backoff_first: hour, backoff_max: hour, in_flight: 1, ..options() }
}

fn standing(sender: &Sender, name: &str) -> DestinationStanding {
    let found = sender.standings().into_iter().find(|one| one.name == name).unwrap();
    assert!(found.row.balances(), "{found:?}");
    found
}

fn wait(what: &str, until: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !until() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// Waits until the deliver thread has heard.
fn exchange(handle: &mut Handle, wanted: &NewDestinations) -> Exchanged {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match handle.exchange(wanted.clone()) {
            Err(ExchangeRefused::Pending | ExchangeRefused::TooManyEnding(_)) => {
                assert!(Instant::now() < deadline, "it is never taken up")
            }
            other => return other.unwrap(),
        }
        std::thread::yield_now();
    }
}

/// A request of one empty resource, whose schema is "x".
fn line() -> Arc<Encoded> {
    Arc::new(Encoded { bytes: b"\x0a\x03\x1a\x01x".as_slice().into(), points: 1, flushed: flushed() })
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

#[test]
fn a_new_address_gets_what_is_queued_at_once_and_others_are_not_touched() {
    let (good, other) = (HttpServer::new(|_, _| Reply::ok()), HttpServer::new(|_, _| Reply::ok()));
    let first = [nowhere("moves"), at("stays", &other)];
    let (sender, mut handle) = start(first.to_vec(), patient()).unwrap();
    let mut hold = Hold::new(sender.clone(), HELD);
    for n in 1..=3 {
        assert_eq!(hold.offer(0, batch(n, 100)), Offer::Queued);
        assert_eq!(hold.offer(1, batch(n, 100)), Offer::Queued);
    }
    wait("a first try", || standing(&sender, "moves").stats.tries_unconnected == 1);
    wait_row(&sender, 1, |row| row.delivered == 6);
    let next = [at("stays", &other), at("moves", &good)];
    let told = exchange(&mut handle, &wanted(&next, 1, PATIENCE));
    assert_eq!((told.changed, told.kept), (names(&["moves"]), names(&["stays"])));
    assert!(told.added.is_empty() && told.removed.is_empty());
    // its next try was an hour away
    wait("what was queued", || standing(&sender, "moves").row.delivered == 6);
    for n in 1..=3 {
        assert!(good.requests.recv_timeout(PATIENCE).unwrap().body == batch(n, 100).bytes, "in order");
    }
    assert!(hold.adopt(1), "the set is for this cut");
    assert_eq!(hold.offer(0, batch(4, 100)), Offer::Queued);
    wait_row(&sender, 0, |row| row.delivered == 10);
    assert_eq!(standing(&sender, "stays").stats.connects, 1, "the connection is the one from before");
    assert!(handle.shutdown(Instant::now() + PATIENCE).iter().all(|row| row.balances() && row.queued == 0));
    assert_eq!(other.requests.try_iter().count() + good.requests.try_iter().count(), 4, "nothing came twice");
}

#[test]
fn a_try_under_way_ends_where_it_began_when_the_address_changes() {
    let (slow, gate) = gated();
    let good = HttpServer::new(|_, _| Reply::ok());
    let (sender, mut handle) = start(vec![at("moves", &slow)], patient()).unwrap();
    let mut hold = Hold::new(sender.clone(), HELD);
    assert_eq!(hold.offer(0, batch(1, 100)), Offer::Queued);
    wait("a request under way", || standing(&sender, "moves").stats.bytes_sent > 0);
    let mut next = at("moves", &good);
    next.in_flight = Some(2);
    exchange(&mut handle, &wanted(&[next], 1, PATIENCE));
    assert_eq!(hold.offer(0, batch(2, 100)), Offer::Queued);
    wait("the new address", || standing(&sender, "moves").row.delivered == 2);
    open(&gate);
    wait("the old one", || standing(&sender, "moves").row.delivered == 3);
    assert_eq!(standing(&sender, "moves").stats.retries, 0);
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
    assert_eq!(good.requests.try_iter().count(), 1);
}

#[test]
fn one_that_is_taken_out_delivers_what_it_has_and_its_memory_is_given_back() {
    let (slow, gate) = gated();
    let (sender, mut handle) = start(vec![at("goes", &slow)], patient()).unwrap();
    let mut hold = Hold::new(sender.clone(), HELD);
    let batches: Vec<_> = (1..=4).map(|n| batch(n, 1_000)).collect();
    let weak: Vec<Weak<_>> = batches.iter().map(Arc::downgrade).collect();
    for batch in batches {
        assert_eq!(hold.offer(0, batch), Offer::Queued);
    }
    let told = exchange(&mut handle, &wanted(&[], 7, PATIENCE));
    assert_eq!(told.removed, names(&["goes"]));
    assert!(!hold.adopt(6), "batches of a cut before go where they went");
    assert_eq!(hold.offer(0, batch(5, 1_000)), Offer::Queued);
    assert!(hold.adopt(7) && hold.destinations().count() == 0);
    open(&gate);
    wait("all of it", || standing(&sender, "goes").row.delivered == 15);
    assert_eq!(slow.requests.iter().take(5).count(), 5);
    wait("its memory", || weak.iter().all(|one| one.strong_count() == 0));
    // it comes again with its counts, to another server
    let good = HttpServer::new(|_, _| Reply::ok());
    let told = exchange(&mut handle, &wanted(&[at("goes", &good)], 8, PATIENCE));
    assert_eq!(told.added, names(&["goes"]));
    assert!(hold.adopt(8));
    assert_eq!(hold.offer(0, batch(6, 1_000)), Offer::Queued);
    wait("one more", || standing(&sender, "goes").row.delivered == 21);
    assert_eq!(sender.standings().len(), 1, "a name has one row");
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

#[test]
fn one_that_is_taken_out_and_takes_nothing_is_given_up_after_its_time_and_counted() {
    let hangs = HttpServer::new(|_, _| Reply::Hang);
    let mut narrow = at("hangs", &hangs);
    narrow.queue_bytes = 4 * 1_200;
    let (sender, mut handle) = start(vec![nowhere("dead"), narrow], patient()).unwrap();
    let mut hold = Hold::new(sender.clone(), HELD);
    for n in 1..=6 {
        let _ = hold.offer(0, batch(n, 1_000));
        let _ = hold.offer(1, batch(n, 1_000));
    }
    exchange(&mut handle, &wanted(&[], 1, Duration::from_millis(30)));
    // as long as batches may come it has not ended
    assert_eq!(standing(&sender, "dead").row.queued, 21);
    assert!(hold.adopt(1));
    for name in ["dead", "hangs"] {
        wait(name, || standing(&sender, name).row.queued == 0);
        let row = standing(&sender, name).row;
        assert_eq!((row.encoded, row.delivered, row.dropped_total()), (21, 0, 21), "{row:?}");
        // what waited beside its queue was a whole interval late
        let held = row.dropped(Dropped::QueueFull);
        assert_eq!((row.dropped(Dropped::Removed) + held, held > 0), (21, name == "hangs"), "{row:?}");
    }
    assert!(handle.shutdown(Instant::now() + PATIENCE).iter().all(|row| row.balances()));
}

#[test]
fn one_that_comes_back_while_it_ends_goes_on() {
    let (slow, gate) = gated();
    let (sender, mut handle) = start(vec![at("back", &slow)], patient()).unwrap();
    let mut hold = Hold::new(sender.clone(), HELD);
    assert_eq!(hold.offer(0, batch(1, 100)), Offer::Queued);
    exchange(&mut handle, &wanted(&[], 1, PATIENCE));
    let again = wanted(&[at("back", &slow)], 2, PATIENCE);
    assert!(matches!(handle.exchange(again.clone()), Err(ExchangeRefused::Pending)), "no hold has taken it up");
    assert!(hold.adopt(1));
    assert_eq!(exchange(&mut handle, &again).added, names(&["back"]));
    assert!(hold.adopt(2));
    assert_eq!(hold.offer(0, batch(2, 100)), Offer::Queued);
    open(&gate);
    wait("both", || standing(&sender, "back").row.delivered == 3);
    assert_eq!(standing(&sender, "back").stats.connects, 1, "the lane is the one from before");
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

#[test]
fn a_file_takes_over_from_a_server_and_a_server_from_a_file() {
    let folder = std::env::temp_dir().join(format!("catchment-{}-exchange", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name);
    let file = |name: &str| named("x", &format!("file:{}", path(name).display()));
    let lines = |name: &str| std::fs::read_to_string(path(name)).map_or(0, |text| text.lines().count());
    let good = HttpServer::new(|_, _| Reply::ok());
    let (sender, mut handle) = start(vec![nowhere("x")], patient()).unwrap();
    let mut hold = Hold::new(sender.clone(), HELD);
    // the first is under way to a server that is not there, and ends with the time that it has
    (0..3).for_each(|_| assert_eq!(hold.offer(0, line()), Offer::Queued));
    wait("a first try", || standing(&sender, "x").stats.tries_unconnected == 1);
    exchange(&mut handle, &wanted(&[file("a")], 1, Duration::from_millis(20)));
    wait("the file", || standing(&sender, "x").row.delivered == 2 && standing(&sender, "x").row.queued == 0);
    assert_eq!((lines("a"), standing(&sender, "x").row.dropped(Dropped::Removed)), (2, 1));
    assert!(hold.adopt(1));
    exchange(&mut handle, &wanted(&[file("b")], 2, PATIENCE));
    assert!(hold.adopt(2));
    assert_eq!(hold.offer(0, line()), Offer::Queued);
    wait("the other file", || lines("b") == 1);
    exchange(&mut handle, &wanted(&[at("x", &good)], 3, PATIENCE));
    assert!(hold.adopt(3));
    assert_eq!(hold.offer(0, line()), Offer::Queued);
    assert_eq!(good.requests.recv_timeout(PATIENCE).unwrap().body, line().bytes);
    wait("all", || standing(&sender, "x").row.delivered == 4);
    assert_eq!((lines("a"), lines("b")), (2, 1));
    exchange(&mut handle, &wanted(&[file("a")], 4, PATIENCE));
    assert!(hold.adopt(4));
    exchange(&mut handle, &wanted(&[], 5, PATIENCE));
    assert_eq!(hold.offer(0, line()), Offer::Queued);
    assert!(hold.adopt(5));
    wait("the last", || lines("a") == 3);
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

#[test]
fn what_cannot_be_is_refused_and_names_that_are_long_gone_are_added_up() {
    let (sender, mut handle) = start(vec![nowhere("first")], patient()).unwrap();
    let many: Vec<Destination> = (0..17).map(|n| nowhere(&format!("d{n}"))).collect();
    wait("the start", || handle.is_taken_up());
    let why = handle.exchange(wanted(&many, 1, PATIENCE));
    assert!(why.unwrap_err().to_string().contains("at most 16"));
    assert_eq!(sender.standings().len(), 1, "all stays");
    let mut hold = Hold::new(sender.clone(), HELD);
    for round in 0..100 {
        let one = named(&format!("n{round}"), "file:/dev/null");
        exchange(&mut handle, &wanted(&[one], round + 1, PATIENCE));
        assert!(hold.adopt(round + 1));
        assert_eq!(hold.offer(0, line()), Offer::Queued);
        let all = sender.standings();
        assert!(all.iter().all(|one| one.row.balances()));
        assert_eq!(all.iter().map(|one| one.row.encoded).sum::<u64>(), u64::from(round + 1), "none is missed");
        // one that is open, those that end, those that are gone, and the sum of others
        assert!(all.len() <= 1 + 16 + 32 + 1, "{}", all.len());
    }
    assert!(sender.standings().iter().any(|one| one.name == "(gone)"));
    assert!(handle.shutdown(Instant::now() + PATIENCE).iter().all(|row| row.balances()));
}
