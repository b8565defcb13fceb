//! The OTLP/HTTP exporter against scripted servers on loopback: E1, E3 to E9, E11, E13 to E15, T19, T20.
//!
//! No test sleeps: each waits, at most `PATIENCE`, for something it can observe.

use std::io::Write as _;
use std::net::{Shutdown, TcpListener};
use std::time::{Duration, Instant};

use crate::support::*;
use catchment::deliver::{Compression, Dropped, Offer, start};

/// E13, E14, E15: method, path, length, type, agent; E12: one request per batch, the bytes as offered.
#[test]
fn ok_delivers_the_bytes_and_the_row_balances() {
    let server = HttpServer::new(|_, _| Reply::ok());
    let (sender, handle) = start(vec![server.destination()], options()).unwrap();
    assert_eq!(sender.offer(0, batch(7, 100)), Offer::Queued);
    wait_row(&sender, 0, |row| row.delivered == 7);
    let request = server.requests.recv_timeout(PATIENCE).unwrap();
    assert!(request.head.starts_with("POST /v1/metrics HTTP/1.1\r\n"), "{}", request.head);
    for line in
        ["content-type: application/x-protobuf", "user-agent: catchment/", "content-length: 100", "host: 127.0.0.1:"]
    {
        assert!(request.head.contains(line), "{line} in {}", request.head);
    }
    assert!(!request.head.contains("accept-encoding") && !request.head.contains("content-encoding"));
    assert_eq!(request.body, batch(7, 100).bytes);
    let rows = handle.shutdown(Instant::now() + PATIENCE);
    assert_eq!((rows[0].encoded, rows[0].delivered, rows[0].queued), (7, 7, 0));
    assert!(rows[0].balances());
    assert_eq!(sender.queue_bytes(0), 0);
}

/// E14: keep-alive: many requests, few connections. E10: several at once.
#[test]
fn connections_are_kept() {
    let server = HttpServer::new(|_, _| Reply::ok());
    let (sender, handle) = start(vec![server.destination()], options()).unwrap();
    for _ in 0..50 {
        let _ = sender.offer(0, batch(1, 1000));
    }
    wait_row(&sender, 0, |row| row.delivered == 50);
    let stats = sender.stats(0);
    assert_eq!(stats.requests_ok, 50);
    assert!(stats.connects <= 4, "{stats:?}");
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E14: gzip is named and inflates to the bytes offered.
#[test]
fn gzip_is_named_and_inflates() {
    let server = HttpServer::new(|_, _| Reply::ok());
    let mut destination = server.destination();
    destination.compression = Compression::Gzip;
    let (sender, handle) = start(vec![destination], options()).unwrap();
    let _ = sender.offer(0, batch(3, 5000));
    wait_row(&sender, 0, |row| row.delivered == 3);
    let request = server.requests.recv_timeout(PATIENCE).unwrap();
    assert!(request.head.contains("content-encoding: gzip"));
    assert_eq!(gunzip(&request.body), batch(3, 5000).bytes);
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E5: partial success is not retried; the rejected are counted, the rest is delivered, the message is kept.
#[test]
fn partial_success_is_never_retried() {
    // ExportMetricsServiceResponse { partial_success { rejected_data_points: 3, error_message: "late" } }
    let body = b"\x0a\x08\x08\x03\x12\x04late".to_vec();
    let server = HttpServer::new(move |_, _| Reply::new(200, "content-type: application/x-protobuf\r\n", body.clone()));
    let (sender, handle) = start(vec![server.destination()], options()).unwrap();
    let _ = sender.offer(0, batch(10, 100));
    wait_row(&sender, 0, |row| row.queued == 0);
    let row = sender.ledger(0);
    assert_eq!((row.delivered, row.dropped(Dropped::RejectedByDestination)), (7, 3));
    assert_eq!((sender.stats(0).retries, sender.stats(0).requests_partial), (0, 1));
    assert!(sender.take_messages(0).iter().any(|message| message.contains("late")));
    assert_eq!(server.requests.try_iter().count(), 1);
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E3, E4, E7: each retryable status leads to the same bytes again; Retry-After is kept to.
#[test]
fn retryable_statuses_resend_identical_bytes() {
    for (status, head) in [(429, ""), (502, ""), (503, "retry-after: 1\r\n"), (504, "retry-after: 0\r\n")] {
        let server = HttpServer::new(move |n, _| if n == 0 { Reply::new(status, head, vec![]) } else { Reply::ok() });
        let mut destination = server.destination();
        destination.compression = Compression::Gzip;
        let (sender, handle) = start(vec![destination], options()).unwrap();
        let begun = Instant::now();
        let _ = sender.offer(0, batch(5, 3000));
        wait_row(&sender, 0, |row| row.delivered == 5);
        if head.contains("1") {
            // options() clamp advice to 10 × 100 ms
            assert!(begun.elapsed() >= Duration::from_secs(1), "E4: Retry-After was not kept to");
            assert_eq!(sender.stats(0).throttled, 1);
        }
        let bodies: Vec<_> = server.requests.try_iter().map(|request| request.body).collect();
        assert_eq!(bodies.len(), 2, "{status}");
        assert_eq!(bodies[0], bodies[1]);
        assert_eq!((sender.stats(0).retries, sender.stats(0).resent_ambiguous), (1, 0));
        assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
    }
}

/// E3, E6, T20: other statuses, redirects among them, are final; the points are counted as refused.
#[test]
fn other_statuses_are_final() {
    for (status, head) in [(400, ""), (404, ""), (500, ""), (302, "location: http://169.254.169.254/\r\n")] {
        let server = HttpServer::new(move |_, _| Reply::new(status, head, b"no".to_vec()));
        let (sender, handle) = start(vec![server.destination()], options()).unwrap();
        let _ = sender.offer(0, batch(5, 100));
        wait_row(&sender, 0, |row| row.dropped(Dropped::Refused) == 5);
        assert_eq!(sender.stats(0).retries, 0);
        assert_eq!(server.requests.try_iter().count(), 1);
        assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
    }
}

/// E7: a reset before the answer leads to the same bytes again, counted as ambiguous.
#[test]
fn reset_before_the_answer_resends() {
    let server = HttpServer::new(|n, _| if n == 0 { Reply::Reset } else { Reply::ok() });
    let (sender, handle) = start(vec![server.destination()], options()).unwrap();
    let _ = sender.offer(0, batch(5, 100));
    wait_row(&sender, 0, |row| row.delivered == 5);
    let bodies: Vec<_> = server.requests.try_iter().map(|request| request.body).collect();
    assert_eq!(bodies[0], batch(5, 100).bytes);
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(bodies.len(), 2);
    assert_eq!((sender.stats(0).resent_ambiguous, sender.stats(0).tries_disconnected), (1, 1));
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E1: a server that never answers runs into the timeout, and the request is tried again.
#[test]
fn hanging_server_runs_into_the_timeout() {
    let server = HttpServer::new(|n, _| if n == 0 { Reply::Hang } else { Reply::ok() });
    let mut destination = server.destination();
    destination.timeout = Duration::from_millis(150);
    let (sender, handle) = start(vec![destination], options()).unwrap();
    let _ = sender.offer(0, batch(5, 100));
    wait_row(&sender, 0, |row| row.delivered == 5);
    assert!(sender.stats(0).tries_timed_out >= 1);
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E8, T19: an endless answer is cut at 4 MiB, an endless error body at 64 KiB, and counted.
#[test]
fn endless_answers_are_cut() {
    for (status, reason) in [(200, Dropped::ResponseTooLarge), (400, Dropped::Refused)] {
        let server = HttpServer::new(move |_, _| Reply::Endless(status));
        let (sender, handle) = start(vec![server.destination()], options()).unwrap();
        let _ = sender.offer(0, batch(5, 100));
        wait_row(&sender, 0, |row| row.dropped(reason) == 5);
        assert_eq!(sender.stats(0).retries, 0);
        assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
    }
}

/// E11: one dead and one hanging destination do not slow a healthy one; the batch is shared. Shutdown with them keeps to
/// the deadline and counts what is left as queued.
#[test]
fn dead_destinations_slow_nobody_and_shutdown_counts_what_is_left() {
    let healthy = HttpServer::new(|_, _| Reply::ok());
    let hanging = HttpServer::new(|_, _| Reply::Hang);
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let all = vec![http_destination(dead), hanging.destination(), healthy.destination()];
    let (sender, handle) = start(all, options()).unwrap();
    for _ in 0..100 {
        let shared = batch(2, 1000);
        for d in 0..3 {
            assert_eq!(sender.offer(d, shared.clone()), Offer::Queued);
        }
    }
    wait_row(&sender, 2, |row| row.delivered == 200);
    wait_stats(&sender, 0, |stats| stats.tries_unconnected > 0);
    let begun = Instant::now();
    let rows = handle.shutdown(begun + Duration::from_millis(200));
    assert!(begun.elapsed() < PATIENCE);
    for (row, delivered) in rows.iter().zip([0, 0, 200]) {
        assert!(row.balances());
        assert_eq!((row.encoded, row.delivered, row.queued), (200, delivered, 200 - delivered));
    }
}

/// DESIGN 8: a full queue takes no more, says so, and counts it.
#[test]
fn full_queue_is_counted() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut destination = http_destination(dead);
    destination.queue_bytes = 10_000;
    let (sender, handle) = start(vec![destination], options()).unwrap();
    let mut full = 0;
    for _ in 0..20 {
        full += u64::from(sender.offer(0, batch(3, 1000)) == Offer::Full);
    }
    assert_eq!(full, 20 - 8, "8 batches of 1000 bytes and their overhead fit into 10000");
    let row = sender.ledger(0);
    assert_eq!((row.encoded, row.queued, row.dropped(Dropped::QueueFull)), (60, 24, 36));
    assert!(row.balances());
    assert!(handle.shutdown(Instant::now())[0].balances());
}

/// E9: a request over 64 MiB is never sent; it is counted, and the next one goes.
#[test]
fn oversized_requests_are_never_sent() {
    let server = HttpServer::new(|_, _| Reply::ok());
    let (sender, handle) = start(vec![server.destination()], options()).unwrap();
    let _ = sender.offer(0, batch(9, 64 * 1024 * 1024 + 1));
    let _ = sender.offer(0, batch(1, 10));
    wait_row(&sender, 0, |row| row.queued == 0);
    let row = sender.ledger(0);
    assert_eq!((row.delivered, row.dropped(Dropped::TooLarge)), (1, 9));
    assert_eq!(server.requests.try_iter().count(), 1);
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// DESIGN 5: every snapshot balances while several threads offer and the server misbehaves at random.
#[test]
fn rows_balance_under_load() {
    let server = HttpServer::new(|n, _| match n % 7 {
        1 => Reply::new(503, "", vec![]),
        3 => Reply::new(400, "", vec![]),
        5 => Reply::Reset,
        _ => Reply::ok(),
    });
    let mut destination = server.destination();
    destination.queue_bytes = 20_000;
    let (sender, handle) = start(vec![destination], options()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let sender = sender.clone();
            scope.spawn(move || {
                for n in 0..300 {
                    let _ = sender.offer(0, batch(n, 500));
                    assert!(sender.ledger(0).balances());
                }
            });
        }
        for _ in 0..2000 {
            assert!(sender.ledger(0).balances());
        }
    });
    wait_row(&sender, 0, |row| row.queued == 0);
    let row = handle.shutdown(Instant::now() + PATIENCE)[0];
    assert!(row.balances());
    assert_eq!(row.encoded, 2 * (0..300).sum::<u64>());
}

/// E1: names are resolved off the loop; an unknown name is retried like a dead server.
#[test]
fn names_are_resolved() {
    let server = HttpServer::new(|_, _| Reply::ok());
    let url = format!("otlp-http://localhost:{}/custom", server.address.port());
    let (sender, handle) = start(vec![catchment::deliver::parse_out(&url).unwrap()], options()).unwrap();
    let _ = sender.offer(0, batch(1, 10));
    wait_row(&sender, 0, |row| row.delivered == 1);
    assert!(server.requests.recv_timeout(PATIENCE).unwrap().head.starts_with("POST /custom "));
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E7: a connection that the server closes between two requests costs at most a retry.
#[test]
fn closed_keep_alive_connections_are_replaced() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            read_request(&mut stream).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            stream.shutdown(Shutdown::Both).unwrap();
        }
    });
    let mut options = options();
    options.in_flight = 1;
    let (sender, handle) = start(vec![http_destination(address)], options).unwrap();
    for n in 1..=2 {
        let _ = sender.offer(0, batch(1, 10));
        wait_row(&sender, 0, |row| row.delivered == n);
    }
    server.join().unwrap();
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}
