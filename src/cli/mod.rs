//! The command line: common options, one file per subcommand.
//!
//! A subcommand is a struct of arguments with `run(&self, common: &Common) -> Result<ExitCode>`. Results go to stdout
//! through [`output`]; everything else goes to stderr.

mod arch;
mod bench;
mod devices;
mod inspect;
mod output;
mod run;
mod segment;
mod selftest;
mod shaders;
mod tensors;

use clap::{ArgAction, Args, Parser, Subcommand};
use std::io::ErrorKind;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use unet_wgpu::error::{Error, Result};
use unet_wgpu::session::Backend;

const EXAMPLES: &str = "\
Examples:
  unet segment cells.png            write cells_mask.png and cells_overlay.png
  unet inspect                      the built-in models
  unet devices                      what this machine can compute on
  unet selftest                     check every kernel on it
  unet selftest --device cpu --fixtures assets/fixtures

Exit code: 0 if all went well, 1 on failure, 2 if the command line is wrong.";

/// U-Net, U-Net++ and U-Net 3+ on any GPU
#[derive(Parser)]
#[command(name = "unet", version, propagate_version = true, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Segment pictures: write a mask and an overlay of each
    Segment(segment::Segment),
    /// Run a network on raw tensors: for checking results and for timing
    Run(run::Run),
    /// Time a network on this device, with a model's weights or random ones
    Bench(bench::Bench),
    /// Show what a model is: architecture, layers, sizes, parameters, cost, memory
    Inspect(inspect::Inspect),
    /// List the devices of this machine, and say which one would be used and why
    Devices(devices::Devices),
    /// Check every kernel of a device against the CPU reference, and against fixtures
    Selftest(selftest::Selftest),
    /// Write the WGSL of every kernel, for tools that read shaders
    Shaders(shaders::Shaders),
}

/// Options of every subcommand.
#[derive(Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// What to compute on: an index or a part of a name from `unet devices`, or `cpu` for the slow reference
    #[arg(long, global = true, value_name = "INDEX|NAME|cpu", env = "UNET_DEVICE", hide_env_values = true)]
    device: Option<String>,
    /// Number format of weights and activations on the device
    #[arg(long, global = true, value_name = "f32", default_value = "f32", hide_default_value = true, value_parser = precision)]
    precision: Precision,
    /// Print one JSON document on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Log more on stderr; -vv and -vvv more still (the variable RUST_LOG takes precedence)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

/// Number format of weights and activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Precision {
    F32,
}

fn precision(text: &str) -> Result<Precision, String> {
    match text {
        "f32" => Ok(Precision::F32),
        "f16" => Err("f16 is not there yet, this version computes in f32".into()),
        _ => Err("the only one is f32".into()),
    }
}

impl Common {
    /// The device as asked for; `auto` if nothing was.
    pub fn device(&self) -> &str {
        self.device.as_deref().filter(|d| !d.is_empty()).unwrap_or("auto")
    }

    /// Opens the device, and says on stderr which one it is.
    pub fn backend(&self) -> Result<Backend> {
        match self.precision {
            Precision::F32 => {}
        }
        let backend = Backend::open(self.device())?;
        self.note(&format!("device: {}", backend.describe()));
        Ok(backend)
    }

    /// A line on stderr, unless `-q`.
    pub fn note(&self, line: &str) {
        if !self.quiet {
            output::aside(line);
        }
    }

    fn start_logging(&self) {
        let default = match (self.quiet, self.verbose) {
            (true, _) => "error",
            (false, 0) => "warn",
            (false, 1) => "warn,unet_wgpu=info",
            (false, 2) => "info,unet_wgpu=debug",
            (false, _) => "debug,unet_wgpu=trace",
        };
        let mut builder = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(default));
        if std::env::var_os("RUST_LOG").is_none() && self.verbose < 2 {
            // For users, not for developers: no time, no module.
            builder.format(|out, record| {
                use std::io::Write;
                let level = match record.level() {
                    log::Level::Error => "error",
                    log::Level::Warn => "warning",
                    _ => "info",
                };
                writeln!(out, "{level}: {}", record.args())
            });
        }
        builder.init();
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.common.start_logging();
    keep_panics();
    let run = || match &cli.command {
        Command::Segment(c) => c.run(&cli.common),
        Command::Run(c) => c.run(&cli.common),
        Command::Bench(c) => c.run(&cli.common),
        Command::Inspect(c) => c.run(&cli.common),
        Command::Devices(c) => c.run(&cli.common),
        Command::Selftest(c) => c.run(&cli.common),
        Command::Shaders(c) => c.run(&cli.common),
    };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
        Ok(Ok(code)) => code,
        // The reader of our output has seen enough: `unet devices | head -1`.
        Ok(Err(Error::Io { path, source })) if output::is_stdout(&path) && source.kind() == ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Ok(Err(e)) => {
            output::error(&e.to_string());
            ExitCode::FAILURE
        }
        Err(_) => {
            let what = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
            output::error(&format!("a bug in this program: {what} (RUST_BACKTRACE=1 tells more); please report it"));
            ExitCode::FAILURE
        }
    }
}

/// What the last panic said.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Keeps what a panic says for the one line that [`main`] prints, or for nobody where a decoder's panic on a damaged
/// file is caught and becomes an ordinary error.
fn keep_panics() {
    if std::env::var_os("RUST_BACKTRACE").is_some_and(|v| v != "0") {
        return;
    }
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|l| format!(" at {}:{}", l.file(), l.line())).unwrap_or_default();
        let text = info.payload().downcast_ref::<&str>().copied();
        let text = text.or(info.payload().downcast_ref::<String>().map(String::as_str)).unwrap_or("panicked");
        let what = format!("{text}{place}");
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
