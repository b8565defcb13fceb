//! Every bound of the program, in one place.
//!
//! Knows numbers and their relations; does not know who uses them. A limit that is met names itself, its value and
//! the remedy in the error. Options that a user can set have their default here and are carried in each room's own
//! `Options`.

use std::time::Duration;

/// One kibibyte.
pub const KIB: usize = 1024;
/// One mebibyte.
pub const MIB: usize = 1024 * KIB;

/// Default of `--max-body`: bytes of one request, before and after decompression (OTLP specification, 64 MiB).
pub const MAX_BODY_BYTES_DEFAULT: usize = 64 * MIB;
/// Bytes of one response we send or accept (OTLP specification, 4 MiB).
pub const RESPONSE_BYTES_MAX: usize = 4 * MIB;
/// Bytes kept of an error body from a backend.
pub const ERROR_BODY_BYTES_MAX: usize = 64 * KIB;
/// Bytes of an error message inside a response of ours.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 4 * KIB;

/// Nesting of AnyValue, groups and unknown fields in a protobuf request.
pub const WIRE_DEPTH_MAX: usize = 64;
/// Bytes of a metric name.
pub const NAME_BYTES_MAX: usize = 64 * KIB;
/// Attributes on one point.
pub const ATTRIBUTES_MAX: usize = 1_024;
/// Bucket bounds of an explicit histogram.
pub const HISTOGRAM_BOUNDS_MAX: usize = 1_024;
/// Buckets of each sign of an exponential histogram.
pub const EXPONENTIAL_BUCKETS_MAX: usize = 160;

/// Connections open at once on the OTLP doors, over all shards.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Concurrent calls on one HTTP/2 connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 256;
/// Receive window of one HTTP/2 connection, bytes: four requests of a thousand points. Smaller ones break the frames
/// of pipelined requests up, and a body in several chunks is copied once more (a tenth of the cost of a point).
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 1024 * KIB as u32;
/// Receive window of one HTTP/2 stream, bytes.
pub const HTTP2_WINDOW_BYTES: u32 = 256 * KIB as u32;
/// Largest HTTP/2 frame we let a client send, bytes. 16 KiB frames cost a third more CPU per point than these.
pub const HTTP2_FRAME_BYTES: u32 = 256 * KIB as u32;
/// Header list of one request, bytes.
pub const HEADER_LIST_BYTES_MAX: u32 = 16 * KIB as u32;
/// Bytes taken from one connection before the others get their turn.
pub const READ_TURN_BYTES: usize = 256 * KIB;
/// Time from the first byte of a request to the end of its head.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Time a connection may be idle.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// PING frames accepted on one connection per second; likewise SETTINGS, RST_STREAM.
pub const HTTP2_PING_PER_SECOND_MAX: u32 = 100;
/// SETTINGS frames accepted on one connection per second.
pub const HTTP2_SETTINGS_PER_SECOND_MAX: u32 = 50;
/// RST_STREAM frames accepted on one connection per second.
pub const HTTP2_RESET_PER_SECOND_MAX: u32 = 100;

/// Default of `--series-limit`: live series over all shards.
pub const SERIES_LIMIT_DEFAULT: usize = 1_000_000;
/// Groups (resource, scope, metric) over all shards.
pub const GROUPS_MAX: usize = 100_000;
/// Shards of one process.
pub const SHARDS_MAX: usize = 256;
/// Default of `--interval`.
pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(10);
/// Shortest interval.
pub const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Longest interval.
pub const INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// Default of `--expire`.
pub const EXPIRE_DEFAULT: Duration = Duration::from_secs(300);
/// Default of `--shutdown-timeout`.
pub const SHUTDOWN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// A shard that has not switched banks this long after a cut is skipped for that cut.
pub const CUT_LATE_AFTER: Duration = Duration::from_secs(1);
/// Time a merge or encode slice may take between two reads.
pub const SLICE: Duration = Duration::from_micros(500);

/// Points in one outgoing request.
pub const BATCH_POINTS_MAX: usize = 4_096;
/// Bytes in one outgoing request before compression.
pub const BATCH_BYTES_MAX: usize = 2 * MIB;
/// Default bytes queued in memory for one destination.
pub const QUEUE_BYTES_DEFAULT: usize = 256 * MIB;
/// Encoded requests that wait beside full queues until the next merge, bytes, over all shards and destinations.
pub const HELD_BYTES_MAX: usize = 1024 * MIB;
/// Requests in flight to one destination.
pub const IN_FLIGHT_MAX: usize = 4;
/// First and longest wait between tries of a failed request.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// Longest wait between tries of a failed request.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Time one outgoing request may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Destinations (`--out`).
pub const DESTINATIONS_MAX: usize = 16;

const _: () = assert!(BATCH_BYTES_MAX < MAX_BODY_BYTES_DEFAULT, "what we send must be within what receivers take");
const _: () = assert!(INTERVAL_MIN.as_millis() < INTERVAL_DEFAULT.as_millis());
const _: () = assert!(HTTP2_FRAME_BYTES <= HTTP2_WINDOW_BYTES);
