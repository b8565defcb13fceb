//! `catchment completions`, `man` and `config`: what shells, manuals and editors want, from the definitions that the command line
//! itself is parsed with.
//!
//! Does not know: which flags there are.

use crate::config::describe::{example, schema};
use crate::config::keys::Key;
use clap::{Args, Command, ValueEnum};
use clap_complete::Shell;
use std::io::{self, Write};

/// Flags of `catchment completions`.
#[derive(Args, Debug)]
#[command(after_long_help = INSTALL)]
pub(super) struct Completions {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

const INSTALL: &str = "\
To install them:
  bash  catchment completions bash > ~/.local/share/bash-completion/completions/catchment
  zsh   catchment completions zsh > \"${fpath[1]}/_catchment\"
  fish  catchment completions fish > ~/.config/fish/completions/catchment.fish
A new shell has them. For bash the package bash-completion must be there; without it: source <(catchment completions bash)";

/// Flags of `catchment man`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  catchment man | man -l -
  catchment man run | man -l -
  catchment man > /usr/local/share/man/man1/catchment.1")]
pub(super) struct Man {
    /// The command to describe, such as `run`; the program itself if none is given
    command: Option<String>,
}

/// Flags of `catchment config`.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  catchment config example > fleet.yaml
  catchment config schema > catchment.schema.json    for editors: # yaml-language-server: $schema=catchment.schema.json")]
pub(super) struct Config {
    /// What to print
    #[arg(value_enum)]
    what: ConfigPage,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ConfigPage {
    /// A file of settings with all there are: what each is for, what it may be, and its default
    Example,
    /// The JSON Schema of such a file
    Schema,
}

/// What the example does not leave commented out.
const EXAMPLE: [(&str, &str); 2] = [("out", "[stdout]"), ("interval", "10s")];

impl Config {
    /// Prints the page.
    ///
    /// # Errors
    /// A sentence, when standard output cannot be written.
    pub(super) fn print(&self, keys: &[Key]) -> Result<u8, String> {
        match self.what {
            ConfigPage::Example => write(example(keys, &EXAMPLE).as_bytes()),
            ConfigPage::Schema => write(format!("{:#}\n", schema(keys)).as_bytes()),
        }
    }
}

impl Completions {
    /// Prints the script.
    ///
    /// # Errors
    /// A sentence, when standard output cannot be written.
    pub(super) fn print(&self, mut command: Command) -> Result<u8, String> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "catchment", &mut script);
        write(&script)
    }
}

impl Man {
    /// The command that the page is about.
    ///
    /// # Errors
    /// A sentence that names the commands there are.
    pub(super) fn page(&self, mut command: Command) -> Result<Command, String> {
        command.build();
        let Some(name) = &self.command else { return Ok(command) };
        let there = || command.get_subcommands().map(Command::get_name).collect::<Vec<_>>().join(", ");
        let found = command.find_subcommand(name).cloned();
        found.ok_or_else(|| format!("man {name}: there is no such command: give one of {}", there()))
    }

    /// Prints the page.
    ///
    /// # Errors
    /// A sentence, when standard output cannot be written.
    pub(super) fn print(page: Command) -> Result<u8, String> {
        let mut roff = Vec::new();
        let rendered = clap_mangen::Man::new(page).render(&mut roff);
        rendered.map_err(|error| format!("the page cannot be written: {error}"))?;
        // what stands behind the options in --help: clap has no title of its own for it
        write(String::from_utf8_lossy(&roff).replace("\n.SH EXTRA\n", "\n.SH NOTES\n").as_bytes())
    }
}

/// A text of somebody else's as it may be printed: what moves a terminal's cursor, or ends a line, is escaped.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// Writes to standard output; the exit code.
///
/// # Errors
/// A sentence.
pub(super) fn write(bytes: &[u8]) -> Result<u8, String> {
    match io::stdout().lock().write_all(bytes) {
        // `catchment man | head` has what it wanted
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(crate::SUCCESS),
        Err(error) => Err(format!("standard output cannot be written: {error}")),
        Ok(()) => Ok(crate::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_moves_no_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\td ä/ü"), "a\\u{1b}[2Jb\\nc\\td ä/ü");
    }
}
