//! What backends do wrong, and what becomes of the data then: the rows of THREATS' fault table on backends, and E3, E4,
//! E7 to E10, E14 with them.
//!
//! No test sleeps: each waits, at most `PATIENCE`, for something it can observe.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant, SystemTime};

use crate::support::*;
use catchment::deliver::{Compression, Dropped, Encoded, Offer, parse_out, start};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
};
use prost::Message;

/// A request of so many points, named by their times, with a metric's description of so many bytes.
fn request(points: u64, description: usize) -> Arc<Encoded> {
    let metric = |n| Metric {
        name: format!("m{n}"),
        description: "d".repeat(description),
        data: Some(Data::Gauge(Gauge {
            data_points: vec![NumberDataPoint { time_unix_nano: n, ..Default::default() }],
        })),
        ..Default::default()
    };
    let scope = ScopeMetrics { metrics: (0..points).map(metric).collect(), ..Default::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..Default::default() };
    let bytes = ExportMetricsServiceRequest { resource_metrics: vec![resource] }.encode_to_vec();
    Arc::new(Encoded { bytes: bytes.into(), points, flushed: flushed() })
}

/// The times of its points.
fn times(body: &[u8]) -> Vec<u64> {
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    let metrics = request.resource_metrics.into_iter().flat_map(|r| r.scope_metrics).flat_map(|s| s.metrics);
    metrics
        .flat_map(|metric| match metric.data {
            Some(Data::Gauge(gauge)) => gauge.data_points,
            other => panic!("{other:?}"),
        })
        .map(|point| point.time_unix_nano)
        .collect()
}

/// An HTTP-date so many seconds from now.
fn date(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64 + seconds;
    let (days, clock) = (now.div_euclid(86_400), now.rem_euclid(86_400));
    // civil from days (Howard Hinnant)
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 2 } else { shifted - 10 } as usize;
    let year = year_of_era + era * 400 + i64::from(month < 2);
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    format!("Mon, {day:02} {} {year} {hour:02}:{minute:02}:{second:02} GMT", MONTHS[month])
}

/// E4: `Retry-After` is kept to as seconds and as a date, clamped to ten times the longest back-off however large;
/// nothing, the past and garbage are no advice. The same bytes come again, and once.
#[test]
fn e4_retry_after_in_all_its_forms() {
    let (far, past) = (date(3600), date(-3600));
    for status in [429, 503] {
        for (advice, is_kept_to) in [
            ("5", true),
            ("1000000000000", true),
            ("99999999999999999999999999", true),
            (far.as_str(), true),
            ("0", false),
            (past.as_str(), false),
            ("soon", false),
            ("-5", false),
            ("1.5", false),
        ] {
            let head = format!("retry-after: {advice}\r\n");
            let script = move |n, _: &_| if n == 0 { Reply::new(status, &head, vec![]) } else { Reply::ok() };
            let server = HttpServer::new(script);
            let mut options = options();
            options.backoff_max = Duration::from_millis(30);
            let (sender, handle) = start(vec![server.destination()], options).unwrap();
            let begun = Instant::now();
            let _ = sender.offer(0, batch(5, 100));
            wait_row(&sender, 0, |row| row.delivered == 5);
            let stats = sender.stats(0);
            assert_eq!(stats.throttled, u64::from(is_kept_to), "{status} {advice}");
            assert!(!is_kept_to || begun.elapsed() >= Duration::from_millis(300), "{status} {advice}: too early");
            assert_eq!((stats.retries, stats.resent_ambiguous), (1, 0));
            let bodies: Vec<_> = server.requests.try_iter().map(|request| request.body).collect();
            assert!(bodies.len() == 2 && bodies[0] == bodies[1]);
            assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
        }
    }
}

/// E3, E6: statuses that are final: sent once, counted as refused, with the status and what to do kept for the operator. 401
/// and 403 are not among them, a deliberate deviation: see `breaker`.
#[test]
fn e3_final_statuses_are_sent_once() {
    for status in [400, 404, 405, 408, 418, 500, 501, 505] {
        let server = HttpServer::new(move |_, _| Reply::new(status, "retry-after: 0\r\n", vec![]));
        let (sender, handle) = start(vec![server.destination()], options()).unwrap();
        let _ = sender.offer(0, batch(5, 100));
        wait_row(&sender, 0, |row| row.dropped(Dropped::Refused) == 5);
        assert_eq!(server.requests.try_iter().count(), 1, "{status}");
        assert!(sender.take_messages(0)[0].contains(&status.to_string()));
        assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
    }
}

/// E9, fault 413: what is too large for a destination comes as smaller requests, each point once and in its order; a
/// part that fails for another reason is tried again; what cannot be smaller is counted.
#[test]
fn e9_413_leads_to_smaller_requests() {
    const LIMIT: usize = 2_000;
    let failed = AtomicUsize::new(0);
    let server = HttpServer::new(move |_, request| match request.body.len() {
        0..500 if failed.fetch_add(1, Ordering::SeqCst) == 0 => Reply::new(503, "", vec![]),
        0..LIMIT => Reply::ok(),
        _ => Reply::new(413, "", vec![]),
    });
    let (sender, handle) = start(vec![server.destination()], options()).unwrap();
    // 37 points of about 120 bytes
    let _ = sender.offer(0, request(37, 100));
    wait_row(&sender, 0, |row| row.delivered == 37);
    let bodies: Vec<_> = server.requests.try_iter().map(|request| request.body).collect();
    let taken: Vec<u64> = bodies.iter().filter(|body| body.len() < LIMIT).flat_map(|body| times(body)).collect();
    assert_eq!(taken, (0..37).collect::<Vec<_>>(), "each point once, in its order");
    assert!(sender.stats(0).requests_split >= 3, "{:?}", sender.stats(0));
    // two points that are small enough, one that is not whatever one does
    let (small, large) = (request(2, 10), request(1, LIMIT));
    let joined = [&small.bytes[..], &large.bytes[..]].concat();
    let _ = sender.offer(0, Arc::new(Encoded { bytes: joined.into(), points: 3, flushed: flushed() }));
    wait_row(&sender, 0, |row| row.queued == 0);
    let row = sender.ledger(0);
    assert_eq!((row.delivered, row.dropped(Dropped::TooLarge)), (39, 1), "{row:?}");
    assert_eq!(sender.stats(0).requests_too_large, 1);
    assert_eq!(sender.queue_bytes(0), 0, "the batch's room is given back");
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E9: bytes that cannot be split, and a part in two points that disagrees with its count, are dropped whole, counted.
#[test]
fn e9_413_for_what_cannot_be_split_is_counted() {
    let server = HttpServer::new(|_, _| Reply::new(413, "", vec![]));
    let (sender, handle) = start(vec![server.destination()], options()).unwrap();
    let miscounted = Arc::new(Encoded { bytes: request(4, 1_000).bytes.clone(), points: 9, flushed: flushed() });
    for (offered, dropped) in [(batch(5, 2_000), 5), (miscounted, 14)] {
        let _ = sender.offer(0, offered);
        wait_row(&sender, 0, |row| row.dropped(Dropped::TooLarge) == dropped);
    }
    assert_eq!(server.requests.try_iter().count(), 2, "neither is sent again");
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E9: a destination that takes nothing, however small, is not asked for every point: one way down, and the batch is
/// dropped whole, counted; so is the next one.
#[test]
fn e9_413_to_everything_ends_soon() {
    let server = HttpServer::new(|_, _| Reply::new(413, "", vec![]));
    let (sender, handle) = start(vec![server.destination()], options()).unwrap();
    for batches in 1..=2 {
        let _ = sender.offer(0, request(2_000, 100));
        wait_row(&sender, 0, |row| row.dropped(Dropped::TooLarge) == 2_000 * batches);
        let sizes: Vec<_> = server.requests.try_iter().map(|request| request.body.len()).collect();
        assert!(sizes.len() <= 10 && sizes.is_sorted_by(|a, b| a > b), "{sizes:?}");
        assert_eq!(sender.queue_bytes(0), 0, "the batch's room is given back");
    }
    assert_eq!(sender.stats(0).requests_too_large, 2);
    assert!(sender.take_messages(0).last().unwrap().contains("at most 1024 bytes"));
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// E9: a request over 64 MiB is split before it is sent, and arrives whole.
#[test]
fn e9_requests_over_64_mib_are_split_first() {
    let server = HttpServer::new(|_, _| Reply::ok());
    let (sender, handle) = start(vec![server.destination()], options()).unwrap();
    let large = request(5, 14 * 1024 * 1024);
    assert!(large.bytes.len() > 64 * 1024 * 1024);
    assert_eq!(sender.offer(0, large), Offer::Queued);
    wait_row(&sender, 0, |row| row.delivered == 5);
    let bodies: Vec<_> = server.requests.try_iter().map(|request| request.body).collect();
    assert!(bodies.len() == 2 && bodies.iter().all(|body| body.len() <= 64 * 1024 * 1024));
    assert_eq!(bodies.iter().flat_map(|body| times(body)).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// Shutdown between two parts of a batch: what is not sent still counts as queued, and the row balances (E15).
#[test]
fn e15_parts_that_are_left_count_as_queued() {
    let server = HttpServer::new(|_, request| match request.body.len() {
        0..1_000 => Reply::Hang,
        _ => Reply::new(413, "", vec![]),
    });
    let (sender, handle) = start(vec![server.destination()], options()).unwrap();
    let _ = sender.offer(0, request(37, 100));
    wait_stats(&sender, 0, |stats| stats.requests_split >= 3);
    let row = handle.shutdown(Instant::now())[0];
    assert!(row.balances());
    assert_eq!((row.encoded, row.queued, row.delivered), (37, 37, 0));
}

/// A success whose body is something else is what its status says: delivered, never sent again, counted.
#[test]
fn garbage_after_a_success_is_counted() {
    for (head, body) in [
        ("content-type: application/x-protobuf\r\n", b"\xff\xff\xff".as_slice()),
        ("content-type: text/html\r\n", b"<html>ok</html>"),
        ("content-type: application/json\r\n", b"{}"),
        ("", b"ok"),
        ("content-type: application/x-protobuf\r\ncontent-encoding: gzip\r\n", b"no gzip"),
        ("content-type: application/x-protobuf\r\ncontent-encoding: br\r\n", b"?"),
    ] {
        let server = HttpServer::new(move |_, _| Reply::new(200, head, body.to_vec()));
        let (sender, handle) = start(vec![server.destination()], options()).unwrap();
        let _ = sender.offer(0, batch(5, 100));
        wait_row(&sender, 0, |row| row.delivered == 5);
        let stats = sender.stats(0);
        assert_eq!((stats.requests_ok, stats.answers_unreadable, stats.retries), (1, 1, 0), "{head}");
        assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
    }
}

/// E8, T19: an answer that is small on the wire and over 4 MiB once inflated is not taken in whole.
#[test]
fn e8_an_answer_that_inflates_past_the_limit_is_cut() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&vec![0; 64 * 1024 * 1024]).unwrap();
    let bomb = packed.finish().unwrap();
    for (status, reason) in [(200, Dropped::ResponseTooLarge), (400, Dropped::Refused)] {
        let bomb = bomb.clone();
        let head = "content-type: application/x-protobuf\r\ncontent-encoding: gzip\r\n";
        let server = HttpServer::new(move |_, _| Reply::new(status, head, bomb.clone()));
        let (sender, handle) = start(vec![server.destination()], options()).unwrap();
        let _ = sender.offer(0, batch(5, 100));
        wait_row(&sender, 0, |row| row.dropped(reason) == 5);
        assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
    }
}

/// E7: a connection that ends at any moment of a request or of its answer leads to the same bytes again, and to nothing
/// else; a success that is cut off is no success.
#[test]
fn e7_connections_that_end_at_any_moment() {
    enum Cut {
        BeforeARead,
        AfterBytes(usize),
        Answering(&'static [u8]),
    }
    for cut in [
        Cut::BeforeARead,
        Cut::AfterBytes(1),
        Cut::AfterBytes(5_000),
        Cut::Answering(b""),
        Cut::Answering(b"HTTP/1.1 20"),
        Cut::Answering(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nten bytes "),
    ] {
        for reset in [true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let out = http_destination(listener.local_addr().unwrap());
            let (sender, handle) = start(vec![out], options()).unwrap();
            let _ = sender.offer(0, batch(5, 100_000));
            let (mut stream, _) = listener.accept().unwrap();
            match &cut {
                Cut::BeforeARead => {}
                Cut::AfterBytes(n) => stream.read_exact(&mut vec![0; *n]).unwrap(),
                Cut::Answering(answer) => {
                    read_request(&mut stream).unwrap();
                    stream.write_all(answer).unwrap();
                }
            }
            if reset {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            drop(stream);
            // the next try comes on a connection of its own
            let (mut stream, _) = listener.accept().unwrap();
            let again = read_request(&mut stream).unwrap();
            assert!(again.body == batch(5, 100_000).bytes, "the same bytes");
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            wait_row(&sender, 0, |row| row.delivered == 5);
            assert_eq!(sender.stats(0).retries, 1);
            assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
        }
    }
}

/// E11, fault DNS: a name that does not resolve is asked for off the data path; others go on, the data is kept.
#[test]
fn e11_a_name_that_does_not_resolve_slows_nobody() {
    let healthy = HttpServer::new(|_, _| Reply::ok());
    let nowhere = parse_out("otlp-http://no-such-name.invalid:4318?timeout=200ms").unwrap();
    let (sender, handle) = start(vec![nowhere, healthy.destination()], options()).unwrap();
    for n in 1..=20 {
        for d in 0..2 {
            let _ = sender.offer(d, batch(1, 1000));
        }
        wait_row(&sender, 1, |row| row.delivered == n);
    }
    wait_stats(&sender, 0, |stats| stats.tries_unconnected + stats.tries_timed_out >= 2);
    let rows = handle.shutdown(Instant::now());
    assert!(rows.iter().all(|row| row.balances()));
    assert_eq!((rows[0].queued, rows[1].delivered), (20, 20));
}

/// E10: as many requests are under way at once as `?in-flight=` says, and no more.
#[test]
fn e10_in_flight_is_as_configured() {
    for count in [1, 7] {
        let (barrier, now, most) =
            (Arc::new(Barrier::new(count)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = most.clone();
        let server = HttpServer::new(move |_, _| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // nobody is answered before all are there
            barrier.wait();
            now.fetch_sub(1, Ordering::SeqCst);
            Reply::ok()
        });
        let out = parse_out(&format!("otlp-http://{}?timeout=20s&in-flight={count}", server.address)).unwrap();
        let (sender, handle) = start(vec![out], options()).unwrap();
        for _ in 0..3 * count {
            let _ = sender.offer(0, batch(1, 1000));
        }
        wait_row(&sender, 0, |row| row.delivered == 3 * count as u64);
        assert_eq!(seen.load(Ordering::SeqCst), count);
        assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
    }
}

/// E14: zstd is named and inflates to the bytes offered; every retry has the same bytes (E7).
#[test]
fn e14_zstd_is_named_and_inflates() {
    let server = HttpServer::new(|n, _| if n == 0 { Reply::new(503, "", vec![]) } else { Reply::ok() });
    let mut destination = server.destination();
    destination.compression = Compression::Zstd;
    let (sender, handle) = start(vec![destination], options()).unwrap();
    let _ = sender.offer(0, request(500, 20));
    wait_row(&sender, 0, |row| row.delivered == 500);
    let requests: Vec<_> = server.requests.try_iter().collect();
    assert!(requests.iter().all(|request| request.head.contains("content-encoding: zstd\r\n")));
    let bodies: HashSet<_> = requests.into_iter().map(|request| request.body).collect();
    assert_eq!(bodies.len(), 1, "byte for byte the same");
    let body = bodies.into_iter().next().unwrap();
    let plain = request(500, 20).bytes.clone();
    assert!(body.len() < plain.len() / 2);
    assert_eq!(zstd::stream::decode_all(&*body).unwrap(), plain);
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}
