//! The vocabulary that rooms share. Knows no sockets, no bytes layout, no aggregation.

use crate::limits::DESTINATIONS_MAX;
use std::net::{IpAddr, Ipv4Addr};

/// `AggregationTemporality` of metrics.proto, the two values that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Temporality {
    /// AGGREGATION_TEMPORALITY_DELTA = 1
    Delta = 1,
    /// AGGREGATION_TEMPORALITY_CUMULATIVE = 2
    Cumulative = 2,
}

/// The data kinds of metrics.proto's `Metric.data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// `Metric.gauge` (5)
    Gauge = 0,
    /// `Metric.sum` (7)
    Sum = 1,
    /// `Metric.histogram` (9)
    Histogram = 2,
    /// `Metric.exponential_histogram` (10)
    ExponentialHistogram = 3,
    /// `Metric.summary` (11)
    Summary = 4,
}

impl Kind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Kind; 5] = [Kind::Gauge, Kind::Sum, Kind::Histogram, Kind::ExponentialHistogram, Kind::Summary];

    /// The word used in metrics, ledger and messages.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Gauge => "gauge",
            Kind::Sum => "sum",
            Kind::Histogram => "histogram",
            Kind::ExponentialHistogram => "exponential_histogram",
            Kind::Summary => "summary",
        }
    }
}

/// What senders say in a metric's `metadata` under `prometheus.type`, where that is more than OTLP's own kinds can say: a
/// set, because senders may differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TypeHints(u8);

impl TypeHints {
    /// Nobody says anything.
    pub const NONE: TypeHints = TypeHints(0);
    /// `unknown`: nobody knows the type.
    pub const UNKNOWN: TypeHints = TypeHints(1);
    /// `info`: labels that matter, with a value of 1.
    pub const INFO: TypeHints = TypeHints(2);
    /// `stateset`: one series for each state, 1 if it is the present one.
    pub const STATE_SET: TypeHints = TypeHints(4);

    /// What both say.
    #[must_use]
    pub const fn and(self, other: TypeHints) -> TypeHints {
        TypeHints(self.0 | other.0)
    }

    /// Whether all that `other` says is said.
    #[inline]
    pub const fn say(self, other: TypeHints) -> bool {
        other.0 & !self.0 == 0
    }

    /// As a number that [`TypeHints::from_bits`] reads.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// What `bits` gave.
    pub const fn from_bits(bits: u8) -> TypeHints {
        TypeHints(bits)
    }
}

/// Why a point was put aside as someone asked for it: neither an error nor applied. Each has a counter in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Discard {
    /// A rule drops it.
    Rule = 0,
    /// It is of a replica that does not count at the time.
    Dedup,
}

impl Discard {
    /// Number of reasons.
    pub const COUNT: usize = 2;
    /// All reasons, by number.
    pub const ALL: [Discard; Self::COUNT] = [Discard::Rule, Discard::Dedup];

    /// The label value in metrics and in the ledger.
    pub const fn word(self) -> &'static str {
        match self {
            Discard::Rule => "rule",
            Discard::Dedup => "dedup",
        }
    }

    /// As a counter of its own.
    pub const fn counter(self) -> &'static str {
        match self {
            Discard::Rule => "discarded_rule",
            Discard::Dedup => "discarded_dedup",
        }
    }
}

/// Why a single point was rejected. Each has a counter in the ledger and a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Reject {
    /// M1: `time_unix_nano` is 0.
    NoTime = 0,
    /// M2: no value and no flag.
    NoValue,
    /// M3: temporality unspecified or unknown.
    NoTemporality,
    /// M5: the same attribute key twice on one point, resource or scope.
    DuplicateAttribute,
    /// M9: a negative delta in a monotonic sum.
    NegativeDelta,
    /// M19: buckets, bounds, count or sum that contradict each other.
    BadHistogram,
    /// M25: scale or index outside what IEEE doubles and i32 can hold.
    BadExponential,
    /// Start after time.
    StartAfterTime,
    /// M32: the metric has no name.
    EmptyName,
    /// M32: the metric's name is longer than the limit.
    LongName,
    /// M32: too many attributes.
    TooManyAttributes,
    /// M30: over `--series-limit`, and not a delta that can overflow.
    SeriesLimit,
    /// M30: over the limit of groups, and not a delta that can overflow.
    GroupLimit,
    /// The memory budget is spent.
    MemoryLimit,
    /// More points in one interval than a cell can count (`limits::BANK_POINTS_MAX`); never of deltas.
    CellFull,
    /// M28: quantiles outside 0 to 1, not rising, or too many; a negative value.
    BadSummary,
    /// M27: NaN or infinite where only a number adds up.
    NotFinite,
    /// The point's or metric's counts overflow 64 bits.
    CountOverflow,
    /// The series died each time that the point was about to be added.
    Contended,
    /// M32: the metric's unit is longer than the limit.
    LongUnit,
    /// M32: an attribute's key or value is longer than the limit.
    LongAttribute,
    /// Dated further ahead of our clock than `--max-future`.
    FarFuture,
    /// Of a peer that has more than `--peer-share` while others are refused, and not a delta that can overflow.
    PeerShare,
}

impl Reject {
    /// Number of reasons.
    pub const COUNT: usize = 23;
    /// All reasons, by number.
    pub const ALL: [Reject; Self::COUNT] = [
        Reject::NoTime,
        Reject::NoValue,
        Reject::NoTemporality,
        Reject::DuplicateAttribute,
        Reject::NegativeDelta,
        Reject::BadHistogram,
        Reject::BadExponential,
        Reject::StartAfterTime,
        Reject::EmptyName,
        Reject::LongName,
        Reject::TooManyAttributes,
        Reject::SeriesLimit,
        Reject::GroupLimit,
        Reject::MemoryLimit,
        Reject::CellFull,
        Reject::BadSummary,
        Reject::NotFinite,
        Reject::CountOverflow,
        Reject::Contended,
        Reject::LongUnit,
        Reject::LongAttribute,
        Reject::FarFuture,
        Reject::PeerShare,
    ];

    /// The label value in metrics and in the ledger.
    pub const fn word(self) -> &'static str {
        match self {
            Reject::NoTime => "no_time",
            Reject::NoValue => "no_value",
            Reject::NoTemporality => "no_temporality",
            Reject::DuplicateAttribute => "duplicate_attribute",
            Reject::NegativeDelta => "negative_delta",
            Reject::BadHistogram => "bad_histogram",
            Reject::BadExponential => "bad_exponential_histogram",
            Reject::StartAfterTime => "start_after_time",
            Reject::EmptyName => "empty_name",
            Reject::LongName => "long_name",
            Reject::TooManyAttributes => "too_many_attributes",
            Reject::SeriesLimit => "series_limit",
            Reject::GroupLimit => "group_limit",
            Reject::MemoryLimit => "memory_limit",
            Reject::CellFull => "cell_full",
            Reject::BadSummary => "bad_summary",
            Reject::NotFinite => "not_finite",
            Reject::CountOverflow => "count_overflow",
            Reject::Contended => "contended",
            Reject::LongUnit => "long_unit",
            Reject::LongAttribute => "long_attribute",
            Reject::FarFuture => "far_future",
            Reject::PeerShare => "peer_share",
        }
    }

    /// What the sender is told, with the remedy.
    pub const fn help(self) -> &'static str {
        match self {
            Reject::NoTime => "time_unix_nano is 0: set the time of each point",
            Reject::NoValue => "a point has neither a value nor the no-recorded-value flag",
            Reject::NoTemporality => "aggregation_temporality is unspecified: send delta or cumulative",
            Reject::DuplicateAttribute => "an attribute key stands twice: send each key once",
            Reject::NegativeDelta => "negative delta in a monotonic sum: use an up-down counter or fix the source",
            Reject::BadHistogram => "histogram buckets, bounds, count and sum contradict each other",
            Reject::BadExponential => "exponential histogram scale, offsets or counts are out of range",
            Reject::StartAfterTime => "start_time_unix_nano lies after time_unix_nano",
            Reject::EmptyName => "a metric has no name",
            Reject::LongName => "a metric name is longer than --max-name: shorten it, or raise that",
            Reject::TooManyAttributes => "a point has more attributes than --max-attributes: send fewer, or raise it",
            Reject::SeriesLimit => "series limit reached: raise --series-limit or send fewer distinct attribute sets",
            Reject::GroupLimit => {
                "group limit reached: raise --group-limit or send fewer distinct resources, scopes and metrics"
            }
            Reject::MemoryLimit => "memory limit reached: raise --memory-limit or send fewer series",
            Reject::CellFull => "more than 2^27 points for one series in one interval: shorten --interval",
            Reject::BadSummary => {
                "summary quantiles must lie in 0 to 1 and rise strictly, at most 32 of them, and their values must not be \
                 negative"
            }
            Reject::NotFinite => "a sum is NaN or infinite",
            Reject::FarFuture => "time_unix_nano lies further ahead than --max-future: set the clock of the source",
            Reject::PeerShare => {
                "this address made more than --peer-share of all live series or groups while others were refused at a limit: \
                 send fewer distinct ones, or raise the limit"
            }
            Reject::LongUnit => "a unit is longer than 64 bytes",
            Reject::LongAttribute => {
                "an attribute's key is longer than 255 bytes, or its value than --max-attribute-value: shorten it, or raise that"
            }
            Reject::CountOverflow => "histogram counts overflow 64 bits",
            Reject::Contended => {
                "the series expired again and again while its point came: send it again, or raise --expire"
            }
        }
    }
}

/// The door a request came in by: the protocol that it was sent in. Its number stands in captures and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Door {
    /// OTLP over gRPC, whatever the port.
    OtlpGrpc = 0,
    /// OTLP over HTTP, protobuf.
    OtlpHttp = 1,
}

impl Door {
    /// Number of doors.
    pub const COUNT: usize = Self::ALL.len();
    /// All doors, in the order of their numbers. Rows of the ledger and of a shard's own numbers have a place for each of
    /// these.
    pub const ALL: [Door; 2] = [Door::OtlpGrpc, Door::OtlpHttp];

    /// The label value in metrics and in the ledger.
    pub const fn word(self) -> &'static str {
        match self {
            Door::OtlpGrpc => "otlp_grpc",
            Door::OtlpHttp => "otlp_http",
        }
    }
}

/// Whose connection it is: an address, of IPv6 the network, as one host has 2^64 addresses there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(IpAddr);

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        Peer(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
            address => address,
        })
    }
}

impl Default for Peer {
    /// Nobody in particular.
    fn default() -> Self {
        Peer(Ipv4Addr::UNSPECIFIED.into())
    }
}

impl Peer {
    /// Whether it is somebody in particular.
    pub fn is_known(self) -> bool {
        self != Peer::default()
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.0, if self.0.is_ipv6() { "/64" } else { "" })
    }
}

/// Whose data a request brings, by number. There is only one tenant as long as nobody names others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(u16);

impl Tenant {
    /// Whose data it is where nobody says.
    pub const DEFAULT: Tenant = Tenant(0);

    /// The tenant of this number.
    pub const fn new(number: u16) -> Tenant {
        Tenant(number)
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// Where a request comes from: what its door knows of it before it is read. It goes with the request from the door to the
/// ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The door it came in by.
    pub door: Door,
    /// Who sent it.
    pub peer: Peer,
    /// Whose data it brings.
    pub tenant: Tenant,
}

impl From<Door> for Origin {
    /// By this door, from nobody in particular.
    fn from(door: Door) -> Origin {
        Origin { door, peer: Peer::default(), tenant: Tenant::DEFAULT }
    }
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Answer {
    /// All applied.
    Ok = 0,
    /// Applied, with points rejected or a warning.
    Partial,
    Malformed,
    TooLarge,
    Overloaded,
    /// Type, encoding, method or path that is not served.
    Unsupported,
    /// Too slow, or past its own deadline.
    Timeout,
    /// The client went away before its body was whole; nothing was answered.
    Broken,
}

impl Answer {
    /// Number of answers.
    pub const COUNT: usize = 8;
    /// All answers, by number.
    pub const ALL: [Answer; Self::COUNT] = [
        Answer::Ok,
        Answer::Partial,
        Answer::Malformed,
        Answer::TooLarge,
        Answer::Overloaded,
        Answer::Unsupported,
        Answer::Timeout,
        Answer::Broken,
    ];

    /// The label value in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Answer::Ok => "ok",
            Answer::Partial => "partial",
            Answer::Malformed => "malformed",
            Answer::TooLarge => "too_large",
            Answer::Overloaded => "overloaded",
            Answer::Unsupported => "unsupported",
            Answer::Timeout => "timeout",
            Answer::Broken => "broken",
        }
    }
}

/// What became of one well-formed export request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Points in the request.
    pub points: u64,
    /// Points rejected singly; the rest is applied.
    pub rejected: u64,
    /// English; set when points were rejected or when there is something to warn of.
    pub message: Option<String>,
}

/// Why a whole request was refused; nothing of it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not a protobuf `ExportMetricsServiceRequest`; never retry. Says what and at which byte.
    Malformed(String),
    /// No room now; retry after so many milliseconds.
    Overloaded {
        /// Which limit, its value, the remedy.
        why: String,
        /// Advice to the client.
        retry_after_ms: u64,
    },
}

/// Number of a settled plan: of the plan that the process starts with, and of each that takes its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanNumber(u32);

impl PlanNumber {
    /// Of the plan that the process starts with.
    pub const FIRST: PlanNumber = PlanNumber(0);

    /// As a number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Number of a start of the process. What is numbered from its first cut on is told apart by it from what an earlier
/// process numbered so; as long as nothing outlives the process there is only one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EpochNumber(u32);

impl EpochNumber {
    /// Of a process that knows of none before it.
    pub const FIRST: EpochNumber = EpochNumber(0);

    /// As a number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Number of a selection: destinations that choose alike have the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SelectionNumber(u8);

impl SelectionNumber {
    /// The only one where nobody chooses.
    pub const FIRST: SelectionNumber = SelectionNumber(0);

    /// Of this number.
    pub const fn new(number: u8) -> SelectionNumber {
        SelectionNumber(number)
    }

    /// As a number.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// No selection, but a view of one destination, by its number: what it alone is told at the cut at which others choose.
    pub const fn of_destination(destination: usize) -> SelectionNumber {
        SelectionNumber((DESTINATIONS_MAX + destination) as u8)
    }

    /// The destination whose own view it is.
    pub const fn destination(self) -> Option<usize> {
        (self.0 as usize).checked_sub(DESTINATIONS_MAX)
    }
}

/// What destinations that are given the same bytes have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// How totals leave.
    pub temporality: Temporality,
    /// What leaves.
    pub selection: SelectionNumber,
}

impl View {
    /// Of all that leaves, where nobody chooses.
    pub const fn of_all(temporality: Temporality) -> View {
        View { temporality, selection: SelectionNumber::FIRST }
    }
}

/// Which batch this is: what stays with encoded points from the cut to whoever keeps or takes them.
///
/// Batches of one plan, epoch, cut, shard, tenant and view are numbered from 0 without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// The settled plan under which it was made.
    pub plan: PlanNumber,
    /// The start of the process that made it.
    pub epoch: EpochNumber,
    /// The cut, counted from 1.
    pub cut: u32,
    /// The shard that owns its series.
    pub shard: u16,
    /// Which one of those that differ in nothing else.
    pub number: u32,
    /// Whose data it is.
    pub tenant: Tenant,
    /// The view of its points.
    pub view: View,
    /// When the cut was made, wall clock, nanoseconds since 1970.
    pub boundary_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is counted by door or kind has its place by number.
    #[test]
    fn doors_and_kinds_stand_at_their_numbers() {
        assert!(Door::ALL.iter().enumerate().all(|(at, door)| *door as usize == at));
        assert!(Kind::ALL.iter().enumerate().all(|(at, kind)| *kind as usize == at));
        let words: std::collections::BTreeSet<&str> = Door::ALL.iter().map(|door| door.word()).collect();
        assert_eq!(words.len(), Door::COUNT);
    }

    #[test]
    fn a_host_is_one_peer() {
        let peer = |text: &str| Peer::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:2"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
        assert_ne!(peer("192.0.2.1"), peer("192.0.2.2"));
    }
}
