//! Where a setting was given: on the command line, or in its environment variable.
//!
//! Does not know: which settings there are.

use crate::problem::{At, variable};

/// Where `--key` was given; the command line comes before the environment.
pub(super) fn of(key: &str) -> At {
    let flag = format!("--{key}");
    let is_typed = |word: std::ffi::OsString| word.to_str().is_some_and(|word| word.split('=').next() == Some(&flag));
    let is_set = || std::env::var_os(variable(key)).is_some_and(|value| !value.is_empty());
    if !std::env::args_os().any(is_typed) && is_set() { At::Variable } else { At::Flag }
}
