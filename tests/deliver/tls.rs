//! Destinations over TLS, against real servers on loopback with certificates made here: E13 to E15, T14, T15, T20.
//!
//! No test sleeps: each waits, at most `PATIENCE`, for something it can observe.

use std::net::TcpListener;
use std::path::Path;
use std::time::Instant;

use crate::support::*;
use crate::tls_support::*;
use catchment::deliver::{Access, Destination, Offer, parse_out, start};

/// As `catchment run` prepares it.
fn destination(url: &str, access: &Access) -> Destination {
    let mut all = [parse_out(url).unwrap()];
    access.apply(&mut all).unwrap();
    let [destination] = all;
    destination
}

fn trusting(authority: &Authority) -> Access {
    Access { ca: Some(file("ca.pem", &authority.pem)), ..Access::default() }
}

static VERSIONS: [&[&rustls::SupportedProtocolVersion]; 2] = [&[&rustls::version::TLS12], &[&rustls::version::TLS13]];
const SCHEMES: [&str; 2] = ["otlp-grpcs", "otlp-https"];

/// E13, E14, E15: over TLS 1.2 and 1.3 the bytes arrive as offered, larger than every buffer, on kept connections; the
/// name is sent where it is one, HTTP/2 is agreed on for gRPC and HTTP/1.1 for HTTP at a server that prefers HTTP/2, and
/// the operator's headers go along.
#[test]
fn e14_bytes_and_headers_arrive_over_tls() {
    let authority = Authority::new("ours");
    let certificate = authority.sign(&["localhost", "127.0.0.1"], VALID);
    let mut access = trusting(&authority);
    access.headers = vec!["authorization=Bearer token".into(), "x-tenant=t1".into()];
    for versions in VERSIONS {
        for (scheme, alpn) in SCHEMES.into_iter().zip([b"h2".as_slice(), b"http/1.1"]) {
            for host in ["localhost", "127.0.0.1"] {
                let server = TlsServer::start(&Manner { versions, ..Manner::new(&certificate) });
                let out = destination(&format!("{scheme}://{host}:{}?timeout=20s", server.port), &access);
                let (sender, handle) = start(vec![out], options()).unwrap();
                for _ in 0..12 {
                    assert_eq!(sender.offer(0, batch(7, 300_000)), Offer::Queued);
                }
                wait_row(&sender, 0, |row| row.delivered == 84);
                assert!(sender.stats(0).connects <= 4 && sender.stats(0).retries == 0, "{:?}", sender.stats(0));
                for _ in 0..12 {
                    let taken = server.requests.recv_timeout(PATIENCE).unwrap();
                    assert!(taken.body == batch(7, 300_000).bytes, "{scheme} {host}: the bytes as offered");
                    assert_eq!(taken.sni.as_deref(), (host == "localhost").then_some("localhost"));
                    assert_eq!(taken.alpn.as_deref(), Some(alpn));
                    for line in ["authorization: bearer token", "x-tenant: t1", "user-agent: catchment/"] {
                        assert!(taken.head.to_lowercase().contains(line), "{line} in {}", taken.head);
                    }
                    let path = if scheme == "otlp-https" { "/v1/metrics" } else { "MetricsService/Export" };
                    assert!(taken.head.to_lowercase().contains(&path.to_lowercase()), "{}", taken.head);
                }
                assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
            }
        }
    }
}

/// Offers a batch to such a server; returns what was said when the connection was refused. Nothing is delivered, nothing
/// is lost: the data is kept and tried again.
fn refused(manner: &Manner<'_>, scheme: &str, access: &Access) -> String {
    let server = TlsServer::start(manner);
    let out = destination(&format!("{scheme}://localhost:{}?timeout=20s", server.port), access);
    let (sender, handle) = start(vec![out], options()).unwrap();
    let _ = sender.offer(0, batch(7, 1000));
    wait_stats(&sender, 0, |stats| stats.tries_unconnected + stats.tries_disconnected >= 2);
    let messages = sender.take_messages(0).join("; ");
    let row = handle.shutdown(Instant::now())[0];
    assert!(row.balances());
    assert_eq!((row.delivered, row.queued), (0, 7));
    assert_eq!(server.requests.try_iter().count(), 0, "no request is sent to whom we do not trust");
    messages
}

/// E15, T15: a certificate for another name or for none, one whose time is over or has not come, one meant for clients,
/// one of a foreign authority, one that signed itself: refused, with what is wrong in words, and not a byte of a request is sent.
#[test]
fn e15_t15_certificates_that_do_not_hold_are_refused() {
    let (ours, foreign) = (Authority::new("ours"), Authority::new("foreign"));
    for (certificate, words) in [
        (ours.sign(&["other.example", "more.example"], VALID), "another name: it is for"),
        (ours.sign(&["127.0.0.1"], VALID), "another name"),
        (ours.sign(&["*.localhost"], VALID), "another name"),
        (ours.sign(&[], VALID), "names no host (subjectAltName)"),
        (ours.sign_for_clients(&["localhost"]), "is not meant for servers"),
        (ours.sign(&["localhost"], EXPIRED), "has expired"),
        (ours.sign(&["localhost"], NOT_YET), "not valid yet"),
        (foreign.sign(&["localhost"], VALID), "authority that is not trusted here"),
        (self_signed(&["localhost"]), "authority that is not trusted here"),
        (self_signed_authority(&["localhost"]), "is an authority's, or signed itself as one, and so no server's"),
    ] {
        for scheme in SCHEMES {
            let said = refused(&Manner::new(&certificate), scheme, &trusting(&ours));
            assert!(said.contains(words) && said.contains("localhost:"), "{scheme}, {words}: {said}");
        }
    }
}

/// T15: a server that demands a client certificate takes ours, and says so when there is none or a foreign one; TLS 1.3
/// tells only after the handshake.
#[test]
fn t15_client_certificates_are_sent_where_demanded() {
    let (ours, foreign) = (Authority::new("ours"), Authority::new("foreign"));
    let certificate = ours.sign(&["localhost"], VALID);
    let identity = |authority: &Authority| {
        let signed = authority.sign(&["client"], VALID);
        let (cert, key) = (file("client.pem", &signed.pem), file("client.key", &signed.key_pem));
        Access { cert: Some(cert), key: Some(key), ..trusting(&ours) }
    };
    for versions in VERSIONS {
        let manner = Manner { clients: Some(&ours), versions, ..Manner::new(&certificate) };
        for scheme in SCHEMES {
            let server = TlsServer::start(&manner);
            let out = destination(&format!("{scheme}://localhost:{}?timeout=20s", server.port), &identity(&ours));
            let (sender, handle) = start(vec![out], options()).unwrap();
            let _ = sender.offer(0, batch(7, 1000));
            wait_row(&sender, 0, |row| row.delivered == 7);
            assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
            for access in [trusting(&ours), identity(&foreign)] {
                let said = refused(&manner, scheme, &access);
                assert!(said.contains("client certificate"), "{scheme}: {said}");
            }
        }
    }
}

/// E14: a server that does not have the HTTP version needed is told apart from a certificate's trouble.
#[test]
fn e14_http_versions_that_a_server_does_not_have_are_named() {
    let ours = Authority::new("ours");
    let certificate = ours.sign(&["localhost"], VALID);
    let none: &[&[u8]] = &[];
    for (scheme, alpn) in
        [("otlp-grpcs", [b"http/1.1".as_slice()].as_slice()), ("otlp-grpcs", none), ("otlp-https", &[b"h2"])]
    {
        let said = refused(&Manner { alpn, ..Manner::new(&certificate) }, scheme, &trusting(&ours));
        assert!(said.contains("HTTP version"), "{scheme} {alpn:?}: {said}");
    }
}

/// E11, T14: a server that says nothing in the handshake, and one that answers with something else than TLS, slow nobody:
/// the try ends with its timeout, or with words.
#[test]
fn t14_handshakes_end_in_time_and_slow_nobody() {
    use std::io::{Read as _, Write as _};
    let ours = Authority::new("ours");
    let certificate = ours.sign(&["localhost"], VALID);
    let healthy = TlsServer::start(&Manner::new(&certificate));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let talker = TcpListener::bind("127.0.0.1:0").unwrap();
    let talker_port = talker.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in talker.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    for scheme in SCHEMES {
        let out = |port: u16| destination(&format!("{scheme}://localhost:{port}?timeout=200ms"), &trusting(&ours));
        let all = vec![out(silent.local_addr().unwrap().port()), out(talker_port), out(healthy.port)];
        let (sender, handle) = start(all, options()).unwrap();
        for d in 0..3 {
            let _ = sender.offer(d, batch(7, 1000));
        }
        wait_row(&sender, 2, |row| row.delivered == 7);
        wait_stats(&sender, 0, |stats| stats.tries_timed_out >= 2);
        wait_stats(&sender, 1, |stats| stats.tries_unconnected >= 2);
        let said = sender.take_messages(1).join("; ");
        assert!(said.contains("does not speak TLS"), "{said}");
        let said = sender.take_messages(0).join("; ");
        assert!(said.contains("not sent within 200ms") && said.contains("in the TLS handshake"), "{said}");
        assert!(handle.shutdown(Instant::now()).iter().all(|row| row.balances()));
    }
}

/// A way to this port that lets through so few bytes at once, both ways.
fn trickle(port: u16, bytes: usize) -> u16 {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpStream};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    let pass = move |mut from: TcpStream, mut to: TcpStream| {
        let mut some = vec![0; bytes];
        while let Ok(n @ 1..) = from.read(&mut some) {
            if to.write_all(&some[..n]).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    };
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || pass(client, server));
            std::thread::spawn(move || pass(back.0, back.1));
        }
    });
    own
}

/// T14: records that come in pieces of one byte, and handshakes of many of them, are put together; nothing is tried twice.
#[test]
fn t14_records_in_pieces_are_put_together() {
    let ours = Authority::new("ours");
    let certificate = ours.sign(&["localhost"], VALID);
    for versions in VERSIONS {
        let server = TlsServer::start(&Manner { versions, ..Manner::new(&certificate) });
        for (scheme, pieces) in [("otlp-grpcs", 1), ("otlp-https", 1), ("otlp-grpcs", 1_000), ("otlp-https", 4_099)] {
            let port = trickle(server.port, pieces);
            let out = destination(&format!("{scheme}://localhost:{port}?timeout=20s"), &trusting(&ours));
            let (sender, handle) = start(vec![out], options()).unwrap();
            let bytes = if pieces == 1 { 5_000 } else { 1_000_000 };
            for _ in 0..2 {
                let _ = sender.offer(0, batch(7, bytes));
            }
            wait_row(&sender, 0, |row| row.delivered == 14);
            assert_eq!(sender.stats(0).retries, 0);
            for _ in 0..2 {
                assert!(server.requests.recv_timeout(PATIENCE).unwrap().body == batch(7, bytes).bytes);
            }
            assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
        }
    }
}

/// E7, T14: an answer that ends with the connection is whole only if the server says that it ends (close_notify): one
/// that somebody on the way cut off is none, and the same bytes are sent again.
#[test]
fn e7_an_answer_without_close_notify_is_cut_off() {
    use std::io::{Read as _, Write as _};
    let ours = Authority::new("ours");
    let certificate = ours.sign(&["localhost"], VALID);
    let config = Manner { alpn: &[b"http/1.1"], ..Manner::new(&certificate) }.config();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let mut bodies = Vec::new();
        for is_told in [false, true] {
            let (socket, _) = listener.accept().unwrap();
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(session, socket);
            let mut bytes = Vec::new();
            let mut some = [0; 4096];
            while !bytes.ends_with(&batch(7, 1000).bytes) {
                let n = stream.read(&mut some).unwrap();
                bytes.extend_from_slice(&some[..n]);
            }
            // no length: the end of the connection is the end of the answer
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall well").unwrap();
            if is_told {
                stream.conn.send_close_notify();
            }
            stream.flush().unwrap();
            bodies.push(bytes);
        }
        bodies
    });
    let out = destination(&format!("otlp-https://localhost:{port}?timeout=20s&in-flight=1"), &trusting(&ours));
    let (sender, handle) = start(vec![out], options()).unwrap();
    let _ = sender.offer(0, batch(7, 1000));
    wait_row(&sender, 0, |row| row.delivered == 7);
    let stats = sender.stats(0);
    assert_eq!((stats.retries, stats.resent_ambiguous, stats.tries_disconnected), (1, 1, 1), "{stats:?}");
    let bodies = server.join().unwrap();
    assert!(bodies[0] == bodies[1], "byte for byte the same");
    assert!(handle.shutdown(Instant::now() + PATIENCE)[0].balances());
}

/// What cannot work is said before anything starts: option, file, remedy; no key is repeated (T21).
#[test]
fn t21_files_that_cannot_be_used_are_named() {
    let ours = Authority::new("ours");
    let (one, other) = (ours.sign(&["client"], VALID), ours.sign(&["client"], VALID));
    let ca = file("ca.pem", &ours.pem);
    let (cert, key) = (file("client.pem", &one.pem), file("other.key", &other.key_pem));
    let problem = |url: &str, access: &Access| {
        let problems = access.apply(&mut [parse_out(url).unwrap()]).unwrap_err();
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(!problems[0].contains("PRIVATE KEY-----\n"), "{problems:?}");
        problems[0].clone()
    };
    let with = |ca: Option<&Path>, cert: Option<&Path>, key: Option<&Path>| {
        let own = |path: Option<&Path>| path.map(Path::to_owned);
        Access { ca: own(ca), cert: own(cert), key: own(key), headers: Vec::new() }
    };
    let url = "otlp-grpcs://localhost:1";
    for (url, access, words) in [
        (url, with(Some(Path::new("/no/such.pem")), None, None), "--out-ca /no/such.pem: cannot be read ("),
        (url, with(Some(&key), None, None), "holds no certificate"),
        (url, with(Some(&ca), Some(&cert), None), "--out-key FILE"),
        (url, with(Some(&ca), None, Some(&key)), "--out-cert FILE"),
        (url, with(Some(&ca), Some(&cert), Some(&key)), "cannot be used together"),
        (url, with(Some(&ca), Some(&cert), Some(&cert)), "no private key"),
        (url, with(Some(&file("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n")), None, None), "PEM"),
        (
            "otlp-grpcs://localhost:1?ca=/no/own.pem",
            with(Some(&ca), None, None),
            "--out otlp-grpcs://localhost:1: /no/own.pem: cannot be read (",
        ),
        ("otlp-grpcs://localhost:1?headers=/no/headers", with(Some(&ca), None, None), "/no/headers: cannot be read ("),
        ("otlp-grpc://localhost:1", with(Some(&ca), None, None), "--out-ca: no --out uses TLS"),
    ] {
        let said = problem(url, &access);
        assert!(said.contains(words), "{words}: {said}");
    }
    let header = Access { headers: vec!["a=b".into()], ..Access::default() };
    assert!(problem("stdout", &header).contains("no --out takes headers"));
    assert!(start(vec![parse_out(url).unwrap()], options()).is_err(), "TLS without authorities never starts");
}

/// T20: a destination's own header file comes before the header for all, and goes nowhere else.
#[test]
fn t20_own_headers_go_to_their_destination_alone() {
    let (one, two) = (HttpServer::new(|_, _| Reply::ok()), HttpServer::new(|_, _| Reply::ok()));
    let own = file("headers", "# of the first\nauthorization=first-alone\nx-own = 1\n");
    let mut all = [
        parse_out(&format!("otlp-http://{}?headers={}", one.address, own.display())).unwrap(),
        parse_out(&format!("otlp-http://{}", two.address)).unwrap(),
    ];
    let access = Access { headers: vec!["authorization=shared".into(), "x-all=2".into()], ..Access::default() };
    access.apply(&mut all).unwrap();
    let (sender, handle) = start(all.to_vec(), options()).unwrap();
    for d in 0..2 {
        let _ = sender.offer(d, batch(7, 1000));
        wait_row(&sender, d, |row| row.delivered == 7);
    }
    let head = |server: &HttpServer| server.requests.recv_timeout(PATIENCE).unwrap().head;
    let (first, second) = (head(&one), head(&two));
    for line in ["authorization: first-alone\r\n", "x-own: 1\r\n", "x-all: 2\r\n"] {
        assert!(first.contains(line), "{first}");
    }
    assert!(second.contains("authorization: shared\r\n") && second.contains("x-all: 2\r\n"));
    assert!(!first.contains("shared") && !second.contains("first-alone") && !second.contains("x-own"));
    assert!(handle.shutdown(Instant::now() + PATIENCE).iter().all(|row| row.balances()));
}
