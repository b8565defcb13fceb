//! `catchment load` on its own, until the binary has its subcommands. Knows nothing but the way to the library.

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "load")]
struct Arguments {
    #[command(flatten)]
    options: catchment::load::Options,
}

fn main() -> ExitCode {
    match catchment::load::command(&Arguments::parse().options) {
        Ok(code) => ExitCode::from(code),
        Err(why) => {
            eprintln!("load: {why}");
            ExitCode::from(1)
        }
    }
}
