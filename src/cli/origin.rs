//! Where a setting was given: on the command line, or in its environment variable.
//!
//! Does not know: which settings there are.

use crate::problem::{At, variable};

/// Where `--key` was given; the command line comes before the environment.
pub(super) fn of(key: &str) -> At {
    if !is_typed(key) && is_set(key) { At::Variable } else { At::Flag }
}

/// Whether `--key` was given at all: what is not may come from a file.
pub(super) fn is_given(key: &str) -> bool {
    is_typed(key) || is_set(key)
}

/// Whether `--key` stands on the command line.
pub(super) fn is_typed(key: &str) -> bool {
    let flag = format!("--{key}");
    let is_short = |word: &str| key == "config" && word.starts_with("-c");
    let is_flag = |word: &str| word.split('=').next() == Some(&flag) || is_short(word);
    std::env::args_os().any(|word| word.to_str().is_some_and(is_flag))
}

fn is_set(key: &str) -> bool {
    std::env::var_os(variable(key)).is_some_and(|value| !value.is_empty())
}
