//! Escaping schemes: UTF-8 names for readers that only take `[a-zA-Z0-9_:]`.
//!
//! Knows names, one at a time; does not know which of them meet on a page.
//!
//! | scheme | `metric.name` | `a_b` | `花` |
//! |---|---|---|---|
//! | `underscores` | `metric_name` | `a_b` | `_` |
//! | `dots` | `metric_dot_name` | `a__b` | `_` |
//! | `values` | `U__metric_2E_name` | `a_b` | `U___82B1_` |
//! | `allow-utf-8` | `metric.name`, quoted | `a_b` | `花`, quoted |
//!
//! A name that already looks like one in `values` (`U__…`) is encoded too, so that no two names become one.
//!
//! Source: Prometheus "UTF-8 metric and label name escaping schemes", whose examples these are.

/// What becomes of characters outside `[a-zA-Z0-9_:]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Escaping {
    /// Each becomes `_`.
    #[default]
    Underscores = 0,
    /// A dot becomes `_dot_`, `_` becomes `__`, each other one `_`.
    Dots,
    /// The name begins with `U__`, `_` becomes `__`, and each becomes its code point, `_2E_`.
    Values,
    /// They stay, and the name stands in quotes.
    AllowUtf8,
}

impl Escaping {
    /// All schemes, by number.
    pub const ALL: [Escaping; 4] = [Escaping::Underscores, Escaping::Dots, Escaping::Values, Escaping::AllowUtf8];

    /// The word in headers.
    pub const fn word(self) -> &'static str {
        match self {
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
            Escaping::AllowUtf8 => "allow-utf-8",
        }
    }

    /// The scheme of a header's word.
    pub fn from_word(word: &str) -> Option<Escaping> {
        Escaping::ALL.into_iter().find(|scheme| scheme.word() == word)
    }

    /// A metric's name as this scheme has it. An empty name stays empty.
    pub fn escape(self, name: &str) -> String {
        self.escape_where(name, is_legacy)
    }

    /// A label's name: as a metric's, but old readers take no colon there.
    pub fn escape_label(self, name: &str) -> String {
        self.escape_where(name, |c, at| is_legacy(c, at) && c != ':')
    }

    fn escape_where(self, name: &str, is_legacy: impl Fn(char, usize) -> bool) -> String {
        let is_plain = name.char_indices().all(|(at, c)| is_legacy(c, at));
        match self {
            Escaping::AllowUtf8 => name.to_string(),
            Escaping::Underscores => {
                name.char_indices().map(|(at, c)| if is_legacy(c, at) { c } else { '_' }).collect()
            }
            Escaping::Dots => {
                let mut out = String::with_capacity(name.len() + 8);
                for (at, c) in name.char_indices() {
                    match c {
                        '.' => out.push_str("_dot_"),
                        '_' => out.push_str("__"),
                        _ => out.push(if is_legacy(c, at) { c } else { '_' }),
                    }
                }
                out
            }
            Escaping::Values if is_plain && !name.starts_with("U__") => name.to_string(),
            Escaping::Values => {
                use std::fmt::Write as _;
                let mut out = String::with_capacity(name.len() + 16);
                out.push_str("U__");
                for (at, c) in name.char_indices() {
                    match c {
                        '_' => out.push_str("__"),
                        _ if is_legacy(c, at) => out.push(c),
                        _ => write!(out, "_{:X}_", u32::from(c)).expect("writing to memory does not fail"),
                    }
                }
                out
            }
        }
    }
}

/// Whether a character may stand at this place of a name of old.
const fn is_legacy(c: char, at: usize) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == ':' || (c.is_ascii_digit() && at > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x3_the_examples_of_the_documentation() {
        let check = |scheme: Escaping, name: &str, want: &str| assert_eq!(scheme.escape(name), want, "{scheme:?}");
        check(Escaping::Underscores, "metric.name/with/slashes", "metric_name_with_slashes");
        check(Escaping::Dots, "metric.name.with.dots", "metric_dot_name_dot_with_dot_dots");
        check(Escaping::Values, "metric.name", "U__metric_2E_name");
        check(Escaping::AllowUtf8, "metric.name", "metric.name");
    }

    #[test]
    fn x3_each_scheme_has_its_rule_for_every_character() {
        let check = |name: &str, underscores: &str, dots: &str, values: &str| {
            assert_eq!(Escaping::Underscores.escape(name), underscores);
            assert_eq!(Escaping::Dots.escape(name), dots);
            assert_eq!(Escaping::Values.escape(name), values);
            assert_eq!(Escaping::AllowUtf8.escape(name), name);
        };
        check("", "", "", "");
        check("plain", "plain", "plain", "plain");
        check("no:escaping_required", "no:escaping_required", "no:escaping__required", "no:escaping_required");
        check("a.b_c", "a_b_c", "a_dot_b__c", "U__a_2E_b__c");
        check("label with 😱", "label_with__", "label_with__", "U__label_20_with_20__1F631_");
        check("花火", "__", "__", "U___82B1__706B_");
        check("1st", "_st", "_st", "U___31_st");
        check("x1", "x1", "x1", "x1");
        check("a\"}\n\\", "a____", "a____", "U__a_22__7D__A__5C_");
        check("U__a_2E_b", "U__a_2E_b", "U____a__2E__b", "U__U____a__2E__b");
    }

    #[test]
    fn x3_labels_have_no_colons() {
        assert_eq!(Escaping::Underscores.escape_label("a:b"), "a_b");
        assert_eq!(Escaping::Dots.escape_label("a:b"), "a_b");
        assert_eq!(Escaping::Values.escape_label("a:b"), "U__a_3A_b");
        assert_eq!(Escaping::AllowUtf8.escape_label("a:b"), "a:b");
    }

    /// Read back as Prometheus does.
    fn unescape_values(name: &str) -> Option<String> {
        let Some(mut rest) = name.strip_prefix("U__") else { return Some(name.to_string()) };
        let mut out = String::new();
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            if c != '_' {
                out.push(c);
            } else if let Some(after) = rest.strip_prefix('_') {
                out.push('_');
                rest = after;
            } else {
                let (digits, after) = rest.split_once('_')?;
                out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
                rest = after;
            }
        }
        Some(out)
    }

    proptest::proptest! {
        #[test]
        fn x3_values_come_back_and_all_schemes_make_names_of_old(name in "\\PC{1,12}|[a-cU_.:0-9]{1,8}") {
            proptest::prop_assert_eq!(unescape_values(&Escaping::Values.escape(&name)), Some(name.clone()));
            for scheme in [Escaping::Underscores, Escaping::Dots, Escaping::Values] {
                proptest::prop_assert!(crate::prometheus::text::is_metric_name(&scheme.escape(&name)));
            }
        }
    }
}
