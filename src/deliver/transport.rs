//! The names behind an endpoint, and the way to a connected stream: resolve, connect, shake hands, or the next address.
//!
//! Does not know: protocols above TLS, retries, which destination it serves.
//!
//! Invariants:
//! 1. Name resolution blocks only its own helper thread, one per destination that has a name; old addresses are kept
//!    when it fails. Helper threads end when their destination does, or when the system's resolver returns.
//! 2. A handshake takes at most `TLS_HANDSHAKE_TIMEOUT`, and never longer than the request that wants it.
//!
//! Bounds: `ADDRESSES_MAX` addresses per name; one question under way per name.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Poll, ready};
use std::time::Duration;

use crossbeam::queue::ArrayQueue;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::destination::Endpoint;
use super::queue::PollBell;
use super::stream::{Ready, Stream};
use super::tls::{self, Tls};
use super::why::Why;
use crate::limits::TLS_HANDSHAKE_TIMEOUT;

/// Addresses kept of one name.
const ADDRESSES_MAX: usize = 16;
/// A name is asked for again when a connection is made and the answer is older than this.
const NAME_FRESH: Duration = Duration::from_secs(30);

const DNS_REMEDY: &str = "check the host's name, and this machine's DNS; the data is kept and tried again";

/// The addresses of one endpoint, and how sessions are begun there.
pub(super) struct EndpointAddresses {
    endpoint: Endpoint,
    tls: Option<Tls>,
    all: Vec<SocketAddr>,
    /// Which address the next connection tries first.
    next: usize,
    resolver: Option<Resolver>,
}

struct Resolver {
    questions: mpsc::Sender<()>,
    answers: Arc<ArrayQueue<Result<Vec<SocketAddr>, String>>>,
    asked: bool,
    answered_ns: Option<u64>,
    error: Option<String>,
}

impl EndpointAddresses {
    /// Spawns the helper thread if the endpoint has a name; addresses need none.
    pub(super) fn new(endpoint: &Endpoint, tls: Option<Tls>, bell: &Arc<PollBell>) -> io::Result<Self> {
        let mut addresses =
            EndpointAddresses { endpoint: endpoint.clone(), tls, all: Vec::new(), next: 0, resolver: None };
        if let Ok(address) = endpoint.host.parse::<IpAddr>() {
            addresses.all.push(SocketAddr::new(address, endpoint.port));
            return Ok(addresses);
        }
        let (questions, asked) = mpsc::channel::<()>();
        let answers = Arc::new(ArrayQueue::new(1));
        let (host, port, bell, sink) = (endpoint.host.clone(), endpoint.port, bell.clone(), answers.clone());
        std::thread::Builder::new().name("resolve".into()).spawn(move || {
            while asked.recv().is_ok() {
                let answer = match (host.as_str(), port).to_socket_addrs() {
                    Ok(addresses) => Ok(addresses.take(ADDRESSES_MAX).collect()),
                    Err(error) => Err(error.to_string()),
                };
                sink.force_push(answer);
                bell.ring();
            }
        })?;
        addresses.resolver = Some(Resolver { questions, answers, asked: false, answered_ns: None, error: None });
        Ok(addresses)
    }

    /// The addresses to try, or that they are still asked for, or why there are none.
    fn get(&mut self, now_ns: u64) -> Poll<Result<&[SocketAddr], String>> {
        if let Some(resolver) = &mut self.resolver {
            if let Some(answer) = resolver.answers.pop() {
                resolver.asked = false;
                resolver.answered_ns = Some(now_ns);
                match answer {
                    Ok(addresses) if !addresses.is_empty() => {
                        self.all = addresses;
                        resolver.error = None;
                    }
                    Ok(_) => resolver.error = Some("the name has no address".to_owned()),
                    Err(error) => resolver.error = Some(error),
                }
                if self.all.is_empty() {
                    // told once; the next try asks again
                    resolver.answered_ns = None;
                    let error = resolver.error.take().unwrap_or_default();
                    return Poll::Ready(Err(format!("cannot resolve `{}`: {error}", self.endpoint.host)));
                }
            }
            let fresh = resolver.answered_ns.is_some_and(|at| now_ns.saturating_sub(at) < NAME_FRESH.as_nanos() as u64);
            if !fresh && !resolver.asked {
                // the helper lives as long as this sender
                resolver.asked = resolver.questions.send(()).is_ok();
            }
            if self.all.is_empty() {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(&self.all))
    }
}

/// The way to a connected stream.
#[derive(Default)]
pub(super) struct Dial {
    connecting: Option<Stream>,
    tried: usize,
    last_error: Option<Why>,
    /// The handshake under way must be over by then, ns.
    until_ns: Option<u64>,
}

impl Dial {
    /// Goes on; `Ready` with a stream that protocols can use and its readiness, or with why no address gave one.
    pub(super) fn poll(
        &mut self,
        addresses: &mut EndpointAddresses,
        registry: &Registry,
        token: Token,
        now_ns: u64,
    ) -> Poll<Result<(Stream, Rc<Ready>), Why>> {
        loop {
            if let Some(mut stream) = self.connecting.take() {
                match self.establish(&mut stream, addresses, now_ns) {
                    Poll::Pending => {
                        self.connecting = Some(stream);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(())) => {
                        self.tried = 0;
                        self.until_ns = None;
                        let ready = stream.ready().clone();
                        return Poll::Ready(Ok((stream, ready)));
                    }
                    Poll::Ready(Err(why)) => self.fail(addresses, why),
                }
            }
            let next = addresses.next;
            let all = match ready!(addresses.get(now_ns)) {
                Ok(all) => all,
                Err(error) => {
                    return Poll::Ready(Err(Why { what: error, remedy: Some(DNS_REMEDY) }));
                }
            };
            if self.tried >= all.len() {
                self.tried = 0;
                return Poll::Ready(Err(self.last_error.take().unwrap_or_else(|| "no address".to_owned().into())));
            }
            let address = all[next % all.len()];
            match connect(address, registry, token) {
                Ok(stream) => self.connecting = Some(stream),
                Err(error) => self.fail(addresses, unconnected(addresses, &error)),
            }
        }
    }

    fn establish(&mut self, stream: &mut Stream, addresses: &EndpointAddresses, now_ns: u64) -> Poll<Result<(), Why>> {
        let Some(tls) = &addresses.tls else {
            return stream.poll_connected().map_err(|error| unconnected(addresses, &error));
        };
        let authority = || addresses.endpoint.authority();
        if !stream.is_secure() {
            ready!(stream.poll_connected()).map_err(|error| unconnected(addresses, &error))?;
            stream.begin_tls(tls, &addresses.endpoint.host, authority())?;
            self.until_ns = Some(now_ns.saturating_add(TLS_HANDSHAKE_TIMEOUT.as_nanos() as u64));
        }
        match stream.poll_handshake() {
            Poll::Pending if self.until_ns.is_some_and(|until| now_ns >= until) => {
                Poll::Ready(Err(tls::too_slow(&authority())))
            }
            poll => poll,
        }
    }

    fn fail(&mut self, addresses: &mut EndpointAddresses, why: Why) {
        self.last_error = Some(why);
        self.until_ns = None;
        self.tried += 1;
        addresses.next = addresses.next.wrapping_add(1);
    }

    /// What keeps a connection from being there, in words.
    pub(super) fn waits_for(&self, addresses: &EndpointAddresses) -> Option<Why> {
        if self.until_ns.is_some() {
            return Some(tls::unanswered(&addresses.endpoint.authority()));
        }
        if self.connecting.is_some() {
            let what = format!("{} does not answer when asked for a connection", addresses.endpoint.authority());
            let remedy = "check address and port, and the firewalls on the way; the data is kept and tried again";
            return Some(Why { what, remedy: Some(remedy) });
        }
        let asked = addresses.resolver.as_ref().is_some_and(|resolver| resolver.asked) && addresses.all.is_empty();
        asked.then(|| Why {
            what: format!("`{}` is still being resolved", addresses.endpoint.host),
            remedy: Some(DNS_REMEDY),
        })
    }

    /// Ends a try that took too long; the next one starts with the next address.
    pub(super) fn abandon(&mut self, addresses: &mut EndpointAddresses) {
        if self.connecting.take().is_some() {
            addresses.next = addresses.next.wrapping_add(1);
        }
        self.until_ns = None;
        self.tried = 0;
    }

    /// When a turn is due without an event, ns.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.until_ns
    }

    /// The loop saw an event for the socket that is connecting.
    pub(super) fn on_event(&self, event: &mio::event::Event) {
        if let Some(stream) = &self.connecting {
            stream.ready().on_event(event);
        }
    }
}

fn unconnected(addresses: &EndpointAddresses, error: &io::Error) -> Why {
    format!("cannot connect to {}: {error}", addresses.endpoint.authority()).into()
}

fn connect(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Stream> {
    let mut socket = TcpStream::connect(address)?;
    registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
    Ok(Stream::new(socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    /// T14: a server that accepts and says nothing is given up when the time for a handshake is over; before that, the
    /// loop is told when to look again.
    #[test]
    fn t14_a_handshake_ends_when_its_time_is_over() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let mut poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), Token(0)).unwrap();
        let bell = Arc::new(PollBell { waker, rung: AtomicBool::new(false) });
        let tls = Tls::new(Arc::new(rustls::RootCertStore::empty()), None, b"h2").unwrap();
        let endpoint = Endpoint { host: "127.0.0.1".into(), port, secure: true };
        let mut addresses = EndpointAddresses::new(&endpoint, Some(tls), &bell).unwrap();
        let mut dial = Dial::default();
        let mut events = mio::Events::with_capacity(8);
        let limit = TLS_HANDSHAKE_TIMEOUT.as_nanos() as u64;
        for _ in 0..1_000 {
            assert!(dial.poll(&mut addresses, poll.registry(), Token(1), 5).is_pending());
            if dial.next_ns() == Some(5 + limit) {
                break;
            }
            poll.poll(&mut events, Some(Duration::from_secs(1))).unwrap();
            events.iter().filter(|event| event.token() == Token(1)).for_each(|event| dial.on_event(event));
        }
        assert!(dial.poll(&mut addresses, poll.registry(), Token(1), 4 + limit).is_pending());
        let waits = dial.waits_for(&addresses).expect("a handshake").what;
        assert!(waits.contains("TLS handshake"), "a request whose time is over sooner tells why: {waits}");
        let Poll::Ready(Err(why)) = dial.poll(&mut addresses, poll.registry(), Token(1), 5 + limit) else {
            panic!("the handshake goes on");
        };
        assert!(why.what.contains("longer than 10s") && why.remedy.is_some(), "{why:?}");
        assert_eq!(dial.next_ns(), None, "no timer is left behind");
    }
}
