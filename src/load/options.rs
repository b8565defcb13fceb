//! The command line of `catchment load`: arguments as typed, and where they point.
//!
//! Deliberately does not know how a run goes.

use super::payload::{Compression, Encoding, Mix, Order, Settings, check};
use super::preset::Preset;
use super::send::{Endpoint, Pace, Scheme, Settled};
use super::sink::listen_at;
use crate::limits::LOAD_CONNECTIONS_MAX;
use crate::units::{count, decimal, duration, positive, size};
use clap::Parser;
use std::net::SocketAddr;
use std::time::Duration;

/// Points of one request and series of one resource, unless told otherwise: one export of one process.
const BATCH_DEFAULT: usize = 1_000;
const SERIES_DEFAULT: usize = 10_000;
const METRICS_DEFAULT: usize = 20;
const ATTRIBUTES_DEFAULT: usize = 5;
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

/// Send OTLP metrics to a server as fast as it takes them, or at a given rate, and say exactly what was sent.
///
/// Payloads are built before the first byte is sent; per send only times, values and (with --churn) identities are
/// patched, at fixed widths. The same seed gives the same bytes. One thread sends.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub struct Options {
    /// Where to send: grpc://HOST:PORT, http://HOST:PORT[/path] (path /v1/metrics unless given), or raw://HOST:PORT (the
    /// same bytes without any protocol, to measure what the sockets themselves cost) [default: grpc://127.0.0.1:4317;
    /// with --verify a server of its own]
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<Endpoint>,

    /// Traffic with a name; flags beside it go before what it says
    #[arg(long, value_enum, value_name = "NAME")]
    pub preset: Option<Preset>,

    /// Distinct series over all resources and metrics [default: 10000]
    #[arg(long, value_name = "N", value_parser = count::<usize>, help_heading = "Shape")]
    pub series: Option<usize>,

    /// Points in one request [default: 1000]
    #[arg(long, value_name = "N", value_parser = count::<usize>, help_heading = "Shape")]
    pub batch: Option<usize>,

    /// String attributes on each point [default: 5]
    #[arg(long, value_name = "N", value_parser = count::<usize>, help_heading = "Shape")]
    pub attributes: Option<usize>,

    /// Bytes of each attribute's value, from 8 [default: 6 to 17, as is usual for what they name]
    #[arg(long, value_name = "N", value_parser = size, help_heading = "Shape")]
    pub attribute_bytes: Option<usize>,

    /// Resources the series are spread over [default: one for each 1000 series, as if each were one process]
    #[arg(long, value_name = "N", value_parser = count::<usize>, help_heading = "Shape")]
    pub resources: Option<usize>,

    /// Number of the first resource: several generators with different ones send different series [default: 0]
    #[arg(long, value_name = "N", value_parser = count::<u32>, help_heading = "Shape")]
    pub first_resource: Option<u32>,

    /// Metrics of each resource [default: 20]
    #[arg(long, value_name = "N", value_parser = count::<usize>, help_heading = "Shape")]
    pub metrics: Option<usize>,

    /// Kinds, dealt round over the metrics by weight, as in delta-sum=8,gauge=1,delta-histogram=1. Kinds: delta-sum,
    /// cumulative-sum (both also -double), gauge, gauge-double, delta-histogram, cumulative-histogram (14 bounds),
    /// delta-exponential-histogram, cumulative-exponential-histogram, summary [default: delta-sum]
    #[arg(long, value_name = "MIX", help_heading = "Shape")]
    pub kind: Option<Mix>,

    /// Order of the points of each metric within a request [default: same]
    #[arg(long, value_enum, help_heading = "Shape")]
    pub order: Option<Order>,

    /// Share of the points that is dropped and replaced by new series at every export, as in 0.01 [default: 0]
    #[arg(long, value_name = "SHARE", value_parser = decimal, help_heading = "Shape")]
    pub churn: Option<f64>,

    /// Series that die in a second, and as many that are born; on top of --churn [default: 0]
    #[arg(long, value_name = "SERIES", value_parser = decimal, help_heading = "Shape")]
    pub churn_rate: Option<f64>,

    /// Share of the cumulative points that start over at every export, as after a restart [default: 0]
    #[arg(long, value_name = "SHARE", value_parser = decimal, help_heading = "Shape")]
    pub resets: Option<f64>,

    /// Share of the points that come late: stamped before the last export. A late delta adds all the same, any other late
    /// point repeats what was true then [default: 0]
    #[arg(long, value_name = "SHARE", value_parser = decimal, help_heading = "Shape")]
    pub late: Option<f64>,

    /// Same seed, same bytes (at the same times)
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Shape")]
    pub seed: u64,

    /// How requests are written [default: protobuf]
    #[arg(long, value_enum, help_heading = "Sending")]
    pub encoding: Option<Encoding>,

    /// Compress the requests [default: none]
    #[arg(long, value_enum, help_heading = "Sending")]
    pub compression: Option<Compression>,

    /// Compress N different sends of each request before the first byte is sent, and send them in turn, times and all:
    /// the generator then costs what it does uncompressed. For kinds that only add, without churn
    #[arg(long, value_name = "N", value_parser = count::<usize>, help_heading = "Sending")]
    pub prepared: Option<usize>,

    /// Connections. A request keeps to its connection, unless there are fewer requests than connections and only
    /// delta kinds [default: 1]
    #[arg(long, value_name = "N", value_parser = count::<usize>, help_heading = "Sending")]
    pub connections: Option<usize>,

    /// Requests that may wait for an answer on each connection [default: 8 with gRPC, 1 with HTTP/1.1]
    #[arg(long, value_name = "N", value_parser = count::<usize>, help_heading = "Sending")]
    pub in_flight: Option<usize>,

    /// Points per second; latency is then counted from the moment a request was due, sent or not [default: as fast
    /// as the server answers]
    #[arg(long, value_name = "POINTS", value_parser = decimal, help_heading = "Sending")]
    pub rate: Option<f64>,

    /// Raise the rate from nothing to --rate over so long, evenly
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "rate", help_heading = "Sending")]
    pub ramp: Option<Duration>,

    /// How long to send, as in 500ms, 10s, 2m [default: 10s, unless --requests or --exports is given]
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Sending")]
    pub duration: Option<Duration>,

    /// Stop after so many requests; without --duration also once nothing is answered for 30 s, or for --drain if that is
    /// longer
    #[arg(long, value_name = "N", value_parser = count::<u64>, help_heading = "Sending")]
    pub requests: Option<u64>,

    /// Stop after so many passes over all series, or as --requests does
    #[arg(long, value_name = "N", value_parser = count::<u64>, help_heading = "Sending")]
    pub exports: Option<u64>,

    /// Send so many passes over all series first, as fast as they are answered, and wait for their last answer: then the
    /// measured part begins, with the same series on the same connections. The warm-up is in no latency, rate or count,
    /// and --duration, --requests, --exports, --rate and --ramp begin behind it; --verify and the expected totals have it
    /// all the same, and a point of it that is not acknowledged makes the run inexact
    #[arg(long, value_name = "EXPORTS", value_parser = count::<u64>, default_value_t = 0, hide_default_value = true, help_heading = "Sending")]
    pub warm_up: u64,

    /// How long answers are waited for after the last request; what is not answered then has failed
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10s", help_heading = "Sending")]
    pub drain: Duration,

    /// Pin the sending thread to this core
    #[arg(long, value_name = "N", value_parser = count::<usize>, help_heading = "Sending")]
    pub cpu: Option<usize>,

    /// Check the whole way: start a counting sink, let the server deliver there, and compare every series with what was
    /// sent: values, counts, sums and buckets. Start times, temporality, bounds, minimum and maximum and the quantiles of
    /// summaries are not compared. Without --endpoint it also starts the server, and stops it
    #[arg(long, help_heading = "Verification")]
    pub verify: bool,

    /// Where the sink of --verify listens, with --endpoint: point the server's --out here [default: a free port]
    #[arg(long, value_name = "ADDR", value_parser = listen_at, requires = "verify", requires = "endpoint", help_heading = "Verification")]
    pub sink: Option<SocketAddr>,

    /// With --endpoint: how long the last interval of the server may take to reach the sink. The balance is drawn sooner
    /// where it closes and no request has come for 2 s: what is delivered twice later than that is not found
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = duration,
        default_value = "30s",
        requires = "verify",
        help_heading = "Verification"
    )]
    pub settle: Duration,

    /// Let the sink of --verify acknowledge the N-th request it gets and forget it: the difference must not be 0 then
    #[arg(
        long,
        value_name = "N",
        value_parser = positive,
        requires = "verify",
        help_heading = "Verification"
    )]
    pub sink_drop: Option<u64>,

    /// Print the result as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

const AFTER: &str = "\
Examples:
  catchment load --series 100000 --duration 30s                     against grpc://127.0.0.1:4317
  catchment load --endpoint http://127.0.0.1:4318 --encoding json --compression gzip
  catchment load --preset sdk-fleet --rate 200000 --ramp 10s        latency at a rate, from the due time
  catchment load --series 1000000 --warm-up 1                       without the births of the series
  catchment load --verify --preset gateway --exports 20             server, sink and balance, all from here
  catchment run --out otlp-grpc://127.0.0.1:4320 &
  catchment load --verify --endpoint grpc://127.0.0.1:4317 --sink 127.0.0.1:4320

Exit codes: 0 all acknowledged (and, with --verify, difference 0); 1 a failure; 2 bad usage; 3 nothing was sent, not every
point was acknowledged, or the sink does not hold what was sent.";

impl Preset {
    /// What it sends.
    pub fn settings(self) -> Result<Settings, String> {
        traffic(&["--preset".into(), self.name()])
    }
}

/// What these flags of `catchment load` send. Errors are those of usage.
pub fn traffic(flags: &[String]) -> Result<Settings, String> {
    let words = std::iter::once("load").chain(flags.iter().map(String::as_str));
    let words = Words::try_parse_from(words).map_err(|error| error.to_string())?;
    let settings = words.options.settle()?.settings;
    check(&settings)?;
    Ok(settings)
}

/// What a preset's words are read into.
#[derive(Parser)]
struct Words {
    #[command(flatten)]
    options: Options,
}

impl Options {
    /// Fills in what the preset says, where no flag does.
    fn with_preset(&self) -> Result<Options, String> {
        let Some(preset) = self.preset else { return Ok(self.clone()) };
        let words = std::iter::once("load").chain(preset.words().split_whitespace());
        let of = Words::try_parse_from(words).map_err(|error| format!("--preset {}: {error}", preset.name()))?.options;
        let own = self.clone();
        Ok(Options {
            series: own.series.or(of.series),
            batch: own.batch.or(of.batch),
            attributes: own.attributes.or(of.attributes),
            attribute_bytes: own.attribute_bytes.or(of.attribute_bytes),
            resources: own.resources.or(of.resources),
            first_resource: own.first_resource.or(of.first_resource),
            metrics: own.metrics.or(of.metrics),
            kind: own.kind.or(of.kind),
            order: own.order.or(of.order),
            churn: own.churn.or(of.churn),
            churn_rate: own.churn_rate.or(of.churn_rate),
            resets: own.resets.or(of.resets),
            late: own.late.or(of.late),
            encoding: own.encoding.or(of.encoding),
            compression: own.compression.or(of.compression),
            prepared: own.prepared.or(of.prepared),
            connections: own.connections.or(of.connections),
            in_flight: own.in_flight.or(of.in_flight),
            ..own
        })
    }

    /// A problem in what is sent, with the flags that it names and that nobody wrote, as a preset stands for them.
    pub fn explained(&self, problem: String) -> String {
        let Some(preset) = self.preset else { return problem };
        let words: Vec<&str> = preset.words().split_whitespace().collect();
        let named = |flag: &str| problem.split(|c: char| c != '-' && !c.is_ascii_alphabetic()).any(|word| word == flag);
        let theirs = [
            ("--kind", self.kind.is_none()),
            ("--order", self.order.is_none()),
            ("--churn", self.churn.is_none()),
            ("--resets", self.resets.is_none()),
            ("--late", self.late.is_none()),
            ("--series", self.series.is_none()),
            ("--batch", self.batch.is_none()),
            ("--attributes", self.attributes.is_none()),
            ("--resources", self.resources.is_none()),
            ("--metrics", self.metrics.is_none()),
        ];
        let said = words.chunks_exact(2).filter(|two| named(two[0]) && theirs.contains(&(two[0], true)));
        let said: Vec<String> = said.map(|two| two.join(" ")).collect();
        match said.is_empty() {
            true => problem,
            false => format!(
                "{problem} (--preset {} says {}; flags beside it go before that)",
                preset.name(),
                said.join(" ")
            ),
        }
    }

    /// Fills in presets and defaults. Errors name the flag and the remedy.
    pub fn settle(&self) -> Result<Settled, String> {
        let of = self.with_preset()?;
        let encoding = of.encoding.unwrap_or(Encoding::Protobuf);
        let endpoint = of.endpoint.clone().unwrap_or_else(|| Endpoint::local(encoding));
        if encoding == Encoding::Json && endpoint.scheme != Scheme::Http {
            return Err("--encoding json goes over --endpoint http://HOST:PORT only".into());
        }
        if of.compression.is_some_and(|compression| compression != Compression::None) && endpoint.scheme == Scheme::Raw
        {
            return Err("raw:// has no place to say how bytes are compressed: leave --compression out".into());
        }
        if of.verify && endpoint.scheme == Scheme::Raw {
            return Err("raw:// has no answers and reaches no server: leave --verify out".into());
        }
        let (connections, in_flight) = (of.connections.unwrap_or(1), of.in_flight);
        if connections == 0 || in_flight == Some(0) {
            return Err("--connections and --in-flight must be at least 1".into());
        }
        if connections > LOAD_CONNECTIONS_MAX {
            return Err(format!("--connections {connections}: at most {LOAD_CONNECTIONS_MAX}"));
        }
        if of.rate == Some(0.0) {
            return Err(
                "--rate must be more than 0 points per second; leave it out to send as fast as the server answers"
                    .into(),
            );
        }
        for (flag, is_nothing) in [
            ("--duration", of.duration == Some(Duration::ZERO)),
            ("--requests", of.requests == Some(0)),
            ("--exports", of.exports == Some(0)),
        ] {
            if is_nothing {
                return Err(format!("{flag} of 0 leaves nothing to send: give more"));
            }
        }
        if of.prepared == Some(0) {
            return Err("--prepared must be at least 1: leave it out to compress each send by itself".into());
        }
        let series = of.series.unwrap_or(SERIES_DEFAULT);
        let settings = Settings {
            series,
            batch: of.batch.unwrap_or(BATCH_DEFAULT),
            attributes: of.attributes.unwrap_or(ATTRIBUTES_DEFAULT),
            attribute_bytes: of.attribute_bytes,
            resources: of.resources.unwrap_or(series.div_ceil(BATCH_DEFAULT)),
            first_resource: of.first_resource.unwrap_or(0),
            metrics: of.metrics.unwrap_or(METRICS_DEFAULT),
            mix: of.kind.clone().unwrap_or_default(),
            order: of.order.unwrap_or(Order::Same),
            churn: of.churn.unwrap_or(0.0),
            churn_per_s: of.churn_rate.unwrap_or(0.0),
            resets: of.resets.unwrap_or(0.0),
            late: of.late.unwrap_or(0.0),
            encoding,
            compression: of.compression.unwrap_or(Compression::None),
            prepared: of.prepared.unwrap_or(0),
            track: of.verify,
            seed: of.seed,
        };
        let unlimited = of.requests.is_none() && of.exports.is_none();
        Ok(Settled {
            in_flight: in_flight.unwrap_or(if endpoint.scheme == Scheme::Http { 1 } else { 8 }),
            endpoint,
            settings,
            connections,
            pace: Pace::new(of.rate, of.ramp),
            duration: of.duration.or(unlimited.then_some(DURATION_DEFAULT)),
            requests: of.requests,
            exports: of.exports,
            warm_up: of.warm_up,
            drain: of.drain,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    fn settled(words: &str) -> Result<Settled, String> {
        let words = std::iter::once("load").chain(words.split_whitespace());
        Words::try_parse_from(words).map_err(|error| error.to_string())?.options.settle()
    }

    #[test]
    fn flags_go_before_what_a_preset_says_and_defaults_behind_it() {
        for preset in Preset::value_variants() {
            let name = preset.name();
            let plain = settled(&format!("--preset {name}")).unwrap();
            let changed = settled(&format!("--preset {name} --series 77 --connections 3 --batch 9")).unwrap();
            assert_eq!((changed.settings.series, changed.connections, changed.settings.batch), (77, 3, 9), "{name}");
            assert_eq!(changed.settings.mix, plain.settings.mix, "{name}");
            assert!(plain.settings.series != 77 && preset.words().contains("--series"), "{name}");
        }
        let plain = settled("").unwrap();
        assert_eq!((plain.settings.series, plain.settings.batch, plain.connections), (10_000, 1_000, 1));
        assert_eq!((plain.in_flight, plain.duration), (8, Some(Duration::from_secs(10))));
        assert_eq!(settled("--exports 2").unwrap().duration, None);
        let dialects = settled("--series 1M --batch 1_000 --rate 1M --requests 1e3 --drain 1m30s").unwrap();
        assert_eq!((dialects.settings.series, dialects.settings.batch), (1_000_000, 1_000));
        assert_eq!((dialects.requests, dialects.drain), (Some(1_000), Duration::from_secs(90)));
        assert_eq!(settled("--encoding json").unwrap().endpoint.authority, "127.0.0.1:4318");
    }

    #[test]
    fn contradictions_are_told() {
        for (words, want) in [
            ("--connections 0", "at least 1"),
            ("--in-flight 0", "at least 1"),
            ("--connections 65536", "at most 65535"),
            ("--rate=-1", "'-1' is no number; write 1000"),
            ("--rate inf", "'inf' is no number"),
            ("--rate 0", "more than 0 points"),
            ("--verify --endpoint grpc://a:1 --sink 4320", "write 127.0.0.1:4320"),
            ("--churn-rate=-1", "'-1' is no number; write 1000"),
            ("--series many", "'many' is no number of them"),
            ("--duration 5", "'5' is no duration; write 250ms"),
            ("--attribute-bytes 8x", "'8x' is no size"),
            ("--duration 0s", "--duration of 0 leaves nothing to send"),
            ("--requests 0", "--requests of 0 leaves nothing to send"),
            ("--exports 0", "--exports of 0 leaves nothing to send"),
            ("--prepared 0 --compression gzip", "--prepared must be at least 1"),
            ("--settle 5s", "--verify"),
            ("--ramp 5s", "--rate"),
            ("--encoding json --endpoint grpc://a:1", "http://"),
            ("--compression gzip --endpoint raw://a:1", "--compression"),
            ("--verify --endpoint raw://a:1", "--verify"),
            ("--sink 127.0.0.1:1", "--verify"),
            ("--sink-drop 1", "--verify"),
            ("--preset nothing", "possible values"),
        ] {
            let error = settled(words).err().unwrap_or_else(|| panic!("{words} was taken"));
            assert!(error.contains(want), "{words}: {error}");
        }
    }

    /// A flag that nobody wrote is told with the preset that brings it, and one that was written without.
    #[test]
    fn what_a_preset_brings_is_told() {
        let explained = |words: &str| {
            let words = std::iter::once("load").chain(words.split_whitespace());
            let options = Words::try_parse_from(words).unwrap().options;
            let problem = super::super::prepare(&options).err().unwrap();
            assert_eq!(problem.matches("--preset").count(), usize::from(options.preset.is_some()), "{problem}");
            problem
        };
        let problem = explained("--preset churn --kind delta-sum");
        assert!(problem.starts_with("--resets is for cumulative kinds"), "{problem}");
        assert!(problem.contains("(--preset churn says --resets 0.01;"), "{problem}");
        assert!(explained("--preset hot --kind gauge").contains("(--preset hot says --order zipf;"));
        explained("--resets 0.1 --kind delta-sum");
    }

    #[test]
    fn endpoints_are_read() {
        let read = |text: &str| text.parse::<Endpoint>().map(|e| (e.scheme, e.authority, e.path));
        let whole = |scheme, authority: &str, path: &str| Ok((scheme, authority.to_owned(), path.to_owned()));
        assert_eq!(read("grpc://a:1"), whole(Scheme::Grpc, "a:1", "/v1/metrics"));
        assert_eq!(read("http://a/x/y"), whole(Scheme::Http, "a:4318", "/x/y"));
        assert_eq!(read("grpc://[::1]"), whole(Scheme::Grpc, "[::1]:4317", "/v1/metrics"));
        assert_eq!(read("otlp-grpc://a"), read("grpc://a"));
        assert_eq!(read("otlp-http://a:1/x"), read("http://a:1/x"));
        assert!(read("a:4318").unwrap_err().contains("did you mean http://a:4318?"));
        assert_eq!(read("raw://a:9/"), whole(Scheme::Raw, "a:9", "/v1/metrics"));
        for bad in ["a:1", "ftp://a:1", "grpc://", "raw://a", "grpc://a:1/x"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
