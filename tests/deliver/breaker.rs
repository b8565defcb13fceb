//! What is done with a destination that fails all the time, or half of it: a breaker, and what is told of it.
//!
//! No test sleeps: each waits, at most `PATIENCE`, for something it can observe.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::*;
use catchment::deliver::{BreakerState, Dropped, parse_out, start};
use catchment::limits::BREAKER_FAILURES;

/// THREATS, backends that answer 503: after some failures nothing goes there but the oldest batch, again and again; another
/// destination gets everything meanwhile; when it is answered all goes, each batch once, and nothing was lost.
#[test]
fn while_a_breaker_is_open_the_oldest_batch_alone_is_tried() {
    const IN_FLIGHT: usize = 4;
    const BATCHES: u64 = 10;
    let works = Arc::new(AtomicBool::new(false));
    let seen = works.clone();
    let server = HttpServer::new(move |_, _| match seen.load(Ordering::SeqCst) {
        true => Reply::ok(),
        false => Reply::new(503, "", vec![]),
    });
    let well = HttpServer::new(|_, _| Reply::ok());
    let mut options = options();
    options.backoff_max = Duration::from_millis(8);
    let out = parse_out(&format!("otlp-http://{}?timeout=20s&in-flight={IN_FLIGHT}", server.address)).unwrap();
    let (sender, handle) = start(vec![out, well.destination()], options).unwrap();
    wait_stats(&sender, 0, |_| sender.breaker(0).is_some_and(|row| row.state == BreakerState::Closed));
    for n in 1..=BATCHES {
        let _ = sender.offer(0, batch(n, 1_000));
        let _ = sender.offer(1, batch(n, 1_000));
    }
    let points = (1..=BATCHES).sum::<u64>();
    wait_row(&sender, 1, |row| row.delivered == points);
    wait_stats(&sender, 0, |stats| stats.breaker_half_opened >= 30);
    assert_ne!(sender.breaker(0).unwrap().state, BreakerState::Closed);
    assert_eq!(sender.ledger(0).queued, points, "it waits");
    works.store(true, Ordering::SeqCst);
    wait_row(&sender, 0, |row| row.delivered == points);
    wait_stats(&sender, 0, |stats| stats.breaker_closed == 1);
    assert_eq!(sender.breaker(0).unwrap().state, BreakerState::Closed);
    let stats = sender.stats(0);
    assert_eq!(stats.breaker_opened, stats.breaker_half_opened, "the first time, and after each probe but the last");
    assert_eq!((stats.resent_ambiguous, stats.requests_ok), (0, BATCHES));
    let number = |body: &[u8]| (1..=BATCHES).find(|n| body == &batch(*n, 1_000).bytes[..]).expect("a batch as it was");
    let numbers: Vec<u64> = server.requests.try_iter().map(|request| number(&request.body)).collect();
    // what failed before it opened, and what was under way then
    let before = BREAKER_FAILURES.max(IN_FLIGHT + 1) + IN_FLIGHT - 1;
    let probes = numbers[before..].iter().take_while(|n| **n == 1).count();
    assert!(probes >= 20, "{numbers:?}");
    let mut others: Vec<u64> = numbers[before + probes..].to_vec();
    others.sort_unstable();
    assert_eq!(others, (2..=BATCHES).collect::<Vec<_>>(), "each once, when the probe was answered: {numbers:?}");
    assert!((1..before).len() < 10 && numbers[..before].iter().all(|n| *n <= IN_FLIGHT as u64), "{numbers:?}");
    assert_eq!(sender.breaker(1).unwrap().state, BreakerState::Closed);
    assert_eq!(sender.stats(1).breaker_opened, 0, "one destination's trouble is nobody else's");
    assert!(handle.shutdown(Instant::now() + PATIENCE).iter().all(|row| row.balances()));
}

/// A destination that fails every second time gets everything all the same, and its breaker opens.
#[test]
fn half_of_all_tries_open_a_breaker_and_lose_nothing() {
    let server = HttpServer::new(|n, _| if n % 2 == 0 { Reply::Reset } else { Reply::ok() });
    let mut destination = server.destination();
    destination.in_flight = Some(1);
    let (sender, handle) = start(vec![destination], options()).unwrap();
    for _ in 0..60 {
        let _ = sender.offer(0, batch(3, 500));
    }
    wait_row(&sender, 0, |row| row.delivered == 180);
    let stats = sender.stats(0);
    assert!(stats.breaker_opened >= 1 && stats.breaker_closed >= 1, "{stats:?}");
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E4: the probe, too, waits for as long as it was told.
#[test]
fn e4_a_probe_waits_as_long_as_it_was_told() {
    let failures = BREAKER_FAILURES;
    let server = HttpServer::new(move |n, _| match n {
        n if n < failures => Reply::new(503, "", vec![]),
        n if n == failures => Reply::new(503, "retry-after: 1\r\n", vec![]),
        _ => Reply::ok(),
    });
    let mut destination = server.destination();
    destination.in_flight = Some(1);
    let (sender, handle) = start(vec![destination], options()).unwrap();
    let _ = sender.offer(0, batch(3, 500));
    wait_stats(&sender, 0, |stats| stats.throttled == 1);
    let told = Instant::now();
    assert_eq!(sender.stats(0).breaker_opened, 2);
    wait_row(&sender, 0, |row| row.delivered == 3);
    // clamped to ten times the longest back-off, which is a second
    assert!(told.elapsed() >= Duration::from_millis(900), "{:?}", told.elapsed());
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// What waits for an open breaker takes no more memory than it may; what has no room is counted, and the end keeps its time.
#[test]
fn what_waits_for_an_open_breaker_is_bounded_and_the_end_keeps_its_time() {
    let server = HttpServer::new(|_, _| Reply::new(503, "", vec![]));
    let out = parse_out(&format!("otlp-http://{}?queue=4MiB", server.address)).unwrap();
    let mut options = options();
    options.backoff_max = Duration::from_secs(60);
    let (sender, handle) = start(vec![out], options).unwrap();
    for _ in 0..10 {
        let _ = sender.offer(0, batch(7, 1_000_000));
    }
    wait_stats(&sender, 0, |stats| stats.breaker_opened >= 1);
    let row = sender.ledger(0);
    assert_eq!((row.queued, row.dropped(Dropped::QueueFull)), (28, 42), "{row:?}");
    let begun = Instant::now();
    let row = handle.shutdown(begun + Duration::from_millis(300))[0];
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(row.balances() && row.queued == 28, "{row:?}");
}
