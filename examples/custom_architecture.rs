//! A custom network: an `Architecture` that builds nodes on a graph, run on the GPU and compared with the CPU
//! reference. Rewrites, planner and tiling treat it like any other.
//!
//!     cargo run --release --example custom_architecture

use std::collections::BTreeMap;
use std::process::ExitCode;
use unet_wgpu::low_level::graph::Graph;
use unet_wgpu::low_level::graph::{ValueId, footprint, rewrite};
use unet_wgpu::low_level::model::{Architecture, Built, INPUT, SizeRule, parameter_count, whole_graph};
use unet_wgpu::low_level::ops::{
    Concat, Conv2d, Function, MaskRule, MaxPool2d, Resize, ResizeMode, ResizeSize, Softmax, Unary,
};
use unet_wgpu::low_level::tensor::{HostTensor, Shape};
use unet_wgpu::{Backend, Result};

/// Two convolutions at full resolution, two at half, one concatenation: a minimal encoder-decoder.
#[derive(Debug)]
struct TwoScales {
    width: usize,
    classes: usize,
}

impl TwoScales {
    /// A convolution that keeps the size, with parameters `{name}.weight` and `{name}.bias`.
    fn conv(&self, g: &mut Graph, name: &str, x: ValueId, out: usize, kernel: usize) -> Result<ValueId> {
        let weight = g.parameter(format!("{name}.weight"), &[out, g.shape(x).c, kernel, kernel])?;
        let bias = g.parameter(format!("{name}.bias"), &[out])?;
        g.node(name, Conv2d::new(out, kernel, kernel / 2).with_bias(true), &[x, weight, bias])
    }

    fn conv_relu(&self, g: &mut Graph, name: &str, x: ValueId, out: usize) -> Result<ValueId> {
        let y = self.conv(g, name, x, out, 3)?;
        g.node(format!("{name}.relu"), Unary { kind: Function::Relu }, &[y])
    }
}

impl Architecture for TwoScales {
    fn id(&self) -> &'static str {
        "two_scales"
    }

    fn name(&self) -> &'static str {
        "Two scales"
    }

    fn in_channels(&self) -> usize {
        1
    }

    fn out_channels(&self) -> usize {
        self.classes
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({ "width": self.width, "classes": self.classes })
    }

    /// Even sizes: the map is halved once and upsampled once.
    fn size_rule(&self) -> SizeRule {
        SizeRule { minimum: 2, step: 2, margin: 0 }
    }

    fn build(&self, g: &mut Graph, x: ValueId) -> Result<Built> {
        let fine = self.conv_relu(g, "fine.1", x, self.width)?;
        let fine = self.conv_relu(g, "fine.2", fine, self.width)?;
        let half = g.node("pool", MaxPool2d::new(2), &[fine])?;
        let coarse = self.conv_relu(g, "coarse.1", half, 2 * self.width)?;
        let coarse = self.conv_relu(g, "coarse.2", coarse, 2 * self.width)?;
        let up = Resize { mode: ResizeMode::Bilinear { align_corners: false }, size: ResizeSize::Scale(2) };
        let up = g.node("up", up, &[coarse])?;
        // Written as a concatenation; a rewrite removes it.
        let joined = g.node("join", Concat, &[fine, up])?;
        let mixed = self.conv_relu(g, "mix", joined, self.width)?;
        let logits = self.conv(g, "head", mixed, self.classes, 1)?;
        let probability = g.node("probability", Softmax, &[logits])?;
        let outputs = vec![("logits".to_string(), logits), ("probs".to_string(), probability)];
        Ok(Built { outputs, logits, probability, decision: logits, rule: MaskRule::Argmax })
    }
}

/// In place of a checkpoint: small numbers that differ from element to element.
fn weights(name: &str, dims: &[usize]) -> Result<HostTensor> {
    let fan_in: usize = dims[1..].iter().product();
    let seed = name.bytes().map(f32::from).sum::<f32>();
    let element = |i: usize| (seed + i as f32 * 0.73).sin() / (fan_in as f32).sqrt();
    HostTensor::new(dims, (0..dims.iter().product()).map(element).collect())
}

/// The example; a test runs it too.
pub(crate) fn run() -> Result<()> {
    let gpu = Backend::open("auto")?;
    println!("adapter: {}", gpu.describe());

    let network = TwoScales { width: 6, classes: 3 };
    let graph = whole_graph(&network, 1, 40, 52)?;
    println!("\n{}, {} parameters:\n\n{graph}", network.name(), parameter_count(&graph));
    let target = gpu.gpu().map(|gpu| gpu.target().clone()).unwrap_or_default();
    println!("as it runs on the GPU:\n\n{}", rewrite::optimise(&graph, &target)?);

    // The overlap of tiles, computed from the graph.
    let (Some((_, input)), (_, logits)) = (graph.inputs().next(), &graph.outputs()[0]) else { unreachable!() };
    match footprint(&graph, input, *logits, 0) {
        Ok(f) => {
            println!("receptive field: {} pixels; tiles overlap by {} and {}", f.receptive_field, f.before, f.after)
        }
        Err(why) => println!("cannot be tiled exactly: {why}"),
    }

    let x = HostTensor::from_fn(Shape::new(1, 1, 40, 52), |_, _, y, x| ((y * y + 3 * x) as f32 * 0.05).sin());
    let inputs = BTreeMap::from([(INPUT.to_string(), x)]);
    let got = gpu.run(&graph, &inputs, weights)?;
    let expected = Backend::Cpu.run(&graph, &inputs, weights)?;
    for (name, expected) in &expected {
        let c = got[name].compare(expected)?;
        println!("{name}: largest difference {:.1e}, largest value {:.2}", c.max_error, c.scale);
        assert!(c.within(1e-5), "{name}: the GPU and the CPU reference disagree");
    }
    Ok(())
}

#[allow(dead_code, reason = "the test that includes this file has its own")]
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
