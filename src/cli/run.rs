//! `catchment run`: its flags, and the settings that they make.
//!
//! Does not know: what a setting may be; `config` settles on a plan.

use super::origin;
use crate::config::{DoorAddresses, Settings, Surroundings};
use crate::limits::{ATTRIBUTES_MAX, PEER_SHARE_DEFAULT, SERIES_LIMIT_DEFAULT};
use crate::problem::At;
use crate::runtime::clock;
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};

/// Flags of `catchment run`, as typed.
#[derive(Args, Clone)]
#[command(after_long_help = AFTER)]
pub(super) struct Options {
    /// Settings from a file: each under the name of its flag. Repeatable
    ///
    /// PATH or file:PATH, of a folder each *.yaml; env:NAME, yaml:TEXT, http://… or https://…. Of several the later
    /// one wins; variables win over files, flags over both. `catchment config example` prints one with all settings,
    /// `catchment check` says what is wrong with one. In the environment one a line
    #[arg(
        help_heading = "Configuration",
        long = "config",
        short = 'c',
        value_name = "URI",
        env = "CATCHMENT_CONFIG",
        hide_env_values = true
    )]
    configs: Vec<String>,
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
    /// environment too. Options: ?name=NAME, ?temporality=delta|cumulative, ?compression=zstd|gzip|none, ?queue=256MiB,
    /// ?timeout=10s, ?in-flight=4, ?order=cut|none, ?connections=1 (gRPC), and, in place of the --out- flags below for
    /// one destination, ?headers=FILE (NAME=VALUE lines), ?ca=FILE, ?cert=FILE, ?key=FILE
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
    out_headers: Vec<String>,
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
    temporality: TemporalityFlag,
    /// Attributes that go, such as k8s.pod.*,service.instance.id: series that differ in nothing else become one
    ///
    /// Keys or globs of keys, with commas between them; of points, scopes and resources alike. Counters and histograms
    /// keep their name and are right in total; gauges and summaries pass on as they are, but see --gauges. It is a rule
    /// called `without`, behind those of files
    #[arg(
        help_heading = "Outputs",
        long = "without",
        value_name = "KEYS",
        env = "CATCHMENT_WITHOUT",
        hide_env_values = true
    )]
    without: Vec<String>,
    /// What --without makes of gauges, such as avg,max: for each a metric of that name more
    #[arg(help_heading = "Outputs", long, value_name = "OUTPUTS", env = "CATCHMENT_GAUGES", hide_env_values = true)]
    gauges: Vec<String>,
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
    prometheus_translation: TranslationFlag,
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
    prometheus_created: SwitchFlag,
    /// Live series over all shards
    ///
    /// Past it, delta sums and histograms go to the overflow series of their metric, the rest is rejected
    #[arg(help_heading = "Limits", long, value_name = "N", default_value_t = SERIES_LIMIT_DEFAULT.to_string(), env = "CATCHMENT_SERIES_LIMIT")]
    series_limit: String,
    /// Groups over all shards: metrics of one scope of one resource, so that 1,000 pods of 120 metrics have 120,000
    ///
    /// `auto` takes what memory allows: one for each 2 KiB that is there for series, at least 100,000. Past it, delta sums and
    /// histograms go to overflow groups, the rest is rejected
    #[arg(help_heading = "Limits", long, value_name = "N|auto", default_value = "auto", env = "CATCHMENT_GROUP_LIMIT")]
    group_limit: String,
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
        default_value_t = ATTRIBUTES_MAX.to_string(),
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
    pin: PinFlag,
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
    /// Read settings again when a file of --config changes, looking every DURATION [without a value: 5s]
    ///
    /// What two looks in a row see counts, so that a file that is being written seldom does; one that is renamed into its
    /// place never does. Links are followed. Besides, SIGHUP and
    /// POST /-/reload on the admin door have them read again
    #[arg(
        help_heading = "Operation",
        long,
        value_name = "off|DURATION",
        default_value = "off",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "5s",
        env = "CATCHMENT_WATCH"
    )]
    watch: String,
    /// Features to turn on (+NAME) or off (-NAME), with commas between them; `catchment features` has all there are
    #[arg(
        help_heading = "Operation",
        long = "feature-gates",
        value_name = "GATES",
        env = "CATCHMENT_FEATURE_GATES",
        allow_hyphen_values = true
    )]
    feature_gates: Vec<String>,
    /// What is logged: error, warn, info, debug, trace, or a filter such as catchment=debug
    #[arg(help_heading = "Operation", long, value_name = "LEVEL", default_value = "info", env = "CATCHMENT_LOG")]
    log: String,
    /// How it is logged, on standard error
    #[arg(help_heading = "Operation", long, value_enum, default_value = "text", env = "CATCHMENT_LOG_FORMAT")]
    log_format: LogFormatFlag,
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
  catchment run --config fleet.yaml

Look at it while it runs:
  curl 127.0.0.1:9464/metrics        the aggregates, to scrape
  curl 127.0.0.1:9465/ledger         what came in, and what became of it
  curl -X POST 127.0.0.1:9465/-/reload   settings are read again";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SwitchFlag {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PinFlag {
    On,
    Off,
    Auto,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TemporalityFlag {
    Cumulative,
    Delta,
}

/// The names that the OpenTelemetry specification has.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum TranslationFlag {
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
enum LogFormatFlag {
    Text,
    Json,
}

impl Options {
    /// `--log-format json`
    pub(super) fn is_json(&self) -> bool {
        matches!(self.log_format, LogFormatFlag::Json)
    }

    /// `--ports-file`
    pub(super) fn ports_file(&self) -> Option<&Path> {
        self.ports_file.as_deref()
    }

    /// `--config`: in the environment one a line; on the command line a `yaml:` may have several.
    pub(super) fn configs(&self) -> Vec<&str> {
        match origin::of("config") {
            At::Variable => self.configs.iter().flat_map(|uris| uris.lines()).collect(),
            _ => self.configs.iter().map(String::as_str).collect(),
        }
    }

    /// The settings, each with where it was given.
    pub(super) fn settings(self) -> Settings {
        let mut settings = Settings::default();
        let mut add = |key: &'static str, text: OsString| settings.add(key, origin::of(key), text);
        for (key, text) in [
            ("shards", self.shards),
            ("connections", self.connections),
            ("otlp-grpc", self.otlp_grpc),
            ("otlp-http", self.otlp_http),
            ("prometheus", self.prometheus),
            ("admin", self.admin),
            ("interval", self.interval),
            ("max-future", self.max_future),
            ("shutdown-timeout", self.shutdown_timeout),
            ("shutdown-delay", self.shutdown_delay),
            ("series-limit", self.series_limit),
            ("group-limit", self.group_limit),
            ("peer-share", self.peer_share),
            ("max-body", self.max_body),
            ("max-name", self.max_name),
            ("max-attributes", self.max_attributes),
            ("max-attribute-value", self.max_attribute_value),
            ("capture-limit", self.capture_limit),
            ("memory-limit", self.memory_limit),
            ("watch", self.watch),
            ("log", self.log),
        ] {
            add(key, text.into());
        }
        for (key, word) in [
            ("pin", word(&self.pin)),
            ("prometheus-created", word(&self.prometheus_created)),
            ("prometheus-translation", word(&self.prometheus_translation)),
            ("temporality", word(&self.temporality)),
            ("log-format", word(&self.log_format)),
        ] {
            add(key, word.into());
        }
        for (key, path) in [
            ("out-ca", self.out_ca),
            ("out-cert", self.out_cert),
            ("out-key", self.out_key),
            ("tuning", self.tuning),
            ("capture", self.capture),
            ("ports-file", self.ports_file),
        ] {
            path.into_iter().for_each(|path| add(key, path.into()));
        }
        self.expire.into_iter().for_each(|text| add("expire", text.into()));
        self.outs.into_iter().for_each(|url| add("out", url.into()));
        self.out_headers.into_iter().for_each(|header| add("out-header", header.into()));
        self.without.into_iter().for_each(|keys| add("without", keys.into()));
        self.gauges.into_iter().for_each(|outputs| add("gauges", outputs.into()));
        self.feature_gates.into_iter().for_each(|gates| add("feature-gates", gates.into()));
        self.allowed_hosts.into_iter().for_each(|name| add("allowed-host", name.into()));
        settings
    }
}

/// The word of a flag that takes one of a few.
fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// This machine.
pub(super) fn surroundings() -> Surroundings<'static> {
    Surroundings {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: clock::memory_of_machine(),
        look_up: &look_up,
        is_of_this_machine: &is_of_this_machine,
        tuned_shards: &crate::tune::stored_count,
        listening: DoorAddresses::default(),
    }
}

fn look_up(text: &str) -> io::Result<Option<SocketAddr>> {
    Ok(text.to_socket_addrs()?.next())
}

/// An address that an interface of this machine has can be bound.
fn is_of_this_machine(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// Whether `--log-format json` is asked for, where the other flags cannot be read.
pub(super) fn asks_for_json() -> bool {
    let words: Vec<_> = std::env::args_os().collect();
    let typed = words.iter().any(|word| word == "--log-format=json")
        || words.windows(2).any(|pair| pair[0] == "--log-format" && pair[1] == "json");
    typed || std::env::var_os("CATCHMENT_LOG_FORMAT").is_some_and(|value| value == "json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::parse_out;
    use clap::Parser;

    #[derive(Parser)]
    struct Run {
        #[command(flatten)]
        options: Options,
    }

    /// A flag that made no setting would be in force nowhere, and one of another variable would be told of wrongly.
    #[test]
    fn every_flag_makes_a_setting_of_its_name_and_has_the_variable_of_it() {
        let command = <Run as clap::CommandFactory>::command();
        let mut made = 0;
        for arg in command.get_arguments() {
            // says where settings are, and makes none
            let Some(flag) = arg.get_long().filter(|flag| *flag != "config") else { continue };
            let value = arg.get_possible_values().first().map_or("1".to_owned(), |value| value.get_name().to_owned());
            let run = Run::try_parse_from(["run", &format!("--{flag}={value}")]).unwrap_or_else(|why| panic!("{why}"));
            let settings = run.options.settings();
            assert_eq!(settings.get(flag).map(|setting| setting.text().into_owned()), Some(value), "{flag}");
            let variable = crate::problem::variable(flag);
            assert_eq!(arg.get_env().and_then(std::ffi::OsStr::to_str), Some(variable.as_str()), "{flag}");
            made += 1;
        }
        assert!(made > 30, "{made}");
    }

    /// Each flag stands under a heading, has a first line that fits one, and examples can be pasted as they are: they parse,
    /// no line is so long that help would break it, and no shell takes a character in them for its own.
    #[test]
    fn help_is_in_parts_and_its_examples_can_be_pasted() {
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
}
