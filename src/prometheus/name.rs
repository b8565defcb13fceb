//! Names: metric names with unit and type suffixes, label names.
//!
//! Knows the translation strategy UnderscoreEscapingWithSuffixes; does not know which names meet on a page.
//!
//! A name is cut into tokens of `[A-Za-z0-9:]`; then come the unit's words unless the name has them already, then
//! `ratio` (gauges of unit `1`) or `total` (monotonic sums), taken from elsewhere in the name if it stands there; tokens
//! are joined with one `_`. That is what Prometheus does with OTLP, so that a name does not depend on the way it took.
//! Beyond it: `kBy` and `…/min` are words too, as the compatibility specification's table and rule have it; only the
//! part of a unit inside braces is dropped; a unit of several words is not doubled; and a name without one good
//! character has no translation, rather than being called after its unit.
//!
//! Sources: OpenTelemetry "Prometheus and OpenMetrics Compatibility"; prometheus/otlptranslator (behaviour, not code).

use crate::model::Kind;
use crate::prometheus::text::Type;

/// UCUM units and their words.
const UNITS: [(&str, &str); 26] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tebibytes"),
    ("kBy", "kilobytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
];

/// What a rate is per. `m` is a minute here, as Prometheus has it.
const PER_UNITS: [(&str, &str); 8] = [
    ("s", "second"),
    ("m", "minute"),
    ("min", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// The Prometheus type of an OpenTelemetry metric (X13): a non-monotonic sum is a gauge.
pub const fn metric_type(kind: Kind, monotonic: bool) -> Type {
    match kind {
        Kind::Gauge => Type::Gauge,
        Kind::Sum if monotonic => Type::Counter,
        Kind::Sum => Type::Gauge,
        Kind::Histogram | Kind::ExponentialHistogram => Type::Histogram,
        Kind::Summary => Type::Summary,
    }
}

/// The family name of a metric; `None` if its name has no character that may stay.
pub fn metric_name(name: &str, unit: &str, kind: Kind, monotonic: bool) -> Option<String> {
    let mut tokens: Vec<&str> = words(name).collect();
    if tokens.is_empty() {
        return None;
    }
    let (main, per) = split_unit(unit);
    let main: Vec<&str> = words(look_up(&UNITS, &main)).collect();
    let per: Vec<&str> = words(look_up(&PER_UNITS, &per)).collect();
    let has_main = contains(&tokens, &main);
    // a lone unit of `per` with nothing left inside says nothing
    let per: Vec<&str> = if per.is_empty() { per } else { [&["per"][..], &per].concat() };
    let has_per = contains(&tokens, &per);
    if !has_main && main != ["1"] {
        tokens.extend(&main);
    }
    if !has_per {
        tokens.extend(&per);
    }
    if matches!(metric_type(kind, monotonic), Type::Counter) {
        move_to_end(&mut tokens, "total");
    }
    if matches!(kind, Kind::Gauge) && unit == "1" {
        move_to_end(&mut tokens, "ratio");
    }
    let joined = tokens.join("_");
    Some(if joined.as_bytes()[0].is_ascii_digit() { format!("_{joined}") } else { joined })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == ':')).filter(|word| !word.is_empty())
}

/// Main unit and what it is per, without annotations in braces.
fn split_unit(unit: &str) -> (String, String) {
    let mut bare = String::with_capacity(unit.len());
    let mut depth = 0usize;
    for c in unit.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ if depth == 0 => bare.push(c),
            _ => {}
        }
    }
    let (main, per) = bare.split_once('/').unwrap_or((&bare, ""));
    (main.trim().to_string(), per.trim().to_string())
}

fn look_up<'a>(table: &[(&'static str, &'static str)], unit: &'a str) -> &'a str {
    // `%` and the like have no word character of their own, so the table comes first
    table.iter().find(|(code, _)| *code == unit).map_or(unit, |(_, word)| word)
}

fn contains(tokens: &[&str], part: &[&str]) -> bool {
    part.is_empty() || tokens.windows(part.len()).any(|window| window == part)
}

fn move_to_end<'a>(tokens: &mut Vec<&'a str>, word: &'a str) {
    tokens.retain(|token| *token != word);
    tokens.push(word);
}

/// Whose labels are being named, and so which names are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A point of a metric of this type.
    Point(Type),
    /// `target_info`.
    Target,
}

/// The label name of an attribute key: bad characters become `_`, runs collapse, a leading digit gets `key_`, a reserved
/// name gets `exported_` (see the room's header). Never empty, never `__…`.
pub fn label_name(key: &str, place: Place) -> String {
    let label = plain_label_name(key);
    let taken = match place {
        _ if label == "job" || label == "instance" => true,
        Place::Point(kind) => {
            label.starts_with("otel_scope_")
                || (kind == Type::Histogram && label == "le")
                || (kind == Type::Summary && label == "quantile")
        }
        Place::Target => false,
    };
    if taken { format!("exported_{label}") } else { label }
}

/// The label of a scope attribute; `None` if it would stand in for the scope's name, version or schema URL (X11).
pub fn scope_label_name(key: &str) -> Option<String> {
    let label = plain_label_name(&format!("otel_scope_{key}"));
    (!matches!(label.as_str(), "otel_scope_name" | "otel_scope_version" | "otel_scope_schema_url")).then_some(label)
}

fn plain_label_name(key: &str) -> String {
    let mut label = String::with_capacity(key.len() + 4);
    if key.starts_with(|c: char| c.is_ascii_digit()) {
        label.push_str("key_");
    }
    for c in key.chars() {
        if c.is_ascii_alphanumeric() {
            label.push(c);
        } else if !label.ends_with('_') {
            label.push('_');
        }
    }
    if label.is_empty() {
        label.push('_');
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x8_units_and_type_suffixes() {
        let check = |name: &str, unit: &str, kind: Kind, monotonic: bool, want: &str| {
            assert_eq!(metric_name(name, unit, kind, monotonic).as_deref(), Some(want), "{name} {unit}");
        };
        let gauge = |name: &str, unit: &str, want: &str| check(name, unit, Kind::Gauge, false, want);
        let counter = |name: &str, unit: &str, want: &str| check(name, unit, Kind::Sum, true, want);
        counter("foo.bar", "By", "foo_bar_bytes_total");
        counter("requests", "", "requests_total");
        counter("requests_total", "", "requests_total");
        counter("requests.total", "By", "requests_bytes_total");
        counter("cpu_seconds_total", "s", "cpu_seconds_total");
        counter("otelcol_process_cpu_seconds", "s", "otelcol_process_cpu_seconds_total");
        counter("items", "1", "items_total");
        counter("total.requests", "", "requests_total");
        counter("requests", "1/s", "requests_per_second_total");
        counter("requests_per_second", "1/s", "requests_per_second_total");
        counter("system.network.dropped", "{packet}", "system_network_dropped_total");
        counter("io", "{operation}/s", "io_per_second_total");
        gauge("cpu_usage", "1", "cpu_usage_ratio");
        gauge("cpu_usage_ratio", "1", "cpu_usage_ratio");
        gauge("speed", "m/s", "speed_meters_per_second");
        gauge("flow", "By/min", "flow_bytes_per_minute");
        gauge("response_time", "ms", "response_time_milliseconds");
        gauge("response_time_seconds", "s", "response_time_seconds");
        gauge("throughput", "By/s", "throughput_bytes_per_second");
        gauge("disk", "kBy", "disk_kilobytes");
        gauge("disk", "KBy", "disk_kilobytes");
        gauge("disk", "TiBy", "disk_tebibytes");
        gauge("fill", "%", "fill_percent");
        gauge("custom_metric", "custom_unit", "custom_metric_custom_unit");
        gauge("custom_metric", "By/{custom}", "custom_metric_bytes");
        gauge("custom_metric", "unit@with#special/chars", "custom_metric_unit_with_special_per_chars");
        gauge("custom_metric", "{", "custom_metric");
        gauge("custom_metric", "/", "custom_metric");
        gauge("custom_metric", "¤", "custom_metric");
        check("queue", "1", Kind::Sum, false, "queue");
        check("request_duration", "s", Kind::Histogram, false, "request_duration_seconds");
        check("request_duration", "s", Kind::ExponentialHistogram, false, "request_duration_seconds");
    }

    #[test]
    fn x9_bad_characters_become_one_underscore() {
        let check = |name: &str, want: Option<&str>| {
            assert_eq!(metric_name(name, "", Kind::Gauge, false).as_deref(), want, "{name}");
        };
        check("metric@@##$$name", Some("metric_name"));
        check("metric__with__runs", Some("metric_with_runs"));
        check("(lambda).function.executions(#)", Some("lambda_function_executions"));
        check("ns:rule", Some("ns:rule"));
        check("1st", Some("_1st"));
        check("a\nb\"} 1", Some("a_b_1"));
        check("@#$%", None);
        check("温度", None);
        check("", None);
        assert_eq!(metric_name("@", "By", Kind::Sum, true), None, "a unit is no name");

        let label = |key: &str, want: &str| assert_eq!(label_name(key, Place::Point(Type::Gauge)), want, "{key}");
        label("label:with:colons", "label_with_colons");
        label("label!with&special$chars)", "label_with_special_chars_");
        label("label_with_foreign_characters_字符", "label_with_foreign_characters_");
        label(".foo", "_foo");
        label("123label", "key_123label");
        label("__name__", "_name_");
        label("ようこそ", "_");
        label("", "_");
        label("le", "le");
        label("x\n", "x_");
    }

    #[test]
    fn x11_x12_reserved_labels_are_exported() {
        let check = |key: &str, place: Place, want: &str| assert_eq!(label_name(key, place), want);
        check("job", Place::Point(Type::Gauge), "exported_job");
        check("instance", Place::Target, "exported_instance");
        check("otel.scope.name", Place::Point(Type::Counter), "exported_otel_scope_name");
        check("otel_scope_anything", Place::Point(Type::Counter), "exported_otel_scope_anything");
        check("otel.scope.name", Place::Target, "otel_scope_name");
        check("le", Place::Point(Type::Histogram), "exported_le");
        check("quantile", Place::Point(Type::Summary), "exported_quantile");
        check("le", Place::Point(Type::Summary), "le");
        assert_eq!(scope_label_name("name"), None);
        assert_eq!(scope_label_name(".name"), None, "conflicts are seen after escaping");
        assert_eq!(scope_label_name("schema.url"), None);
        assert_eq!(scope_label_name("short.name").as_deref(), Some("otel_scope_short_name"));
    }
}
