//! `catchment run`: flags as typed, then one fallible step to a settled plan.

use crate::config::{Pin, Plan};
use crate::deliver::{Access, Endpoint, Secret, check_files, name_apart, parse_out};
use crate::identity::attributes::Limits;
use crate::limits::{
    ATTRIBUTE_VALUE_BYTES_LIMIT, ATTRIBUTE_VALUE_BYTES_MIN, ATTRIBUTES_LIMIT, CAPTURE_LIMIT_MIN, CONNECTIONS_DEFAULT,
    CONNECTIONS_MAX, DESTINATIONS_MAX, EXPIRE_DEFAULT, INTERVAL_MAX, INTERVAL_MIN, MEMORY_LIMIT_MIN, MIB,
    NAME_BYTES_LIMIT, NAME_BYTES_MIN, PEER_SHARE_DEFAULT, SHARDS_MAX, SHUTDOWN_DELAY_MAX,
};
use crate::model::{PlanNumber, Temporality};
use crate::problem::Problem;
use crate::prometheus::Translation;
use crate::runtime::clock;
use crate::series::peers;
use crate::units::{count, duration, part_of, size};
use clap::{Args, ValueEnum};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Flags of `catchment run`, as typed.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER)]
pub(super) struct Options {
    /// Where OTLP/gRPC is taken in; port 0 takes a free one
    ///
    /// Both OTLP doors take both protocols
    #[arg(
        help_heading = "Inputs",
        long,
        value_name = "ADDR|off",
        default_value = "127.0.0.1:4317",
        env = "CATCHMENT_OTLP_GRPC"
    )]
    otlp_grpc: String,
    /// Where OTLP/HTTP is taken in (POST /v1/metrics)
    #[arg(
        help_heading = "Inputs",
        long,
        value_name = "ADDR|off",
        default_value = "127.0.0.1:4318",
        env = "CATCHMENT_OTLP_HTTP"
    )]
    otlp_http: String,
    /// Connections on the OTLP doors
    ///
    /// Each shard has its part of them, and the kernel spreads clients by hash, so give a fifth more than you
    /// have. `auto` takes 1024, or fewer where descriptors (ulimit -n) or memory are short
    #[arg(help_heading = "Inputs", long, value_name = "N|auto", default_value = "auto", env = "CATCHMENT_CONNECTIONS")]
    connections: String,
    /// Where aggregates are pushed to: otlp-grpc://HOST:PORT, otlp-http://HOST:PORT[/PATH], stdout, file:PATH.
    /// Repeatable
    ///
    /// With TLS otlp-grpcs:// or otlp-https://. Several in one value have blanks between them, in the
    /// environment too. Options: ?temporality=delta|cumulative, ?compression=zstd|gzip|none, ?queue=256MiB,
    /// ?timeout=10s, ?in-flight=4, ?connections=1 (gRPC), and, in place of the --out- flags below for one
    /// destination, ?headers=FILE (NAME=VALUE lines), ?ca=FILE, ?cert=FILE, ?key=FILE
    #[arg(
        help_heading = "Outputs",
        long = "out",
        value_name = "URL",
        env = "CATCHMENT_OUT",
        hide_env_values = true,
        value_delimiter = ' '
    )]
    outs: Vec<String>,
    /// Header of every request to every otlp-… destination, such as authorization=@FILE. Repeatable
    ///
    /// With @FILE its value is the text of a file: other users of this machine can read what stands here. In
    /// the environment one a line. Never shown. A destination's own are ?headers=FILE
    #[arg(
        help_heading = "Outputs",
        long = "out-header",
        value_name = "NAME=VALUE|NAME=@FILE",
        env = "CATCHMENT_OUT_HEADER",
        hide_env_values = true,
        value_delimiter = '\n'
    )]
    out_headers: Vec<Secret>,
    /// Authorities (PEM) that destinations with TLS are checked against, in place of the system's
    #[arg(help_heading = "Outputs", long, value_name = "FILE", env = "CATCHMENT_OUT_CA")]
    out_ca: Option<PathBuf>,
    /// Client certificate (PEM, with what leads to its authority) for destinations that ask for one
    #[arg(help_heading = "Outputs", long, value_name = "FILE", env = "CATCHMENT_OUT_CERT")]
    out_cert: Option<PathBuf>,
    /// Private key (PEM, not encrypted) of the client certificate
    #[arg(help_heading = "Outputs", long, value_name = "FILE", env = "CATCHMENT_OUT_KEY")]
    out_key: Option<PathBuf>,
    /// How often aggregates leave, aligned to the wall clock; 100ms to 1h
    #[arg(help_heading = "Outputs", long, value_name = "DURATION", default_value = "10s", env = "CATCHMENT_INTERVAL")]
    interval: String,
    /// Temporality of destinations that do not ask for one
    #[arg(help_heading = "Outputs", long, value_enum, default_value = "cumulative", env = "CATCHMENT_TEMPORALITY")]
    temporality: TemporalityWord,
    /// Where the scrape page is (/metrics; text, OpenMetrics or protobuf, as the scraper asks)
    #[arg(
        help_heading = "Outputs",
        long,
        value_name = "ADDR|off",
        default_value = "127.0.0.1:9464",
        env = "CATCHMENT_PROMETHEUS"
    )]
    prometheus: String,
    /// How names are translated on the scrape page
    #[arg(
        help_heading = "Outputs",
        long,
        value_enum,
        value_name = "STRATEGY",
        default_value = "UnderscoreEscapingWithSuffixes",
        env = "CATCHMENT_PROMETHEUS_TRANSLATION"
    )]
    prometheus_translation: TranslationWord,
    /// `_created` series on OpenMetrics pages: starts of counters and histograms
    ///
    /// A Prometheus that is not told to take them as such (--enable-feature=created-timestamp-zero-ingestion)
    /// stores each as one series more
    #[arg(
        help_heading = "Outputs",
        long,
        value_enum,
        value_name = "on|off",
        default_value = "off",
        env = "CATCHMENT_PROMETHEUS_CREATED"
    )]
    prometheus_created: Switch,
    /// Live series over all shards
    ///
    /// Past it, delta sums and histograms go to the overflow series of their metric, the rest is rejected
    #[arg(help_heading = "Limits", long, value_name = "N", default_value_t = crate::limits::SERIES_LIMIT_DEFAULT.to_string(), env = "CATCHMENT_SERIES_LIMIT")]
    series_limit: String,
    /// What one client may have of all live series and groups while a limit refuses others
    ///
    /// A client is an address; of IPv6 a /64. Past it, none of its new ones get in while those of others that
    /// have less are refused. Alone it may have all; 100% binds nobody
    #[arg(help_heading = "Limits", long, value_name = "PERCENT", default_value_t = format!("{PEER_SHARE_DEFAULT}%"), env = "CATCHMENT_PEER_SHARE")]
    peer_share: String,
    /// Memory of the whole process, also as a part of what there is, such as 50%
    ///
    /// `auto` takes three quarters of what there is: the machine's, the least of all its cgroups' limits,
    /// ulimit -v; of a limit it leaves at least 24 MiB
    #[arg(
        help_heading = "Limits",
        long,
        value_name = "SIZE|auto",
        default_value = "auto",
        env = "CATCHMENT_MEMORY_LIMIT"
    )]
    memory_limit: String,
    /// Bytes of a metric's name, 64 to 4KiB
    ///
    /// Points of a longer one are rejected; a scope's name and version and a schema URL are cut to it and end in their hash
    #[arg(help_heading = "Limits", long, value_name = "SIZE", default_value = "255", env = "CATCHMENT_MAX_NAME")]
    max_name: String,
    /// Attributes of a point, resource or scope, 1 to 1024
    ///
    /// A point that has more is rejected; of a resource or scope those with the first keys stay, and one tells of the others
    #[arg(
        help_heading = "Limits",
        long,
        value_name = "N",
        default_value_t = crate::limits::ATTRIBUTES_MAX.to_string(),
        env = "CATCHMENT_MAX_ATTRIBUTES"
    )]
    max_attributes: String,
    /// Bytes of an attribute's value as it is encoded, 64 to 64KiB
    ///
    /// A point that has a longer one is rejected; those of a resource or scope are cut and end in their hash
    #[arg(
        help_heading = "Limits",
        long,
        value_name = "SIZE",
        default_value = "4KiB",
        env = "CATCHMENT_MAX_ATTRIBUTE_VALUE"
    )]
    max_attribute_value: String,
    /// Largest request, before and after decompression
    #[arg(help_heading = "Limits", long, value_name = "SIZE", default_value = "64MiB", env = "CATCHMENT_MAX_BODY")]
    max_body: String,
    /// A series without a point for this long is forgotten [default: 5m, or two intervals where that is longer]
    #[arg(help_heading = "Limits", long, value_name = "DURATION", env = "CATCHMENT_EXPIRE")]
    expire: Option<String>,
    /// Points dated further ahead of this machine's clock are rejected (far_future)
    ///
    /// One of them would keep the real ones of its series out until its time has come
    #[arg(help_heading = "Limits", long, value_name = "DURATION", default_value = "10m", env = "CATCHMENT_MAX_FUTURE")]
    max_future: String,
    /// Shards: threads that receive and aggregate, one per core
    ///
    /// `auto` takes the cores this process may use
    #[arg(help_heading = "Operation", long, value_name = "N|auto", default_value = "auto", env = "CATCHMENT_SHARDS")]
    shards: String,
    /// Pin each shard to a core
    ///
    /// `auto` pins when every shard can have a core of its own
    #[arg(help_heading = "Operation", long, value_enum, default_value = "auto", env = "CATCHMENT_PIN")]
    pin: PinWord,
    /// With --shards auto: take the number that `catchment tune --save FILE` found
    ///
    /// A result of another processor or core count is ignored with a warning
    #[arg(help_heading = "Operation", long, value_name = "FILE", env = "CATCHMENT_TUNING")]
    tuning: Option<PathBuf>,
    /// Where Catchment's own metrics, ledger and health are (/metrics, /ledger, /healthz, /readyz)
    #[arg(
        help_heading = "Operation",
        long,
        value_name = "ADDR|off",
        default_value = "127.0.0.1:9465",
        env = "CATCHMENT_ADMIN"
    )]
    admin: String,
    /// Name that requests to the scrape and admin doors may ask for (Host). Repeatable
    ///
    /// Besides localhost and addresses. Several in one value have blanks between them. Doors on loopback always
    /// look at it, others once a name is given
    #[arg(
        help_heading = "Operation",
        long = "allowed-host",
        value_name = "NAME",
        env = "CATCHMENT_ALLOWED_HOST",
        value_delimiter = ' '
    )]
    allowed_hosts: Vec<String>,
    /// Time to deliver what is left after SIGTERM or Ctrl-C; a second one ends it
    #[arg(
        help_heading = "Operation",
        long,
        value_name = "DURATION",
        default_value = "10s",
        env = "CATCHMENT_SHUTDOWN_TIMEOUT"
    )]
    shutdown_timeout: String,
    /// Time between SIGTERM or Ctrl-C and that, with /readyz at 503
    ///
    /// All else goes on, so that whoever balances load can look elsewhere first
    #[arg(
        help_heading = "Operation",
        long,
        value_name = "DURATION",
        default_value = "0s",
        env = "CATCHMENT_SHUTDOWN_DELAY"
    )]
    shutdown_delay: String,
    /// What is logged: error, warn, info, debug, trace, or a filter such as catchment=debug
    #[arg(help_heading = "Operation", long, value_name = "LEVEL", default_value = "info", env = "CATCHMENT_LOG")]
    log: String,
    /// How it is logged, on standard error
    #[arg(help_heading = "Operation", long, value_enum, default_value = "text", env = "CATCHMENT_LOG_FORMAT")]
    log_format: LogWord,
    /// Record the requests that are applied to this file, for `catchment tune --capture`
    ///
    /// It holds what clients sent
    #[arg(help_heading = "Operation", long, value_name = "FILE", env = "CATCHMENT_CAPTURE")]
    capture: Option<PathBuf>,
    /// Bytes of a capture; at the limit the recording ends, the server goes on
    #[arg(
        help_heading = "Operation",
        long,
        value_name = "SIZE",
        default_value = "64MiB",
        env = "CATCHMENT_CAPTURE_LIMIT"
    )]
    capture_limit: String,
    /// Write the addresses that were bound to this file, as JSON, once every door listens
    #[arg(help_heading = "Operation", long, value_name = "PATH", env = "CATCHMENT_PORTS_FILE")]
    ports_file: Option<PathBuf>,
}

const AFTER: &str = "\
Every flag can be given as an environment variable, shown beside it. One that is empty counts as not set.
DURATION is 250ms, 10s, 5m, 1h or 1m30s. SIZE is 65536, 64K, 64MB or 64MiB, powers of 1024 all of them. N is 1000, 10k, \
1M, 1e6 or 1_000_000.

Examples:
  catchment run
  catchment run --out stdout --interval 5s
  catchment run --out 'otlp-grpc://collector:4317?temporality=delta'
  catchment run --out otlp-https://otlp.example.com --out-header api-key=@/etc/key
  catchment run --otlp-grpc 0.0.0.0:4317 --otlp-http off --out file:/tmp/out.jsonl
  catchment run --shards 4 --pin on --out otlp-grpc://backend:4317

Look at it while it runs:
  curl 127.0.0.1:9464/metrics        the aggregates, to scrape
  curl 127.0.0.1:9465/ledger         what came in, and what became of it";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PinWord {
    On,
    Off,
    Auto,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TemporalityWord {
    Cumulative,
    Delta,
}

/// The names that the OpenTelemetry specification has.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum TranslationWord {
    /// foo.bar in By becomes foo_bar_bytes_total
    #[value(name = "UnderscoreEscapingWithSuffixes")]
    EscapedSuffixed,
    /// It becomes foo_bar: units and types that differ may meet in one name
    #[value(name = "UnderscoreEscapingWithoutSuffixes")]
    EscapedPlain,
    /// It becomes foo.bar_bytes_total, quoted, for scrapers that take UTF-8 names (Prometheus 3)
    #[value(name = "NoUTF8EscapingWithSuffixes")]
    Utf8Suffixed,
    /// It stays foo.bar, for scrapers that take UTF-8 names; units and types that differ may meet in one name
    #[value(name = "NoTranslation")]
    Utf8Plain,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogWord {
    Text,
    Json,
}

impl Options {
    /// Names the environment variable where `problem` begins with a flag that nobody typed.
    pub(super) fn named(problem: String) -> String {
        let typed = |flag: &str| {
            std::env::args_os().any(|word| word.to_str().is_some_and(|word| word.split('=').next() == Some(flag)))
        };
        let flag = problem.split([' ', ':']).next().filter(|word| word.starts_with("--"));
        let Some(flag) = flag.filter(|flag| !typed(flag)) else { return problem };
        let variable = format!("CATCHMENT{}", flag[1..].replace('-', "_").to_uppercase());
        match std::env::var_os(&variable) {
            Some(value) if !value.is_empty() => format!("{variable} ({flag}){}", &problem[flag.len()..]),
            _ => problem,
        }
    }

    /// `--log-format json`
    pub(super) fn is_json(&self) -> bool {
        matches!(self.log_format, LogWord::Json)
    }

    /// `--ports-file`
    pub(super) fn ports_file(&self) -> Option<&Path> {
        self.ports_file.as_deref()
    }

    /// Checks every flag; all problems at once, each with flag, given value and remedy.
    pub(super) fn settle(self) -> Result<Plan, Vec<String>> {
        let mut problems = Vec::new();
        let mut note = |problem: String| problems.push(problem);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = match self.shards.as_str() {
            "auto" => {
                let tuned = self.tuning.as_deref().map_or(Ok(None), crate::tune::stored_count);
                let tuned = tuned.unwrap_or_else(|why| {
                    note(why);
                    None
                });
                tuned.unwrap_or(cores.min(SHARDS_MAX))
            }
            text => count(text).ok().filter(|n| (1..=SHARDS_MAX).contains(n)).unwrap_or_else(|| {
                note(format!("--shards {text}: give a number from 1 to {SHARDS_MAX}, or auto"));
                1
            }),
        };
        let connections = match self.connections.as_str() {
            "auto" => CONNECTIONS_DEFAULT,
            text => count(text).ok().filter(|n| (1..=CONNECTIONS_MAX).contains(n)).unwrap_or_else(|| {
                note(format!("--connections {text}: give a number from 1 to {CONNECTIONS_MAX}, or auto"));
                1
            }),
        };
        let mut door = |flag: &str, text: &str| match address(text) {
            Ok(address) => address,
            Err(why) => {
                note(format!("{flag} {text}: {why}"));
                None
            }
        };
        let otlp_grpc = door("--otlp-grpc", &self.otlp_grpc);
        let otlp_http = door("--otlp-http", &self.otlp_http);
        let prometheus = door("--prometheus", &self.prometheus);
        let admin = door("--admin", &self.admin);
        let allowed_hosts: Vec<String> = self.allowed_hosts.into_iter().filter(|name| !name.is_empty()).collect();
        for name in &allowed_hosts {
            if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
                note(format!(
                    "--allowed-host {name}: give a name alone, without scheme, port and path, such as gateway.internal"
                ));
            }
        }
        if self.otlp_grpc == "off" && self.otlp_http == "off" {
            note("--otlp-grpc off --otlp-http off: nothing could come in; leave one of them on".into());
        }
        let mut outs = Vec::new();
        // several blanks between two, or at the end, are as good as one; nothing at all is not
        let mut urls: Vec<&str> = self.outs.iter().map(String::as_str).filter(|url| !url.is_empty()).collect();
        if urls.is_empty() && !self.outs.is_empty() {
            urls.push("");
        }
        let doors = [
            ("--otlp-grpc", &self.otlp_grpc, otlp_grpc),
            ("--otlp-http", &self.otlp_http, otlp_http),
            ("--prometheus", &self.prometheus, prometheus),
            ("--admin", &self.admin, admin),
        ];
        for url in &urls {
            match parse_out(url) {
                Ok(out) => {
                    let own = |(_, text, address): &(_, &String, _)| {
                        out.target.endpoint().is_some_and(|endpoint| is_own_door(endpoint, text, *address))
                    };
                    if let Some((flag, text, _)) = doors.iter().find(|door| own(door)) {
                        let what = match *flag {
                            "--otlp-grpc" | "--otlp-http" => "what leaves would come in again",
                            _ => "which takes no metrics",
                        };
                        note(format!(
                            "--out {}: this is the own door {flag} {text}, {what}: give the backend's address, or \
                             another port to the door",
                            out.name
                        ));
                    }
                    outs.push(out);
                }
                Err(problem) => note(problem.to_string()),
            }
        }
        name_apart(&mut outs);
        if urls.is_empty() && self.prometheus == "off" {
            note(
                "--prometheus off: nothing would leave, as there is no --out: leave the scrape page on, or give a \
                 destination, such as --out stdout"
                    .into(),
            );
        }
        let access = Access { ca: self.out_ca, cert: self.out_cert, key: self.out_key, headers: self.out_headers };
        if outs.len() == urls.len()
            && let Err(all) = access.apply(&mut outs)
        {
            all.into_iter().for_each(|problem| note(problem.to_string()));
        }
        if outs.len() > DESTINATIONS_MAX {
            note(format!("--out: {} destinations, at most {DESTINATIONS_MAX} can be given", outs.len()));
        }
        let mut time = |key: &'static str, text: &str| {
            duration(text).unwrap_or_else(|why| {
                note(Problem::unread(key, why).to_string());
                Duration::ZERO
            })
        };
        let interval = time("interval", &self.interval);
        let expire = match &self.expire {
            Some(text) => time("expire", text),
            None => EXPIRE_DEFAULT.max(interval * 2),
        };
        let max_future = time("max-future", &self.max_future);
        let shutdown_timeout = time("shutdown-timeout", &self.shutdown_timeout);
        let shutdown_delay = time("shutdown-delay", &self.shutdown_delay);
        if shutdown_delay > SHUTDOWN_DELAY_MAX {
            note(format!("--shutdown-delay {}: give at most 1h", self.shutdown_delay));
        }
        if duration(&self.interval).is_ok() {
            if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
                note(format!("--interval {}: give a duration from 100ms to 1h", self.interval));
            }
            if let Some(text) = self.expire.as_ref().filter(|text| duration(text).is_ok_and(|given| given < interval)) {
                note(format!(
                    "--expire {text}: must not be shorter than --interval ({}); the default is 5m",
                    self.interval
                ));
            }
        }
        let series_limit = count(&self.series_limit).unwrap_or_else(|why| {
            note(format!("--series-limit {why}"));
            1
        });
        if !(1..=u32::MAX as usize).contains(&series_limit) {
            note(format!("--series-limit {}: give a number from 1 to {}", self.series_limit, u32::MAX));
        }
        let peer_share = match part_of(&self.peer_share, peers::WHOLE as usize) {
            Some(Ok(share)) => share as u32,
            _ => {
                note(format!("--peer-share '{}': write 1% to 100%", self.peer_share));
                peers::WHOLE
            }
        };
        let max_body = size(&self.max_body).unwrap_or_else(|why| {
            note(format!("--max-body {why}"));
            usize::MAX
        });
        if max_body < 1024 {
            note(format!("--max-body {}: give at least 1KiB", self.max_body));
        }
        let range = NAME_BYTES_MIN..=NAME_BYTES_LIMIT;
        let name_bytes = size(&self.max_name).ok().filter(|bytes| range.contains(bytes)).unwrap_or_else(|| {
            note(format!("--max-name {}: give a size from 64 to 4KiB", self.max_name));
            NAME_BYTES_MIN
        });
        let attributes = count(&self.max_attributes).ok().filter(|n| (1..=ATTRIBUTES_LIMIT).contains(n));
        let attributes = attributes.unwrap_or_else(|| {
            note(format!("--max-attributes {}: give a number from 1 to {ATTRIBUTES_LIMIT}", self.max_attributes));
            1
        });
        let range = ATTRIBUTE_VALUE_BYTES_MIN..=ATTRIBUTE_VALUE_BYTES_LIMIT;
        let value_bytes = size(&self.max_attribute_value).ok().filter(|bytes| range.contains(bytes));
        let value_bytes = value_bytes.unwrap_or_else(|| {
            note(format!("--max-attribute-value {}: give a size from 64 to 64KiB", self.max_attribute_value));
            ATTRIBUTE_VALUE_BYTES_MIN
        });
        let capture_limit = size(&self.capture_limit).unwrap_or_else(|why| {
            note(format!("--capture-limit {why}"));
            CAPTURE_LIMIT_MIN
        });
        if capture_limit < CAPTURE_LIMIT_MIN {
            note(format!("--capture-limit {}: give at least 4KiB", self.capture_limit));
        }
        let memory_limit = match self.memory_limit.as_str() {
            "auto" => None,
            text => match part_of(text, clock::memory_of_machine()).unwrap_or_else(|| size(text)) {
                Ok(bytes) if bytes >= MEMORY_LIMIT_MIN => Some(bytes),
                Ok(_) => {
                    note(format!("--memory-limit {text}: give at least {}MiB, or auto", MEMORY_LIMIT_MIN / MIB));
                    None
                }
                Err(why) => {
                    note(format!("--memory-limit {why}, 50%, or auto"));
                    None
                }
            },
        };
        let temporality = match self.temporality {
            TemporalityWord::Cumulative => Temporality::Cumulative,
            TemporalityWord::Delta => Temporality::Delta,
        };
        let plan = Plan {
            number: PlanNumber::FIRST,
            shards,
            shards_free: self.shards == "auto",
            connections,
            connections_free: self.connections == "auto",
            pin: match self.pin {
                PinWord::On => Pin::On,
                PinWord::Off => Pin::Off,
                PinWord::Auto => Pin::Auto,
            },
            otlp_grpc,
            otlp_http,
            prometheus,
            created: self.prometheus_created == Switch::On,
            translation: match self.prometheus_translation {
                TranslationWord::EscapedSuffixed => Translation::UnderscoreEscapingWithSuffixes,
                TranslationWord::EscapedPlain => Translation::UnderscoreEscapingWithoutSuffixes,
                TranslationWord::Utf8Suffixed => Translation::NoUtf8EscapingWithSuffixes,
                TranslationWord::Utf8Plain => Translation::NoTranslation,
            },
            admin,
            allowed_hosts,
            outs,
            interval,
            temporality,
            series_limit,
            peer_share,
            memory_limit,
            attributes: Limits { attributes, value_bytes, name_bytes },
            max_body,
            expire,
            max_future,
            shutdown_timeout,
            shutdown_delay,
            log: self.log,
            capture: self.capture.map(|path| (path, capture_limit)),
            ports_file: self.ports_file,
        };
        if problems.is_empty() {
            // last of all, as it makes the files
            let told = |all: Vec<Problem>| all.iter().map(Problem::to_string).collect::<Vec<_>>();
            check_files(&plan.outs).map_err(told)?;
            return Ok(plan);
        }
        Err(problems)
    }
}

/// Whether `--log-format json` is asked for, where the other flags cannot be read.
pub(super) fn asks_for_json() -> bool {
    let words: Vec<_> = std::env::args_os().collect();
    let typed = words.iter().any(|word| word == "--log-format=json")
        || words.windows(2).any(|pair| pair[0] == "--log-format" && pair[1] == "json");
    typed || std::env::var_os("CATCHMENT_LOG_FORMAT").is_some_and(|value| value == "json")
}

/// Whether a connection to `endpoint` would end at the door that `text` asked for. No name is looked up but `localhost`.
fn is_own_door(endpoint: &Endpoint, text: &str, door: Option<SocketAddr>) -> bool {
    let Some(door) = door.filter(|door| door.port() == endpoint.port) else { return false };
    let as_written = text.rsplit_once(':').map_or(text, |(host, _)| host);
    if endpoint.host.eq_ignore_ascii_case(as_written) {
        return true;
    }
    let bound = door.ip().to_canonical();
    let is_own = |host: IpAddr| {
        let host = match host.to_canonical() {
            // to connect to no address in particular is to connect to loopback
            IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            host => host,
        };
        // a door on every interface; `[::]` takes IPv4 as well, where the system has it so
        let everywhere = bound.is_unspecified() && (bound.is_ipv6() || host.is_ipv4());
        host == bound || (everywhere && is_of_this_machine(host))
    };
    if endpoint.host.eq_ignore_ascii_case("localhost") {
        return [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].into_iter().any(is_own);
    }
    endpoint.host.parse().is_ok_and(is_own)
}

/// An address that an interface of this machine has can be bound.
fn is_of_this_machine(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

fn address(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let bare = rest.split('/').next().unwrap_or("");
        return Err(format!("a door is an address, not a URL: leave out {scheme}://, as in {bare}"));
    }
    if text.starts_with(':') && !text.starts_with("::") {
        return Err(format!(
            "there is no host: write 127.0.0.1{text} for this machine alone, 0.0.0.0{text} for every interface"
        ));
    }
    let mut found = text.to_socket_addrs().map_err(|error| format!("{error}; give HOST:PORT, or off"))?;
    found.next().map(Some).ok_or_else(|| "this name has no address; give HOST:PORT, or off".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    /// Each flag stands under a heading, has a first line that fits one, and examples can be pasted as they are: they parse,
    /// no line is so long that help would break it, and no shell takes a character in them for its own.
    #[test]
    fn help_is_in_parts_and_its_examples_can_be_pasted() {
        #[derive(Parser)]
        struct Run {
            #[command(flatten)]
            options: Options,
        }
        let command = <Run as clap::CommandFactory>::command();
        for arg in command.get_arguments() {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                arg.get_help_heading().is_some() && !help.is_empty() && help.len() <= 120,
                "{}: {help}",
                arg.get_id()
            );
        }
        let mut parsed = 0;
        for line in AFTER.lines().filter(|line| line.starts_with("  catchment run")) {
            assert!(line.chars().count() <= 84, "{line}");
            let outside: String = line.split('\'').step_by(2).collect();
            assert!(!outside.contains(['?', '*', '[', '&', '$', '~', '#', ';']), "{line}");
            let words = line.split_whitespace().skip(1).map(|word| word.trim_matches('\''));
            let run = Run::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
            run.options
                .outs
                .iter()
                .for_each(|out| drop(parse_out(out).unwrap_or_else(|error| panic!("{line}: {error}"))));
            parsed += 1;
        }
        assert!(parsed >= 5);
    }

    #[test]
    fn an_own_door_is_known_however_it_is_written() {
        for (door, url, want) in [
            ("127.0.0.1:4317", "otlp-grpc://localhost", true),
            ("127.0.0.1:4317", "otlp-grpc://LOCALHOST:4317", true),
            ("127.0.0.1:4317", "otlp-grpc://0.0.0.0", true),
            ("127.0.0.1:4318", "otlp-http://127.0.0.1/v1/other", true),
            ("127.0.0.1:4317", "otlp-grpcs://127.0.0.1", true),
            ("[::1]:4317", "otlp-grpc://[::1]", true),
            ("[::1]:4317", "otlp-grpc://[0:0:0:0:0:0:0:1]:4317", true),
            ("[::1]:4317", "otlp-grpc://localhost", true),
            ("0.0.0.0:4317", "otlp-grpc://127.0.0.1", true),
            ("0.0.0.0:4317", "otlp-grpc://127.0.0.9", true),
            ("[::]:4317", "otlp-grpc://127.0.0.1", true),
            ("[::]:4317", "otlp-grpc://[::1]", true),
            ("127.0.0.1:4317", "otlp-grpc://127.0.0.1:4320", false),
            ("127.0.0.1:4317", "otlp-http://127.0.0.1", false),
            ("127.0.0.1:4317", "otlp-grpc://backend", false),
            // another address of loopback is another door, and one of documentation is nobody's (RFC 5737)
            ("127.0.0.1:4317", "otlp-grpc://127.0.0.2", false),
            ("0.0.0.0:4317", "otlp-grpc://192.0.2.1", false),
            ("0.0.0.0:4317", "otlp-grpc://[::1]", false),
            ("127.0.0.1:0", "otlp-grpc://127.0.0.1:1", false),
            ("off", "otlp-grpc://localhost", false),
            ("127.0.0.1:4317", "stdout", false),
        ] {
            let out = parse_out(url).unwrap();
            let bound = address(door).unwrap();
            let own = out.target.endpoint().is_some_and(|endpoint| is_own_door(endpoint, door, bound));
            assert_eq!(own, want, "{door} {url}");
        }
        // a name is its own address, whatever it stands for
        let out = parse_out("otlp-grpc://Gateway.internal").unwrap();
        let bound = "10.0.0.1:4317".parse().ok();
        assert!(is_own_door(out.target.endpoint().unwrap(), "gateway.internal:4317", bound));
    }
}
