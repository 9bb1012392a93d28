//! `unet bench`

use super::arch::ArchArgs;
use super::inspect::size;
use super::{Common, output};
use clap::Args;
use serde_json::json;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use unet_wgpu::error::{Error, Result};
use unet_wgpu::model::{Architecture, INPUT, Model, whole_graph};
use unet_wgpu::session::Executable;
use unet_wgpu::tensor::Shape;
use unet_wgpu::testing::{random_input, random_parameter};

/// Time a network on this device, with a model's weights or random ones
#[derive(Args)]
#[command(after_help = "\
Examples:
  unet bench --arch unet --padding same --size 256x256
  unet bench -m nuclei --size 512x512 --repeat 20 --json")]
pub struct Bench {
    /// Built-in model or checkpoint file
    #[arg(short, long, conflicts_with = "arch", required_unless_present = "arch")]
    model: Option<String>,
    #[command(flatten)]
    arch: ArchArgs,
    /// Input rows and columns
    #[arg(long, value_name = "HxW", value_parser = size)]
    size: [usize; 2],
    /// Pictures in a batch
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Timed runs
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
}

impl Bench {
    pub fn run(&self, common: &Common) -> Result<ExitCode> {
        let model = self.model.as_deref().map(Model::open).transpose()?;
        let architecture: Arc<dyn Architecture> = match (&model, self.arch.build()?) {
            (Some(m), _) => m.architecture.clone(),
            (None, Some(a)) => a,
            (None, None) => return Err(Error::invalid("bench", "needs --model or --arch")),
        };
        let [h, w] = self.size;
        let graph = whole_graph(&*architecture, self.batch as usize, h, w)?;
        let backend = common.backend()?;
        let start = Instant::now();
        let mut executable = match &model {
            Some(m) => backend.prepare(&graph, m.stored())?,
            None => backend.prepare(&graph, random_parameter)?,
        };
        let load_ms = ms(start);
        let input = random_input("bench", Shape::new(self.batch as usize, architecture.in_channels(), h, w))?;
        let mut runs = Vec::new();
        let start = Instant::now();
        executable.write(INPUT, input.data())?;
        executable.run(|_, _| Ok(()))?;
        let first_run_ms = ms(start);
        for _ in 0..self.repeat {
            let start = Instant::now();
            executable.run(|_, _| Ok(()))?;
            runs.push(ms(start));
        }
        let mut sorted = runs.clone();
        sorted.sort_by(f64::total_cmp);
        let (median, least) = (sorted[sorted.len() / 2], sorted[0]);
        // Rewrites do the same with fewer multiplications: both counts are worth knowing.
        let macs = graph.macs();
        let (run_macs, live) = match &executable {
            Executable::Gpu(s) => (s.plan().graph.macs(), s.plan().memory.live),
            Executable::Cpu(_) => (macs, 0),
        };
        let bytes = executable.device_bytes();
        if common.json {
            output::json(&json!({
                "arch": architecture.id(), "config": architecture.config(), "size": self.size, "batch": self.batch,
                "adapter": backend.describe(), "load_ms": load_ms, "first_run_ms": first_run_ms, "runs_ms": runs,
                "median_ms": median, "min_ms": least, "macs": macs, "macs_after_rewrites": run_macs,
                "device_bytes": bytes, "live_bytes": live,
            }))?;
        } else {
            output::line(&format!(
                "{} {h}x{w} batch {}: median {median:.1} ms, min {least:.1} ms of {} runs; {:.1} GFLOP/s of the network's \
                 {:.2} GMAC ({:.2} GMAC after rewrites); first run {first_run_ms:.0} ms, load {load_ms:.0} ms; {} on the \
                 device, {} of activations live at once",
                architecture.name(),
                self.batch,
                runs.len(),
                2.0 * macs as f64 / (median * 1e6),
                macs as f64 / 1e9,
                run_macs as f64 / 1e9,
                output::bytes(bytes),
                output::bytes(live),
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
