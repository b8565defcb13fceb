//! `catchment completions` and `catchment man`: what shells and manuals want, from the definitions that the command line
//! itself is parsed with.
//!
//! Does not know: which flags there are.

use clap::{Args, Command};
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

fn write(bytes: &[u8]) -> Result<u8, String> {
    match io::stdout().lock().write_all(bytes) {
        // `catchment man | head` has what it wanted
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(crate::SUCCESS),
        Err(error) => Err(format!("standard output cannot be written: {error}")),
        Ok(()) => Ok(crate::SUCCESS),
    }
}
