//! From settings to the plan: one fallible step that tells everything that is wrong at once.
//!
//! Does not know: where settings come from.

use super::document;
use super::doors::{DoorSetting, OFF, allowed_hosts};
use super::features;
use super::outs::{choose, destinations};
use super::plan::{Pin, Plan};
use super::reading::{AUTO, Reading};
use super::settings::Settings;
use super::surroundings::Surroundings;
use crate::identity::attributes::Limits;
use crate::limits::{
    ATTRIBUTE_VALUE_BYTES_LIMIT, ATTRIBUTE_VALUE_BYTES_MIN, ATTRIBUTES_LIMIT, CAPTURE_LIMIT_MIN, CONNECTIONS_DEFAULT,
    CONNECTIONS_MAX, EXPIRE_DEFAULT, GROUP_LIMIT_MAX, INTERVAL_MAX, INTERVAL_MIN, MAX_BODY_BYTES_MIN, MEMORY_LIMIT_MIN,
    MIB, NAME_BYTES_LIMIT, NAME_BYTES_MIN, SHARDS_MAX, SHUTDOWN_DELAY_MAX, WATCH_MIN,
};
use crate::model::{PlanNumber, Temporality};
use crate::problem::{Flaw, Given, Problem};
use crate::prometheus::Translation;
use crate::rules::RulePlan;
use crate::series::peers;
use crate::units::{Unread, count, part_of, size};
use std::sync::Arc;
use std::time::Duration;

const PINS: [(&str, Pin); 3] = [("on", Pin::On), ("off", Pin::Off), (AUTO, Pin::Auto)];
const TEMPORALITIES: [(&str, Temporality); 2] =
    [("cumulative", Temporality::Cumulative), ("delta", Temporality::Delta)];
const SWITCH: [(&str, bool); 2] = [("on", true), (OFF, false)];
/// The names that the OpenTelemetry specification has.
const TRANSLATIONS: [(&str, Translation); 4] = [
    ("UnderscoreEscapingWithSuffixes", Translation::UnderscoreEscapingWithSuffixes),
    ("UnderscoreEscapingWithoutSuffixes", Translation::UnderscoreEscapingWithoutSuffixes),
    ("NoUTF8EscapingWithSuffixes", Translation::NoUtf8EscapingWithSuffixes),
    ("NoTranslation", Translation::NoTranslation),
];

/// Settles on a plan, the first one of the process.
///
/// # Errors
/// Everything that is wrong, in the order of the settings.
///
/// # Panics
/// A setting that has a default is missing.
pub fn settle(settings: &Settings, around: &Surroundings<'_>) -> Result<Plan, Vec<Problem>> {
    let mut reading = Reading { settings, problems: Vec::new() };
    let shards = shards(&mut reading, around);
    let connections = reading.number_or_auto("connections", 1..=CONNECTIONS_MAX);
    let otlp_grpc = DoorSetting::read(&mut reading, around, "otlp-grpc", true);
    let otlp_http = DoorSetting::read(&mut reading, around, "otlp-http", true);
    let prometheus = DoorSetting::read(&mut reading, around, "prometheus", false);
    let admin = DoorSetting::read(&mut reading, around, "admin", false);
    let allowed_hosts = allowed_hosts(&mut reading);
    if otlp_grpc.is_off() && otlp_http.is_off() {
        let flaw = Flaw::new("nothing could come in").allowed("leave one of them on");
        reading.note(Problem::new("otlp-grpc", "off --otlp-http off", flaw));
    }
    let doors = [&otlp_grpc, &otlp_http, &prometheus, &admin];
    let mut outs = destinations(&mut reading, &doors, !prometheus.is_off(), around);
    let Times { interval, expire, max_future, shutdown_timeout, shutdown_delay } = times(&mut reading);
    let base_ns = interval.filter(|interval| (INTERVAL_MIN..=INTERVAL_MAX).contains(interval));
    let base_ns = base_ns.map(|interval| interval.as_nanos() as u64);
    let gates = features::read(&mut reading);
    let rules = document::rules(settings, base_ns, &mut reading.problems);
    let selections = rules.as_ref().and_then(|rules| choose(&mut reading, &mut outs, rules));
    if !gates.has(&features::RULES) {
        refuse_rules(&mut reading, rules.as_ref());
    }
    let dedup = document::dedup(settings, &mut reading.problems);
    if !gates.has(&features::DEDUP) && dedup.as_ref().is_some_and(|dedup| !dedup.is_empty()) {
        let flaw = Flaw::new("there is `dedup`, and the feature of that name is off");
        reading.note(Problem::bare("feature-gates", flaw.remedy("add +dedup, or leave it out")));
    }
    let interval = interval.unwrap_or_default();
    let series_limit = series_limit(&mut reading);
    let group_limit = reading.number_or_auto("group-limit", 1..=GROUP_LIMIT_MAX);
    let peer_share = peer_share(&mut reading);
    let max_body = reading.size_from("max-body", MAX_BODY_BYTES_MIN, "give at least 1KiB");
    let attributes = attribute_limits(&mut reading);
    let capture_limit = reading.size_from("capture-limit", CAPTURE_LIMIT_MIN, "give at least 4KiB");
    let memory_limit = memory_limit(&mut reading, around);
    let plan = Plan {
        number: PlanNumber::FIRST,
        shards: shards.number,
        shards_free: shards.is_auto,
        connections: connections.unwrap_or(CONNECTIONS_DEFAULT),
        connections_free: connections.is_none(),
        pin: reading.word("pin", &PINS),
        otlp_grpc: otlp_grpc.address,
        otlp_http: otlp_http.address,
        prometheus: prometheus.address,
        created: reading.word("prometheus-created", &SWITCH),
        translation: reading.word("prometheus-translation", &TRANSLATIONS),
        admin: admin.address,
        allowed_hosts,
        gates,
        rules: rules.map(Arc::new).unwrap_or_default(),
        dedup: dedup.map(Arc::new).unwrap_or_default(),
        outs,
        selections,
        interval,
        temporality: reading.word("temporality", &TEMPORALITIES),
        series_limit,
        group_limit,
        peer_share,
        memory_limit,
        attributes,
        max_body,
        expire,
        max_future,
        shutdown_timeout,
        shutdown_delay,
        watch: watch(&mut reading),
        log: log(&mut reading),
        capture: reading.path("capture").map(|path| (path, capture_limit)),
        ports_file: reading.path("ports-file"),
    };
    if reading.problems.is_empty() { Ok(plan) } else { Err(reading.problems) }
}

/// There are rules, and the feature is off.
fn refuse_rules(reading: &mut Reading<'_>, rules: Option<&RulePlan>) {
    if rules.is_some_and(|rules| !rules.is_empty()) {
        let flaw = Flaw::new("there are rules, and the feature `rules` is off").remedy("leave one of them out");
        reading.note(Problem::bare("feature-gates", flaw));
    }
}

struct ShardCount {
    number: usize,
    is_auto: bool,
}

fn shards(reading: &mut Reading<'_>, around: &Surroundings<'_>) -> ShardCount {
    if let Some(number) = reading.number_or_auto("shards", 1..=SHARDS_MAX) {
        return ShardCount { number, is_auto: false };
    }
    let tuned = reading.path("tuning").map_or(Ok(None), |path| (around.tuned_shards)(&path));
    let tuned = tuned.unwrap_or_else(|problem| {
        reading.note(problem);
        None
    });
    ShardCount { number: tuned.unwrap_or(around.cores.min(SHARDS_MAX)), is_auto: true }
}

struct Times {
    /// Nothing where it cannot be read.
    interval: Option<Duration>,
    expire: Duration,
    max_future: Duration,
    shutdown_timeout: Duration,
    shutdown_delay: Duration,
}

fn times(reading: &mut Reading<'_>) -> Times {
    let read_interval = reading.time("interval");
    let interval = read_interval.unwrap_or_default();
    let given = reading.settings.get("expire");
    let read_expire = given.and_then(|_| reading.time("expire"));
    let expire = match given {
        Some(_) => read_expire.unwrap_or_default(),
        None => EXPIRE_DEFAULT.max(interval * 2),
    };
    let max_future = reading.time("max-future").unwrap_or_default();
    let shutdown_timeout = reading.time("shutdown-timeout").unwrap_or_default();
    let shutdown_delay = reading.time("shutdown-delay").unwrap_or_default();
    if shutdown_delay > SHUTDOWN_DELAY_MAX {
        reading.wrong(reading.one("shutdown-delay"), Flaw::outside("give at most 1h"));
    }
    if read_interval.is_some() {
        let setting = reading.one("interval");
        if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
            reading.wrong(setting, Flaw::outside("give a duration from 100ms to 1h"));
        }
        if let Some(given) = given.filter(|_| read_expire.is_some_and(|expire| expire < interval)) {
            let fault = format!("must not be shorter than --interval ({})", setting.text());
            reading.wrong(given, Flaw::new(fault).allowed("the default is 5m"));
        }
    }
    Times { interval: read_interval, expire, max_future, shutdown_timeout, shutdown_delay }
}

fn series_limit(reading: &mut Reading<'_>) -> usize {
    let setting = reading.one("series-limit");
    match count(&setting.text()) {
        Ok(limit) if (1..=u32::MAX as usize).contains(&limit) => return limit,
        Ok(_) => reading.wrong(setting, Flaw::outside(format!("give a number from 1 to {}", u32::MAX))),
        Err(why) => reading.unread(setting, why),
    }
    1
}

fn peer_share(reading: &mut Reading<'_>) -> u32 {
    let setting = reading.one("peer-share");
    match part_of(&setting.text(), peers::WHOLE as usize) {
        Some(Ok(share)) => share as u32,
        _ => {
            reading.wrong_in_quotes(setting, Flaw::outside("write 1% to 100%"));
            peers::WHOLE
        }
    }
}

fn attribute_limits(reading: &mut Reading<'_>) -> Limits {
    let name_bytes = reading.size("max-name", NAME_BYTES_MIN..=NAME_BYTES_LIMIT, "give a size from 64 to 4KiB");
    let attributes = reading.number("max-attributes", 1..=ATTRIBUTES_LIMIT);
    let range = ATTRIBUTE_VALUE_BYTES_MIN..=ATTRIBUTE_VALUE_BYTES_LIMIT;
    let value_bytes = reading.size("max-attribute-value", range, "give a size from 64 to 64KiB");
    Limits { attributes, value_bytes, name_bytes }
}

fn watch(reading: &mut Reading<'_>) -> Option<Duration> {
    if reading.one("watch").text() == OFF {
        return None;
    }
    let every = reading.time("watch")?;
    if every < WATCH_MIN {
        reading.wrong(reading.one("watch"), Flaw::outside(format!("give at least {WATCH_MIN:?}, or off")));
    }
    Some(every)
}

fn log(reading: &mut Reading<'_>) -> String {
    let setting = reading.one("log");
    let filter = setting.text();
    if let Err(allowed) = crate::log::check(&filter) {
        reading.wrong(setting, Flaw::outside(allowed));
    }
    filter.into_owned()
}

/// Bytes; `None` for `auto`.
fn memory_limit(reading: &mut Reading<'_>, around: &Surroundings<'_>) -> Option<usize> {
    let setting = reading.one("memory-limit");
    let text = setting.text();
    if text == AUTO {
        return None;
    }
    match part_of(&text, around.memory_bytes).unwrap_or_else(|| size(&text)) {
        Ok(bytes) if bytes >= MEMORY_LIMIT_MIN => return Some(bytes),
        Ok(_) => {
            let allowed = format!("give at least {}MiB, or auto", MEMORY_LIMIT_MIN / MIB);
            reading.wrong(setting, Flaw::outside(allowed));
        }
        Err(Unread { given, fault, examples }) => {
            let flaw = Flaw::predicate(fault).allowed(format!("write {examples}, 50%, or auto"));
            reading.note(Problem { given: Given::Quoted(given), ..Problem::bare("memory-limit", flaw) });
        }
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::surroundings::tests::around;
    use super::*;
    use crate::problem::At;

    /// All defaults, and these on top.
    pub(in super::super) fn settings(given: &[(&'static str, &str)]) -> Settings {
        const DEFAULTS: [(&str, &str); 26] = [
            ("shards", "auto"),
            ("connections", "auto"),
            ("otlp-grpc", "127.0.0.1:4317"),
            ("otlp-http", "127.0.0.1:4318"),
            ("prometheus", "127.0.0.1:9464"),
            ("admin", "127.0.0.1:9465"),
            ("interval", "10s"),
            ("max-future", "10m"),
            ("shutdown-timeout", "10s"),
            ("shutdown-delay", "0s"),
            ("series-limit", "1000000"),
            ("group-limit", "auto"),
            ("peer-share", "50%"),
            ("max-body", "64MiB"),
            ("max-name", "255"),
            ("max-attributes", "128"),
            ("max-attribute-value", "4KiB"),
            ("capture-limit", "64MiB"),
            ("memory-limit", "auto"),
            ("pin", "auto"),
            ("prometheus-created", "off"),
            ("prometheus-translation", "NoTranslation"),
            ("temporality", "delta"),
            ("watch", "off"),
            ("log", "info"),
            ("log-format", "text"),
        ];
        let mut settings = Settings::default();
        for (key, text) in DEFAULTS {
            settings.add(key, At::Flag, text);
        }
        for (key, text) in given {
            settings.add(key, At::Variable, text);
        }
        settings
    }

    #[test]
    fn settings_become_a_plan_that_compares() {
        let plan = settle(&settings(&[("out", "stdout"), ("memory-limit", "50%")]), &around()).unwrap();
        assert_eq!((plan.number, plan.shards, plan.shards_free), (PlanNumber::FIRST, 3, true));
        assert_eq!((plan.connections, plan.memory_limit), (CONNECTIONS_DEFAULT, Some(1 << 29)));
        assert_eq!((plan.temporality, plan.translation), (Temporality::Delta, Translation::NoTranslation));
        assert_eq!((plan.expire, plan.outs.len(), plan.created), (EXPIRE_DEFAULT, 1, false));
        let settle = |given: &[(&'static str, &str)]| settle(&settings(given), &around()).unwrap();
        let long = settle(&[("interval", "1h")]);
        assert_eq!(long.expire, Duration::from_secs(7_200), "two intervals");
        assert_eq!(settle(&[("interval", "60m"), ("connections", "auto")]), long, "the same in other words");
        assert_ne!(settle(&[("interval", "1h"), ("connections", "1024")]), long, "these are not free");
    }

    /// Each problem knows its setting and where that was given; all of them come at once, in order.
    #[test]
    fn every_problem_comes_with_the_setting_it_is_about() {
        let given = [
            ("shards", "0"),
            ("admin", "x"),
            ("out", "otlp-grpc://127.0.0.1"),
            ("out", "nowhere"),
            ("interval", "soon"),
            ("expire", "1s"),
            ("series-limit", "-1"),
            ("group-limit", "0"),
            ("peer-share", "0%"),
            ("max-body", "1"),
            ("memory-limit", "0%"),
            ("pin", "perhaps"),
            ("log", "loud"),
        ];
        let problems = settle(&settings(&given), &around()).unwrap_err();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key).collect();
        let wanted: Vec<&str> = given.iter().map(|(key, _)| *key).filter(|key| *key != "expire").collect();
        assert_eq!(keys, wanted);
        for (problem, words) in problems.iter().zip([
            "CATCHMENT_SHARDS (--shards) 0: give a number from 1 to 256, or auto",
            "CATCHMENT_ADMIN (--admin) x: no such name; give HOST:PORT, or off",
            "CATCHMENT_OUT (--out) otlp-grpc://127.0.0.1:4317: this is the own door --otlp-grpc 127.0.0.1:4317",
            "CATCHMENT_OUT (--out) nowhere: `nowhere` is no destination: write otlp-grpc://",
            "CATCHMENT_INTERVAL (--interval) 'soon' is no duration; write",
            "CATCHMENT_SERIES_LIMIT (--series-limit) '-1' is no number of them; write",
            "CATCHMENT_GROUP_LIMIT (--group-limit) 0: give a number from 1 to 1073741824, or auto",
            "CATCHMENT_PEER_SHARE (--peer-share) '0%': write 1% to 100%",
            "CATCHMENT_MAX_BODY (--max-body) 1: give at least 1KiB",
            "CATCHMENT_MEMORY_LIMIT (--memory-limit) '0%' is no part of the memory; write 1% to 100%, 50%, or auto",
            "CATCHMENT_PIN (--pin) perhaps: give one of on, off, auto",
        ]) {
            assert!(problem.at == At::Variable && problem.to_string().starts_with(words), "{words}: {problem}");
        }
        // what was not given is told as the flag with which it can be
        let problems = settle(&settings(&[("otlp-grpc", "off"), ("otlp-http", "off")]), &around()).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let problems = settle(&settings(&[("feature-gates", "-rules"), ("without", "a")]), &around()).unwrap_err();
        let words = "CATCHMENT_FEATURE_GATES (--feature-gates): there are rules, and the feature `rules` is off: leave one of them out";
        assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), [words]);
        let given = [("interval", "20m")];
        let mut short = settings(&given);
        short.add("expire", At::Flag, "10m");
        let problems = settle(&short, &around()).unwrap_err();
        let words = "--expire 10m: must not be shorter than --interval (20m); the default is 5m";
        assert_eq!(problems.iter().map(ToString::to_string).collect::<Vec<_>>(), [words]);
    }

    /// T21: neither settings nor the plan show a header or a path that may hold a token, however they are printed.
    #[test]
    fn t21_what_is_printed_of_settings_and_plan_holds_no_secret() {
        let given = [("out", "otlp-http://h/hunter2"), ("out-header", "authorization=hunter2")];
        let settings = settings(&given);
        let plan = settle(&settings, &around()).unwrap();
        let shown = format!("{settings:?} {plan:?} {plan:#?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("authorization") && shown.contains("interval"), "{shown}");
    }
}
