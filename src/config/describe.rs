//! The settings told about: an annotated example, and a JSON Schema for editors.
//!
//! Knows the table of keys; does not know where it comes from. Both are made of the table, so that neither can say
//! something else than the help does.
//!
//! Source: JSON Schema 2020-12.

use super::document::{CHOICE, EXAMPLE, KeyShape, ValueShape};
use super::keys::Key;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Where `#`-lines are broken.
const WIDTH: usize = 100;

/// A file of settings with every key: what it is for, what it may be, and its default, all of it commented out but for
/// `shown`.
pub fn example(keys: &[Key], shown: &[(&str, &str)]) -> String {
    let mut out = String::from(
        "# Settings of `catchment run`, each under the name of its flag. Flags win over environment variables, and these\n\
         # over files; of several files the later one wins. ${env:NAME} and ${env:NAME:-default} stand for variables, $$\n\
         # for a dollar. Check a file with: catchment check --config FILE\n",
    );
    let mut section = "";
    for key in keys.iter().filter(|key| key.shape.is_none()) {
        if key.section != section {
            section = &key.section;
            let _ = write!(out, "\n# --- {section} ---\n");
        }
        out.push('\n');
        put_comment(&mut out, &key.about);
        put_comment(&mut out, &key.more);
        // without a default: what to put there
        let value = key.default.as_deref().unwrap_or(&key.value_name);
        let given = shown.iter().find(|(name, _)| *name == key.name);
        let _ = match given {
            Some((name, value)) => writeln!(out, "{name}: {value}"),
            None if key.is_list => writeln!(out, "# {}: [{}]", key.name, quoted(value)),
            None if key.default.is_none() => writeln!(out, "# {}: {}", key.name, quoted(value)),
            None => writeln!(out, "# {}: {}  # {}", key.name, quoted(value), key.value_name),
        };
    }
    if keys.iter().any(|key| key.shape.is_some()) {
        out.push_str("\n# --- Rules ---\n\n");
        for line in EXAMPLE.lines() {
            let _ = writeln!(out, "{}", format!("# {line}").trim_end());
        }
    }
    out
}

/// A value as YAML, quoted where it would be read as something else.
pub fn quoted(value: &str) -> String {
    let is_plain = !value.is_empty()
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:%".contains(&byte))
        && value.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'/')
        && !value.ends_with(':')
        && value != "null"
        // readers of YAML 1.1, such as those of editors, take these for truths
        && !["on", "off", "yes", "no", "true", "false", "y", "n"].contains(&value.to_ascii_lowercase().as_str());
    if is_plain { value.to_owned() } else { Value::from(value).to_string() }
}

fn put_comment(out: &mut String, text: &str) {
    for paragraph in text.lines().filter(|line| !line.is_empty()) {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if line.len() + word.len() > WIDTH {
                let _ = writeln!(out, "#{line}");
                line.clear();
            }
            line.push(' ');
            line.push_str(word);
        }
        let _ = writeln!(out, "#{line}");
    }
}

/// The JSON Schema of a file of settings.
pub fn schema(keys: &[Key]) -> Value {
    let mut properties = Map::new();
    for key in keys {
        let one = if key.words.is_empty() {
            json!({ "type": ["string", "number", "null"] })
        } else {
            json!({ "enum": key.words })
        };
        let mut property = if let Some(shape) = &key.shape {
            shape_schema(shape)
        } else if key.is_list {
            let text = json!({ "type": ["string", "number"] });
            let item = if key.options.is_empty() { text } else { json!({ "anyOf": [text, mapping(&key.options)] }) };
            let list = json!({ "type": "array", "items": item });
            if key.options.is_empty() {
                json!({ "anyOf": [one, list] })
            } else {
                json!({ "anyOf": [one, mapping(&key.options), list] })
            }
        } else {
            one
        };
        if let Some(property) = property.as_object_mut() {
            let about = [&*key.about, &*key.more].join("\n");
            property.insert("description".into(), about.trim().into());
            if key.shape.is_none() {
                property.insert("examples".into(), json!([key.value_name]));
            }
            if let Some(default) = &key.default {
                property.insert("default".into(), default.as_str().into());
            }
        }
        properties.insert(key.name.into(), property);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of catchment run",
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": properties,
    })
}

/// What a value of a shape may be.
fn shape_schema(shape: &ValueShape) -> Value {
    let scalar = || json!({ "type": ["string", "number"] });
    match shape {
        ValueShape::Text(what) => {
            json!({ "type": ["string", "number", "boolean"], "minLength": 1, "description": what })
        }
        ValueShape::AnyText(what) => json!({ "type": ["string", "number", "boolean"], "description": what }),
        ValueShape::Words(words) => json!({ "enum": words }),
        ValueShape::Truth => json!({ "type": "boolean" }),
        ValueShape::Time(_) => json!({ "type": "string" }),
        ValueShape::Count(..) | ValueShape::Number => scalar(),
        ValueShape::List { of, most, or_one } => {
            let list = json!({ "type": "array", "items": shape_schema(of), "maxItems": most });
            if *or_one { json!({ "anyOf": [shape_schema(of), list] }) } else { list }
        }
        ValueShape::Mapping(fields) => {
            let needed: Vec<&str> = fields.iter().filter(|field| field.is_needed).map(|field| field.name).collect();
            json!({
                "type": "object", "additionalProperties": false, "required": needed, "properties": fields_schema(fields),
            })
        }
        ValueShape::OneOf(fields) => json!({
            "type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
            "properties": fields_schema(fields),
        }),
        ValueShape::AnyKeys(of, _, most) => {
            json!({ "type": "object", "additionalProperties": shape_schema(of), "maxProperties": most })
        }
        ValueShape::Either(shapes) => json!({ "anyOf": shapes.iter().map(shape_schema).collect::<Vec<_>>() }),
        ValueShape::NotYet => json!(false),
    }
}

fn fields_schema(fields: &[KeyShape]) -> Map<String, Value> {
    let there = fields.iter().filter(|field| field.shape != ValueShape::NotYet);
    let property = |field: &KeyShape| {
        let mut value = shape_schema(&field.shape);
        if let Some(property) = value.as_object_mut() {
            property.insert("description".into(), field.about.into());
            if !field.default.is_empty() {
                property.insert("default".into(), field.default.into());
            }
        }
        (field.name.to_owned(), value)
    };
    there.map(property).collect()
}

/// A value that is a mapping of `url` and options.
fn mapping(options: &[&'static str]) -> Value {
    let scalar = || json!({ "type": ["string", "number", "null"] });
    let mut properties: Map<String, Value> =
        options.iter().chain([&"url"]).map(|name| ((*name).to_owned(), scalar())).collect();
    properties.extend(fields_schema(&CHOICE));
    json!({ "type": "object", "additionalProperties": false, "required": ["url"], "properties": properties })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::{TreeValue, parse};

    /// Whatever it is, it reads as the same text again, and what other readers take for something else is quoted.
    #[test]
    fn a_quoted_value_reads_as_the_same_text() {
        for value in
            ["10s", "off", "Yes", "null", "", "a b", "a: b", "#x", "a\n", "\"", "-", "127.0.0.1:0", "[x]", "x:", "50%"]
        {
            let shown = quoted(value);
            let node = parse(&format!("[{shown}]")).unwrap();
            let TreeValue::List(items) = node.value else { panic!("{shown}") };
            assert!(
                matches!(&items[..], [one] if matches!(&one.value, TreeValue::Text { text, .. } if text == value)),
                "{shown}"
            );
        }
        assert_eq!([quoted("off"), quoted("10s")], ["\"off\"", "10s"]);
    }

    #[test]
    fn the_schema_takes_what_the_reader_takes_for_a_destination() {
        let key = Key {
            name: "out",
            about: "Where to".into(),
            more: String::new(),
            section: "Outputs".into(),
            value_name: "URL".into(),
            default: None,
            words: Vec::new(),
            is_list: true,
            is_secret: false,
            options: vec!["queue"],
            shape: None,
        };
        let kinds = &schema(std::slice::from_ref(&key))["properties"]["out"]["anyOf"];
        let kinds: Vec<_> = kinds.as_array().unwrap().iter().map(|kind| &kind["type"]).collect();
        assert_eq!(kinds, [&json!(["string", "number", "null"]), &json!("object"), &json!("array")]);
        let mapping = &schema(&[key])["properties"]["out"]["anyOf"][1]["properties"];
        for name in ["url", "queue", "match", "except", "rules", "input"] {
            assert!(mapping[name].is_object(), "{name}: {mapping}");
        }
    }
}
