//! The real binary to destinations over TLS, and with secrets: what is delivered, what is said, and what never is (T21).

use crate::binary;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use crate::binary::process::{Catchment, Ended, command, output, until, wall_ns};
use crate::common::{int, number, request, sum};
use crate::tls_support::*;
use prost::Message;

fn one_point(catchment: &Catchment) {
    let now = wall_ns();
    let body = request(vec![sum("orders", 1, true, vec![number(&[], now - 1, now, int(7))])]);
    assert_eq!(catchment.http().export(&body.encode_to_vec()).unwrap().status, 200);
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// E15: both protocols over TLS with `--out-ca`, client certificate and zstd; the ledger balances and nothing is left.
#[test]
fn e15_both_protocols_are_delivered_over_tls() {
    let ours = Authority::new("ours");
    let certificate = ours.sign(&["localhost"], VALID);
    let client = ours.sign(&["client"], VALID);
    let manner = Manner { clients: Some(&ours), ..Manner::new(&certificate) };
    let (grpc, http) = (TlsServer::start(&manner), TlsServer::start(&manner));
    let (ca, cert, key) =
        (file("ca.pem", &ours.pem), file("client.pem", &client.pem), file("client.key", &client.key_pem));
    let catchment = Catchment::start(&[
        "--interval",
        "1h",
        "--expire",
        "2h",
        "--out",
        &format!("otlp-grpcs://localhost:{}?compression=zstd", grpc.port),
        "--out",
        &format!("otlp-https://localhost:{}?compression=gzip", http.port),
        "--out-ca",
        text(&ca),
        "--out-cert",
        text(&cert),
        "--out-key",
        text(&key),
    ]);
    one_point(&catchment);
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 0, "{ended:?}");
    let delivered = "encoded 1 = delivered 1 + queued 0 + dropped 0";
    assert_eq!(ended.ledger().matches(delivered).count(), 2, "{}", ended.ledger());
    let (grpc, http) = (grpc.requests.try_recv().unwrap(), http.requests.try_recv().unwrap());
    assert!(grpc.head.contains("grpc-encoding: zstd") && http.head.contains("content-encoding: gzip"));
    let plain = zstd::stream::decode_all(&*grpc.body).unwrap();
    let mut other = Vec::new();
    flate2::read::GzDecoder::new(&*http.body).read_to_end(&mut other).unwrap();
    assert_eq!(plain, other);
    assert!(plain.windows(6).any(|window| window == b"orders"));
}

/// A server of another make: Python's HTTP over OpenSSL. It tells its port, then of each request what it saw.
const PYTHON: &str = r#"
import http.server, json, ssl, sys
cert, key, ca, newest = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
context.load_verify_locations(ca)
context.verify_mode = ssl.CERT_REQUIRED
context.maximum_version = ssl.TLSVersion[newest]
context.set_alpn_protocols(["h2", "http/1.1"])
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        tls = self.connection
        print(json.dumps({"version": tls.version(), "alpn": tls.selected_alpn_protocol(), "path": self.path,
            "client": tls.getpeercert()["subjectAltName"][0][1], "headers": {k.lower(): v for k, v in self.headers.items()},
            "body": body.hex(), "host": self.headers["host"]}), flush=True)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *words):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// A child that does not outlive the test.
struct Ends(std::process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// E14, E15, T15: a server that is not made of the same parts as we are, TLS 1.2 and 1.3: the client certificate, the
/// header and zstd arrive, HTTP/1.1 is agreed on though it prefers HTTP/2, and the ledger balances.
#[test]
fn e15_openssl_takes_what_is_sent() {
    // not left out in silence where there is no Python
    if std::env::var_os("CATCHMENT_WITHOUT_PYTHON").is_some() {
        return eprintln!("left out: CATCHMENT_WITHOUT_PYTHON is set");
    }
    let ours = Authority::new("ours");
    let (server, client) = (ours.sign(&["localhost"], VALID), ours.sign(&["client.ours"], VALID));
    let [ca, cert, key] =
        [("ca.pem", &ours.pem), ("s.pem", &server.pem), ("s.key", &server.key_pem)].map(|(n, t)| file(n, t));
    let (own, own_key) = (file("client.pem", &client.pem), file("client.key", &client.key_pem));
    for (newest, version) in [("TLSv1_2", "TLSv1.2"), ("TLSv1_3", "TLSv1.3")] {
        let python = Command::new("python3")
            .args(["-c", PYTHON, text(&cert), text(&key), text(&ca), newest])
            .stdout(Stdio::piped())
            .spawn();
        let python = python.expect("python3 with its ssl module; to leave this out set CATCHMENT_WITHOUT_PYTHON=1");
        let mut python = Ends(python);
        let mut lines = BufReader::new(python.0.stdout.take().unwrap()).lines();
        let port = lines.next().expect("a port").unwrap();
        let catchment = Catchment::start(&[
            "--interval",
            "1h",
            "--expire",
            "2h",
            "--out",
            &format!("otlp-https://localhost:{port}/custom/path?compression=zstd&ca={}", text(&ca)),
            "--out-cert",
            text(&own),
            "--out-key",
            text(&own_key),
            "--out-header",
            &format!("x-api-key=@{}", text(&file("value", "of a file\n"))),
        ]);
        one_point(&catchment);
        let ended = catchment.terminate();
        assert!(ended.code() == 0 && ended.ledger().contains("encoded 1 = delivered 1"), "{ended:?}");
        assert!(ended.ledger().ends_with("balanced"), "{ended:?}");
        let seen: serde_json::Value = serde_json::from_str(&lines.next().expect("a request").unwrap()).unwrap();
        for (what, expected) in [
            ("version", version),
            ("alpn", "http/1.1"),
            ("client", "client.ours"),
            ("path", "/custom/path"),
            ("host", &format!("localhost:{port}")),
        ] {
            assert_eq!(seen[what], expected, "{what}");
        }
        for (name, value) in
            [("x-api-key", "of a file"), ("content-encoding", "zstd"), ("content-type", "application/x-protobuf")]
        {
            assert_eq!(seen["headers"][name], value);
        }
        let hex = seen["body"].as_str().unwrap().as_bytes();
        let digit = |at: usize| (hex[at] as char).to_digit(16).unwrap() as u8;
        let body: Vec<u8> = (0..hex.len()).step_by(2).map(|at| digit(at) << 4 | digit(at + 1)).collect();
        let plain = zstd::stream::decode_all(&*body).unwrap();
        assert!(plain.windows(6).any(|window| window == b"orders"));
    }
}

/// E15: without `--out-ca` the system's authorities are taken, as `SSL_CERT_FILE` names them; where there is none, that is
/// said at once, with what to do.
#[test]
fn e15_authorities_of_the_system() {
    let ours = Authority::new("ours");
    let certificate = ours.sign(&["localhost"], VALID);
    let server = TlsServer::start(&Manner::new(&certificate));
    let out = format!("otlp-https://localhost:{}", server.port);
    let with = |roots: &Path| {
        let mut command = command(&["run", "--interval", "1h", "--expire", "2h", "--out", &out]);
        for door in ["--otlp-grpc", "--otlp-http", "--prometheus", "--admin"] {
            command.args([door, "127.0.0.1:0"]);
        }
        command.env_remove("SSL_CERT_DIR").env("SSL_CERT_FILE", roots);
        command
    };
    let catchment = Catchment::spawn(with(&file("roots.pem", &ours.pem)));
    one_point(&catchment);
    let ended = catchment.terminate();
    assert!(ended.code() == 0 && ended.ledger().contains("delivered 1"), "{ended:?}");
    let ended = output(with(Path::new("/no/such/roots.pem")));
    assert_eq!(ended.code(), 2, "{ended:?}");
    for words in [&out, "no certificate authority was found", "ca-certificates", "--out-ca FILE"] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
}

/// E15, T15: who cannot be trusted gets nothing; the log names destination, trouble and remedy, once and not at each try;
/// what is left is exit 3 and the ledger says so.
#[test]
fn e15_a_refused_certificate_is_explained() {
    let (ours, foreign) = (Authority::new("ours"), Authority::new("foreign"));
    let ca = file("ca.pem", &ours.pem);
    for (certificate, trouble, remedy) in [
        (
            ours.sign(&["other.example"], VALID),
            "is for another name: it is for",
            "write a name that the certificate has",
        ),
        (ours.sign(&["localhost"], EXPIRED), "has expired", "renew the server's certificate"),
        (foreign.sign(&["localhost"], VALID), "authority that is not trusted", "--out-ca FILE"),
    ] {
        let server = TlsServer::start(&Manner::new(&certificate));
        let out = format!("otlp-grpcs://localhost:{}", server.port);
        let arguments = ["--interval", "200ms", "--shutdown-timeout", "200ms", "--out", &out, "--out-ca", text(&ca)];
        let catchment = Catchment::start(&arguments);
        one_point(&catchment);
        let mut admin = catchment.admin();
        until("two tries", || {
            let page = admin.get("/metrics").text().to_owned();
            let tries = page.lines().find(|line| line.contains("unconnected") && line.contains("localhost"))?;
            (tries.rsplit(' ').next()?.parse::<f64>().ok()? >= 2.0).then_some(())
        });
        let ended = catchment.terminate();
        assert_eq!(ended.code(), 3, "{ended:?}");
        let lines: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("delivery is in trouble")).collect();
        assert_eq!(lines.len(), 1, "rate-limited: {}", ended.stderr);
        for words in [out.as_str(), trouble, remedy] {
            assert!(lines[0].contains(words), "{words}: {}", lines[0]);
        }
        assert!(ended.ledger().contains("delivered 0 + queued 1") && ended.ledger().ends_with("balanced"), "{ended:?}");
        assert_eq!(server.requests.try_iter().count(), 0);
    }
}

/// A server that ends each connection without a word once the handshake is over.
fn silent_server(manner: &Manner<'_>) -> u16 {
    let config = manner.config();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut session = rustls::ServerConnection::new(config.clone()).unwrap();
            while session.is_handshaking() && session.complete_io(&mut socket).is_ok() {}
        }
    });
    port
}

/// T15: where a server says nothing, the log says what can be known: it asked for a client certificate, or it does not
/// speak what was spoken to it, TLS or not, HTTP/2 or not; and what to write instead.
#[test]
fn t15_silence_and_wrong_protocols_are_explained() {
    let ours = Authority::new("ours");
    let (certificate, ca) = (ours.sign(&["localhost"], VALID), file("ca.pem", &ours.pem));
    let manner = |asks: bool, alpn: &'static [&'static [u8]]| Manner {
        clients: asks.then_some(&ours),
        optional: true,
        alpn,
        ..Manner::new(&certificate)
    };
    let (asking, asking_http) = (silent_server(&manner(true, &[b"h2"])), silent_server(&manner(true, &[])));
    let (mute, mute_http) = (silent_server(&manner(false, &[b"h2"])), silent_server(&manner(false, &[])));
    let secure = TlsServer::start(&Manner::new(&certificate)).port;
    let plain = plain_server("400 Bad Request", 1).0;
    let cases = [
        (format!("otlp-grpcs://localhost:{asking}"), "asks for a client certificate"),
        (format!("otlp-https://localhost:{asking_http}/v1/metrics"), "asks for a client certificate"),
        (format!("otlp-grpcs://localhost:{mute}"), "otlp-grpcs:// needs HTTP/2"),
        (format!("otlp-https://localhost:{mute_http}/v1/metrics"), "otlp-grpcs:// needs HTTP/2"),
        (format!("otlp-grpc://localhost:{secure}"), "are told apart in --out"),
        (format!("otlp-http://localhost:{secure}/v1/metrics"), "are told apart in --out"),
        (format!("otlp-grpc://localhost:{plain}"), "are told apart in --out"),
        (format!("otlp-grpcs://localhost:{plain}"), "for a server without TLS write"),
    ];
    let mut arguments = vec!["--interval", "200ms", "--shutdown-timeout", "200ms", "--out-ca", text(&ca)];
    cases.iter().for_each(|(out, _)| arguments.extend(["--out", out]));
    let catchment = Catchment::start(&arguments);
    one_point(&catchment);
    let mut admin = catchment.admin();
    until("a failed try of each", || {
        let page = admin.get("/metrics").text().to_owned();
        let failed = |out: &str| {
            page.lines().any(|line| line.contains(out) && line.contains("connected\"") && !line.ends_with(" 0"))
        };
        cases.iter().all(|(out, _)| failed(&format!("\"{out}\""))).then_some(())
    });
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 3, "{ended:?}");
    for (out, remedy) in &cases {
        let said = ended.stderr.lines().find(|line| line.contains(&format!("destination=\"{out}\"")));
        let said = said.unwrap_or_else(|| panic!("{out} is in trouble: {}", ended.stderr));
        assert!(said.contains(remedy) && !said.contains("docs.rs"), "{said}");
    }
    assert!(ended.ledger().ends_with("balanced"), "{ended:?}");
}

const CANARY: &str = "canary-9f27c1";

fn clean(what: &str, shown: &str) {
    assert!(!shown.contains(CANARY), "{what} shows the secret: {shown}");
}

/// A server over HTTP/1.1 that keeps heads, and answers with this status, and to go to that port of this machine.
fn plain_server(status: &'static str, elsewhere: u16) -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (send, heads) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|n| n > 0) {
                let line = head.lines().next_back().unwrap_or_default().to_lowercase();
                length = line.strip_prefix("content-length: ").and_then(|n| n.parse().ok()).unwrap_or(length);
            }
            let _ = reader.read_exact(&mut vec![0; length]);
            let _ = send.send(head);
            let answer = format!(
                "HTTP/1.1 {status}\r\nlocation: http://127.0.0.1:{elsewhere}/\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (port, heads)
}

/// T21: a secret in a header arrives where it should and is shown nowhere: banner, log at its finest, pages, ledger,
/// standard output, the end; over HTTP and gRPC, in clear and over TLS, accepted, refused and unreachable. T20: nor does
/// a redirect take it elsewhere (nobody connects there).
#[test]
fn t21_a_secret_is_shown_nowhere() {
    let ours = Authority::new("ours");
    let certificate = ours.sign(&["localhost"], VALID);
    let (grpc, https) = (TlsServer::start(&Manner::new(&certificate)), TlsServer::start(&Manner::new(&certificate)));
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = elsewhere.local_addr().unwrap().port();
    let (ok, ok_heads) = plain_server("200 OK", other);
    let (denied, denied_heads) = plain_server("401 Unauthorized", other);
    let (moved, moved_heads) = plain_server("302 Found", other);
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ca = file("ca.pem", &ours.pem);
    let key = file("key", &format!("{CANARY}-file\n"));
    let mut command =
        command(&["run", "--interval", "200ms", "--log", "trace", "--out-ca", text(&ca), "--shutdown-timeout", "1s"]);
    for door in ["--otlp-grpc", "--otlp-http", "--prometheus", "--admin"] {
        command.args([door, "127.0.0.1:0"]);
    }
    let outs = [
        format!("otlp-grpcs://localhost:{}", grpc.port),
        format!("otlp-https://localhost:{}", https.port),
        format!("otlp-http://127.0.0.1:{ok}"),
        format!("otlp-http://127.0.0.1:{denied}"),
        format!("otlp-http://127.0.0.1:{moved}"),
        format!("otlp-http://127.0.0.1:{dead}"),
        format!("otlp-grpc://127.0.0.1:{ok}"),
    ];
    for out in &outs {
        command.args(["--out", out]);
    }
    command.env("CATCHMENT_OUT_HEADER", format!("authorization=Bearer {CANARY}-env\nx-key=@{}", key.display()));
    let catchment = Catchment::spawn(command);
    one_point(&catchment);
    let head = |head: String, what: &str| {
        for value in ["-env", "-file"] {
            assert!(head.contains(&format!("{CANARY}{value}")), "{what} gets the headers: {head}");
        }
    };
    head(grpc.requests.recv_timeout(binary::process::WAIT).unwrap().head, "gRPC over TLS");
    head(https.requests.recv_timeout(binary::process::WAIT).unwrap().head, "HTTP over TLS");
    head(ok_heads.recv_timeout(binary::process::WAIT).unwrap(), "HTTP");
    head(denied_heads.recv_timeout(binary::process::WAIT).unwrap(), "HTTP, refused");
    head(moved_heads.recv_timeout(binary::process::WAIT).unwrap(), "HTTP, redirected");
    let mut admin = catchment.admin();
    for path in ["/metrics", "/ledger", "/readyz", "/healthz", "/"] {
        clean(path, admin.get(path).text());
    }
    clean("the scrape page", catchment.scraper().get("/metrics").text());
    let ended = catchment.terminate();
    assert!(ended.stderr.contains("TRACE"), "the log is as fine as it gets");
    elsewhere.set_nonblocking(true).unwrap();
    assert!(elsewhere.accept().is_err(), "nobody follows a redirect");
    clean("standard error", &ended.stderr);
    clean("standard output", &ended.stdout);
}

/// T21: nor in `--help` with the secret in the environment, nor in the manual, the completions, or what refuses a start.
#[test]
fn t21_nor_in_help_or_refusals() {
    let run = |arguments: &[&str], environment: &str| {
        let mut command = command(arguments);
        command.env("CATCHMENT_OUT_HEADER", environment).stdin(Stdio::null());
        output(command)
    };
    let good = format!("authorization=Bearer {CANARY}");
    let both = |ended: &Ended| format!("{}{}", ended.stdout, ended.stderr);
    for arguments in [
        ["run", "--help"].as_slice(),
        &["run", "-h"],
        &["help", "run"],
        &["man", "run"],
        &["man"],
        &["completions", "bash"],
        &["run", "--no-such-flag"],
    ] {
        let ended = run(arguments, &good);
        assert!(both(&ended).len() > 50, "{ended:?}");
        clean(&arguments.join(" "), &both(&ended));
    }
    assert!(both(&run(&["run", "--help"], &good)).contains("CATCHMENT_OUT_HEADER"), "the name is shown");
    let out = ["run", "--out", "otlp-http://127.0.0.1:1"];
    for (environment, words) in [
        (format!("Authorization: Bearer {CANARY}="), "with `=` and not `:`"),
        (CANARY.to_owned(), "there is no `=`"),
        (format!("host={CANARY}"), "`host` is set by Catchment"),
        (format!("a=1\nx={CANARY}\u{7f}"), "(number 2)"),
    ] {
        let ended = run(&out, &environment);
        assert_eq!(ended.code(), 2, "{ended:?}");
        assert!(ended.stderr.contains(words) && ended.stderr.contains("--out-header"), "{words}: {}", ended.stderr);
        clean("a refusal", &both(&ended));
    }
    // a value with a blank that was not quoted, a secret where a file's name should be, and the URL in the environment
    for arguments in [
        ["run", "--out-header", "authorization=Bearer", CANARY].as_slice(),
        &["run", "--out-header=authorization=Bearer", CANARY],
        &["run", "--out", out[2], "--out-header", &format!("x-api-key=@{CANARY}")],
    ] {
        let ended = run(arguments, "a=1");
        assert_eq!(ended.code(), 2, "{ended:?}");
        assert!(ended.stderr.contains("--out-header"), "{}", ended.stderr);
        clean("a refusal", &both(&ended));
    }
    let mut help = command(&["run", "--help"]);
    help.env("CATCHMENT_OUT", format!("otlp-https://user:{CANARY}@vendor.example"));
    clean("--help", &both(&output(help)));
    for url in [
        format!("otlp-https://user:{CANARY}@vendor.example/v1/metrics"),
        format!("otlp-http://vendor.example?api-key={CANARY}"),
        format!("otlp-http://user:{CANARY}/more@vendor.example"),
        format!("otlp-http://user:{CANARY}?more@vendor.example"),
        format!("user:{CANARY}@vendor.example:4317"),
    ] {
        let ended = run(&["run", "--out", &url], "a=1");
        assert_eq!(ended.code(), 2, "{ended:?}");
        assert!(ended.stderr.contains("--out"), "{ended:?}");
        clean("a refusal", &both(&ended));
    }
}

/// T21: some vendors have tokens in paths: neither banner, log, ledger, metrics nor an answer that repeats it shows one, and
/// destinations that differ in nothing else are told apart.
#[test]
fn t21_the_path_of_a_destination_is_shown_nowhere() {
    // a server that repeats what it was asked for, in the form that OTLP has for errors
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in server.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let path = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
                let _ = lines.take_while(|line| !line.is_empty()).count();
                let words = format!("nobody knows {path}");
                let body = [&[0x12, words.len() as u8], words.as_bytes()].concat();
                let head =
                    format!("HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _ = (&stream).write_all(&[head.as_bytes(), &body].concat());
                // what is left unread would reset the connection before the answer is read
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let _ = std::io::copy(&mut &stream, &mut std::io::sink());
            });
        }
    });
    let outs = ["hunter2", "a/hunter2", "hunter2/b"].map(|path| format!("otlp-http://{address}/{path}"));
    let flags = ["--interval", "100ms", "--log", "trace", "--out", &outs[0], "--out", &outs[1], "--out", &outs[2]];
    let mut catchment = Catchment::start(&flags);
    let point = br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a","gauge":{"dataPoints":[{"timeUnixNano":"1","asInt":"1"}]}}]}]}]}"#;
    assert_eq!(catchment.http().post("/v1/metrics", "application/json", point).unwrap().status, 200);
    let line = catchment.hear(&["nobody knows"]);
    assert!(line.contains("nobody knows /…"), "{line}");
    let mut admin = catchment.admin();
    let ledger = until("all refused", || {
        let ledger = admin.get("/ledger").text().to_owned();
        (ledger.matches("refused_by_destination").count() == 3).then_some(ledger)
    });
    let metrics = admin.get("/metrics").text().to_owned();
    let ended = catchment.terminate();
    assert_eq!(ended.code(), 3, "{ended:?}");
    for text in [&ledger, &metrics, &ended.stderr] {
        assert!(!text.contains("hunter2"), "{text}");
        for name in ["", "#2", "#3"] {
            let name = format!("otlp-http://{address}/…{name}");
            assert!(text.contains(&format!("{name}\"")) || text.contains(&format!("{name}: ")), "{name}: {text}");
        }
    }
}
