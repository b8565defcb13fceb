//! What becomes of encoded requests while a queue is full: E11, DESIGN 5 and 8.

use crate::support::*;
use catchment::deliver::{Dropped, Hold, ITEM_OVERHEAD_BYTES, Offer, start};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

/// Accounted bytes of `n` batches of 1000 bytes.
const fn room(n: usize) -> usize {
    n * (1000 + ITEM_OVERHEAD_BYTES)
}

/// E11: a queue that is full for a while loses nothing, keeps the order, and holds nobody else up.
#[test]
fn what_a_full_queue_has_no_room_for_waits_and_comes_in_order() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let door = gate.clone();
    let slow = HttpServer::new(move |_, _| {
        let open = door.0.lock().unwrap();
        drop(door.1.wait_timeout_while(open, PATIENCE, |open| !*open).unwrap());
        Reply::ok()
    });
    let healthy = HttpServer::new(|_, _| Reply::ok());
    let mut narrow = slow.destination();
    narrow.queue_bytes = room(4);
    let mut options = options();
    options.in_flight = 1;
    let (sender, handle) = start(vec![narrow, healthy.destination()], options).unwrap();
    let mut hold = Hold::new(sender.clone(), room(20));
    let all: Vec<_> = (0..20).map(|n| batch(n, 1000)).collect();
    for (n, batch) in all.iter().enumerate() {
        let wanted = if n < 4 { Offer::Queued } else { Offer::Held };
        assert_eq!(hold.offer(0, batch.clone()), wanted, "{n}");
        assert_eq!(hold.offer(1, batch.clone()), Offer::Queued);
    }
    let points: u64 = (0..20).sum();
    wait_row(&sender, 1, |row| row.delivered == points);
    let row = sender.ledger(0);
    assert_eq!((row.encoded, row.queued, row.dropped_total()), (points, points, 0), "what waits is queued");
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    let deadline = Instant::now() + PATIENCE;
    while !hold.is_empty() {
        assert!(Instant::now() < deadline && sender.ledger(0).balances());
        hold.advance_all();
        std::thread::yield_now();
    }
    wait_row(&sender, 0, |row| row.delivered == points);
    for batch in &all {
        assert!(slow.requests.recv_timeout(PATIENCE).unwrap().body == batch.bytes, "in order");
    }
    assert!(handle.shutdown(Instant::now() + PATIENCE).iter().all(|row| row.balances() && row.queued == 0));
}

/// DESIGN 8: what waits is bounded; beyond it, and when it is given up at the next merge, it is `queue_full`. The row
/// balances at every moment.
#[test]
fn what_still_waits_at_the_next_merge_is_dropped_as_queue_full() {
    let hanging = HttpServer::new(|_, _| Reply::Hang);
    let mut destination = hanging.destination();
    destination.queue_bytes = room(4);
    let (sender, handle) = start(vec![destination], options()).unwrap();
    let mut hold = Hold::new(sender.clone(), room(10));
    let (done, watcher) = (Arc::new(AtomicBool::new(false)), sender.clone());
    let stop = done.clone();
    let watch = std::thread::spawn(move || {
        while !stop.load(SeqCst) {
            assert!(watcher.ledger(0).balances());
        }
    });
    let offers: Vec<Offer> = (0..20).map(|_| hold.offer(0, batch(3, 1000))).collect();
    assert!(offers[..4].iter().all(|offer| *offer == Offer::Queued));
    assert!(offers[4..14].iter().all(|offer| *offer == Offer::Held));
    assert!(offers[14..].iter().all(|offer| *offer == Offer::Full));
    let row = sender.ledger(0);
    assert_eq!((row.encoded, row.queued, row.dropped(Dropped::QueueFull)), (60, 42, 18));
    assert_eq!(sender.queue_bytes(0), room(4), "the queue's own bound holds");
    hold.give_up();
    assert!(hold.is_empty());
    let row = sender.ledger(0);
    assert_eq!((row.encoded, row.queued, row.dropped(Dropped::QueueFull)), (60, 12, 48));
    assert_eq!(hold.offer(0, batch(3, 1000)), Offer::Held, "there is room in line again");
    hold.give_up();
    assert_eq!(Hold::new(sender.clone(), 0).offer(0, batch(1, 1000)), Offer::Full, "without room in line");
    done.store(true, SeqCst);
    watch.join().unwrap();
    assert_eq!(handle.shutdown(Instant::now())[0].queued, 12);
}
