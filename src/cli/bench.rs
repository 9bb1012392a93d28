//! `unet bench`

use super::arch::{ArchArgs, DESCRIBED};
use super::bench_layers::{self, clock};
use super::bench_train::Step;
use super::inspect::size;
use super::output::ms;
use super::{Common, output};
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use unet_wgpu::low_level::gpu::Peak;
use unet_wgpu::low_level::model::{Architecture, INPUT, whole_graph};
use unet_wgpu::low_level::session::Executable;
use unet_wgpu::low_level::tensor::Shape;
use unet_wgpu::testing::{random_input, random_parameter};
use unet_wgpu::{Error, Result};

/// Time a network on this device, with a model's weights or random ones
#[derive(Args)]
#[command(after_help = "\
Examples:
  unet bench --arch unet --padding same --size 256x256
  unet bench -m nuclei --size 512x512 --repeat 20 --json
  unet bench --arch unet --width 16 --padding same --size 256x256 --batch 2 --train
  unet bench --arch unet3+ --in-channels 3 --size 256x256 --per-layer")]
pub(super) struct Bench {
    /// Built-in model or checkpoint file
    #[arg(short, long, group = "network", required_unless_present_any = DESCRIBED)]
    model: Option<String>,
    #[command(flatten)]
    arch: ArchArgs,
    /// Input rows and columns
    #[arg(long, value_name = "HxW", value_parser = size)]
    size: [usize; 2],
    /// Images in a batch
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Timed runs
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Also report each layer: time, rate, memory traffic, the kernels chosen and why
    #[arg(long)]
    per_layer: bool,
    /// Time a training step instead of a run: forward, loss, backward, optimiser
    #[arg(long)]
    train: bool,
    /// With --train: recompute the encoder's activations, as `unet train --checkpointing` does
    #[arg(long, requires = "train")]
    checkpointing: bool,
    /// Do not measure the device's peak rates (half a second)
    #[arg(long)]
    no_peak: bool,
}

impl Bench {
    pub(super) fn run(&self, common: &Common) -> Result<ExitCode> {
        let model = self.model.as_deref().map(|name| self.arch.open(name, common)).transpose()?;
        let architecture: Arc<dyn Architecture> = match (&model, self.arch.build(self.model.as_deref())?) {
            (Some(m), _) => m.architecture.clone(),
            (None, Some(a)) => a,
            (None, None) => return Err(Error::invalid("bench", "needs --model or --arch")),
        };
        if self.train {
            let Self { size, repeat, per_layer, checkpointing, .. } = *self;
            let batch = self.batch as usize;
            let step = Step { architecture: &*architecture, size, batch, repeat, per_layer, checkpointing };
            return step.run(common).map(|()| ExitCode::SUCCESS);
        }
        let [h, w] = self.size;
        let graph = whole_graph(&*architecture, self.batch as usize, h, w)?;
        let backend = common.backend()?;
        if self.per_layer && backend.gpu().is_none() {
            return Err(Error::invalid("--per-layer", "the CPU reference has no kernels to time"));
        }
        let start = Instant::now();
        let mut executable = match &model {
            Some(m) => backend.prepare(&graph, m.stored())?,
            None => backend.prepare(&graph, random_parameter)?,
        };
        let load_ms = ms(start);
        let input = random_input("bench", Shape::new(self.batch as usize, architecture.in_channels(), h, w))?;
        let mut runs_ms = Vec::new();
        let start = Instant::now();
        executable.write(INPUT, input.data())?;
        executable.run(|_, _| Ok(()))?;
        let first_run_ms = ms(start);
        for _ in 0..self.repeat {
            let start = Instant::now();
            executable.run(|_, _| Ok(()))?;
            runs_ms.push(ms(start));
        }
        let peak = match backend.gpu() {
            Some(gpu) if !self.no_peak => Some(gpu.measure_peak()?),
            _ => None,
        };
        // Rewrites need fewer multiplications for the same result, so both counts are reported.
        let macs = graph.macs();
        let (run_macs, live, moved) = match &executable {
            Executable::Gpu(s) => {
                let plan = s.plan();
                (plan.macs, plan.memory.live, plan.dispatches.iter().map(|s| s.bytes).sum())
            }
            Executable::Cpu(_) => (macs, 0, 0),
        };
        let device_bytes = executable.device_bytes();
        let layers = match &mut executable {
            Executable::Gpu(session) if self.per_layer => {
                let profile = session.profile(self.repeat)?;
                Some((bench_layers::layers(session.plan(), &profile.dispatches), profile.device_clock))
            }
            _ => None,
        };
        let report = Report { load_ms, first_run_ms, runs_ms, macs, run_macs, live, moved, device_bytes, peak };
        if common.json {
            let mut document = report.document();
            let about = json!({
                "arch": architecture.id(), "config": architecture.config(), "size": self.size, "batch": self.batch,
                "adapter": backend.describe(), "precision": backend.precision().name(),
                "tuned": backend.gpu().is_some_and(|g| g.target().tuning.is_some()),
                "layers": layers.as_ref().map(|l| bench_layers::document(&l.0, peak)),
                "clock": layers.as_ref().map(|l| clock(l.1)),
            });
            if let (Some(all), Value::Object(about)) = (document.as_object_mut(), about) {
                all.extend(about);
            }
            return output::json(&document).map(|()| ExitCode::SUCCESS);
        }
        output::line(&format!("{} {h}x{w} batch {}, {}", architecture.name(), self.batch, backend.precision()))?;
        output::line(&report.text())?;
        if let Some((layers, device_clock)) = &layers {
            output::line(&bench_layers::text(layers, clock(*device_clock), peak))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Measurements of a whole network.
struct Report {
    load_ms: f64,
    first_run_ms: f64,
    runs_ms: Vec<f64>,
    macs: u64,
    run_macs: u64,
    live: u64,
    moved: u64,
    device_bytes: u64,
    peak: Option<Peak>,
}

impl Report {
    /// Median and minimum of the runs, ms.
    fn times(&self) -> (f64, f64) {
        let mut sorted = self.runs_ms.clone();
        sorted.sort_by(f64::total_cmp);
        (sorted[sorted.len() / 2], sorted[0])
    }

    /// GFLOP/s and GB/s of the rewritten graph.
    fn rates(&self) -> (f64, f64) {
        let median = self.times().0;
        (2.0 * self.run_macs as f64 / (median * 1e6), self.moved as f64 / (median * 1e6))
    }

    fn text(&self) -> String {
        let ((median, min), (gflops, gbytes)) = (self.times(), self.rates());
        let runs = self.runs_ms.len();
        let mut rate = format!("{gflops:.1} GFLOP/s");
        let mut moved = format!("{} read and written per run, {gbytes:.1} GB/s", output::bytes(self.moved));
        if let Some(peak) = self.peak {
            rate += &format!(", {:.0} % of the measured peak of {:.0}", 100.0 * gflops / peak.gflops, peak.gflops);
            moved += &format!(", {:.0} % of a copy's {:.1}", 100.0 * gbytes / peak.gbytes, peak.gbytes);
        }
        let cost = match self.run_macs == self.macs {
            true => format!("{:.2} GMAC", self.macs as f64 / 1e9),
            false => format!("{:.2} GMAC, {:.2} before rewrites", self.run_macs as f64 / 1e9, self.macs as f64 / 1e9),
        };
        let mut lines = vec![
            format!("time      median {median:.1} ms, min {min:.1} ms of {runs} runs"),
            format!("start     load {:.0} ms, first run {:.0} ms", self.load_ms, self.first_run_ms),
            format!("rate      {rate}; {cost}"),
        ];
        if self.device_bytes > 0 {
            lines.push(format!("traffic   {moved}"));
            let [device, live] = [self.device_bytes, self.live].map(output::bytes);
            lines.push(format!("memory    {device} on the device, {live} of activations live at once"));
        }
        lines.join("\n")
    }

    fn document(&self) -> Value {
        let ((median, min), (gflops, gbytes)) = (self.times(), self.rates());
        json!({
            "load_ms": self.load_ms, "first_run_ms": self.first_run_ms, "runs_ms": self.runs_ms,
            "median_ms": median, "min_ms": min, "macs": self.macs, "macs_after_rewrites": self.run_macs,
            "bytes_moved": self.moved, "gflops": gflops, "gbytes_per_s": gbytes,
            "peak_gflops": self.peak.map(|p| p.gflops), "peak_gbytes_per_s": self.peak.map(|p| p.gbytes),
            "share_of_peak": self.peak.map(|p| gflops / p.gflops),
            "device_bytes": self.device_bytes, "live_bytes": self.live,
        })
    }
}
