//! What is done with a destination that fails all the time, or half of it: a breaker, and what is told of it.
//!
//! No test sleeps: each waits, at most `PATIENCE`, for something it can observe.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::*;
use catchment::deliver::{
    Access, BreakerState, Destination, Dropped, NewDestinations, Offer, Options, parse_out, start,
};
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

/// A folder of this test alone.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("catchment-breaker-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Takes requests with that token alone; says this to others.
fn guarded(status: u16, token: &'static str) -> HttpServer {
    let line = format!("x-token: {token}\r\n");
    HttpServer::new(move |_, request| match request.head.contains(&line) {
        true => Reply::ok(),
        false => Reply::new(status, "", vec![]),
    })
}

/// E3, with its deviation: 401 and 403 drop nothing. One is enough for the breaker; the oldest batch is the probe, before
/// each of which files of headers are read again, those of all destinations and those of one. What cannot be read, or is a
/// pipe that would hold whoever reads it, changes nothing and holds nobody.
#[test]
fn e3_401_and_403_wait_for_other_credentials_in_the_files_of_headers() {
    for (status, is_own) in [(401, false), (403, true)] {
        let server = guarded(status, "new");
        let folder = folder(&format!("token-{status}"));
        let (file, well) = (folder.join("token"), HttpServer::new(|_, _| Reply::ok()));
        let text = |token: &str| if is_own { format!("x-token={token}\n") } else { token.to_owned() };
        std::fs::write(&file, text("old")).unwrap();
        let own = if is_own { format!("&headers={}", file.display()) } else { String::new() };
        let out = parse_out(&format!("otlp-http://{}?timeout=20s&in-flight=1{own}", server.address)).unwrap();
        let mut all = [out, well.destination()];
        let headers = if is_own { vec![] } else { vec![format!("x-token=@{}", file.display()).into()] };
        Access { headers, ..Access::default() }.apply(&mut all).unwrap();
        let (sender, handle) = start(all.to_vec(), options()).unwrap();
        for n in 1..=5 {
            assert_eq!(sender.offer(0, batch(n, 100)), Offer::Queued);
        }
        wait_stats(&sender, 0, |stats| stats.tries_unauthorized >= 3);
        assert_ne!(sender.breaker(0).unwrap().state, BreakerState::Closed);
        let stats = sender.stats(0);
        assert!(stats.breaker_half_opened + 1 >= stats.tries_unauthorized, "the first opens it: {stats:?}");
        // not there; a pipe that nobody writes to; nothing that could be a header
        std::fs::remove_file(&file).unwrap();
        let tried = || sender.stats(0).tries_unauthorized;
        let (said, before) = (|| sender.take_messages(0).concat().contains("cannot be read again"), tried());
        wait_stats(&sender, 0, |_| said());
        assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
        let then = tried();
        wait_stats(&sender, 0, |stats| stats.tries_unauthorized >= then + 3);
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, "no\nheader\n").unwrap();
        wait_stats(&sender, 0, |_| said());
        assert!(tried() > before, "those before are sent");
        let _ = sender.offer(1, batch(1, 100));
        wait_row(&sender, 1, |row| row.delivered == 1);
        let row = sender.ledger(0);
        assert_eq!((row.queued, row.dropped_total()), (15, 0), "{row:?}");
        // replaced whole, as whoever renews tokens does
        std::fs::write(folder.join("next"), text("new")).unwrap();
        std::fs::rename(folder.join("next"), &file).unwrap();
        wait_row(&sender, 0, |row| row.delivered == 15);
        let bodies: Vec<_> = server.requests.try_iter().map(|request| request.body).collect();
        let (tail, probes) = (&bodies[bodies.len() - 4..], &bodies[..bodies.len() - 4]);
        assert!(probes.iter().all(|body| *body == batch(1, 100).bytes), "the oldest alone is tried");
        assert!((2..=5).zip(tail).all(|(n, body)| *body == batch(n, 100).bytes), "and then all, in order");
        assert_eq!(sender.breaker(0).unwrap().state, BreakerState::Closed);
        assert!(handle.shutdown(Instant::now() + PATIENCE).iter().all(|row| row.balances()));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// Other settings may be what it waits for: they close a breaker that would not have tried for long.
#[test]
fn other_settings_close_a_breaker() {
    let server = guarded(401, "new");
    let with = |token: &str| -> Vec<Destination> {
        let mut all = [server.destination()];
        let access = Access { headers: vec![format!("x-token={token}").as_str().into()], ..Access::default() };
        access.apply(&mut all).unwrap();
        all.to_vec()
    };
    let mut options = Options::new(&OsClock, 42);
    options.backoff_first = Duration::from_secs(3_600);
    options.backoff_max = options.backoff_first;
    let (sender, mut handle) = start(with("old"), options).unwrap();
    (1..=3).for_each(|n| assert_eq!(sender.offer(0, batch(n, 100)), Offer::Queued));
    wait_stats(&sender, 0, |stats| stats.breaker_opened == 1);
    let wanted = NewDestinations {
        destinations: with("new"),
        from_cut: 1,
        in_flight: 4,
        held_bytes_max: None,
        end_within: PATIENCE,
    };
    handle.exchange(wanted).unwrap();
    wait_row(&sender, 0, |row| row.delivered == 6);
    let (stats, row) = (sender.stats(0), sender.breaker(0).unwrap());
    assert_eq!((stats.breaker_closed, row.state), (1, BreakerState::Closed), "{stats:?}");
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}
