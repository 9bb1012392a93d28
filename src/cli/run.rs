//! `unet run`

use super::models::SetArgs;
use super::output::ms;
use super::{Common, output, tensors};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use unet_wgpu::low_level::graph::Graph;
use unet_wgpu::low_level::model::{INPUT, Model};
use unet_wgpu::low_level::session::{Backend, Executable};
use unet_wgpu::low_level::tensor::{HostTensor, Shape};
use unet_wgpu::{Error, Result};

/// Run a network on raw tensors: for checking results and for timing
#[derive(Args)]
#[command(after_help = "\
Examples:
  unet run -m nuclei --input x.npy --output y.npy
  unet run -m model.safetensors --input in.safetensors --output out.safetensors --repeat 10 --json

X is a .npy of shape [N, C, H, W], or a .safetensors with a tensor `input` like that. Y is a .npy (the first output) or a
.safetensors holding every output under its name: U-Net `logits`; U-Net++ `logits.1` .., `accurate_prob`,
`accurate_logit`, `fast.1` ..; U-Net 3+ `logits.0` .., `probs.0` .., with CGM `cls` and `gate`. Networks that predict
geometry for instances have their `logits`, and what these mean: `foreground` and `geometry`.")]
pub(super) struct Run {
    /// Built-in model (`unet inspect` lists them) or a checkpoint file
    #[arg(short, long)]
    model: String,
    #[command(flatten)]
    set: SetArgs,
    /// Input tensors: .npy or .safetensors
    #[arg(long, value_name = "X")]
    input: PathBuf,
    /// Where outputs go: .npy or .safetensors
    #[arg(long, value_name = "Y")]
    output: PathBuf,
    /// Timed runs
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Runs before the timed ones
    #[arg(long, default_value_t = 0, value_name = "N")]
    warmup: u32,
}

impl Run {
    pub(super) fn run(&self, common: &Common) -> Result<ExitCode> {
        tensors::check_writable(&self.output)?;
        if matches!((self.input.canonicalize(), self.output.canonicalize()), (Ok(a), Ok(b)) if a == b) {
            return Err(Error::file(&self.output, "the output would overwrite the input"));
        }
        let start = Instant::now();
        let model = self.set.open(&self.model, common)?;
        let inputs = tensors::read(&self.input, INPUT)?;
        let Some(x) = inputs.get(INPUT) else {
            let mut names: Vec<&str> = inputs.keys().map(String::as_str).take(6).collect();
            if names.len() < inputs.len() {
                names[5] = "..";
            }
            return Err(Error::file(&self.input, format!("has no tensor `{INPUT}`; it holds: {}", names.join(", "))));
        };
        let channels = model.architecture.in_channels();
        let shape = match *x.dims() {
            [n, c, h, w] if c == channels && ![n, h, w].contains(&0) => Shape::new(n, c, h, w),
            _ => {
                // The model's file may have another order of axes; `unet run` takes NCHW only.
                let last = model.architecture.config().get("channels_last") == Some(&serde_json::Value::Bool(true));
                let hint = if last { "; its file has channels last, `unet run` takes them first" } else { "" };
                let reason = format!("shape {:?}: the network takes [N, {channels}, H, W]{hint}", x.dims());
                return Err(Error::file(&self.input, reason));
            }
        };
        let graph = model.whole_graph(shape.n, shape.h, shape.w)?;
        let backend = common.backend()?;
        let (done, fallback) = backend.or_f32(|backend| self.timed(backend, &graph, &model, x, start))?;
        let Timed { executable, outputs, load_ms, first_run_ms, runs } = done;
        let order = executable.output_names();
        let mut outputs = outputs;
        for (name, dims) in model.architecture.output_dims(shape)? {
            if let Some(found) = outputs.remove(&name) {
                outputs.insert(name, found.reshaped(dims)?);
            }
        }
        let shapes: BTreeMap<String, Vec<usize>> =
            outputs.iter().map(|(k, v)| (k.clone(), v.dims().to_vec())).collect();
        tensors::write(&self.output, &order, outputs)?;
        let mut sorted = runs.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        let memory = executable.device_bytes();
        if common.json {
            output::json(&json!({
                "model": self.model,
                "adapter": backend.describe(),
                "precision": executable.precision().name(),
                "fallback": fallback,
                "input": x.dims(),
                "outputs": shapes,
                "load_ms": load_ms,
                "first_run_ms": first_run_ms,
                "runs_ms": runs,
                "median_ms": median,
                "macs": graph.macs(),
                "peak_device_bytes": memory,
            }))?;
        } else {
            let gflops = 2.0 * graph.macs() as f64 / (median * 1e6);
            output::line(&format!(
                "{} {shape} -> {}, {}{}: median {median:.1} ms of {} runs ({gflops:.1} GFLOP/s), first {:.1} ms, load {load_ms:.0} ms, {} on the device",
                self.model,
                self.output.display(),
                executable.precision(),
                if fallback.is_some() { " after f16 overflowed" } else { "" },
                runs.len(),
                first_run_ms.unwrap_or_default(),
                output::bytes(memory),
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Results of the timed runs.
struct Timed {
    executable: Executable,
    outputs: BTreeMap<String, HostTensor>,
    load_ms: f64,
    first_run_ms: Option<f64>,
    runs: Vec<f64>,
}

impl Run {
    fn timed(
        &self,
        backend: &Backend,
        graph: &Graph,
        model: &Model,
        x: &HostTensor,
        started: Instant,
    ) -> Result<Timed> {
        let mut executable = backend.prepare(graph, model.stored())?;
        let load_ms = ms(started);
        let mut runs = Vec::new();
        let mut first_run_ms = None;
        for i in 0..u64::from(self.warmup) + u64::from(self.repeat) {
            let start = Instant::now();
            executable.write(INPUT, x.data())?;
            executable.run(|_, _| Ok(()))?;
            first_run_ms.get_or_insert(ms(start));
            if i >= u64::from(self.warmup) {
                runs.push(ms(start));
            }
        }
        let mut outputs = BTreeMap::new();
        for name in executable.output_names() {
            let value = executable.read(&name)?;
            outputs.insert(name, value);
        }
        Ok(Timed { executable, outputs, load_ms, first_run_ms, runs })
    }
}
