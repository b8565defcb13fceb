//! The sink's reader of OTLP/JSON: `serde_json`'s tree, turned into the messages that prost would give.
//!
//! Deliberately plain and strict where it matters to a count: a number that is none is an error and no zero. Shares
//! nothing with the server's reader. Unknown keys are ignored; 64-bit integers are strings or numbers.
//! Left out: exemplars, as in the messages.

use crate::load::messages as otlp;
use serde_json::Value;

type Read<T> = Result<T, String>;

/// A whole request; errors name the key.
pub(crate) fn request(body: &[u8]) -> Read<otlp::ExportMetricsServiceRequest> {
    let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if !value.is_object() {
        return Err("a request is an object".into());
    }
    Ok(otlp::ExportMetricsServiceRequest { resource_metrics: list(&value, "resourceMetrics", resource)? })
}

fn resource(value: &Value) -> Read<otlp::ResourceMetrics> {
    let attributes = |of: &Value| list(of, "attributes", pair);
    let resource = present(&value["resource"])
        .map(|of| Ok::<_, String>(otlp::Resource { attributes: attributes(of)?, dropped_attributes_count: 0 }));
    let scope = |value: &Value| {
        let scope = present(&value["scope"]).map(|of| {
            Ok::<_, String>(otlp::InstrumentationScope {
                name: text(of, "name")?,
                version: text(of, "version")?,
                attributes: attributes(of)?,
                dropped_attributes_count: 0,
            })
        });
        Ok(otlp::ScopeMetrics {
            scope: scope.transpose()?,
            metrics: list(value, "metrics", metric)?,
            schema_url: text(value, "schemaUrl")?,
        })
    };
    Ok(otlp::ResourceMetrics {
        resource: resource.transpose()?,
        scope_metrics: list(value, "scopeMetrics", scope)?,
        schema_url: text(value, "schemaUrl")?,
    })
}

fn metric(value: &Value) -> Read<otlp::Metric> {
    let temporality = |of: &Value| integer(of, "aggregationTemporality").map(|number| number.unwrap_or(0) as i32);
    let data = if let Some(of) = present(&value["gauge"]) {
        Some(otlp::Data::Gauge(otlp::Gauge { data_points: list(of, "dataPoints", number)? }))
    } else if let Some(of) = present(&value["sum"]) {
        Some(otlp::Data::Sum(otlp::Sum {
            data_points: list(of, "dataPoints", number)?,
            aggregation_temporality: temporality(of)?,
            is_monotonic: of["isMonotonic"].as_bool().unwrap_or(false),
        }))
    } else if let Some(of) = present(&value["histogram"]) {
        let (data_points, aggregation_temporality) = (list(of, "dataPoints", histogram)?, temporality(of)?);
        Some(otlp::Data::Histogram(otlp::Histogram { data_points, aggregation_temporality }))
    } else if let Some(of) = present(&value["exponentialHistogram"]) {
        let (data_points, aggregation_temporality) = (list(of, "dataPoints", exponential)?, temporality(of)?);
        Some(otlp::Data::ExponentialHistogram(otlp::ExponentialHistogram { data_points, aggregation_temporality }))
    } else if let Some(of) = present(&value["summary"]) {
        Some(otlp::Data::Summary(otlp::Summary { data_points: list(of, "dataPoints", summary)? }))
    } else {
        None
    };
    Ok(otlp::Metric {
        name: text(value, "name")?,
        description: text(value, "description")?,
        unit: text(value, "unit")?,
        data,
    })
}

fn number(value: &Value) -> Read<otlp::NumberDataPoint> {
    let of_value = match (present(&value["asInt"]), present(&value["asDouble"])) {
        (Some(_), _) => integer(value, "asInt")?.map(|number| otlp::Number::Int(number as i64)),
        (None, Some(_)) => double(value, "asDouble")?.map(otlp::Number::Double),
        (None, None) => None,
    };
    Ok(otlp::NumberDataPoint {
        start_time_unix_nano: unsigned(value, "startTimeUnixNano")?,
        time_unix_nano: unsigned(value, "timeUnixNano")?,
        attributes: list(value, "attributes", pair)?,
        flags: unsigned(value, "flags")? as u32,
        value: of_value,
    })
}

fn histogram(value: &Value) -> Read<otlp::HistogramDataPoint> {
    Ok(otlp::HistogramDataPoint {
        start_time_unix_nano: unsigned(value, "startTimeUnixNano")?,
        time_unix_nano: unsigned(value, "timeUnixNano")?,
        count: unsigned(value, "count")?,
        sum: double(value, "sum")?,
        bucket_counts: counts(value)?,
        explicit_bounds: list(value, "explicitBounds", |of| as_double(of).ok_or_else(|| "explicitBounds".into()))?,
        attributes: list(value, "attributes", pair)?,
        flags: unsigned(value, "flags")? as u32,
        min: double(value, "min")?,
        max: double(value, "max")?,
    })
}

fn exponential(value: &Value) -> Read<otlp::ExponentialHistogramDataPoint> {
    let buckets = |key: &str| {
        let of = present(&value[key]).map(|of| {
            let offset = integer(of, "offset")?.unwrap_or(0) as i32;
            Ok::<_, String>(otlp::Buckets { offset, bucket_counts: counts(of)? })
        });
        of.transpose()
    };
    Ok(otlp::ExponentialHistogramDataPoint {
        attributes: list(value, "attributes", pair)?,
        start_time_unix_nano: unsigned(value, "startTimeUnixNano")?,
        time_unix_nano: unsigned(value, "timeUnixNano")?,
        count: unsigned(value, "count")?,
        sum: double(value, "sum")?,
        scale: integer(value, "scale")?.unwrap_or(0) as i32,
        zero_count: unsigned(value, "zeroCount")?,
        positive: buckets("positive")?,
        negative: buckets("negative")?,
        flags: unsigned(value, "flags")? as u32,
        min: double(value, "min")?,
        max: double(value, "max")?,
        zero_threshold: double(value, "zeroThreshold")?.unwrap_or(0.0),
    })
}

fn summary(value: &Value) -> Read<otlp::SummaryDataPoint> {
    let quantile = |of: &Value| {
        let (quantile, value) = (double(of, "quantile")?.unwrap_or(0.0), double(of, "value")?.unwrap_or(0.0));
        Ok(otlp::ValueAtQuantile { quantile, value })
    };
    Ok(otlp::SummaryDataPoint {
        start_time_unix_nano: unsigned(value, "startTimeUnixNano")?,
        time_unix_nano: unsigned(value, "timeUnixNano")?,
        count: unsigned(value, "count")?,
        sum: double(value, "sum")?.unwrap_or(0.0),
        quantile_values: list(value, "quantileValues", quantile)?,
        attributes: list(value, "attributes", pair)?,
        flags: unsigned(value, "flags")? as u32,
    })
}

fn pair(value: &Value) -> Read<otlp::KeyValue> {
    Ok(otlp::KeyValue { key: text(value, "key")?, value: present(&value["value"]).map(any).transpose()? })
}

/// Nesting is bounded by `serde_json`, at 128.
fn any(value: &Value) -> Read<otlp::AnyValue> {
    use otlp::Value as Any;
    let value = if let Some(of) = present(&value["stringValue"]) {
        Some(Any::String(of.as_str().ok_or("stringValue")?.to_owned()))
    } else if let Some(of) = present(&value["boolValue"]) {
        Some(Any::Bool(of.as_bool().ok_or("boolValue")?))
    } else if present(&value["intValue"]).is_some() {
        integer(value, "intValue")?.map(|number| Any::Int(number as i64))
    } else if present(&value["doubleValue"]).is_some() {
        double(value, "doubleValue")?.map(Any::Double)
    } else if let Some(of) = present(&value["arrayValue"]) {
        Some(Any::Array(otlp::ArrayValue { values: list(of, "values", any)? }))
    } else if let Some(of) = present(&value["kvlistValue"]) {
        Some(Any::KeyValueList(otlp::KeyValueList { values: list(of, "values", pair)? }))
    } else {
        // Bytes only tell series apart here: their text does that as well.
        present(&value["bytesValue"]).and_then(Value::as_str).map(|text| Any::Bytes(text.as_bytes().to_vec()))
    };
    Ok(otlp::AnyValue { value })
}

fn present(value: &Value) -> Option<&Value> {
    if value.is_null() { None } else { Some(value) }
}

fn list<T>(value: &Value, key: &str, read: impl Fn(&Value) -> Read<T>) -> Read<Vec<T>> {
    match &value[key] {
        Value::Null => Ok(Vec::new()),
        Value::Array(values) => values.iter().map(read).collect(),
        _ => Err(format!("{key} is no list")),
    }
}

fn text(value: &Value, key: &str) -> Read<String> {
    match &value[key] {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        _ => Err(format!("{key} is no string")),
    }
}

/// Wide enough for both signs of 64 bits.
fn as_integer(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from)),
        _ => None,
    }
}

fn integer(value: &Value, key: &str) -> Read<Option<i128>> {
    let of = present(&value[key]);
    of.map(|of| as_integer(of).ok_or_else(|| format!("{key} is no integer"))).transpose()
}

fn unsigned(value: &Value, key: &str) -> Read<u64> {
    let number = integer(value, key)?.unwrap_or(0);
    number.try_into().map_err(|_| format!("{key} is out of range"))
}

fn counts(value: &Value) -> Read<Vec<u64>> {
    let count = |of: &Value| as_integer(of).and_then(|count| count.try_into().ok()).ok_or("bucketCounts".to_owned());
    list(value, "bucketCounts", count)
}

fn as_double(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => text.parse().ok(),
        },
        _ => None,
    }
}

fn double(value: &Value, key: &str) -> Read<Option<f64>> {
    present(&value[key]).map(|of| as_double(of).ok_or_else(|| format!("{key} is no number"))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_request_is_an_error_with_a_key() {
        for (body, want) in [
            ("", "EOF"),
            ("[]", "object"),
            (r#"{"resourceMetrics":{}}"#, "resourceMetrics"),
            (
                r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"dataPoints":[{"asInt":"x"}]}}]}]}]}"#,
                "asInt",
            ),
            (
                r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{"count":-1}]}}]}]}]}"#,
                "count",
            ),
        ] {
            let error = request(body.as_bytes()).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(error.contains(want), "{body}: {error}");
        }
    }

    #[test]
    fn numbers_are_strings_or_numbers_and_null_is_absent() {
        let body = r#"{"resourceMetrics":[{"resource":null,"unknown":[1],"scopeMetrics":[{"metrics":[{"name":"a","gauge":
            {"dataPoints":[{"asInt":"-3","timeUnixNano":"18446744073709551615"},{"asDouble":1.5,"timeUnixNano":7},{}]}}]}]}]}"#;
        let request = request(body.as_bytes()).unwrap();
        let metric = &request.resource_metrics[0].scope_metrics[0].metrics[0];
        let Some(otlp::Data::Gauge(gauge)) = &metric.data else { panic!("a gauge") };
        let of = |index: usize| (gauge.data_points[index].value, gauge.data_points[index].time_unix_nano);
        assert_eq!(of(0), (Some(otlp::Number::Int(-3)), u64::MAX));
        assert_eq!(of(1), (Some(otlp::Number::Double(1.5)), 7));
        assert_eq!(of(2), (None, 0));
    }
}
