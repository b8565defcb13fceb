//! `catchment sink` on its own, until the binary has its subcommands. Knows nothing but the way to the library.

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "sink")]
struct Arguments {
    #[command(flatten)]
    options: catchment::load::SinkOptions,
}

fn main() -> ExitCode {
    match catchment::load::sink_command(&Arguments::parse().options) {
        Ok(code) => ExitCode::from(code),
        Err(why) => {
            eprintln!("sink: {why}");
            ExitCode::from(1)
        }
    }
}
