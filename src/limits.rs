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
/// Smallest `--max-body`.
pub const MAX_BODY_BYTES_MIN: usize = KIB;
/// Bytes of one response we send or accept (OTLP specification, 4 MiB).
pub const RESPONSE_BYTES_MAX: usize = 4 * MIB;
/// Bytes kept of an error body from a backend.
pub const ERROR_BODY_BYTES_MAX: usize = 64 * KIB;
/// Bytes of an error message inside a response of ours.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 4 * KIB;

/// Points that a bank counts: of one series on one core in one interval. A bank of deltas that is full goes on, as its points
/// have had their effect; of the other kinds a point more is rejected. It leaves room for flags in a word: fewer bits would be
/// reached at the rate of one core (about 12 M points/s) in the default interval.
pub const BANK_POINTS_MAX: u64 = (1 << 27) - 1;

/// Bytes of one record of a log on disk, beside its head.
pub const BUFFER_RECORD_BYTES_MAX: usize = 64 * MIB;
/// Largest segment of a log on disk, bytes: space is given back in such pieces.
pub const BUFFER_SEGMENT_BYTES_DEFAULT: usize = 64 * MIB;
/// Longest file that is read as a segment: a full one, and a record of the largest size that it was begun with.
pub const BUFFER_FILE_BYTES_MAX: usize = 2 * BUFFER_RECORD_BYTES_MAX + BUFFER_SEGMENT_BYTES_DEFAULT;
/// Bytes of a tenant's name before a record.
pub const BUFFER_TENANT_BYTES_MAX: usize = 64;
/// Bytes of the name of a log, and of who reads it.
pub const BUFFER_NAME_BYTES_MAX: usize = KIB;
/// Names of one hash that are told apart.
pub const BUFFER_COLLISIONS_MAX: usize = 9;
/// Part of a log's limit that damaged segments may take: those beyond are removed like others once they are read.
pub const BUFFER_DAMAGED_PART: u64 = 4;

/// Nesting of AnyValue, groups and unknown fields in a protobuf request; of objects, and of values nobody knows, in a JSON
/// one.
pub const WIRE_DEPTH_MAX: usize = 64;
/// Bytes of one number in a JSON request. The longest exact decimal of a double has 1,077.
pub const JSON_NUMBER_BYTES_MAX: usize = 2_048;
/// Default of `--max-name`: bytes of a metric name (OpenTelemetry metrics API, instrument name syntax: 255), and of a scope's
/// name, its version, and a schema URL.
pub const NAME_BYTES_MAX: usize = 255;
/// The least that can be asked for: a name that is cut has room for its hash.
pub const NAME_BYTES_MIN: usize = 64;
/// The most that can be asked for.
pub const NAME_BYTES_LIMIT: usize = 4 * KIB;
/// Bytes of a unit (OpenTelemetry metrics API: 63).
pub const UNIT_BYTES_MAX: usize = 64;
/// Bytes of a description; what is beyond is cut off.
pub const DESCRIPTION_BYTES_MAX: usize = 4 * KIB;
/// Default of `--max-attributes`: of one point, resource or scope (OpenTelemetry SDKs: 128).
pub const ATTRIBUTES_MAX: usize = 128;
/// The most that can be asked for: sorting them stays within the time a body may take.
pub const ATTRIBUTES_LIMIT: usize = 1_024;
/// Bytes of an attribute's key.
pub const ATTRIBUTE_KEY_BYTES_MAX: usize = 255;
/// Default of `--max-attribute-value`: bytes of an attribute's value, as it is encoded.
pub const ATTRIBUTE_VALUE_BYTES_MAX: usize = 4 * KIB;
/// The least that can be asked for: a value that is cut has room for its hash.
pub const ATTRIBUTE_VALUE_BYTES_MIN: usize = 64;
/// The most that can be asked for.
pub const ATTRIBUTE_VALUE_BYTES_LIMIT: usize = 64 * KIB;
/// Resources, scopes, metrics and points of one request, together. A million empty ones take some 30 ms to walk.
pub const REQUEST_MESSAGES_MAX: u64 = 1_000_000;
/// Bytes of what is read in one go whatever is in it: a point, the data of a metric that come in parts or are set again, a
/// group that nobody knows. What the limits above leave of a point's attributes is a third of it. Takes up to 20 ms.
pub const MESSAGE_BYTES_MAX: usize = 3 * MIB / 2;
/// Fields of a resource, a scope, a metric or its data beside what is counted under it: unknown ones, parts, texts that are
/// set again. They are looked over in one go, a million in some 5 ms.
pub const MESSAGE_FIELDS_MAX: usize = 1_000_000;
/// Bytes of a resource, a scope or a metric beside what is under it, up to which it is read in one go; what has more is read
/// in steps. Nested values of so many bytes take 2 ms.
pub const HEAD_BYTES_WHOLE: usize = 64 * KIB;
/// Bytes of a text there that are looked at in one go: letters of three bytes take 3 ns a byte.
pub const TEXT_STEP_BYTES: usize = 64 * KIB;
/// Bytes of an attribute there, as it comes, up to which it is written in one go; one that says less than the limits in more of
/// them is cut like a long one.
pub const RECORD_BYTES_WHOLE: usize = 256 * KIB;
/// Bytes of the attributes there that are written only at the end, if they stay: one is among them if so many of its size
/// are no more. Takes up to 20 ms.
pub const RECORDS_BYTES_LATE: usize = 512 * KIB;
/// Dead cells and idle streams that a shard puts away in one turn of its loop.
pub const TIDY_PER_TURN: usize = 2_048;
/// Encodings of one series' attributes that a core remembers for each cell: clients have one; one whose maps have no order
/// has as many as there are orders. What is beyond is looked up again for each point; at each cut the oldest of a full cell
/// goes.
pub const ROUTES_PER_CELL_MAX: usize = 8;
/// Cells in which the oldest route goes, at one cut.
pub const CROWDED_CELLS_MAX: usize = 1_024;
/// Work on requests in one turn of a shard's loop, and on one request before the others get their turn: what it takes by
/// estimate (`ingest::stage`), nanoseconds.
pub const EXPORT_SLICE_NS: u64 = 8_000_000;
/// Reading, beginning and ending calls in one turn of a shard's loop, beside what requests take: by estimate, nanoseconds.
/// Measured: 250,000 calls that came at once in 1,000 connections held a shard for 0.6 s.
pub const CALLS_SLICE_NS: u64 = 4_000_000;
/// The same of looking at timers, and of calls that end by them.
pub const TIMERS_SLICE_NS: u64 = 2_000_000;
/// What a call takes at most from its head to its answer, without its body, or to its place among those that wait, nanoseconds:
/// 3 to 5 µs where it goes on, twice that where it is refused with words (measured).
pub const CALL_NS: u64 = 8_000;
/// What a look at a connection or a call takes that waits, nanoseconds.
pub const LOOK_NS: u64 = 50;
/// What 1 KiB of a body takes to read, nanoseconds.
pub const READ_NS_PER_KIB: u64 = 500;
/// Memory that the points of a slice may take before they are applied, bytes, beside parts of one message that are joined.
pub const STAGE_SLICE_BYTES: usize = 2 * MIB;
/// Memory of a request's staged points that a core keeps for the next one, bytes.
pub const STAGE_KEPT_BYTES_MAX: usize = 4 * MIB;
/// Bucket bounds of an explicit histogram.
pub const HISTOGRAM_BOUNDS_MAX: usize = 1_024;
/// Quantiles of a summary point. Sources send three to ten of them.
pub const SUMMARY_QUANTILES_MAX: usize = 32;
/// Buckets of each sign of an exponential histogram.
pub const EXPONENTIAL_BUCKETS_MAX: usize = 160;

/// Intervals of a rule in the longest window of its outputs: an hour of 10 s. At each cut they are all added.
pub const RULE_STEPS_MAX: usize = 360;
/// Halves of the longer of its last two gaps for which a silent member of a group still counts, and a silent replica.
pub const STALE_GAPS_HALVES: u64 = 5;
/// For how long it does before it has two gaps, milliseconds: as if it reported every minute.
pub const STALE_BEFORE_GAPS_MS: u64 = 150_000;
/// Sets of bounds that the histograms of one group may have, each a histogram of its own; what has others joins the first.
pub const FOLD_BOUNDS_MAX: usize = 64;
/// Samples of a group in a window up to which their quantiles are exact: 32 KiB. More are a sketch.
pub const FOLD_VALUES_MAX: usize = 4_096;
/// Different values of a group in an interval up to which they are counted exactly: 2 KiB. More are estimated, in 4 KiB.
pub const FOLD_DISTINCT_MAX: usize = 256;
/// Groups among which `topk` finds the largest, for each part, output and interval: about half a MiB.
pub const FOLD_TOP_MAX: usize = 8_192;

/// Exemplars kept of one series and interval: the newest.
pub const EXEMPLARS_PER_SERIES_MAX: usize = 4;
/// Bytes of one exemplar as it comes; the filtered attributes are nearly all of it. Longer ones are dropped.
pub const EXEMPLAR_BYTES_MAX: usize = 2 * KIB;
/// Bytes of all exemplars that a core keeps of one interval, and that an owner shows of one cut: some seven thousand with
/// trace and span. What is beyond is dropped, and counted.
pub const EXEMPLARS_BYTES_MAX: usize = MIB;
/// Times `EXEMPLARS_BYTES_MAX` is held by a shard, each in memory of up to twice the size: of the open and the closed
/// interval, and of the cut being merged and the two before it.
pub const EXEMPLARS_HELD: usize = 5;

/// Sequences of points that a shard keeps apart of one cumulative series and interval, besides the newest; such a series began
/// again so often. What is beyond is added up.
pub const SEQUENCES_PER_CELL_MAX: usize = 8;
/// Bytes of all of them that a shard keeps of one interval: some eight thousand of sums, four thousand of histograms with 14
/// bounds, one thousand of exponential ones with 50 buckets. What is beyond is added up, and counted.
pub const SEQUENCES_BYTES_MAX: usize = MIB;
/// Times `SEQUENCES_BYTES_MAX` is held by a shard, each in memory of up to twice the size: of the open and the closed interval.
pub const SEQUENCES_HELD: usize = 2;

/// Connections open at once on the OTLP doors, over all shards, where nobody says otherwise and descriptors suffice.
pub const CONNECTIONS_DEFAULT: usize = 1_024;
/// Largest `--connections`: as many descriptors as Linux gives one process unless told otherwise (`fs.nr_open`).
pub const CONNECTIONS_MAX: usize = 1 << 20;
/// Descriptors of a shard: two listeners, its poll twice, its waker, one in reserve, and two to spare.
pub const SHARD_DESCRIPTORS: usize = 8;
/// Descriptors of all else that is no connection and no destination: standard streams, log, signals, control and delivery,
/// a recording, files that are read for a moment.
pub const PROCESS_DESCRIPTORS: usize = 32;
/// Concurrent calls on one HTTP/2 connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 256;
/// What a call over HTTP/2 takes while its body is waited for, besides that body, about, bytes. It is on the account of bodies,
/// and with it under the shares of peers.
pub const CALL_BYTES: usize = KIB;
/// Receive window of one HTTP/2 connection, bytes: four requests of a thousand points. Smaller ones break the frames
/// of pipelined requests up, and a body in several chunks is copied once more (a tenth of the cost of a point).
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 1024 * KIB as u32;
/// Receive window of one HTTP/2 stream, bytes.
pub const HTTP2_WINDOW_BYTES: u32 = 256 * KIB as u32;
/// Largest HTTP/2 frame we let a client send, bytes. 16 KiB frames cost a third more CPU per point than these.
pub const HTTP2_FRAME_BYTES: u32 = 256 * KIB as u32;
/// Header list of one request, bytes.
pub const HEADER_LIST_BYTES_MAX: u32 = 16 * KIB as u32;
/// Request line of HTTP/1.1, or path and query over HTTP/2, bytes; RFC 9112 (3) asks for 8,000 at least.
pub const TARGET_BYTES_MAX: usize = 8 * KIB;
/// Bytes taken from one connection before the others get their turn.
pub const READ_TURN_BYTES: usize = 256 * KIB;
/// Bytes that a connection to a destination takes in one turn: about a tenth of a millisecond.
pub const WRITE_TURN_BYTES: usize = 256 * KIB;
/// Time from the first byte of a request to the end of its head.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Time a connection may be idle.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// The same on the scrape and admin doors.
pub const PAGE_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time without a byte after which an idle connection makes room for a newcomer, where all places are taken.
pub const IDLE_YIELDS_AFTER: Duration = Duration::from_secs(1);
/// Lines of the log that wait to be written; what comes on top is dropped and counted.
pub const LOG_LINES_MAX: usize = 1_024;
/// Bytes of these.
pub const LOG_BYTES_MAX: usize = MIB;
/// Time that the end of the process waits for the log to be written.
pub const LOG_FLUSH_MAX: Duration = Duration::from_millis(400);
/// Connections that wait in the kernel, on one listener.
pub const ACCEPT_BACKLOG: i32 = 1024;
/// Connections accepted on one listener in one turn.
pub const ACCEPTS_PER_TURN_MAX: usize = 64;
/// Pause of accepting after the file table was full, nanoseconds.
pub const ACCEPT_PAUSE_NS: u64 = 100_000_000;
/// Rounds of one connection in one turn: polled again because polling moved something.
pub const SESSION_ROUNDS_MAX: usize = 64;
/// Bytes that a shard inflates in one turn of its loop, over all bodies: about a millisecond. Measured: a gzip body of
/// 60 MiB in one go holds the loop for 0.5 s, 0.1 s of it decoding.
pub const INFLATE_TURN_BYTES: usize = 256 * KIB;
/// Bytes of one body that are inflated before the others get their turn.
pub const INFLATE_SLICE_BYTES: usize = 128 * KIB;
/// Time from accepting a connection to its first byte. The header timeout runs from that byte on.
pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time in which a body may come as slowly as it likes at first, and over which its pace is looked at from then on; and that a
/// frame of HTTP/2 may take that belongs to no call in hand.
pub const BODY_GRACE: Duration = Duration::from_secs(10);
/// Bytes per second that a body has to bring after the grace, in each window of that length.
pub const BODY_BYTES_PER_SECOND_MIN: u64 = 1_024;
/// Time from the head of a request to the last byte of its body, however steadily it comes.
pub const BODY_TIME_MAX: Duration = Duration::from_secs(300);
/// Time a peer may leave our answers in the socket.
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Time a peer gets to read the last answer and to close, and an idle HTTP/2 peer to follow a GOAWAY.
pub const LINGER: Duration = Duration::from_secs(2);
/// Bytes thrown away while a connection lingers.
pub const LINGER_BYTES_MAX: usize = MIB;
/// Connections open at once on the scrape and admin doors; half of them for each.
pub const PAGE_CONNECTIONS_MAX: usize = 64;
/// Scrapes under way at once; each has a part of `PAGE_MERGE_BYTES`.
pub const SCRAPES_MAX: usize = 4;
/// Time a scrape may take while others wait for its place.
pub const SCRAPE_MAX: Duration = Duration::from_secs(60);
/// Series that one step of a count of open points visits.
pub const COUNT_SERIES_PER_STEP: usize = 1_024;
/// Times such a count is begun again because banks were switched.
pub const COUNT_RESTARTS_MAX: u32 = 8;
/// Distance of two looks at all timers: timeouts come up to this much late.
pub const TIMER_STEP: Duration = Duration::from_millis(500);
/// Retry advice when the budget for bodies is spent, milliseconds.
pub const BUDGET_RETRY_MS: u64 = 1_000;
/// Header fields of one request.
pub const HEADERS_MAX: usize = 100;
/// Largest read buffer of one HTTP/1.1 connection, bytes: a body up to this size comes as one chunk.
pub const HTTP1_READ_BYTES_MAX: usize = 256 * KIB + 16 * KIB;
/// Bytes of answers that wait for the end of a turn, on one connection.
pub const CORK_BYTES: usize = 64 * KIB;
/// Capacity of the cork that an idle connection keeps.
pub const CORK_KEPT_BYTES: usize = 4 * KIB;
/// Bytes of a shard's scratch buffer, the most that is thrown away at once.
pub const READ_SCRATCH_BYTES: usize = 64 * KIB;
/// First buffer of a body that comes in several chunks, bytes; it doubles.
pub const BODY_FIRST_BYTES: usize = 64 * KIB;
/// Buffers of bodies that a shard keeps to use again.
pub const BODY_BUFFERS_KEPT_MAX: usize = 4;
/// Largest buffer of a body that is kept, bytes.
pub const BODY_BUFFER_KEPT_BYTES_MAX: usize = 2 * MIB;
/// gzip members or zstd frames of one body. Well-behaved clients send one.
pub const BODY_MEMBERS_MAX: usize = 1_024;
/// Largest window of a zstd body, as a power of two: 8 MiB, which RFC 8878 asks decoders to take.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Bytes by which the output of inflating grows at first; it doubles.
pub const GUNZIP_STEP_BYTES: usize = 64 * 1024;
/// Bytes of input that one step of inflating takes at most: whoever sends blocks without output pays by the input, and
/// 60 MiB of empty blocks take 9 s (measured).
pub const INFLATE_INPUT_STEP_BYTES: usize = 16 * KIB;
/// How many bytes of output one byte of input counts for that makes none. Measured: a byte of empty blocks costs 0.15 µs,
/// a byte of output 0.01 µs.
pub const INFLATE_INPUT_WEIGHT: usize = 8;
/// Bytes of a gzip body that may come one behind the other without any output: some 16,000 empty blocks.
pub const GUNZIP_QUIET_BYTES_MAX: usize = 64 * KIB;
/// The same of a zstd body, whose blocks of up to 128 KiB are read whole before they give any output.
pub const UNZSTD_QUIET_BYTES_MAX: usize = 256 * KIB;
/// PING frames accepted on one connection per second; likewise SETTINGS, RST_STREAM.
pub const HTTP2_PING_PER_SECOND_MAX: u32 = 100;
/// SETTINGS frames accepted on one connection per second.
pub const HTTP2_SETTINGS_PER_SECOND_MAX: u32 = 50;
/// RST_STREAM frames accepted on one connection per second.
pub const HTTP2_RESET_PER_SECOND_MAX: u32 = 100;
/// RST_STREAM frames accepted on one connection in its life.
pub const HTTP2_RESETS_IN_LIFE_MAX: u32 = 10_000;
/// Empty DATA frames that end nothing, accepted on one connection per second.
pub const HTTP2_EMPTY_DATA_PER_SECOND_MAX: u32 = 100;
/// WINDOW_UPDATE, PRIORITY and unknown frames accepted on one connection per second, beyond eight for each call.
pub const HTTP2_OTHER_PER_SECOND_MAX: u32 = 1_000;
/// Streams reset by us that are remembered on one connection.
pub const HTTP2_RESET_STREAMS_MAX: usize = 64;
/// Time for which a stream reset by us is remembered.
pub const HTTP2_RESET_STREAM_DURATION: Duration = Duration::from_secs(5);
/// Bytes of answers that one connection may leave unsent inside `h2`.
pub const HTTP2_SEND_BUFFER_BYTES: usize = 64 * KIB;

/// `--memory-limit` up to which freed memory goes back to the system at once, bytes: what waits to be used again would be
/// a large part of it. At 40 MiB bodies that end and begin again peak at 34 MiB so, and at 48 with the delay (measured);
/// it costs a fault for each page that is used again.
pub const GIVE_BACK_AT_ONCE_BYTES: usize = 128 * MIB;
/// Above it, the time that freed memory waits to be used again, milliseconds.
pub const GIVE_BACK_AFTER_MS: u32 = 250;
/// Growth of a body's buffer, and its size at its end, from which on what it frees is counted, bytes: smaller ones are used
/// again.
pub const LARGE_BODY_BYTES: usize = MIB;
/// The part of the budget for bodies that such buffers may take once they are freed, over all shards; beyond it memory
/// goes back at once. At 256 MiB a hundred bodies of 32 MiB that begin and are refused peaked at 174 to 288 MiB without
/// (measured).
pub const FREED_BODIES_PART: usize = 4;
/// Fall of what series take after which memory is given back beyond what is due, bytes.
pub const GIVE_BACK_FALL_BYTES: usize = 4 * MIB;
/// Cuts at which that is done.
pub const GIVE_BACK_CUTS: u32 = 5;
/// Bytes of that fall for which what waits to be freed is looked at once: a look frees 512 things at most, some 0.1 ms, and a
/// series that goes is two or three.
pub const GIVE_BACK_LOOK_BYTES: usize = 64 * KIB;
/// Where the system sets a wall (`ulimit -v`): memory that has to be free before a request is taken on, at most, bytes.
pub const MARGIN_BYTES_MAX: usize = 32 * MIB;
/// And the part of the memory limit that it is otherwise, and of what series take, which comes on top: tables grow by
/// doubling.
pub const MARGIN_PART: usize = 16;
/// The system is asked for that in pieces of so many bytes.
pub const PROBE_BYTES: usize = 8 * MIB;
/// Or in larger ones, so that there are no more than this.
pub const PROBES_MAX: usize = 32;
/// Bytes of a body's buffer from which on the system is asked there.
pub const MARGIN_ASKED_BYTES: usize = 64 * KIB;
/// Bytes that have to be free there for a scrape, besides its memory for colliding rows.
pub const PAGE_ROOM_BYTES: usize = 4 * MIB;
/// The least that this memory is made there, bytes.
pub const SCRAPE_MERGE_BYTES_MIN: usize = MIB;
/// Retry advice when the system has no memory, milliseconds.
pub const NO_MEMORY_RETRY_MS: u64 = 5_000;
/// Bodies ended in one turn of a shard's loop because their peer gives way.
pub const GIVE_WAY_PER_TURN_MAX: usize = 128;
/// Connections and calls looked at for that: with more of them, the slowest of these are ended, and then of the next ones.
pub const GIVE_WAY_LOOKS_MAX: usize = 4_096;
/// Stack of the thread that waits for delivery to close, and of the one that ends the process late, bytes.
pub const CLOSING_STACK_BYTES: usize = 256 * KIB;
/// Smallest `--memory-limit`, bytes: what `auto` takes of a container of 64 MiB.
pub const MEMORY_LIMIT_MIN: usize = 40 * MIB;
/// Bytes of the scrape page after which a chunk is handed out.
pub const PAGE_CHUNK_BYTES: usize = 64 * KIB;
/// Where memory is short, reservations shrink down to these: what an empty process takes, bytes.
pub const TIGHT_PROCESS_BYTES: usize = 6 * MIB;
/// Connections on the OTLP doors, there.
pub const TIGHT_CONNECTIONS: usize = 64;
/// Connections on the scrape and admin doors, there.
pub const TIGHT_PAGE_CONNECTIONS: usize = 8;
/// `PAGE_MERGE_BYTES`, there.
pub const TIGHT_PAGE_MERGE_BYTES: usize = 2 * MIB;
/// Bytes of one request, there: what gRPC libraries send and take by default.
pub const TIGHT_BODY_BYTES: usize = 4 * MIB;
/// Bytes queued for one destination, there.
pub const TIGHT_QUEUE_BYTES: usize = 8 * MIB;
/// Requests in flight to one destination, there.
pub const TIGHT_IN_FLIGHT: usize = 2;
/// Room for series, there, bytes.
pub const TIGHT_SERIES_BYTES: usize = 8 * MIB;

/// Bytes of colliding rows held at once; more of them take further passes over their class. Half a million identities of
/// two rows each, 206 bytes of text: about six passes, and a peak 40 MiB above the memory before the scrape, with
/// fingerprints (measured).
pub const PAGE_MERGE_BYTES: usize = 32 * MIB;
/// Rows, groups or merged rows that one step of the scrape page visits at most.
pub const PAGE_ROWS_PER_STEP: usize = 1_024;
/// Different bounds kept apart within one identity of the scrape page; past it, those longest without a point go.
pub const PAGE_BOUNDS_MAX: usize = 8;
/// Warnings kept of one scrape page; the counters count all.
pub const PAGE_WARNINGS_MAX: usize = 32;
/// Bytes of a name shown in a warning.
pub const PAGE_NAME_BYTES_SHOWN: usize = 256;
/// Sets of attribute keys remembered while a page is made; past it all are forgotten and learned again.
pub const PAGE_SHAPES_MAX: usize = 16;
/// Label names remembered while one class of a page is scanned.
pub const PAGE_LABEL_NAMES_MAX: usize = 4_096;

/// Level of gzip on pages: the fastest one. A page is read once, on the next machine.
pub const PAGE_GZIP_LEVEL: u32 = 1;
/// A page shorter than this is not worth compressing, bytes.
pub const PAGE_GZIP_BYTES_MIN: usize = KIB;

/// Code points in the label names and values of one exemplar (OpenMetrics 1.0).
pub const EXEMPLAR_CODE_POINTS_MAX: usize = 128;

/// Cores that a set of them has room for (CPU_SET(3)): a number past it must not get there.
pub const CPUS_MAX: usize = 1_024;
/// Default of `--series-limit`: live series over all shards.
pub const SERIES_LIMIT_DEFAULT: usize = 1_000_000;
/// `--group-limit auto` takes one group (resource, scope, metric) for so many bytes of the memory for series. Counted at the
/// allocator (`tests/memory.rs`), 1,000 resources of 120 metrics take 0.8 KiB for each group with its one series; the rest is
/// for longer texts.
pub const GROUP_SHARE_BYTES: usize = 2 * KIB;
/// It never takes fewer: where memory is so short, its own limit comes first.
pub const GROUP_LIMIT_AUTO_MIN: usize = 100_000;
/// Largest `--group-limit`: a core has numbers for the streams of so many.
pub const GROUP_LIMIT_MAX: usize = 1 << 30;
/// Streams that a core may hold for each group of the limit: one in each temporality.
pub const STREAMS_PER_GROUP: usize = 2;
/// Scale of the buckets by which exponential histograms are moved where a rule multiplies their values: that of the histograms
/// that SDKs make of values over some ten octaves.
pub const SCALED_BUCKET_SCALE: i32 = 3;
/// Entries of `dedup`.
pub const DEDUPS_MAX: usize = 100;
/// Elections of replicas, one for each value of an entry's `per`, over all shards; with what a core knows of their resources
/// they are a part of the memory for series.
pub const ELECTIONS_MAX: usize = 100_000;
/// Silence of a replica after which another one takes its place, before its reporting period is known, nanoseconds: as that of
/// a member.
pub const FAILOVER_FIRST_NS: u64 = STALE_BEFORE_GAPS_MS * 1_000_000;
/// What rules drop at the doors is remembered in at most this part of the memory for series, so that it takes no room of what is
/// kept; what is beyond is asked about at each point.
pub const DISCARDED_PART: usize = 16;
/// Within so much time a reload reads all its sources; a cut comes for it, once one is due; and all shards take it up. What comes
/// later is given up, or told as late.
pub const RELOAD_MAX: Duration = Duration::from_secs(30);
/// Who asked for a reload by POST is answered after so much time, though it waits for a cut.
pub const RELOAD_ANSWER_MAX: Duration = Duration::from_secs(60);
/// Stack of the thread that reads settings again: that of the main thread, which reads them at the start.
pub const RELOAD_STACK_BYTES: usize = 8 * MIB;
/// Threads that read settings and were given up (a file system that does not answer keeps them) before no other one is started.
pub const RELOAD_READERS_MAX: usize = 4;
/// Shortest `--watch`.
pub const WATCH_MIN: Duration = Duration::from_millis(50);
/// Longest time after which `--watch` tries once more what was not taken; it begins with its period, and doubles.
pub const WATCH_AGAIN_MAX: Duration = Duration::from_secs(300);
/// Names of rules or destinations that a line of the log says of a reload.
pub const NAMES_TOLD_MAX: usize = 8;
/// Names of rules and entries of `dedup` that a reload took away and of which the ledger still tells what they had put aside;
/// what those beyond had is told as one.
pub const DROPS_GONE_MAX: usize = 1_000;
/// Overflow groups that keep the name of their metric, over all shards: outside `--group-limit` and the memory limit.
pub const OVERFLOW_GROUPS_MAX: usize = 64;
/// Bytes of name, unit and bounds of such a metric: with 64 of them and one core some 256 KiB.
pub const OVERFLOW_KEY_BYTES_MAX: usize = 512;
/// Peers that are told apart where series and groups are shared; more of them share these.
pub const PEERS_MAX: usize = 1_024;
/// Default of `--peer-share`, percent.
pub const PEER_SHARE_DEFAULT: u32 = 50;
/// Time for which a peer that a limit refused binds those that have more than their share; two intervals, if that is longer.
/// SDKs export every 60 s: who is refused at each of its exports wants all the time.
pub const PEER_WANTS_FOR: Duration = Duration::from_secs(120);
/// Default of `--capture-limit`, bytes.
pub const CAPTURE_LIMIT_DEFAULT: usize = 64 * MIB;
/// Smallest `--capture-limit`, bytes.
pub const CAPTURE_LIMIT_MIN: usize = 4 * KIB;
/// Bytes of recorded requests that wait to be written, over all shards; taken from `--memory-limit` while recording.
pub const CAPTURE_QUEUE_BYTES: usize = 16 * MIB;
/// Recorded requests that wait to be written.
pub const CAPTURE_QUEUE_REQUESTS: usize = 4_096;
/// Largest capture that is read, bytes: it is held in memory whole.
pub const CAPTURE_FILE_BYTES_MAX: u64 = 4096 * MIB as u64;

/// Rounds of each shard count in `catchment tune`.
pub const TUNE_ROUNDS_MAX: usize = 100;
/// Shortest and longest round.
pub const TUNE_DURATION_MIN: Duration = Duration::from_millis(50);
/// Longest round.
pub const TUNE_DURATION_MAX: Duration = Duration::from_secs(600);
/// Connections to each shard: fewer measure the luck of the kernel's hash.
pub const TUNE_CONNECTIONS_PER_SHARD: usize = 16;
/// Time a child of `catchment tune` gets to start, and to end.
pub const TUNE_CHILD_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a tuning result that is read.
pub const TUNING_FILE_BYTES_MAX: u64 = MIB as u64;

/// Series whose totals `catchment load --verify` keeps, those born while it runs included: some 100 bytes each here, and
/// 200 to 600 at its sink.
pub const VERIFY_SERIES_MAX: usize = 2_000_000;
/// Largest request of the generator before JSON and compression, bytes.
pub const LOAD_REQUEST_BYTES_MAX: usize = 256 * MIB;
/// Bytes of one attribute's value.
pub const LOAD_ATTRIBUTE_BYTES_MAX: usize = 4_096;
/// Connections of the generator: so many ports there are for one address of a server.
pub const LOAD_CONNECTIONS_MAX: usize = 65_535;
/// Kinds of refusals of which the generator keeps the server's words, those of the first one each.
pub const LOAD_HEARD_MAX: usize = 8;
/// Characters of such words.
pub const LOAD_HEARD_CHARS_MAX: usize = 160;
/// Sends of a request that are compressed ahead.
pub const LOAD_PREPARED_MAX: usize = 64;
/// Time without any answer after which `catchment load` without `--duration` ends, where `--drain` is no longer.
pub const LOAD_SILENCE_MAX: Duration = Duration::from_secs(30);
/// Time the server of `catchment load --verify` gets to start, and to deliver what it holds.
pub const VERIFY_SERVER_TIMEOUT: Duration = Duration::from_secs(60);
/// Time without a request after which a sink that holds what a server not of our own was sent is taken to hold all that
/// comes: what is delivered twice within it is found.
pub const VERIFY_QUIET: Duration = Duration::from_secs(2);

/// Shards of one process.
pub const SHARDS_MAX: usize = 256;
/// Default of `--interval`.
pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(10);
/// Shortest interval.
pub const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// How far an end that other rules bring stands behind the last value: one step of those who keep milliseconds, so that it is
/// neither that value's time nor that of what goes on under the same name.
pub const END_BEHIND_NS: u64 = 1_000_000;
/// Longest interval.
pub const INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// Default of `--expire`.
pub const EXPIRE_DEFAULT: Duration = Duration::from_secs(300);
/// Default of `--shutdown-timeout`.
pub const SHUTDOWN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// Longest `--shutdown-delay`.
pub const SHUTDOWN_DELAY_MAX: Duration = Duration::from_secs(3_600);
/// A shard that has not switched banks this long after a cut is skipped for that cut.
pub const CUT_LATE_AFTER: Duration = Duration::from_secs(1);
/// Time a merge or encode slice may take between two reads.
pub const SLICE: Duration = Duration::from_micros(500);

/// Time past the deadline of the end in which a cut that was made before it is merged: a million series take a fifth of a
/// second.
pub const LAST_MERGE_MAX: Duration = Duration::from_secs(1);
/// Time that shards and delivery get after that to come to their end.
pub const LAST_JOIN_MAX: Duration = Duration::from_millis(300);
/// Time past `--shutdown-delay` and `--shutdown-timeout` after which the process ends whatever its threads do; with `LOG_FLUSH_MAX`, two seconds.
pub const END_GRACE: Duration = Duration::from_millis(1_500);
/// Time that a second signal leaves for what is acknowledged.
pub const HURRY: Duration = Duration::from_secs(1);
/// Time of a busy loop for requests to each unit of time for merging: a twelfth of the loop for the merge, which with a
/// twentieth for delivery leaves ingest four fifths of a core that all three share, and some for the caches they push each
/// other out of.
pub const SOCKETS_TO_MERGE: u64 = 11;
/// Points in one outgoing request. Encoded in one piece, in some 0.2 ms: twice as many hold the loop twice as long, and a
/// thousandth of its turns in a flush then takes over 1 ms where delivery shares the core.
pub const BATCH_POINTS_MAX: usize = 2_048;
/// Bytes in one outgoing request before compression.
pub const BATCH_BYTES_MAX: usize = 2 * MIB;
/// Default bytes queued in memory for one destination.
pub const QUEUE_BYTES_DEFAULT: usize = 256 * MIB;
/// Encoded requests that wait beside full queues until the next merge, bytes, over all shards and destinations.
pub const HELD_BYTES_MAX: usize = 1024 * MIB;
/// What the thread that delivers does in one go where it shares its core with a shard.
pub const DELIVER_PIECE: Duration = Duration::from_micros(150);
/// Time it rests there for each unit of time it worked, as long as no queue is nearly full: it takes a
/// twentieth of the core, and 200 MB still leave within two seconds.
pub const DELIVER_RESTS: u64 = 18;
/// Longest of these rests.
pub const DELIVER_REST_MAX: Duration = Duration::from_millis(10);
/// Requests in flight to one destination that does not say otherwise.
pub const IN_FLIGHT_MAX: usize = 4;
/// First and longest wait between tries of a failed request.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// Longest wait between tries of a failed request.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Tries in a row that fail before a destination is left in peace but for one request at a time, where no more are in flight:
/// by then some 4 s of waits have passed. Of a destination that fails once in ten tries five in a row do once in 100,000.
pub const BREAKER_FAILURES: usize = 5;
/// Tries, or four for each in flight if that is more, of which half are as bad a sign as breakers elsewhere have it: of a
/// destination that fails once in four tries that is so of 14 windows in a thousand, once in ten tries of 7 in a million.
pub const BREAKER_WINDOW: usize = 20;
/// Time one outgoing request may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest `?in-flight=`.
pub const IN_FLIGHT_LIMIT: usize = 64;
/// Largest `?connections=`.
pub const OUT_CONNECTIONS_MAX: usize = 16;
/// A destination that refuses a request of so few bytes as too large takes none: what is left of the batch is not tried.
pub const SPLIT_BYTES_MIN: usize = KIB;
/// Time for one TLS handshake with a destination.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// What a TLS session buffers, both ways, bytes: rustls keeps 64 KiB to send, and a record and a handshake message to read.
pub const TLS_SESSION_BYTES: usize = 64 * KIB + 18 * KIB + 64 * KIB;
/// Headers given by the operator, for one destination.
pub const OUT_HEADERS_MAX: usize = 32;
/// Bytes of these together, and of a file that holds them; less than what servers take as a head.
pub const OUT_HEADERS_BYTES_MAX: usize = 8 * KIB;
/// Time that a probe waits for files of headers that are read again: a local file takes well under a millisecond.
pub const HEADERS_WAIT: Duration = Duration::from_secs(1);
/// Bytes of a file of certificates or of a key.
pub const ACCESS_FILE_BYTES_MAX: usize = 4 * MIB;
/// Instances that a request may name besides its sender, as those it came through.
pub const HOPS_MAX: usize = 16;
/// Least time for which an instance that sent to this one is named.
pub const HOPS_KEPT_MIN: Duration = Duration::from_secs(300);
/// Destinations (`--out`).
pub const DESTINATIONS_MAX: usize = 16;
/// Destinations that a reload took out and that the ledger still names; older ones are added up.
pub const DESTINATIONS_GONE_MAX: usize = 32;

// The memory budget is a sum; `runtime::Memory` adds it up, and where it does not fit halves its parts, down to TIGHT_…:
//
//   PROCESS_BYTES                                         code, stacks, tables
// + shards × SHARD_BYTES                                  scratch, kept buffers, inflate state, the batch being made,
//                                                         exemplars, sequences that resets ended
// + (connections of all doors) × CONNECTION_BYTES / 4     idle ones hold a few KiB, so a quarter is set aside
// + PAGE_MERGE_BYTES                                      scrape pages with colliding rows
// + destinations × DESTINATION_BYTES + Σ ?queue=          packed copies in flight; encoded requests; what ?in-flight=
//                                                         and TLS sessions add
// + a quarter of the rest, at most BODIES_BYTES_MAX       request bodies being read or inflated: taken before they grow
// + a quarter of the rest, at most HELD_BYTES_MAX         encoded requests beside full queues, if there are destinations
// + what is left                                          series: identities, cells, routes; counted as they are born

/// What an empty process takes, bytes.
pub const PROCESS_BYTES: usize = 16 * MIB;
/// What a shard holds besides series and connections, bytes: the batch being made is there once staged and once encoded.
pub const SHARD_BYTES: usize = READ_SCRATCH_BYTES
    + BODY_BUFFERS_KEPT_MAX * BODY_BUFFER_KEPT_BYTES_MAX
    + INFLATE_STATE_BYTES
    + ZSTD_STATE_BYTES
    + 2 * BATCH_BYTES_MAX
    + EXEMPLARS_HELD * 2 * EXEMPLARS_BYTES_MAX
    + SEQUENCES_HELD * 2 * SEQUENCES_BYTES_MAX;
/// What `flate2` takes for one inflate state, about, bytes.
pub const INFLATE_STATE_BYTES: usize = 64 * KIB;
/// What a zstd decoder takes: its window, two blocks and tables, bytes.
pub const ZSTD_STATE_BYTES: usize = (1 << ZSTD_WINDOW_LOG_MAX) + 512 * KIB;
/// What a connection can hold outside the budget for bodies, bytes: what was read and is no whole frame or chunk yet
/// (HTTP/1.1's buffer, the larger one), answers inside `h2`, answers in the cork. What an HTTP/2 window lets in beyond
/// one frame is handed on in the same turn, and counts as a body.
pub const CONNECTION_BYTES: usize = HTTP1_READ_BYTES_MAX + HTTP2_SEND_BUFFER_BYTES + CORK_BYTES;
/// What a destination holds besides its queue, bytes: packed copies of what is in flight.
pub const DESTINATION_BYTES: usize = IN_FLIGHT_MAX * BATCH_BYTES_MAX;
/// Request bodies being read or inflated, bytes.
pub const BODIES_BYTES_MAX: usize = 2048 * MIB;
/// Least room for bodies, in requests of the largest size.
pub const BODIES_MIN: usize = 2;
/// Least room for series, bytes.
pub const SERIES_BYTES_MIN: usize = 32 * MIB;

const _: () = assert!(NAME_BYTES_LIMIT < HEAD_BYTES_WHOLE && NAME_BYTES_MAX >= NAME_BYTES_MIN);
const _: () = assert!(RECORD_BYTES_WHOLE > ATTRIBUTE_VALUE_BYTES_LIMIT + 2 * ATTRIBUTE_KEY_BYTES_MAX);
const _: () = assert!(TARGET_BYTES_MAX < HEADER_LIST_BYTES_MAX as usize, "a long target is told from a long head");
const _: () = assert!(HTTP2_FRAME_BYTES as usize <= HTTP1_READ_BYTES_MAX, "the larger one is in CONNECTION_BYTES");
const _: () = assert!(EXEMPLARS_PER_SERIES_MAX * EXEMPLAR_BYTES_MAX < EXEMPLARS_BYTES_MAX / 64);
const _: () = assert!(CORK_KEPT_BYTES <= CORK_BYTES && BODY_FIRST_BYTES <= BODY_BUFFER_KEPT_BYTES_MAX);
const _: () = assert!(HTTP2_WINDOW_BYTES <= HTTP2_CONNECTION_WINDOW_BYTES);
const _: () = assert!(INFLATE_SLICE_BYTES <= INFLATE_TURN_BYTES);
const _: () = assert!(INFLATE_INPUT_STEP_BYTES * INFLATE_INPUT_WEIGHT <= INFLATE_SLICE_BYTES);
const _: () = assert!(LAST_MERGE_MAX.as_millis() + LAST_JOIN_MAX.as_millis() < END_GRACE.as_millis());
const _: () = assert!(HELD_BYTES_MAX >= BATCH_BYTES_MAX);
const _: () = assert!(GROUP_LIMIT_MAX * STREAMS_PER_GROUP < u32::MAX as usize);
const _: () = assert!(DELIVER_PIECE.as_nanos() < SLICE.as_nanos(), "a shard waits no longer for it than for itself");
const _: () = assert!(BATCH_BYTES_MAX < MAX_BODY_BYTES_DEFAULT, "what we send must be within what receivers take");
const _: () = assert!(INTERVAL_MIN.as_millis() < INTERVAL_DEFAULT.as_millis());
const _: () = assert!(END_BEHIND_NS < INTERVAL_MIN.as_nanos() as u64, "what goes on leaves behind its end");
const _: () = assert!(HTTP2_FRAME_BYTES <= HTTP2_WINDOW_BYTES);

/// Series that a list on the admin door has, unless it is asked for more.
pub const LISTED_DEFAULT: usize = 1_000;
/// The most that it may be asked for.
pub const LISTED_MAX: usize = 100_000_000;
/// Bytes that are read of the admin door of another instance, for one question.
pub const LIVE_BYTES_MAX: u64 = 16 << 30;
/// Bytes of a line of what it says.
pub const LIVE_LINE_BYTES_MAX: u64 = 16 << 20;
/// Time in which it must have said all of it.
pub const LIVE_TIMEOUT: Duration = Duration::from_secs(300);

/// Bytes of one configuration file; more come in several.
pub const CONFIG_BYTES_MAX: usize = MIB;
/// Levels of mappings and lists in a configuration file.
pub const CONFIG_DEPTH_MAX: usize = 24;
/// Values of a configuration file, those that aliases repeat counted each time.
pub const CONFIG_NODES_MAX: usize = 100_000;
/// Time in which settings must have come from `http:` or `https:`.
pub const CONFIG_FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Files of settings in a folder that `--config` names.
pub const CONFIG_FILES_MAX: usize = 1_000;
/// Values of one setting in a file.
pub const CONFIG_LIST_MAX: usize = 1_000;
/// Aliases in a configuration file.
pub const CONFIG_ALIASES_MAX: usize = 64;

/// Cores of one test of rules.
pub const TRIAL_CORES_MAX: usize = 64;
/// Cuts of one test of rules.
pub const TRIAL_CUTS_MAX: usize = 100_000;
/// Furthest from its second 0 that a time in a test of rules may be, seconds: some ten years.
pub const TRIAL_SECONDS_MAX: f64 = 3e8;

/// Bytes of a pattern of a rule: a glob or a regular expression.
pub const RULE_PATTERN_BYTES_MAX: usize = KIB;
/// Nesting within a pattern of a rule.
pub const RULE_PATTERN_DEPTH_MAX: usize = 64;
/// Bytes of one pattern of a rule, compiled.
pub const RULE_NFA_BYTES_MAX: usize = MIB;
/// Bytes of all patterns of all rules, compiled.
pub const RULES_NFA_BYTES_MAX: usize = 16 * MIB;
/// Bytes of the states that a thread keeps of one field's patterns; more where the patterns themselves need more.
pub const RULE_CACHE_BYTES: usize = 512 * KIB;

/// Rules, over all files.
pub const RULES_MAX: usize = 10_000;
/// Changes of attributes of a rule.
pub const RULE_CHANGES_MAX: usize = 64;
/// Outputs of a rule.
pub const RULE_OUTPUTS_MAX: usize = 32;
/// Values of a list within a rule: patterns of a field, keys of `by`, values of a map.
pub const RULE_LIST_MAX: usize = 1_000;
/// Bytes of a text within a rule: a pattern, a key, a value.
pub const RULE_TEXT_BYTES_MAX: usize = KIB;
/// Bytes of a rule's name, which the ledger and the scrape page repeat.
pub const RULE_NAME_BYTES_MAX: usize = 64;
/// The longest interval of a rule.
pub const RULE_INTERVAL_MAX: Duration = INTERVAL_MAX;
/// Steps of a window, each of a rule's interval: what an output keeps of the past.
pub const RULE_WINDOW_STEPS_MAX: u64 = 360;
/// The least that a rate looks back unless its rule says otherwise: SDKs report once a minute.
pub const RULE_RATE_WINDOW_DEFAULT: Duration = Duration::from_secs(60);
/// Keys of one `unique` or `topk`.
pub const RULE_OUTPUT_KEYS_MAX: usize = 8;
/// Groups that a `topk` may name.
pub const RULE_TOPK_MAX: u32 = 1_000;
/// Values of a key that a `limit` may let through.
pub const RULE_LIMIT_VALUES_MAX: u32 = 1_000_000;
/// Resources and scopes that a thread remembers, and what rules made of them.
pub const RULE_RUNS_REMEMBERED: usize = 256;
/// Bytes of all of these, and of what was made of them; what is asked about now stays beyond it.
pub const RULE_RUN_BYTES_MAX: usize = 4 * MIB;
/// Pairs of a resource and a scope, for a rule each, of which a thread remembers what the rule makes of them.
pub const RULE_GROUPS_REMEMBERED: usize = 256;
/// Rows of what rules make of many series: a rule, a metric and a kind each.
pub const RULE_CENSUS_ROWS_MAX: usize = 100_000;
/// Groups and values of attributes that are told apart in all rows, some 16 bytes each.
pub const RULE_CENSUS_HASHES_MAX: usize = 8_000_000;
/// Lists of rules that may take the series of a group, which a thread knows to be the same for many groups.
pub const RULE_LISTS_REMEMBERED: usize = 1_024;
/// Overflow series of rules: one a rule, metric and kind of input.
pub const OVERFLOW_FOLDS_MAX: usize = 10_000;
/// Output series of rules are a part of `--series-limit` beside it: one in so many.
pub const OUTPUT_SERIES_PART: usize = 10;
/// But at least so many.
pub const OUTPUT_SERIES_MIN: usize = 10_000;
