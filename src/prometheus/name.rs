//! Names: metric names with unit and type suffixes, label names.
//!
//! Knows the four translation strategies, and puts the escaping scheme behind them; does not know which names meet on a
//! page.
//!
//! | strategy | `foo.bar`, `By`, monotonic sum | attribute `a.b` |
//! |---|---|---|
//! | `UnderscoreEscapingWithSuffixes` | `foo_bar_bytes_total` | `a_b` |
//! | `UnderscoreEscapingWithoutSuffixes` | `foo_bar` | `a_b` |
//! | `NoUTF8EscapingWithSuffixes` | `foo.bar_bytes_total` | `a.b` |
//! | `NoTranslation` | `foo.bar` | `a.b` |
//!
//! UnderscoreEscapingWithSuffixes: a name is cut into tokens of `[A-Za-z0-9:]`; then come the unit's words unless the name has them already, then
//! `ratio` (gauges of unit `1`) or `total` (monotonic sums), taken from elsewhere in the name if it stands there; tokens
//! are joined with one `_`. That is what Prometheus does with OTLP, so that a name does not depend on the way it took.
//! Beyond it: `kBy` and `…/min` are words too, as the compatibility specification's table and rule have it; only the
//! part of a unit inside braces is dropped; a unit of several words is not doubled; and a name without one good
//! character has no translation, rather than being called after its unit.
//!
//! Sources: OpenTelemetry "Prometheus and OpenMetrics Compatibility"; prometheus/otlptranslator (behaviour, not code).

use crate::model::Kind;
use crate::prometheus::escape::Escaping;
use crate::prometheus::text::MetricType;

/// How OpenTelemetry names become Prometheus names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Translation {
    /// `foo.bar` in `By` becomes `foo_bar_bytes_total`.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// `foo_bar`: neither units nor types are told.
    UnderscoreEscapingWithoutSuffixes,
    /// `foo.bar_bytes_total`, for those who read UTF-8 names.
    NoUtf8EscapingWithSuffixes,
    /// `foo.bar`: names as they came.
    NoTranslation,
}

impl Translation {
    const fn adds_suffixes(self) -> bool {
        matches!(self, Translation::UnderscoreEscapingWithSuffixes | Translation::NoUtf8EscapingWithSuffixes)
    }

    const fn keeps_utf8(self) -> bool {
        matches!(self, Translation::NoUtf8EscapingWithSuffixes | Translation::NoTranslation)
    }
}

/// How names are made: the strategy is the operator's, the scheme the scraper's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// What names become.
    pub strategy: Translation,
    /// What then becomes of characters that the scraper does not take.
    pub escaping: Escaping,
}

impl Naming {
    /// The family name of a metric; `None` if its name has no character that may stay.
    pub fn metric_name(self, name: &str, unit: &str, kind: Kind, monotonic: bool) -> Option<String> {
        Some(self.escaping.escape(&self.translated(name, unit, kind, monotonic)?))
    }

    fn translated(self, name: &str, unit: &str, kind: Kind, monotonic: bool) -> Option<String> {
        Some(match self.strategy {
            Translation::UnderscoreEscapingWithSuffixes => metric_name(name, unit, kind, monotonic)?,
            Translation::UnderscoreEscapingWithoutSuffixes => plain_metric_name(name)?,
            Translation::NoUtf8EscapingWithSuffixes if !name.is_empty() => with_suffixes(name, unit, kind, monotonic),
            Translation::NoTranslation if !name.is_empty() => name.to_string(),
            _ => return None,
        })
    }

    /// The family name of a gauge whose labels are what matters, an info or a state set: no `ratio`, and an info ends in
    /// `_info`, as the specification asks where a format does not know that type.
    pub fn labelled_name(self, name: &str, unit: &str, info: bool) -> Option<String> {
        let mut name = self.translated(name, unit, Kind::Sum, false)?;
        if info && self.strategy.adds_suffixes() && !name.ends_with(INFO) {
            name.push_str(INFO);
        }
        Some(self.escaping.escape(&name))
    }

    /// The unit as it stands at the end of `base`, the name without `_total`; nothing if it does not stand there. UNIT
    /// must be the name's ending.
    pub fn unit(self, base: &str, unit: &str) -> Option<String> {
        if unit.is_empty() || !self.strategy.adds_suffixes() {
            return None;
        }
        let (main, per) = split_unit(unit);
        let mut tokens: Vec<&str> = words(look_up(&UNITS, &main)).filter(|word| *word != "1").collect();
        let per: Vec<&str> = words(look_up(&PER_UNITS, &per)).collect();
        if !per.is_empty() {
            tokens.push("per");
            tokens.extend(per);
        }
        let shown_as = if unit == "1" { "ratio".into() } else { self.escaping.escape(&tokens.join("_")) };
        let before = base.strip_suffix(shown_as.as_str())?;
        (!shown_as.is_empty() && before.len() > 1 && before.ends_with('_')).then_some(shown_as)
    }

    /// The label name of an attribute key that stands alone; a reserved name gets `exported_` (see the room's header).
    /// Never empty, never `__…`.
    pub fn label_name(self, key: &str, place: LabelPlace) -> String {
        let label = self.plain_label_name(key);
        let escaped = self.escaping.escape_label(&label);
        let scope = self.escaping.escape_label("otel_scope_");
        let taken = |name: &str| match place {
            _ if name == "job" || name == "instance" || name.starts_with("__") => true,
            LabelPlace::Point(kind) => {
                name.starts_with("otel_scope_")
                    || name.starts_with(&scope)
                    || (kind == MetricType::Histogram && name == "le")
                    || (kind == MetricType::Summary && name == "quantile")
            }
            LabelPlace::Target | LabelPlace::Exemplar => false,
        };
        if taken(&label) || taken(&escaped) { format!("exported_{escaped}") } else { escaped }
    }

    /// The names of the scope's labels that a point's attribute would land on, as translated and as escaped; `None` if
    /// it is not called like one.
    pub fn scope_labels_met(self, key: &str) -> Option<[String; 2]> {
        let label = self.plain_label_name(key);
        let escaped = self.escaping.escape_label(&label);
        let scope = self.escaping.escape_label("otel_scope_");
        let is_scopes = |name: &str| name.starts_with("otel_scope_") || name.starts_with(&scope);
        (is_scopes(&label) || is_scopes(&escaped)).then_some([label, escaped])
    }

    /// The label of a scope attribute; `None` if it would stand in for the scope's name, version or schema URL (X11).
    pub fn scope_label_name(self, key: &str) -> Option<String> {
        let label = self.plain_label_name(&format!("otel_scope_{key}"));
        let escaped = self.escaping.escape_label(&label);
        let taken = |name: &str| matches!(name, "otel_scope_name" | "otel_scope_version" | "otel_scope_schema_url");
        (!taken(&label) && !taken(&escaped)).then_some(escaped)
    }

    fn plain_label_name(self, key: &str) -> String {
        match key {
            "" => "_".into(),
            _ if self.strategy.keeps_utf8() => key.into(),
            _ => plain_label_name(key),
        }
    }
}

/// The end of an info's name.
pub(super) const INFO: &str = "_info";

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
pub const fn metric_type(kind: Kind, monotonic: bool) -> MetricType {
    match kind {
        Kind::Gauge => MetricType::Gauge,
        Kind::Sum if monotonic => MetricType::Counter,
        Kind::Sum => MetricType::Gauge,
        Kind::Histogram | Kind::ExponentialHistogram => MetricType::Histogram,
        Kind::Summary => MetricType::Summary,
    }
}

/// The family name in UnderscoreEscapingWithSuffixes.
fn metric_name(name: &str, unit: &str, kind: Kind, monotonic: bool) -> Option<String> {
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
    if matches!(metric_type(kind, monotonic), MetricType::Counter) {
        move_to_end(&mut tokens, "total");
    }
    if matches!(kind, Kind::Gauge) && unit == "1" {
        move_to_end(&mut tokens, "ratio");
    }
    let joined = tokens.join("_");
    Some(if joined.as_bytes()[0].is_ascii_digit() { format!("_{joined}") } else { joined })
}

/// A name without suffixes: runs of bad characters become one `_`, underscores stay.
fn plain_metric_name(name: &str) -> Option<String> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || c == ':' || c == '_';
    let parts: Vec<&str> = name.split(|c: char| !is_good(c)).filter(|part| !part.is_empty()).collect();
    let joined = parts.join("_");
    if joined.bytes().all(|b| b == b'_') {
        return None;
    }
    Some(if joined.as_bytes()[0].is_ascii_digit() { format!("_{joined}") } else { joined })
}

/// A name as it came, then unit and type, unless it ends with them already.
fn with_suffixes(name: &str, unit: &str, kind: Kind, monotonic: bool) -> String {
    let (main, per) = split_unit(unit);
    let main = if main == "1" { "" } else { look_up(&UNITS, &main) };
    let per = if per.is_empty() { per } else { format!("per_{}", look_up(&PER_UNITS, &per)) };
    let ending = match metric_type(kind, monotonic) {
        MetricType::Counter => "total",
        _ if matches!(kind, Kind::Gauge) && unit == "1" => "ratio",
        _ => "",
    };
    let mut base = name;
    for suffix in [ending, &per] {
        if !suffix.is_empty()
            && let Some(before) = base.strip_suffix(suffix)
        {
            // what stands between is a delimiter, whichever
            let mut chars = before.chars();
            if chars.next_back().is_some() && !chars.as_str().is_empty() {
                base = chars.as_str();
            }
        }
    }
    let mut out = base.to_string();
    if !base.ends_with(main) {
        out.push('_');
        out.push_str(main);
    }
    for suffix in [per.as_str(), ending] {
        if !suffix.is_empty() {
            out.push('_');
            out.push_str(suffix);
        }
    }
    out
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
pub enum LabelPlace {
    /// A point of a metric of this type.
    Point(MetricType),
    /// `target_info`.
    Target,
    /// An exemplar.
    Exemplar,
}

/// Bad characters become `_`, runs collapse, a leading digit gets `key_`.
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

        let naming = Naming::default();
        let label = |key: &str, want: &str| {
            assert_eq!(naming.label_name(key, LabelPlace::Point(MetricType::Gauge)), want, "{key}")
        };
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
        let naming = Naming::default();
        let scope_label_name = |key| naming.scope_label_name(key);
        let check = |key: &str, place: LabelPlace, want: &str| assert_eq!(naming.label_name(key, place), want);
        check("job", LabelPlace::Point(MetricType::Gauge), "exported_job");
        check("instance", LabelPlace::Target, "exported_instance");
        check("otel.scope.name", LabelPlace::Point(MetricType::Counter), "exported_otel_scope_name");
        check("otel_scope_anything", LabelPlace::Point(MetricType::Counter), "exported_otel_scope_anything");
        check("otel.scope.name", LabelPlace::Target, "otel_scope_name");
        check("le", LabelPlace::Point(MetricType::Histogram), "exported_le");
        check("quantile", LabelPlace::Point(MetricType::Summary), "exported_quantile");
        check("le", LabelPlace::Point(MetricType::Summary), "le");
        assert_eq!(scope_label_name("name"), None);
        assert_eq!(scope_label_name(".name"), None, "conflicts are seen after escaping");
        assert_eq!(scope_label_name("schema.url"), None);
        assert_eq!(scope_label_name("short.name").as_deref(), Some("otel_scope_short_name"));
    }

    const ALL: [Translation; 4] = [
        Translation::UnderscoreEscapingWithSuffixes,
        Translation::UnderscoreEscapingWithoutSuffixes,
        Translation::NoUtf8EscapingWithSuffixes,
        Translation::NoTranslation,
    ];

    #[test]
    fn x17_the_table_of_the_specification() {
        let check = |name: &str, unit: &str, kind: Kind, want: [&str; 4]| {
            let got = ALL.map(|strategy| {
                let naming = Naming { strategy, escaping: Escaping::AllowUtf8 };
                naming.metric_name(name, unit, kind, kind == Kind::Sum).unwrap_or_default()
            });
            assert_eq!(got, want, "{name} {unit}");
        };
        check("foo.bar", "By", Kind::Sum, ["foo_bar_bytes_total", "foo_bar", "foo.bar_bytes_total", "foo.bar"]);
        check("foo.bar", "By", Kind::Gauge, ["foo_bar_bytes", "foo_bar", "foo.bar_bytes", "foo.bar"]);
        check("load", "1", Kind::Gauge, ["load_ratio", "load", "load_ratio", "load"]);
        check("speed", "m/s", Kind::Gauge, ["speed_meters_per_second", "speed", "speed_meters_per_second", "speed"]);
        check("a.bytes.total", "By", Kind::Sum, ["a_bytes_total", "a_bytes_total", "a.bytes_total", "a.bytes.total"]);
        check("__a..b__", "", Kind::Gauge, ["a_b", "__a_b__", "__a..b__", "__a..b__"]);
        check("1st", "", Kind::Gauge, ["_1st", "_1st", "1st", "1st"]);
        check("温度", "Cel", Kind::Gauge, ["", "", "温度_celsius", "温度"]);
        check("total", "", Kind::Sum, ["total", "total", "total_total", "total"]);
        check("_", "", Kind::Gauge, ["", "", "_", "_"]);
        check("", "By", Kind::Gauge, ["", "", "", ""]);
        assert_eq!(Naming::default().strategy, Translation::UnderscoreEscapingWithSuffixes, "the default of X17");
    }

    #[test]
    fn x17_x3_the_scheme_comes_after_the_strategy() {
        let check = |strategy: Translation, escaping: Escaping, metric: &str, label: &str| {
            let naming = Naming { strategy, escaping };
            assert_eq!(naming.metric_name("foo.bar", "By", Kind::Sum, true).as_deref(), Some(metric));
            assert_eq!(naming.label_name("a.b_c", LabelPlace::Point(MetricType::Counter)), label);
        };
        use Translation::*;
        check(NoTranslation, Escaping::AllowUtf8, "foo.bar", "a.b_c");
        check(NoTranslation, Escaping::Underscores, "foo_bar", "a_b_c");
        check(NoTranslation, Escaping::Dots, "foo_dot_bar", "a_dot_b__c");
        check(NoTranslation, Escaping::Values, "U__foo_2E_bar", "U__a_2E_b__c");
        check(NoUtf8EscapingWithSuffixes, Escaping::Values, "U__foo_2E_bar__bytes__total", "U__a_2E_b__c");
        check(NoUtf8EscapingWithSuffixes, Escaping::Underscores, "foo_bar_bytes_total", "a_b_c");
        check(UnderscoreEscapingWithSuffixes, Escaping::Values, "foo_bar_bytes_total", "a_b_c");
        check(UnderscoreEscapingWithSuffixes, Escaping::Dots, "foo__bar__bytes__total", "a__b__c");
        check(UnderscoreEscapingWithoutSuffixes, Escaping::Underscores, "foo_bar", "a_b_c");
    }

    #[test]
    fn x17_no_strategy_lets_an_attribute_take_a_label_of_ours() {
        for strategy in ALL {
            for escaping in Escaping::ALL {
                let naming = Naming { strategy, escaping };
                for key in [
                    "job",
                    "instance",
                    "otel_scope_name",
                    "otel.scope.name",
                    "otel/scope/name",
                    "otel__scope__name",
                    "otel//scope//name",
                    "__name__",
                    "..name..",
                    "._name",
                    "_.name__",
                    "le",
                    "",
                    "U__otel__scope__name",
                ] {
                    let label = naming.label_name(key, LabelPlace::Point(MetricType::Histogram));
                    let scope_labels = [Some("otel_scope_name".into()), naming.scope_label_name("x.y")];
                    let is_free = !["job", "instance", "le", ""].contains(&label.as_str())
                        && !label.starts_with("__")
                        && !label.starts_with("otel_scope_")
                        && !scope_labels.contains(&Some(label.clone()));
                    assert!(is_free, "{naming:?}: {key:?} became {label:?}");
                }
                for key in ["name", ".name", "version", "schema.url", "schema_url"] {
                    let scope = naming.scope_label_name(key);
                    assert!(
                        scope.is_none_or(|label| !["otel_scope_name", "otel_scope_version", "otel_scope_schema_url"]
                            .contains(&label.as_str())),
                        "{naming:?} {key}"
                    );
                }
            }
        }
    }

    #[test]
    fn x5_a_unit_is_told_where_the_name_ends_with_it() {
        let check = |base: &str, unit: &str, want: Option<&str>| {
            assert_eq!(Naming::default().unit(base, unit).as_deref(), want, "{base} {unit}");
        };
        check("a_bytes", "By", Some("bytes"));
        check("a_meters_per_second", "m/s", Some("meters_per_second"));
        check("a_per_second", "{call}/s", Some("per_second"));
        check("a_ratio", "1", Some("ratio"));
        check("a", "1", None);
        check("bytes_a", "By", None);
        check("bytes", "By", None);
        check("a", "", None);
        check("a", "{x}", None);
        let without = Naming { strategy: Translation::UnderscoreEscapingWithoutSuffixes, ..Naming::default() };
        assert_eq!(without.unit("a_bytes", "By"), None);
    }
}
