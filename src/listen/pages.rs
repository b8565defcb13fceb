//! Pages for the admin and scrape doors, over HTTP/1.1.
//!
//! Does not know what is on them: a [`PageMaker`] makes them, synchronously, in the thread that turns the server. Takes no
//! request bodies.
//!
//! Invariants: 1. a stream is pulled only while the socket takes more, at most `limits::READ_TURN_BYTES` a turn, so a
//! slow reader costs one chunk of memory and a long page stalls nobody; 2. a stream that aborts breaks the connection
//! off without the last chunk, so that half a page is never taken for a whole one; 3. a page is gzipped where the
//! request asks for it, a stream chunk by chunk, with one deflate state a connection while it lasts.
//! Bounds: as `connections` and `net::http1`; `Options::connections_max` connections at each door, so that none starves another.

use std::io::{self, Write as _};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, ORIGIN, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::answer::{TEXT, page_to_bad_head};
use super::connections::{Connections, Session, SessionStep};
use super::stats::ConnectionStats;
use super::timeouts::Timeouts;
use crate::clock::Now;
use crate::limits;
use crate::net::host;
use crate::net::http1::{Http1, give_body};
use crate::net::network::{Network, Readiness, Socket};
use crate::net::wake::Flag;
use crate::net::wire::Wire;

/// Why a streamed page ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort;

impl std::fmt::Display for Abort {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the page was broken off")
    }
}

impl std::error::Error for Abort {}

/// A page that is made as it is read.
pub trait PageStream {
    /// The next piece; `None` at the end. An empty piece means that the next turn should ask again.
    ///
    /// # Errors
    /// [`Abort`]: the answer is broken off without its last chunk.
    fn next(&mut self) -> Option<Result<Bytes, Abort>>;
}

/// What a page holds.
pub enum PageBody {
    /// All of it.
    Full(Bytes),
    /// Piece by piece, in chunked coding.
    Stream(Box<dyn PageStream>),
    /// Not yet: what it will be is asked for by this number ([`PageMaker::put_off`]), whenever the connection is driven.
    PutOff(u64),
}

/// An answer.
pub struct PageResponse {
    /// HTTP status, 200 to 599; anything else is sent as 500. 405 says which methods are allowed
    /// ([`PageMaker::methods`]), 503 to come again in a second.
    pub status: u16,
    /// Content-Type.
    pub content_type: &'static str,
    /// The content.
    pub body: PageBody,
}

/// Who makes the pages.
pub trait PageMaker {
    /// Answers one request. `path` and `query` are as they were sent, not decoded; `accept` is empty when absent, its
    /// lines joined with commas when there are several. For HEAD the body is left out by the server.
    fn page(&mut self, door: u8, method: &str, path: &str, query: &str, accept: &str) -> PageResponse;

    /// The methods of a page, as the header `Allow` has them.
    fn methods(&self, _door: u8, _path: &str) -> &'static str {
        "GET, HEAD"
    }

    /// The answer that was put off under this number; nothing while there is none.
    fn put_off(&mut self, _number: u64) -> Option<PageResponse> {
        None
    }
}

/// What can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Connections open at once at each door.
    pub connections_max: usize,
    /// First byte to end of a request's head.
    pub header_timeout: Duration,
    /// Time a connection may stay without a request.
    pub idle_timeout: Duration,
    /// Names that a request may ask for, besides `localhost` and addresses: at doors on loopback, and at all where there
    /// are any. A page in a browser reaches such a door by a name of its own that it lets point there.
    pub allowed_hosts: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            connections_max: limits::PAGE_CONNECTIONS_MAX / 2,
            header_timeout: limits::HEADER_TIMEOUT,
            idle_timeout: limits::PAGE_IDLE_TIMEOUT,
            allowed_hosts: Vec::new(),
        }
    }
}

/// Listeners and connections. Used like [`super::Doors`].
pub struct PageServer<N: Network> {
    connections: Connections<PageSession<N::Socket>, N>,
    doors: Vec<PageDoor>,
    options: Options,
    flag: Flag,
}

impl<N: Network> PageServer<N> {
    /// Opens the doors; each listener's number is given to [`PageMaker::page`].
    ///
    /// # Errors
    /// The network's own, from watching a listener, or the OS's, when no descriptor is left to keep in reserve.
    pub fn new(options: Options, listeners: Vec<(N::Listener, u8)>, network: N, token_base: usize) -> io::Result<Self> {
        let door = |(listener, number): &(N::Listener, u8)| {
            let is_near = network.address(listener)?.ip().to_canonical().is_loopback();
            Ok(PageDoor { number: *number, is_near, is_picky: is_near || !options.allowed_hosts.is_empty() })
        };
        let doors = listeners.iter().map(door).collect::<io::Result<_>>()?;
        let connections =
            Connections::new(listeners, network, token_base, options.connections_max, PageSession::begin)?;
        Ok(PageServer { connections, doors, options, flag: Flag::default() })
    }

    /// Notes what an event says.
    pub fn on_event(&mut self, event: Readiness) {
        self.connections.on_event(event);
    }

    /// Accepts, reads and answers. `true` when there is more to do at once.
    pub fn turn(&mut self, pages: &mut impl PageMaker, now: Now) -> bool {
        let PageServer { connections, doors, options, flag } = self;
        connections.turn(&mut PageTurn { pages, doors, options, flag, now }, now, |_| true)
    }

    /// What was put off may be there: its connections are driven in the next turn.
    pub fn rouse(&mut self) {
        self.connections.rouse();
    }

    /// Other names are allowed from now on, where they have to be.
    pub fn allow(&mut self, hosts: &[String]) {
        hosts.clone_into(&mut self.options.allowed_hosts);
        for door in &mut self.doors {
            door.is_picky = door.is_near || !hosts.is_empty();
        }
    }

    /// Time until `on_timers` should be called, `None` when no timer runs.
    pub fn next_timeout(&self, now: Now) -> Option<Duration> {
        self.connections.next_timeout(now)
    }

    /// Ends what takes too long.
    pub fn on_timers(&mut self, pages: &mut impl PageMaker, now: Now) {
        let PageServer { connections, doors, options, flag } = self;
        connections.on_timers(&mut PageTurn { pages, doors, options, flag, now }, now, |_| true);
    }

    /// Closes the listeners and the idle connections; pages that are being sent go on.
    pub fn stop_accepting(&mut self, pages: &mut impl PageMaker, now: Now) {
        let PageServer { connections, doors, options, flag } = self;
        connections.stop(&mut PageTurn { pages, doors, options, flag, now }, now);
    }

    /// Connections and bytes.
    pub fn stats(&self) -> &ConnectionStats {
        &self.connections.stats
    }
}

#[derive(Clone, Copy)]
struct PageDoor {
    number: u8,
    /// It is on loopback.
    is_near: bool,
    /// Names have to be allowed here.
    is_picky: bool,
}

struct PageTurn<'a, P> {
    pages: &'a mut P,
    doors: &'a [PageDoor],
    options: &'a Options,
    flag: &'a Flag,
    now: Now,
}

struct PageSession<T: Socket> {
    listener: usize,
    begun_ns: u64,
    open: Option<(Http1<Content<T>, T>, Timeouts)>,
    /// Held a second time by a stream that is under way.
    sending: Rc<()>,
    /// The number of an answer that is put off, and whether it may be zipped.
    put_off: Option<(u64, bool)>,
}

impl<T: Socket> PageSession<T> {
    fn begin(listener: usize, now: Now) -> Self {
        PageSession { listener, begun_ns: now.mono_ns, open: None, sending: Rc::default(), put_off: None }
    }
}

impl<P: PageMaker, T: Socket> Session<PageTurn<'_, P>, T> for PageSession<T> {
    fn drive(&mut self, wire: &Rc<Wire<T>>, turn: &mut PageTurn<'_, P>) -> SessionStep {
        let now_ns = turn.now.mono_ns;
        let (http, timeouts) =
            self.open.get_or_insert_with(|| (Http1::new(Rc::clone(wire)), Timeouts::new(self.begun_ns)));
        let waker = turn.flag.waker();
        let mut context = Context::from_waker(&waker);
        for _ in 0..limits::SESSION_ROUNDS_MAX {
            turn.flag.take();
            if let Poll::Ready(end) = http.poll(&mut context) {
                if end.is_err_and(|fault| fault.is_parse()) {
                    give_body(wire, page_to_bad_head);
                }
                return SessionStep::Close;
            }
            if let Some((number, gzip)) = self.put_off
                && let Some(page) = turn.pages.put_off(number)
            {
                self.put_off = None;
                // its method was right: it is no 405
                http.answer(response(page, (gzip, "POST"), wire, &self.sending));
                timeouts.on_answer(wire, now_ns);
            } else if let Some(request) = http.take_request() {
                timeouts.on_request();
                let door = turn.doors[self.listener];
                let allowed = door.is_picky.then_some(turn.options.allowed_hosts.as_slice());
                match answer(turn.pages, door.number, allowed, &request, wire, &self.sending) {
                    PageAnswer::Now(response) => {
                        http.answer(response);
                        timeouts.on_answer(wire, now_ns);
                    }
                    PageAnswer::PutOff(number, gzip) => self.put_off = Some((number, gzip)),
                }
            } else if !turn.flag.take() {
                timeouts.note(wire, now_ns);
                return SessionStep::Wait;
            }
        }
        wire.set_hungry();
        SessionStep::Wait
    }

    fn on_timer(&mut self, wire: &Rc<Wire<T>>, turn: &mut PageTurn<'_, P>) -> SessionStep {
        // a page under way is not idle: a reader that takes nothing has `limits::WRITE_STALL_TIMEOUT`
        if Rc::strong_count(&self.sending) > 1 || wire.is_write_blocked() || self.put_off.is_some() {
            return SessionStep::Wait;
        }
        let Options { header_timeout, idle_timeout, .. } = *turn.options;
        let is_spent = match &self.open {
            Some((_, timeouts)) => timeouts.is_spent(turn.now.mono_ns, header_timeout, idle_timeout),
            None => Timeouts::new(self.begun_ns).is_spent(turn.now.mono_ns, header_timeout, idle_timeout),
        };
        if is_spent { SessionStep::TimedOut } else { SessionStep::Wait }
    }

    fn stop(&mut self, _: &mut PageTurn<'_, P>) -> SessionStep {
        match &mut self.open {
            Some((http, _)) => {
                http.graceful_shutdown();
                SessionStep::Again
            }
            None => SessionStep::Close,
        }
    }

    fn is_idle(&self, _: &Wire<T>) -> bool {
        let is_head_begun = self.open.as_ref().is_some_and(|(_, timeouts)| timeouts.is_head_begun());
        Rc::strong_count(&self.sending) == 1 && !is_head_begun && self.put_off.is_none()
    }

    fn abandon(&mut self, _: &mut PageTurn<'_, P>) {}
}

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const FOREIGN_NAME: &str = "this door does not go by the name in the Host header: ask for localhost or an address, or start the \
                            server with --allowed-host and this name";

const FROM_A_BROWSER: &str = "a page in a browser may look, and change nothing";

/// An answer, or the number by which it is asked for later, and whether it may be zipped.
enum PageAnswer<T> {
    Now(Response<Content<T>>),
    PutOff(u64, bool),
}

fn answer<T: Socket>(
    pages: &mut impl PageMaker,
    door: u8,
    allowed: Option<&[String]>,
    request: &Request<Incoming>,
    wire: &Rc<Wire<T>>,
    sending: &Rc<()>,
) -> PageAnswer<T> {
    let uri = request.uri();
    let refusal = match host::check(request.version(), uri, request.headers()) {
        Err(words) => Some((StatusCode::BAD_REQUEST, words)),
        // any page may have a browser post to an address of this machine, and says where it is from
        Ok(()) if !request.method().is_safe() && request.headers().contains_key(ORIGIN) => {
            Some((StatusCode::FORBIDDEN, FROM_A_BROWSER))
        }
        Ok(()) => allowed
            .filter(|names| !host::is_allowed(uri, request.headers(), names))
            .map(|_| (StatusCode::FORBIDDEN, FOREIGN_NAME)),
    };
    if let Some((status, words)) = refusal {
        let mut response = Response::new(Content::Full(format!("{words}\n").into()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, TEXT);
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        return PageAnswer::Now(response);
    }
    let accept = joined(request.headers(), &ACCEPT);
    let gzip = takes_gzip(&joined(request.headers(), &ACCEPT_ENCODING));
    let page = pages.page(door, request.method().as_str(), uri.path(), uri.query().unwrap_or_default(), &accept);
    match page.body {
        PageBody::PutOff(number) => PageAnswer::PutOff(number, gzip),
        _ => PageAnswer::Now(response(page, (gzip, pages.methods(door, uri.path())), wire, sending)),
    }
}

/// A page as it is sent.
fn response<T: Socket>(
    page: PageResponse,
    (gzip, methods): (bool, &'static str),
    wire: &Rc<Wire<T>>,
    sending: &Rc<()>,
) -> Response<Content<T>> {
    let gzipper = || GzEncoder::new(Vec::new(), Compression::new(limits::PAGE_GZIP_LEVEL));
    let (content, zipped) = match page.body {
        PageBody::Full(bytes) if gzip && bytes.len() >= limits::PAGE_GZIP_BYTES_MIN => {
            let mut gzipper = gzipper();
            // writing to memory does not fail
            let _ = gzipper.write_all(&bytes);
            (Content::Full(gzipper.finish().unwrap_or_default().into()), true)
        }
        PageBody::Full(bytes) => (Content::Full(bytes), false),
        // there is nothing to send, and nobody makes one
        PageBody::PutOff(_) => (Content::Full(Bytes::new()), false),
        PageBody::Stream(stream) => {
            let gzipper = gzip.then(|| Box::new(gzipper()));
            (
                Content::Stream { stream, wire: Rc::clone(wire), gzipper, over: false, _sending: Rc::clone(sending) },
                gzip,
            )
        }
    };
    let mut response = Response::new(content);
    *response.status_mut() = StatusCode::from_u16(page.status)
        .ok()
        .filter(|status| !status.is_informational())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    if page.status == 405 {
        // RFC 9110, 15.5.6
        headers.insert(ALLOW, HeaderValue::from_static(methods));
    }
    if page.status == 503 {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if zipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Whether gzip, or x-gzip, which is the same, is listed with a weight above 0 (RFC 9110, 8.4.1.3 and 12.5.3). `*` alone
/// does not ask for it.
fn takes_gzip(accept_encoding: &str) -> bool {
    accept_encoding.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let named =
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip"));
        let refused = parts.filter_map(|part| part.split_once('=')).any(|(name, weight)| {
            let is_zero = weight.trim().bytes().all(|b| b == b'0' || b == b'.');
            name.trim().eq_ignore_ascii_case("q") && is_zero
        });
        named && !refused
    })
}

/// All lines of a header, joined with commas.
fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
    let mut joined = String::new();
    for line in headers.get_all(name).iter().filter_map(|value| value.to_str().ok()) {
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(line);
    }
    joined
}

enum Content<T> {
    Full(Bytes),
    Stream {
        stream: Box<dyn PageStream>,
        wire: Rc<Wire<T>>,
        gzipper: Option<Box<GzEncoder<Vec<u8>>>>,
        over: bool,
        _sending: Rc<()>,
    },
}

/// What a piece of a page becomes in gzip; nothing when the deflate state keeps it back for now.
fn zip(gzipper: &mut GzEncoder<Vec<u8>>, piece: &Bytes) -> Bytes {
    // writing to memory does not fail
    let _ = gzipper.write_all(piece);
    Bytes::from(std::mem::take(gzipper.get_mut()))
}

impl<T: Socket> http_body::Body for Content<T> {
    type Data = Bytes;
    type Error = Abort;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Abort>>> {
        match &mut *self {
            Content::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            // The event that says that the socket takes more drives the session again.
            Content::Stream { wire, .. } if wire.is_write_blocked() => Poll::Pending,
            Content::Stream { wire, .. } if wire.turn_out() >= limits::READ_TURN_BYTES => {
                wire.set_hungry();
                Poll::Pending
            }
            Content::Stream { over: true, .. } => Poll::Ready(None),
            Content::Stream { stream, wire, gzipper, over, .. } => {
                let piece = match (stream.next(), gzipper.as_mut()) {
                    (Some(Ok(piece)), Some(gzipper)) => Some(Ok(zip(gzipper, &piece))),
                    (None, Some(_)) => {
                        *over = true;
                        let rest = gzipper.take().and_then(|gzipper| gzipper.finish().ok()).unwrap_or_default();
                        Some(Ok(rest.into()))
                    }
                    (piece, _) => piece,
                };
                match piece {
                    Some(Ok(bytes)) if bytes.is_empty() => {
                        wire.set_hungry();
                        Poll::Pending
                    }
                    piece => Poll::Ready(piece.map(|piece| piece.map(Frame::data))),
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Content::Full(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Content::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream { .. } => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::takes_gzip;

    #[test]
    fn gzip_is_used_only_where_it_is_asked_for() {
        let check = |accept: &str, want: bool| assert_eq!(takes_gzip(accept), want, "{accept:?}");
        check("", false);
        check("gzip", true);
        check("deflate, GZIP;q=0.5, br", true);
        check("gzip;q=0", false);
        check("gzip; q=0.000, identity", false);
        check("gzip;q=0.001", true);
        check("*", false);
        check("gzipped, y-gzip", false);
        check("br, X-Gzip;q=0.5", true);
        check("x-gzip;q=0", false);
    }
}
