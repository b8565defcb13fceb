//! The doors over a network in memory: both protocols are served in the test's own thread, without a poll, a socket or a
//! clock of the system's.

use std::cell::RefCell;
use std::pin::pin;
use std::task::Poll;

use crate::memory_network::{MemoryClient, MemoryNetwork, poll_once};
use crate::support::framed;
use bytes::Bytes;
use catchment::clock::Now;
use catchment::ingest::Sliced;
use catchment::listen::{Answer, Doors, Exported, Intake, Options};
use catchment::model::{Door, Origin, Peer, Receipt, Tenant};
use http::Request;

const ADDRESS: &str = "127.0.0.1:4317";
const PEER: &str = "192.0.2.7";
const ROUNDS_MAX: usize = 10_000;

/// Takes everything, and remembers it.
#[derive(Default)]
struct Taken(Vec<(Origin, Vec<u8>)>);

impl Intake for Taken {
    fn export(&mut self, origin: Origin, body: &[u8], _: &mut Option<Box<Sliced>>, _: Now) -> Exported {
        self.0.push((origin, body.to_vec()));
        Exported { end: Some(Ok(Receipt { points: 1, ..Receipt::default() })), cost_ns: 1 }
    }

    fn reserve(&mut self, _: Peer, _: usize) -> bool {
        true
    }

    fn release(&mut self, _: Peer, _: usize) {}
}

/// One shard's loop, turn by turn.
struct Run {
    network: MemoryNetwork,
    doors: Doors<MemoryNetwork>,
    taken: Taken,
    now_ns: u64,
}

impl Run {
    fn new(pipe_bytes_max: usize) -> Run {
        let network = MemoryNetwork::new(pipe_bytes_max);
        let listeners = vec![network.listen(ADDRESS)];
        let doors = Doors::new(Options::default(), listeners, network.clone(), 7).unwrap();
        Run { network, doors, taken: Taken::default(), now_ns: 1 }
    }

    fn turn(&mut self) {
        self.network.events().into_iter().for_each(|event| self.doors.on_event(event));
        self.doors.turn(&mut self.taken, Now::at(self.now_ns));
    }

    /// Turns until a client has what it waits for.
    fn until<T>(&mut self, mut done: impl FnMut() -> Option<T>) -> T {
        for _ in 0..ROUNDS_MAX {
            self.turn();
            if let Some(what) = done() {
                return what;
            }
        }
        panic!("not after {ROUNDS_MAX} turns: {:?}", self.doors.stats());
    }

    fn origin(door: Door) -> Origin {
        let peer = PEER.parse::<std::net::IpAddr>().unwrap().into();
        Origin { door, peer, tenant: Tenant::DEFAULT }
    }
}

/// One POST over HTTP/1.1, written and read as there is room; what came back.
fn post(run: &mut Run, client: &mut MemoryClient, body: &[u8]) -> String {
    let head = format!(
        "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), body].concat();
    let (mut sent, mut reply) = (0, Vec::new());
    run.until(|| {
        sent += client.write(&request[sent..]).unwrap_or(0);
        reply.extend(client.read(usize::MAX).unwrap_or_default());
        reply.ends_with(b"\r\n\r\n").then(|| String::from_utf8(reply.clone()).unwrap())
    })
}

/// One gRPC call; its status.
fn call(run: &mut Run, client: MemoryClient, message: &[u8]) -> i32 {
    let mut handshake = pin!(h2::client::handshake(client));
    let (send, connection) = run.until(|| match poll_once(handshake.as_mut()) {
        Poll::Ready(done) => Some(done.unwrap()),
        Poll::Pending => None,
    });
    let connection = RefCell::new(Box::pin(connection));
    let call = async {
        let mut send = send.ready().await.unwrap();
        let request = Request::post("http://x/opentelemetry.proto.collector.metrics.v1.MetricsService/Export")
            .header("content-type", "application/grpc");
        let (response, mut body) = send.send_request(request.body(()).unwrap(), false).unwrap();
        body.send_data(Bytes::from(framed(0, message)), true).unwrap();
        let mut answer = response.await.unwrap().into_body();
        while let Some(chunk) = answer.data().await {
            let bytes = chunk.unwrap().len();
            answer.flow_control().release_capacity(bytes).unwrap();
        }
        answer.trailers().await.unwrap().unwrap()["grpc-status"].to_str().unwrap().parse().unwrap()
    };
    let mut call = pin!(call);
    run.until(|| {
        assert!(poll_once(connection.borrow_mut().as_mut()).is_pending(), "the connection stays open");
        match poll_once(call.as_mut()) {
            Poll::Ready(status) => Some(status),
            Poll::Pending => None,
        }
    })
}

/// Whatever the network holds at once: the same requests, from whom they came, and the same answers.
#[test]
fn both_protocols_are_served_over_a_network_in_memory() {
    for pipe_bytes_max in [3, 100, 1 << 20] {
        let mut run = Run::new(pipe_bytes_max);
        let body: Vec<u8> = (0..20_000u32).map(|i| i as u8).collect();
        let mut client = run.network.connect(ADDRESS, PEER);
        for _ in 0..2 {
            let reply = post(&mut run, &mut client, &body);
            assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
        }
        let client = run.network.connect(ADDRESS, PEER);
        assert_eq!(call(&mut run, client, &body), 0);
        let want = [Door::OtlpHttp, Door::OtlpHttp, Door::OtlpGrpc].map(|door| (Run::origin(door), body.clone()));
        assert!(run.taken.0 == want, "{pipe_bytes_max}");
        let stats = run.doors.stats();
        assert_eq!(Door::ALL.map(|door| stats.requests(door, Answer::Ok)), [1, 2]);
        assert_eq!(stats.connections.accepted, 2);
    }
}

/// The same seed, or here the same calls, give the same run: counters and time included.
#[test]
fn what_the_doors_wait_for_passes_when_the_test_says_so() {
    let mut run = Run::new(1 << 10);
    let mut client = run.network.connect(ADDRESS, PEER);
    client.write(b"POST /v1/metrics HTTP/1.1\r\n").unwrap();
    run.turn();
    run.turn();
    assert_eq!((run.doors.stats().connections.open, run.doors.stats().connections.timed_out), (1, 0));
    run.now_ns += Options::default().header_timeout.as_nanos() as u64 + 1;
    run.doors.on_timers(&mut run.taken, Now::at(run.now_ns));
    assert_eq!(run.doors.stats().connections.timed_out, 1, "half a head");
    assert_eq!(client.read(1).map_err(|fault| fault.kind()), Ok(Vec::new()), "and no more comes");
    drop(client);
    run.turn();
    run.turn();
    assert_eq!(run.doors.stats().connections.open, 0);
}

/// Where connections wait that nobody has accepted, they are cut off with their listener.
#[test]
fn who_waits_at_a_door_that_closes_is_cut_off() {
    let mut run = Run::new(1 << 10);
    let mut client = run.network.connect(ADDRESS, PEER);
    run.doors.stop_accepting(&mut run.taken, Now::at(1));
    assert_eq!(client.write(b"POST").map_err(|fault| fault.kind()), Err(std::io::ErrorKind::BrokenPipe));
    run.turn();
    assert!(run.doors.idle() && run.doors.stats().connections.accepted == 0);
}
