//! The command line: common options, one file per subcommand.
//!
//! A subcommand is a struct of arguments with `run(&self, common: &Common) -> Result<ExitCode>`. Results go to stdout
//! through [`output`]; everything else goes to stderr.

mod arch;
mod bench;
mod bench_layers;
mod bench_train;
mod convert;
mod devices;
mod doctor;
mod environment;
mod eval;
mod hints;
mod inspect;
mod inspect_image;
mod inspect_import;
mod inspect_package;
mod inspect_plan;
mod inspect_verify;
mod instances;
mod measure_vectors;
mod mesa;
mod models;
mod output;
mod reading;
mod run;
mod scale;
mod segment;
mod segment_group;
mod segment_jobs;
mod segment_pipeline;
mod segment_report;
mod selftest;
mod shaders;
mod shard;
mod studio;
mod tensors;
mod train;
mod tune;
mod values;

use clap::{ArgAction, Args, Parser, Subcommand};
use mesa::Measuring;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use unet_wgpu::low_level::gpu::PrecisionChoice;
use unet_wgpu::low_level::session::{self, Backend};
use unet_wgpu::low_level::tensor::Precision;
use unet_wgpu::low_level::tune as tune_cache;
use unet_wgpu::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  unet segment cells.png            write cells_mask.png and cells_overlay.png
  unet inspect                      the built-in models
  unet devices                      what this machine can compute on
  unet doctor                       whether all is well with it, and what would make it faster
  unet selftest                     check every kernel on it
  unet selftest --device cpu --fixtures assets/fixtures

Exit code: 0 on success, 1 on failure, 2 for an invalid command line.";

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
    /// Segment images: write a mask and an overlay of each
    Segment(segment::Segment),
    /// Train a network on images with masks, on this device
    Train(Box<train::Train>),
    /// Score a model on images with masks: Dice, IoU, and how well single instances are found
    Eval(eval::Eval),
    /// Run a network on raw tensors: for checking results and for timing
    Run(run::Run),
    /// Time a network on this device, with a model's weights or random ones
    Bench(bench::Bench),
    /// Time the kernels that a network could use on this device, and remember the fastest
    Tune(tune::Tune),
    /// Show what a model is: architecture, layers, sizes, parameters, cost, memory; or what an image is
    Inspect(inspect::Inspect),
    /// Write a model in another format: PyTorch checkpoints to native ones, models to ONNX
    Convert(convert::Convert),
    /// List the devices of this machine, and say which one would be used and why
    Devices(devices::Devices),
    /// Examine this machine: device, driver, speed, limits, a self-test; and say what would make it faster
    Doctor(doctor::Doctor),
    /// Start the application: see what a network finds, correct it, train on it
    Studio(studio::Studio),
    /// Check every kernel of a device against the CPU reference, and against fixtures
    Selftest(selftest::Selftest),
    /// Write the WGSL of every kernel, for tools that read shaders
    Shaders(shaders::Shaders),
    #[command(hide = true, name = mesa::COMMAND)]
    MeasureVectors(measure_vectors::MeasureVectors),
}

/// Options of every subcommand.
#[derive(Args, Clone)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Common {
    /// Device to compute on: an index or part of a name from `unet devices`, or `cpu` for the slow reference
    #[arg(long, global = true, value_name = "INDEX|NAME|cpu", env = "UNET_DEVICE", hide_env_values = true)]
    device: Option<String>,
    /// Number format of weights and activations on the device
    /// (sums are f32 either way): f16 takes half the memory; auto is f16 on GPUs that have it, else f32
    #[arg(long, global = true, value_name = "f32|f16|auto", default_value = "f32", hide_default_value = true, value_parser = precision)]
    precision: PrecisionChoice,
    /// Do not read or write compiled pipelines and tuned choices in the user's cache folder (or in UNET_CACHE_DIR)
    #[arg(long, global = true)]
    no_cache: bool,
    /// Choose kernels as if `unet tune` had never run
    #[arg(long, global = true)]
    no_tune: bool,
    /// Print one JSON document on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only errors on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Log more on stderr; -vv and -vvv more still (the variable RUST_LOG takes precedence)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

impl Cli {
    /// Only what opens a device is worth a measurement.
    fn measuring(&self) -> Measuring {
        use Command::*;
        match &self.command {
            Doctor(c) if c.measures_vectors() => Measuring::Always,
            _ if self.common.no_cache => Measuring::Off,
            _ if self.common.device().eq_ignore_ascii_case(Backend::CPU) => Measuring::Stored,
            Segment(_) | Train(_) | Eval(_) | Run(_) | Bench(_) | Tune(_) | Doctor(_) | Selftest(_) => {
                Measuring::Missing
            }
            Inspect(_) | Convert(_) | Devices(_) | Shaders(_) | Studio(_) | MeasureVectors(_) => Measuring::Stored,
        }
    }
}

fn precision(text: &str) -> Result<PrecisionChoice, String> {
    text.parse().map_err(|_| "expected f32, f16 or auto".into())
}

impl Common {
    /// The requested device; `auto` without one.
    pub(crate) fn device(&self) -> &str {
        self.device.as_deref().filter(|d| !d.is_empty()).unwrap_or("auto")
    }

    /// The precision of reported sizes where no device is opened.
    pub(crate) fn precision_of_sizes(&self) -> Precision {
        match self.precision {
            PrecisionChoice::F16 => Precision::F16,
            PrecisionChoice::F32 | PrecisionChoice::Auto => Precision::F32,
        }
    }

    /// Opens the device and reports it on stderr.
    pub(crate) fn backend(&self) -> Result<Backend> {
        let mut backend = Backend::open(self.device())?;
        if let Backend::Gpu(gpu) = &mut backend {
            *gpu = environment::forced(gpu)?;
            environment::faults(gpu);
        }
        backend = backend.with_precision(self.precision)?;
        self.note(&format!("device: {}", backend.describe()));
        let precision = backend.precision();
        if self.precision != PrecisionChoice::F32 {
            let why = match (self.precision, backend.precision(), backend.gpu()) {
                (PrecisionChoice::Auto, Precision::F16, _) => ": the GPU's shaders support it",
                (PrecisionChoice::Auto, _, None) => ": the CPU reference supports no other",
                (PrecisionChoice::Auto, _, Some(gpu)) if gpu.caps().f16 => ": f16 is no faster with software rendering",
                (PrecisionChoice::Auto, ..) => ": the GPU's shaders do not support f16",
                _ => "",
            };
            self.note(&format!("precision: {}{why}", backend.precision()));
        }
        if let (Backend::Gpu(gpu), Precision::F16) = (&mut backend, precision) {
            *gpu = session::with_matrices(gpu);
            if let Some(side) = gpu.target().matrix() {
                self.note(&format!("GEMM: {side}x{side} cooperative matrices, checked"));
            }
        }
        if let (Backend::Gpu(gpu), Some(folder)) = (&mut backend, self.cache_dir()) {
            gpu.cache_pipelines(&folder);
            if !self.no_tune
                && let Some(tuning) = tune_cache::load(gpu, &folder)
            {
                *gpu = gpu.with_tuning(tuning);
            }
        }
        Ok(backend)
    }

    /// Opens the device again after it was lost.
    pub(crate) fn recovery(&self) -> impl FnMut() -> Result<Backend> + Send + 'static {
        let common = self.clone();
        move || common.backend()
    }

    /// The folder for cache files; `None` with `--no-cache`, or if there is none.
    pub(crate) fn cache_dir(&self) -> Option<PathBuf> {
        if self.no_cache { None } else { environment::user_cache_dir() }
    }

    /// A line on stderr, unless `-q`.
    pub(crate) fn note(&self, line: &str) {
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
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.common.start_logging();
    mesa::prepare(cli.measuring(), |line| cli.common.note(line));
    capture_panics();
    let run = || match &cli.command {
        Command::Segment(c) => c.run(&cli.common),
        Command::Train(c) => c.run(&cli.common),
        Command::Eval(c) => c.run(&cli.common),
        Command::Run(c) => c.run(&cli.common),
        Command::Bench(c) => c.run(&cli.common),
        Command::Tune(c) => c.run(&cli.common),
        Command::Inspect(c) => c.run(&cli.common),
        Command::Convert(c) => c.run(&cli.common),
        Command::Devices(c) => c.run(&cli.common),
        Command::Doctor(c) => c.run(&cli.common),
        Command::Studio(c) => c.run(&cli.common),
        Command::Selftest(c) => c.run(&cli.common),
        Command::Shaders(c) => c.run(&cli.common),
        Command::MeasureVectors(c) => c.run(&cli.common),
    };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
        Ok(Ok(code)) => code,
        // The reader closed the pipe, as in `unet devices | head -1`.
        Ok(Err(Error::Io { path, source })) if output::is_stdout(&path) && source.kind() == ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Ok(Err(e)) => {
            output::error(&hints::error_text(&e));
            ExitCode::FAILURE
        }
        Err(_) => {
            let what = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
            output::error(&format!("bug in this program: {what} (RUST_BACKTRACE=1 shows more); please report it"));
            ExitCode::FAILURE
        }
    }
}

/// Message of the last panic.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Stores panic messages for the one line that [`main`] prints. They are not printed at once, since a decoder's panic on a
/// damaged file is caught and becomes an ordinary error.
fn capture_panics() {
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
    fn definition_of_the_command_line() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
