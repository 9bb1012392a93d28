//! The `unet` program: reads the command line, runs it, turns errors into one line and an exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
