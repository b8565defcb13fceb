//! What goes to standard output. Does not know what it is.

use std::io::Write;

/// Prints, and says so when it cannot.
pub(super) fn print(text: &str) -> Result<(), String> {
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| format!("standard output: {error}"))
}
