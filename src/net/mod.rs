//! Protocol glue: what a session over HTTP/1.1 or HTTP/2 needs between a non-blocking socket and a whole body.
//!
//! Does not know metrics, paths, status texts or who is served; `listen` (and `deliver`) do. Starts no threads, asks
//! no clock: time is an argument.
//!
//! ```text
//!  network  what is asked of a network, the system's or a test's
//!  sockets  the system's: TCP, and `mio` to tell which sockets are ready
//!  accept   listeners that outlive a full file table
//!  wire     one socket as tokio and hyper see it: readiness, one turn's share, corked writes
//!  frames   nine-byte HTTP/2 frame heads, counted by type and second
//!  heads    HTTP/1.1 heads, refused where their length is a matter of opinion, or their target too long
//!  host     which host a request is for, refused where that is a matter of opinion
//!  hops     which instances a request came through, so that none goes in a circle
//!  wake     the one waker of a shard
//!  http1    hyper's HTTP/1.1 connection, its requests handed out and answers handed in
//!  body     chunks into one slice; buffers that are used again
//!  inflate  compressed bodies into a byte budget: gunzip and unzstd, over members
//!  grpc     five-byte prefix, timeouts, percent and base64 words
//! ```
//!
//! Invariants:
//! 1. Readiness is edge-triggered: a `Wire` stays readable until the socket has said that it is empty.
//! 2. A session is polled only by the thread that owns it, and its wakers fire only inside that poll. That is why one
//!    flag per shard is enough and no ready list has to be shared.

pub mod accept;
pub mod body;
pub mod frames;
pub mod grpc;
pub mod gunzip;
pub mod heads;
pub mod hops;
pub mod host;
pub mod http1;
pub mod inflate;
pub mod members;
pub mod network;
pub mod sockets;
pub mod unzstd;
pub mod wake;
pub mod wire;
