//! How one label is put down: as text, or as a `LabelPair` message.
//!
//! Knows bytes of names and values; does not know where they come from. Labels in either encoding lie one after the other
//! and are the same bytes whenever they are the same labels, which is what rows are compared by.
//!
//! | encoding | opening, made once a name | then |
//! |---|---|---|
//! | text | `,name="` or `,"na.me"="` | value, escaped, `"` |
//! | message | `name` field | `Metric.label` around it and the `value` field |
//!
//! Sources: text formats 0.0.4 and 1.0.0, OpenMetrics 1.0; io.prometheus.client metrics.proto, `LabelPair`.

use crate::prometheus::any::{AnyKind, put_label_value, put_text};
use crate::prometheus::text::{is_label_name, put_escaped};
use crate::wire::{field_size, put_bytes, put_header};

/// Text or messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LabelEncoding {
    Text,
    Message,
}

/// `Metric.label`.
const METRIC_LABEL: u8 = 0x0a;
/// `LabelPair.name` and `.value`.
const NAME: u8 = 0x0a;
const VALUE: u8 = 0x12;

impl LabelEncoding {
    /// What comes before a label's value.
    pub(super) fn opening(self, name: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(name.len() + 6);
        match self {
            LabelEncoding::Text if is_label_name(name) => {
                out.push(b',');
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"=\"");
            }
            LabelEncoding::Text => {
                out.extend_from_slice(b",\"");
                put_escaped(&mut out, name.as_bytes());
                out.extend_from_slice(b"\"=\"");
            }
            LabelEncoding::Message => put_bytes(&mut out, NAME, name.as_bytes()),
        }
        out
    }

    /// Appends a label whose value is text.
    #[inline]
    pub(super) fn put(self, out: &mut Vec<u8>, opening: &[u8], value: &[u8]) {
        match self {
            LabelEncoding::Text => {
                out.extend_from_slice(opening);
                put_escaped(out, value);
                out.push(b'"');
            }
            LabelEncoding::Message => {
                put_header(out, METRIC_LABEL, opening.len() + field_size(value.len()));
                out.extend_from_slice(opening);
                put_bytes(out, VALUE, value);
            }
        }
    }

    /// Appends a label whose value is an attribute's. `scratch` is emptied and used.
    #[inline]
    pub(super) fn put_value(
        self,
        out: &mut Vec<u8>,
        opening: &[u8],
        kind: AnyKind,
        payload: &[u8],
        scratch: &mut Vec<u8>,
    ) {
        match (self, kind) {
            (_, AnyKind::String) => self.put(out, opening, payload),
            (LabelEncoding::Text, _) => {
                out.extend_from_slice(opening);
                put_label_value(out, kind, payload, scratch);
                out.push(b'"');
            }
            (LabelEncoding::Message, _) => {
                scratch.clear();
                put_text(scratch, kind, payload);
                self.put(out, opening, scratch);
            }
        }
    }

    /// Appends a label whose value is several attributes', joined with `;` (X9). `scratch` is emptied and used.
    pub(super) fn put_joined<'a>(
        self,
        out: &mut Vec<u8>,
        opening: &[u8],
        values: impl Iterator<Item = (AnyKind, &'a [u8])>,
        scratch: &mut Vec<u8>,
    ) {
        scratch.clear();
        for (i, (kind, payload)) in values.enumerate() {
            if i > 0 {
                scratch.push(b';');
            }
            put_text(scratch, kind, payload);
        }
        self.put(out, opening, scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x4_names_that_need_it_are_quoted() {
        let check = |name: &str, value: &str, want: &str| {
            let mut out = Vec::new();
            LabelEncoding::Text.put(&mut out, &LabelEncoding::Text.opening(name), value.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), want);
        };
        check("a", "x\\y\"z\nw", r#",a="x\\y\"z\nw""#);
        check("a.b", "v", r#","a.b"="v""#);
        check("a:b", "v", r#","a:b"="v""#);
        check("1\"}\n\\", "v", r#","1\"}\n\\"="v""#);
    }

    #[test]
    fn messages_are_label_pairs() {
        let mut out = Vec::new();
        LabelEncoding::Message.put(&mut out, &LabelEncoding::Message.opening("ab"), b"c");
        assert_eq!(out, b"\x0a\x07\x0a\x02ab\x12\x01c");
    }
}
