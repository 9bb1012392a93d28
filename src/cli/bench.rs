//! `unet bench`

use super::arch::ArchArgs;
use super::inspect::size;
use super::{Common, output};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use unet_wgpu::error::{Error, Result};
use unet_wgpu::model::{Architecture, INPUT, Model, whole_graph};
use unet_wgpu::plan::Plan;
use unet_wgpu::session::Executable;
use unet_wgpu::tensor::Shape;
use unet_wgpu::testing::{random_input, random_parameter};

/// Time a network on this device, with a model's weights or random ones
#[derive(Args)]
#[command(after_help = "\
Examples:
  unet bench --arch unet --padding same --size 256x256
  unet bench -m nuclei --size 512x512 --repeat 20 --json
  unet bench --arch unet3+ --in-channels 3 --size 256x256 --per-layer")]
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
    /// Also the time of each layer, by kernel
    #[arg(long)]
    per_layer: bool,
}

/// The dispatches of one kernel for one layer.
struct Row {
    label: String,
    kernel: String,
    dispatches: usize,
    ms: f64,
    macs: u64,
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
        let profile = match &mut executable {
            Executable::Gpu(session) if self.per_layer => Some(session.profile(self.repeat)?),
            Executable::Cpu(_) if self.per_layer => {
                return Err(Error::invalid("--per-layer", "the CPU reference has no kernels to time"));
            }
            _ => None,
        };
        let (rows, clock) = match (&executable, &profile) {
            (Executable::Gpu(s), Some(p)) => (rows(s.plan(), &p.steps), if p.device_clock { "device" } else { "host" }),
            _ => (Vec::new(), ""),
        };
        if common.json {
            let layer = |r: &Row| {
                json!({
                    "label": r.label, "kernel": r.kernel, "dispatches": r.dispatches, "ms": r.ms, "macs": r.macs,
                })
            };
            let layers: Vec<_> = rows.iter().map(layer).collect();
            output::json(&json!({
                "arch": architecture.id(), "config": architecture.config(), "size": self.size, "batch": self.batch,
                "adapter": backend.describe(), "precision": backend.precision().name(), "load_ms": load_ms, "first_run_ms": first_run_ms, "runs_ms": runs,
                "median_ms": median, "min_ms": least, "macs": macs, "macs_after_rewrites": run_macs,
                "device_bytes": bytes, "live_bytes": live,
                "layers": self.per_layer.then_some(layers), "clock": self.per_layer.then_some(clock),
            }))?;
        } else {
            output::line(&format!(
                "{} {h}x{w} batch {}, {}: median {median:.1} ms, min {least:.1} ms of {} runs; {:.1} GFLOP/s of the network's \
                 {:.2} GMAC ({:.2} GMAC after rewrites); first run {first_run_ms:.0} ms, load {load_ms:.0} ms; {} on the \
                 device, {} of activations live at once",
                architecture.name(),
                self.batch,
                backend.precision(),
                runs.len(),
                2.0 * macs as f64 / (median * 1e6),
                macs as f64 / 1e9,
                run_macs as f64 / 1e9,
                output::bytes(bytes),
                output::bytes(live),
            ))?;
            if self.per_layer {
                print(&rows, clock)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Steps of the plan, those of one kernel for one layer together.
fn rows(plan: &Plan, ms: &[f64]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut first = 0;
    for (step, &ms) in plan.steps.iter().zip(ms) {
        if rows.last().is_none_or(|r| r.label != step.label) {
            first = rows.len();
        }
        let kernel = step.dispatch.kernel.to_string();
        match rows[first..].iter_mut().find(|r| r.kernel == kernel) {
            Some(r) => (r.dispatches, r.ms, r.macs) = (r.dispatches + 1, r.ms + ms, r.macs + step.macs),
            None => rows.push(Row { label: step.label.clone(), kernel, dispatches: 1, ms, macs: step.macs }),
        }
    }
    rows
}

/// The layers in the order they run, then the sums by shader.
fn print(rows: &[Row], clock: &str) -> Result<()> {
    let total: f64 = rows.iter().map(|r| r.ms).sum();
    output::line(&format!("\n{total:.1} ms in all steps, least of the runs, by the {clock}'s clock"))?;
    output::line(&format!("{:>9} {:>6} {:>8} {:>4}  layer, kernel", "ms", "share", "GFLOP/s", "runs"))?;
    let line = |ms: f64, macs: u64, dispatches: usize, what: &str| {
        let rate = if macs > 0 { format!("{:.1}", 2.0 * macs as f64 / (ms * 1e6)) } else { "-".into() };
        output::line(&format!("{ms:9.2} {:5.1}% {rate:>8} {dispatches:4}  {what}", 100.0 * ms / total.max(1e-9)))
    };
    for layer in rows.chunk_by(|a, b| a.label == b.label) {
        // A layer's multiplications belong to all of its kernels together; the rate stands at the longest of them.
        let (ms, macs) = layer.iter().fold((0.0, 0), |s, r| (s.0 + r.ms, s.1 + r.macs));
        let longest = layer.iter().map(|r| r.ms).fold(0.0, f64::max);
        for r in layer {
            let macs = if r.ms == longest { (macs as f64 * r.ms / ms) as u64 } else { 0 };
            line(r.ms, macs, r.dispatches, &format!("{}, {}", r.label, r.kernel))?;
        }
    }
    let mut shaders: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
    for r in rows {
        let sum = shaders.entry(r.kernel.split('[').next().unwrap_or_default()).or_default();
        *sum = (sum.0 + r.ms, sum.1 + r.dispatches);
    }
    let mut shaders: Vec<_> = shaders.into_iter().collect();
    shaders.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    output::line("")?;
    shaders.into_iter().try_for_each(|(name, (ms, dispatches))| line(ms, 0, dispatches, name))
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
