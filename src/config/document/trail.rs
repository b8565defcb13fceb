//! Which part of a structured setting is meant, as its problems name it: `[1] "http-by-route": outputs.gauge`.
//!
//! Lives on the stack beside the walk over the tree, and is written out only where there is a problem.

use std::fmt;

/// A way from a setting down to one of its parts.
#[derive(Clone, Copy)]
pub(crate) enum Trail<'a> {
    /// The setting itself.
    Start,
    /// A part of it that has a place and mostly a name.
    Named {
        /// From 0.
        index: usize,
        /// If it has one.
        name: Option<&'a str>,
    },
    /// The value of a key.
    Key(&'a Trail<'a>, &'a str),
    /// One that was written out before.
    Told(&'a str),
    /// An item of a list.
    Item(&'a Trail<'a>, usize),
}

impl Trail<'_> {
    fn is_head(&self) -> bool {
        matches!(self, Trail::Start | Trail::Named { .. })
    }
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trail::Start => Ok(()),
            Trail::Named { index, name: None } => write!(f, "[{index}]"),
            Trail::Named { index, name: Some(name) } => write!(f, "[{index}] \"{}\"", cut(name).escape_debug()),
            Trail::Key(before, key) => {
                let between = if before.is_head() { ": " } else { "." };
                write!(f, "{before}{between}{}", cut(key).escape_debug())
            }
            Trail::Told(text) => f.write_str(text),
            Trail::Item(before, index) => write!(f, "{before}[{index}]"),
        }
    }
}

/// A text as it may be repeated.
pub(crate) fn cut(text: &str) -> &str {
    text.char_indices().nth(SHOWN_CHARS).map_or(text, |(end, _)| &text[..end])
}

/// Of a key or a value that is wrong so much is repeated.
const SHOWN_CHARS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_is_told_from_its_setting_down() {
        let rule = Trail::Named { index: 1, name: Some("http") };
        let outputs = Trail::Key(&rule, "outputs");
        let gauge = Trail::Key(&outputs, "gauge");
        assert_eq!(Trail::Item(&gauge, 2).to_string(), "[1] \"http\": outputs.gauge[2]");
        assert_eq!(Trail::Named { index: 3, name: None }.to_string(), "[3]");
        assert_eq!(Trail::Key(&Trail::Start, "limits").to_string(), ": limits");
        assert_eq!(Trail::Key(&rule, &"\n".repeat(99)).to_string().len(), "[1] \"http\": ".len() + 128);
    }
}
