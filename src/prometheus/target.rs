//! Resources and scopes as labels: `job`, `instance`, `otel_scope_*`, and the labels of `target_info`.
//!
//! Knows the `Resource` and `InstrumentationScope` messages (OTLP 1.x, resource.proto, common.proto); does not know
//! metrics. `job` is `namespace/name`, or `name`; without `service.name` there is none. The attributes that went into
//! `job` and `instance` are not repeated in `target_info` (X12).
//!
//! Invariant: the prefix is canonical: the same job, instance and scope labels are the same bytes.

use crate::prometheus::any::{Attribute, key_value, messages, put_text};
use crate::prometheus::label_encoding::LabelEncoding;
use crate::prometheus::name::{LabelPlace, Naming};
use crate::wire::{Reader, WireType};

/// What a resource says of its target.
pub(super) struct Target {
    /// `job` and `instance`, or `instance` alone.
    pub labels: Vec<u8>,
    /// Has a job or an instance.
    pub named: bool,
    /// Has attributes besides.
    pub others: bool,
}

const NAMESPACE: &[u8] = b"service.namespace";
const NAME: &[u8] = b"service.name";
const INSTANCE: &[u8] = b"service.instance.id";

/// Job and instance of a `Resource`.
pub(super) fn target(resource: &[u8], encoding: LabelEncoding) -> Target {
    let (mut namespace, mut name, mut instance) = (Vec::new(), Vec::new(), Vec::new());
    for attribute in messages(resource).map(key_value) {
        let text = match attribute.key {
            NAMESPACE => &mut namespace,
            NAME => &mut name,
            INSTANCE => &mut instance,
            _ => continue,
        };
        text.clear();
        put_text(text, attribute.kind, attribute.payload);
    }
    let mut labels = Vec::with_capacity(32 + namespace.len() + name.len() + instance.len());
    if !name.is_empty() {
        if !namespace.is_empty() {
            namespace.push(b'/');
        }
        namespace.extend_from_slice(&name);
        encoding.put(&mut labels, &encoding.opening("job"), &namespace);
    }
    encoding.put(&mut labels, &encoding.opening("instance"), &instance);
    let others = messages(resource).map(key_value).any(|a| !a.is_empty() && !is_used(a.key, !name.is_empty()));
    Target { labels, named: !name.is_empty() || !instance.is_empty(), others }
}

/// Whether an attribute is in `job` or `instance` already.
fn is_used(key: &[u8], has_name: bool) -> bool {
    key == INSTANCE || key == NAME || (key == NAMESPACE && has_name)
}

/// Appends the labels of `target_info`, job and instance first.
pub(super) fn put_target_info(
    out: &mut Vec<u8>,
    target_labels: &[u8],
    resource: &[u8],
    naming: Naming,
    encoding: LabelEncoding,
) {
    out.extend_from_slice(target_labels);
    let has_name = messages(resource).map(key_value).any(|a| a.key == NAME && !a.is_empty());
    let named = messages(resource)
        .map(key_value)
        .filter(|a| !is_used(a.key, has_name))
        .map(|a| (naming.label_name(&String::from_utf8_lossy(a.key), LabelPlace::Target), a))
        .collect();
    for (label, value) in joined(named) {
        encoding.put(out, &encoding.opening(&label), &value);
    }
}

/// Appends the scope's labels (X11).
pub(super) fn put_scope(out: &mut Vec<u8>, scope: &[u8], schema_url: &str, naming: Naming, encoding: LabelEncoding) {
    for (label, value) in scope_labels(scope, schema_url, naming) {
        encoding.put(out, &encoding.opening(&label), &value);
    }
}

/// The scope's labels in their order: names and values, none of them empty.
pub(super) fn scope_labels(scope: &[u8], schema_url: &str, naming: Naming) -> Vec<(String, Vec<u8>)> {
    let (mut name, mut version): (&[u8], &[u8]) = (b"", b"");
    let mut named = Vec::new();
    let mut fields = Reader::new(scope);
    while !fields.is_empty() {
        let Ok(field) = fields.field() else { break };
        match (field.number, field.wire) {
            (1, WireType::Bytes) => name = fields.bytes().unwrap_or_default(),
            (2, WireType::Bytes) => version = fields.bytes().unwrap_or_default(),
            (3, WireType::Bytes) => {
                let attribute = key_value(fields.bytes().unwrap_or_default());
                if let Some(label) = naming.scope_label_name(&String::from_utf8_lossy(attribute.key)) {
                    named.push((label, attribute));
                }
            }
            _ if fields.skip(field, 0).is_err() => break,
            _ => {}
        }
    }
    let fixed =
        [("otel_scope_name", name), ("otel_scope_version", version), ("otel_scope_schema_url", schema_url.as_bytes())];
    let fixed = fixed.into_iter().map(|(label, value)| (label.to_string(), value.to_vec()));
    let mut labels: Vec<(String, Vec<u8>)> = fixed.filter(|(_, value)| !value.is_empty()).collect();
    labels.extend(joined(named));
    labels
}

/// Labels by name, without empty ones; those of one name joined with `;` in the order of their keys.
fn joined(mut named: Vec<(String, Attribute<'_>)>) -> Vec<(String, Vec<u8>)> {
    named.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.key.cmp(y.key)));
    let mut labels: Vec<(String, Vec<u8>)> = Vec::with_capacity(named.len());
    for (label, attribute) in named {
        match labels.last_mut() {
            Some((known, value)) if *known == label => {
                value.push(b';');
                put_text(value, attribute.kind, attribute.payload);
            }
            _ => {
                let mut value = Vec::new();
                put_text(&mut value, attribute.kind, attribute.payload);
                labels.push((label, value));
            }
        }
    }
    labels.retain(|(_, value)| !value.is_empty());
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::tests::{resource, scope};

    #[test]
    fn x12_job_and_instance() {
        let check = |pairs: &[(&str, &str)], want: &str, named: bool, others: bool| {
            let target = target(&resource(pairs), LabelEncoding::Text);
            assert_eq!(String::from_utf8(target.labels).unwrap(), format!(",{want}"));
            assert_eq!((target.named, target.others), (named, others), "{pairs:?}");
        };
        let (namespace, name, instance) = ("service.namespace", "service.name", "service.instance.id");
        check(&[(name, "api")], r#"job="api",instance="""#, true, false);
        check(
            &[(namespace, "shop"), (name, "api"), (instance, "a\"1")],
            r#"job="shop/api",instance="a\"1""#,
            true,
            false,
        );
        check(&[(name, "api"), (namespace, "")], r#"job="api",instance="""#, true, false);
        check(&[(namespace, "shop"), (instance, "1")], r#"instance="1""#, true, true);
        check(&[("host.name", "h"), (name, "api")], r#"job="api",instance="""#, true, true);
        check(&[("host.name", ""), (name, "api")], r#"job="api",instance="""#, true, false);
        check(&[("host.name", "h")], r#"instance="""#, false, true);
        check(&[], r#"instance="""#, false, false);
    }

    #[test]
    fn x12_target_info_has_all_other_attributes() {
        let check = |pairs: &[(&str, &str)], want: &str| {
            let resource = resource(pairs);
            let mut out = Vec::new();
            put_target_info(
                &mut out,
                &target(&resource, LabelEncoding::Text).labels,
                &resource,
                Naming::default(),
                LabelEncoding::Text,
            );
            assert_eq!(String::from_utf8(out).unwrap(), format!(",{want}"));
        };
        check(
            &[("service.name", "api"), ("host.name", "h\n1"), ("cloud.zone", "z"), ("job", "j")],
            r#"job="api",instance="",cloud_zone="z",exported_job="j",host_name="h\n1""#,
        );
        check(
            &[("service.namespace", "shop"), ("service.instance.id", "1"), ("a.b", "x"), ("a_b", "y")],
            r#"instance="1",a_b="x;y",service_namespace="shop""#,
        );
    }

    #[test]
    fn x11_scope_labels_and_dropped_conflicts() {
        let check = |name: &str, version: &str, url: &str, pairs: &[(&str, &str)], want: &str| {
            let mut out = Vec::new();
            put_scope(&mut out, &scope(name, version, pairs), url, Naming::default(), LabelEncoding::Text);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        };
        check("m", "1", "", &[], r#",otel_scope_name="m",otel_scope_version="1""#);
        check("", "", "http://s", &[], r#",otel_scope_schema_url="http://s""#);
        check("", "", "", &[], "");
        check(
            "m",
            "",
            "",
            &[("short.name", "s"), ("name", "evil"), ("schema.url", "evil"), (".version", "evil"), ("b", "1")],
            r#",otel_scope_name="m",otel_scope_b="1",otel_scope_short_name="s""#,
        );
    }
}
