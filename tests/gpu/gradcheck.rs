//! Gradients of every op that has one, inside a graph and with random incoming gradients: against finite differences of
//! the CPU reference, and on the GPU against the CPU.

use std::collections::BTreeMap;
use unet_wgpu::Result;
use unet_wgpu::low_level::gpu::Gpu;
use unet_wgpu::low_level::graph::Graph;
use unet_wgpu::low_level::kernel::Target;
use unet_wgpu::low_level::ops::{Function, FusedConv2d, FusedConvTranspose2d, OpCase, registry};
use unet_wgpu::low_level::plan::Plan;
use unet_wgpu::low_level::session::Session;
use unet_wgpu::low_level::tensor::HostTensor;
use unet_wgpu::testing::{
    GradientGraph, OP_TOLERANCE, WINOGRAD_TOLERANCE, again_with_wide_vectors, family_caps, gpu_or_skip, random_input,
};

/// Ops of networks in training, which must have a gradient. For convolutions and pools every case must: see
/// [`ALL_CASES`].
const DIFFERENTIABLE: [&str; 29] = [
    "argmax_gate",
    "avg_pool2d",
    "batch_norm2d",
    "batch_norm2d_train",
    "concat",
    "conv2d",
    "conv_transpose2d",
    "crop2d",
    "dropout",
    "export_nchw",
    "global_avg_pool",
    "global_max_pool",
    "import_nchw",
    "instance_norm2d",
    "loss_mean",
    "max_pool2d",
    "ms_ssim",
    "overlap",
    "overlap_ratio",
    "pad2d",
    "pixel_loss",
    "pool2d",
    "resize",
    "scale_by_gate",
    "softmax",
    "softmax_cross_entropy",
    "ssim_means",
    "sum",
    "weighted_sum",
];

/// Ops whose every case must have a gradient, whether strided, dilated, grouped or overlapping, except for forms that
/// only rewrites produce.
const ALL_CASES: [&str; 7] =
    ["avg_pool2d", "batch_norm2d", "conv2d", "conv_transpose2d", "instance_norm2d", "max_pool2d", "pool2d"];

/// Reductions: the effect of one element drowns in rounding. Checked along directions of many elements, as parts of
/// losses (`train::LossConfig`).
const REDUCTIONS: [&str; 4] = ["overlap", "pixel_loss", "softmax_cross_entropy", "ssim_means"];

/// A case with its gradients: the graph and its inputs, including the gradients of the outputs.
struct Check {
    graph: Graph,
    inputs: BTreeMap<String, HostTensor>,
    /// Names of inputs that have a gradient `d<name>`.
    requested: Vec<String>,
    /// Indices of outputs that have a gradient: outputs are `y<i>`, their gradients the inputs `g<i>`.
    outputs: Vec<usize>,
}

/// The check of a case; `None` if the op has no gradient.
fn build(case: &OpCase) -> Result<Option<Check>> {
    let Some(GradientGraph { graph, requested, outputs }) = GradientGraph::new(case)? else { return Ok(None) };
    let mut inputs: BTreeMap<String, HostTensor> =
        case.inputs()?.into_iter().enumerate().map(|(i, t)| (format!("x{i}"), t)).collect();
    for &i in &outputs {
        let name = format!("g{i}");
        let shape = graph.inputs().find(|input| input.0 == name).map(|input| graph.shape(input.1));
        inputs.insert(name.clone(), random_input(&format!("{} {name}", case.name), shape.unwrap())?);
    }
    let requested = requested.into_iter().map(|i| format!("x{i}")).collect();
    Ok(Some(Check { graph, inputs, requested, outputs }))
}

impl Check {
    fn run(&self, inputs: &BTreeMap<String, HostTensor>) -> Result<BTreeMap<String, HostTensor>> {
        let stored = |name: &str, _: &[usize]| Ok(inputs[name].clone());
        self.graph.run_reference(inputs, stored, |_, _| Ok(()))
    }

    /// The sum of all outputs times their gradients.
    fn value(&self, case: &OpCase, inputs: &BTreeMap<String, HostTensor>) -> f64 {
        let args: Vec<&HostTensor> = (0..case.inputs.len()).map(|i| &inputs[&format!("x{i}")]).collect();
        let results = case.op.reference(&args).unwrap();
        let dot = |i: usize| {
            let pairs = results[i].data().iter().zip(inputs[&format!("g{i}")].data());
            pairs.map(|(&y, &g)| f64::from(y) * f64::from(g)).sum::<f64>()
        };
        self.outputs.iter().map(|&i| dot(i)).sum()
    }

    /// Disagreements with finite differences.
    fn against_differences(&self, case: &OpCase) -> Result<Vec<String>> {
        let grads = self.run(&self.inputs)?;
        let mut wrong = Vec::new();
        for name in &self.requested {
            let grad = &grads[&format!("d{name}")];
            let scale = grad.data().iter().fold(1e-3f32, |a, v| a.max(v.abs()));
            let len = grad.data().len();
            let (mut checked, mut kinks) = (0, 0);
            // An odd stride visits all channels and columns.
            for at in (0..len).step_by((len / 20).max(1) | 1) {
                let shifted = |by: f32| {
                    let mut inputs = self.inputs.clone();
                    inputs.get_mut(name).unwrap().data_mut()[at] += by;
                    self.value(case, &inputs)
                };
                let eps = 1e-3f32;
                let (up, here, down) = (shifted(eps), shifted(0.0), shifted(-eps));
                let (right, left) = ((up - here) / f64::from(eps), (here - down) / f64::from(eps));
                // There is no derivative at a kink of a maximum or ReLU.
                if (right - left).abs() > 4e-3 * f64::from(scale) {
                    kinks += 1;
                    continue;
                }
                checked += 1;
                let (expected, got) = ((right + left) / 2.0, f64::from(grad.data()[at]));
                if (expected - got).abs() > 2e-3 * f64::from(scale) {
                    wrong.push(format!("{}: d{name}[{at}] is {got}, differences say {expected}", case.name));
                }
            }
            if checked < len.min(3) {
                wrong.push(format!("{}: {kinks} kinks and {checked} derivatives", case.name));
            }
        }
        Ok(wrong)
    }
}

#[test]
fn gradients_match_finite_differences() {
    let mut wrong = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for case in registry() {
        let op = case.name.split('/').next().unwrap();
        let check = build(&case).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let fused = case.op.as_op::<FusedConv2d>().is_some() || case.op.as_op::<FusedConvTranspose2d>().is_some();
        if check.is_none() && ALL_CASES.contains(&op) && !fused {
            wrong.push(format!("{}: has no gradient", case.name));
        }
        if let Some(check) = check {
            seen.insert(op.to_string());
            if REDUCTIONS.contains(&op) {
                continue;
            }
            wrong.extend(check.against_differences(&case).unwrap_or_else(|e| panic!("{}: {e}", case.name)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let functions = Function::ALL.iter().map(|f| f.name());
    let missing: Vec<_> = DIFFERENTIABLE.into_iter().chain(functions).filter(|m| !seen.contains(*m)).collect();
    assert!(missing.is_empty(), "without a gradient: {missing:?}");
}

/// Disagreements between GPU and CPU, with the kernels chosen for `target`.
fn against_cpu(gpu: &Gpu, target: &Target, case: &OpCase) -> Vec<String> {
    let Some(check) = build(case).unwrap() else { return vec![] };
    let expected = check.run(&check.inputs).unwrap();
    let plan = Plan::new(&check.graph, target).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    // As for single ops: Winograd has a larger tolerance.
    let winograd = plan.dispatches.iter().any(|s| s.kernel.is_winograd());
    let tolerance = if winograd { WINOGRAD_TOLERANCE } else { OP_TOLERANCE };
    let stored = |name: &str, _: &[usize]| Ok(check.inputs[name].clone());
    let mut session = Session::new(gpu, plan, stored).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let got = session.run_all(&check.inputs).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let compare = |name: &String| {
        let c = got[name].compare(&expected[name]).unwrap();
        (!c.within(tolerance)).then(|| format!("{}: {name} is off by {} of scale {}", case.name, c.max_error, c.scale))
    };
    // Outputs too: their weights are packed on the device.
    got.keys().filter_map(compare).collect()
}

#[test]
fn gradients_on_the_gpu_match_the_cpu() {
    let Some(gpu) = gpu_or_skip() else { return };
    let wrong: Vec<_> = registry().iter().flat_map(|case| against_cpu(&gpu, gpu.target(), case)).collect();
    assert!(wrong.is_empty(), "on {}:\n{}", gpu.describe(), wrong.join("\n"));
}

#[test]
fn gradients_of_convolutions_match_on_every_kernel_family() {
    let Some(gpu) = gpu_or_skip() else { return };
    let mut wrong = Vec::new();
    for (name, target) in family_caps(gpu.target()) {
        for case in registry().iter().filter(|c| c.name.starts_with("conv")) {
            let found = against_cpu(&gpu, &target, case);
            wrong.extend(found.into_iter().map(|w| format!("{name}: {w}")));
        }
    }
    assert!(wrong.is_empty(), "on {}:\n{}", gpu.describe(), wrong.join("\n"));
}

#[test]
fn gradients_match_with_wide_vectors() {
    again_with_wide_vectors(&[
        "gradcheck::gradients_on_the_gpu_match_the_cpu",
        "gradcheck::gradients_of_convolutions_match_on_every_kernel_family",
    ]);
}
