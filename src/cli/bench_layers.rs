//! The layers of `unet bench --per-layer`.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use unet_wgpu::low_level::gpu::Peak;
use unet_wgpu::low_level::kernel::ConvChoice;
use unet_wgpu::low_level::plan::Plan;

/// Name of the clock that timed the layers.
pub(super) fn clock(of_device: bool) -> &'static str {
    if of_device { "device" } else { "host" }
}

/// The dispatches of one kernel for one layer.
struct Kernel {
    name: String,
    dispatches: usize,
    ms: f64,
    bytes: u64,
}

/// A node of the graph after rewrites, with all of its kernels.
pub(super) struct Layer {
    label: String,
    op: String,
    macs: u64,
    choice: Option<ConvChoice>,
    kernels: Vec<Kernel>,
}

impl Layer {
    fn ms(&self) -> f64 {
        self.kernels.iter().map(|k| k.ms).sum()
    }

    fn bytes(&self) -> u64 {
        self.kernels.iter().map(|k| k.bytes).sum()
    }

    fn dispatches(&self) -> usize {
        self.kernels.iter().map(|k| k.dispatches).sum()
    }
}

/// The plan's dispatches with their times in ms, grouped by node.
pub(super) fn layers(plan: &Plan, ms: &[f64]) -> Vec<Layer> {
    let mut layers: Vec<(usize, Layer)> = Vec::new();
    for (dispatch, &ms) in plan.dispatches.iter().zip(ms) {
        if layers.last().is_none_or(|l| l.0 != dispatch.node) {
            let op = plan.nodes[dispatch.node].op.clone();
            let layer = Layer { label: dispatch.label.clone(), op, macs: 0, choice: None, kernels: Vec::new() };
            layers.push((dispatch.node, layer));
        }
        let Some((_, layer)) = layers.last_mut() else { continue };
        layer.macs += dispatch.macs;
        layer.choice = layer.choice.or(dispatch.choice);
        let name = dispatch.kernel.to_string();
        match layer.kernels.iter_mut().find(|k| k.name == name) {
            Some(k) => (k.dispatches, k.ms, k.bytes) = (k.dispatches + 1, k.ms + ms, k.bytes + dispatch.bytes),
            None => layer.kernels.push(Kernel { name, dispatches: 1, ms, bytes: dispatch.bytes }),
        }
    }
    layers.into_iter().map(|l| l.1).collect()
}

/// Billions per second.
fn rate(count: f64, ms: f64) -> f64 {
    count / (ms.max(1e-6) * 1e6)
}

/// A table of 120 columns: the layers in the order they run, and the sums by shader.
pub(super) fn text(layers: &[Layer], clock: &str, peak: Option<Peak>) -> String {
    let total: f64 = layers.iter().map(Layer::ms).sum();
    let mut t = format!("\n{total:.1} ms in all dispatches, minimum of the runs, by the {clock}'s clock\n");
    let _ = writeln!(
        t,
        "{:>8} {:>6} {:>8} {:>6} {:>8} {:>6} {:>5}  layer, and its kernels",
        "ms", "share", "GFLOP/s", "peak", "MB", "GB/s", "runs"
    );
    let row = |t: &mut String, ms: f64, macs: Option<u64>, bytes: u64, runs: usize, what: &str| {
        let gflops = macs.filter(|&m| m > 0).map(|m| rate(2.0 * m as f64, ms));
        let or_dash = |v: Option<String>| v.unwrap_or_else(|| "-".into());
        let share = peak.and_then(|p| Some(format!("{:.0}%", 100.0 * gflops? / p.gflops)));
        let _ = writeln!(
            t,
            "{ms:8.2} {:5.1}% {:>8} {:>6} {:8.1} {:6.1} {runs:5}  {what}",
            100.0 * ms / total.max(1e-9),
            or_dash(gflops.map(|g| format!("{g:.1}"))),
            or_dash(share),
            bytes as f64 / 1e6,
            rate(bytes as f64, ms),
        );
    };
    let mut shaders: BTreeMap<&str, (f64, u64, usize)> = BTreeMap::new();
    for l in layers {
        // A layer's only kernel, if it had no alternative, goes on the layer's own line.
        let only = l.kernels.first().filter(|_| l.choice.is_none() && l.kernels.len() == 1);
        let why = l.choice.map(|c| format!(": {} ({})", c.family.name(), c.reason));
        let why = why.or(only.map(|k| format!(": {}", k.name))).unwrap_or_default();
        row(&mut t, l.ms(), Some(l.macs), l.bytes(), l.dispatches(), &format!("{}{why}", l.label));
        for k in &l.kernels {
            let shader = k.name.split('[').next().unwrap_or_default();
            let sum = shaders.entry(shader).or_default();
            *sum = (sum.0 + k.ms, sum.1 + k.bytes, sum.2 + k.dispatches);
            if only.is_some() {
                continue;
            }
            row(&mut t, k.ms, None, k.bytes, k.dispatches, &format!("  {}", k.name));
        }
    }
    let mut shaders: Vec<_> = shaders.into_iter().collect();
    shaders.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    t.push_str("\nBy shader:\n");
    for (name, (ms, bytes, dispatches)) in shaders {
        row(&mut t, ms, None, bytes, dispatches, name);
    }
    t.trim_end().to_string()
}

pub(super) fn document(layers: &[Layer], peak: Option<Peak>) -> Value {
    let kernel = |k: &Kernel| json!({ "kernel": k.name, "dispatches": k.dispatches, "ms": k.ms, "bytes": k.bytes });
    let layer = |l: &Layer| {
        let gflops = rate(2.0 * l.macs as f64, l.ms());
        json!({
            "label": l.label, "op": l.op, "ms": l.ms(), "macs": l.macs, "bytes": l.bytes(),
            "dispatches": l.dispatches(), "gflops": gflops, "gbytes_per_s": rate(l.bytes() as f64, l.ms()),
            "share_of_peak": peak.map(|p| gflops / p.gflops),
            "family": l.choice.map(|c| c.family), "reason": l.choice.map(|c| c.reason),
            "kernels": l.kernels.iter().map(kernel).collect::<Vec<_>>(),
        })
    };
    layers.iter().map(layer).collect()
}
