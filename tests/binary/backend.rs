//! A counting backend inside the test: OTLP/HTTP in, every point kept by series.

use crate::common::{Any, each_point};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

/// (metric, attributes as text).
pub type Key = (String, String);

#[derive(Default)]
pub struct Received {
    pub requests: u64,
    pub points: u64,
    /// Bodies as they came, inflated; the first thousand.
    pub bodies: Vec<Vec<u8>>,
    pub series: BTreeMap<Key, Vec<Any>>,
}

#[derive(Default)]
struct Shared {
    received: Mutex<Received>,
    changed: Condvar,
}

pub struct Backend {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Backend {
    /// Its threads end with the test's process.
    pub fn start() -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let state = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = state.clone();
                std::thread::spawn(move || serve(stream, |body| take(body, &state)));
            }
        });
        Backend { address, shared }
    }

    /// For `--out`.
    pub fn url(&self, options: &str) -> String {
        format!("otlp-http://{}?{options}", self.address)
    }

    pub fn with<T>(&self, look: impl FnOnce(&Received) -> T) -> T {
        look(&self.shared.received.lock().unwrap())
    }

    /// Waits for requests until `done`.
    pub fn wait(&self, what: &str, mut done: impl FnMut(&Received) -> bool) {
        let deadline = Instant::now() + super::process::WAIT;
        let mut received = self.shared.received.lock().unwrap();
        while !done(&received) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited too long for: {what}; {} points came", received.points);
            received = self.shared.changed.wait_timeout(received, left).unwrap().0;
        }
    }
}

/// One connection: takes what each request has, inflated, into account, and answers with the status that this says. Ends when
/// the client closes it.
pub fn serve(stream: TcpStream, mut answer: impl FnMut(Vec<u8>) -> u16) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut gzip, mut first) = (None, false, String::new());
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_lowercase();
            match line.split_once(": ") {
                _ if first.is_empty() => first = line,
                Some(("content-length", value)) => length = value.parse::<usize>().ok(),
                Some(("content-encoding", "gzip")) => gzip = true,
                Some(_) => {}
                None => break,
            }
        }
        assert_eq!(first, "post /v1/metrics http/1.1");
        let mut body = vec![0; length.expect("a content length")];
        stream.read_exact(&mut body).ok()?;
        if gzip {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).expect("gzip");
            body = plain;
        }
        let status = answer(body);
        let head =
            format!("HTTP/1.1 {status} Scripted\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n");
        stream.get_mut().write_all(head.as_bytes()).ok()?;
    }
}

/// Takes a request; the status of its answer.
fn take(body: Vec<u8>, shared: &Shared) -> u16 {
    let request = ExportMetricsServiceRequest::decode(&*body).expect("protobuf");
    // taken before it is answered: what was answered is here
    let mut received = shared.received.lock().unwrap();
    received.requests += 1;
    if received.bodies.len() < 1000 {
        received.bodies.push(body);
    }
    for (name, attributes, point) in each_point(&request) {
        received.points += 1;
        received.series.entry((name, attributes)).or_default().push(point);
    }
    drop(received);
    shared.changed.notify_all();
    200
}
