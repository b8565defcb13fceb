//! One HTTP/1.1 connection: `hyper` speaks the protocol, requests and answers are handed over in a cell.
//!
//! Does not know what is asked or answered. hyper's service is a future; ours leaves the request in the cell and waits
//! until the owner of the connection, which has everything at hand that an answer needs, has put one there.
//!
//! Invariants: 1. one request at a time is in the cell (hyper does not begin the next before the answer is out);
//! 2. hyper's own timers are off: `header_read_timeout` would also close idle keep-alive connections, and SDKs export
//! every 60 s.
//! Bounds: heads of `limits::HEADER_LIST_BYTES_MAX` bytes and `limits::HEADERS_MAX` fields; a read buffer of `limits::HTTP1_READ_BYTES_MAX`.

use std::cell::RefCell;
use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;

use super::network::Socket;
use super::wire::{Transport, Wire};
use crate::limits;

/// What is handed over: a request to the owner of the connection, an answer to hyper.
struct Handover<B> {
    request: Option<Request<Incoming>>,
    answer: Option<Response<B>>,
}

struct HandoverService<B>(Rc<RefCell<Handover<B>>>);

impl<B> Service<Request<Incoming>> for HandoverService<B> {
    type Response = Response<B>;
    type Error = Infallible;
    type Future = PendingAnswer<B>;

    fn call(&self, request: Request<Incoming>) -> PendingAnswer<B> {
        let mut handover = self.0.borrow_mut();
        handover.request = Some(request);
        handover.answer = None;
        PendingAnswer(Rc::clone(&self.0))
    }
}

/// Waits for the answer. Needs no waker: who hands it over polls the connection next.
struct PendingAnswer<B>(Rc<RefCell<Handover<B>>>);

impl<B> Future for PendingAnswer<B> {
    type Output = Result<Response<B>, Infallible>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0.borrow_mut().answer.take() {
            Some(answer) => Poll::Ready(Ok(answer)),
            None => Poll::Pending,
        }
    }
}

/// hyper's own answer to a head that it refuses has no body. Gives it one, while it is still corked: `body` is told the
/// status and gives the type and the content. `false` when there is no such answer. To hyper a target that is too long
/// is a malformed one: here it gets its own status.
pub fn give_body<S: Socket>(wire: &Wire<S>, body: impl FnOnce(u16) -> (HeaderValue, Bytes)) -> bool {
    const LENGTH: &[u8] = b"content-length: 0\r\n";
    const MALFORMED: &[u8] = b"HTTP/1.1 400 Bad Request\r\n";
    const TOO_LONG: &[u8] = b"HTTP/1.1 414 URI Too Long\r\n";
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).rposition(|window| window == what);
    let mut found = false;
    wire.amend(|out| {
        let Some(start) = find(out, b"HTTP/1.1 4") else { return };
        if wire.is_target_long() && out[start..].starts_with(MALFORMED) {
            out.splice(start..start + MALFORMED.len(), TOO_LONG.iter().copied());
        }
        let Some(length) = find(&out[start..], LENGTH).map(|at| start + at) else { return };
        let status = std::str::from_utf8(&out[start + 9..start + 12]).ok().and_then(|digits| digits.parse().ok());
        let Some(status) = status.filter(|_| out.ends_with(b"\r\n\r\n")) else { return };
        let (content_type, content) = body(status);
        let fields = [
            b"content-type: ",
            content_type.as_bytes(),
            b"\r\ncontent-length: ",
            content.len().to_string().as_bytes(),
            b"\r\n",
        ]
        .concat();
        out.splice(length..length + LENGTH.len(), fields);
        out.extend_from_slice(&content);
        found = true;
    });
    found
}

/// A connection, and what is handed over with it.
pub struct Http1<B, S>
where
    S: Socket,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    connection: Pin<Box<http1::Connection<Transport<S>, HandoverService<B>>>>,
    handover: Rc<RefCell<Handover<B>>>,
}

impl<B, S> Http1<B, S>
where
    S: Socket,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Begins a session on `wire`.
    pub fn new(wire: Rc<Wire<S>>) -> Self {
        let handover = Rc::new(RefCell::new(Handover { request: None, answer: None }));
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_headers(limits::HEADERS_MAX)
            .max_header_size(limits::HEADER_LIST_BYTES_MAX as usize)
            .max_buf_size(limits::HTTP1_READ_BYTES_MAX)
            .serve_connection(Transport(wire), HandoverService(Rc::clone(&handover)));
        Http1 { connection: Box::pin(connection), handover }
    }

    /// Drives the connection. `Ready` when it is over; the reason only matters to those who count.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.connection.as_mut().poll(context)
    }

    /// The request that came in since the last look.
    pub fn take_request(&mut self) -> Option<Request<Incoming>> {
        self.handover.borrow_mut().request.take()
    }

    /// Answers the request taken last. The connection has to be polled then.
    pub fn answer(&mut self, answer: Response<B>) {
        self.handover.borrow_mut().answer = Some(answer);
    }

    /// No request after the present one.
    pub fn graceful_shutdown(&mut self) {
        self.connection.as_mut().graceful_shutdown();
    }
}
