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
const DIFFERENTIABLE: [&str; 31] = [
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
    "instance_mean",
    "instance_norm2d",
    "instance_sums",
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

/// The allowed error of a derivative, relative to the largest one of its input. Gradients are `f32`.
const TOLERANCE: f64 = 1e-4;

/// How much of a derivative may drown in the rounding of the outputs to `f32`. Where one element drowns, as in a
/// reduction, several are shifted at once.
const RESOLUTION: f64 = 1e-3;

/// Steps of the differences, halved from the first.
const STEPS: (f64, i32) = (1.0 / 32.0, 9);

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
    // Multiples of 2^-18, so that `f32` holds them with every step of the differences.
    for &i in &requested {
        let data = inputs.get_mut(&format!("x{i}")).unwrap().data_mut();
        data.iter_mut().for_each(|v| *v = (*v * 262_144.0).round() / 262_144.0);
    }
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

    /// All outputs that have a gradient, in one list.
    fn outputs(&self, case: &OpCase, inputs: &BTreeMap<String, HostTensor>) -> Vec<f64> {
        let args: Vec<&HostTensor> = (0..case.inputs.len()).map(|i| &inputs[&format!("x{i}")]).collect();
        let results = case.op.reference(&args).unwrap();
        self.outputs.iter().flat_map(|&i| results[i].data()).map(|&y| f64::from(y)).collect()
    }

    /// Disagreements of gradients with finite differences.
    fn against_differences(&self, case: &OpCase, grads: &BTreeMap<String, HostTensor>) -> Vec<String> {
        let seeds = self.outputs.iter().flat_map(|i| self.inputs[&format!("g{i}")].data());
        let around = Surroundings {
            check: self,
            case,
            here: self.outputs(case, &self.inputs),
            seeds: seeds.map(|&g| f64::from(g)).collect(),
        };
        let mut wrong = Vec::new();
        for name in &self.requested {
            let grad: Vec<f64> = grads[&format!("d{name}")].data().iter().map(|&v| f64::from(v)).collect();
            let (mut agreed, mut kinks) = (0, 0);
            // The number of elements that are shifted at once.
            let mut count = 1;
            // An odd stride visits all channels and columns.
            for at in (0..grad.len()).step_by((grad.len() / 20).max(1) | 1) {
                let outcome = loop {
                    let outcome = around.derivative(name, &grad, at, count);
                    if outcome != Outcome::Drowned || count == grad.len() {
                        break outcome;
                    }
                    count = (2 * count).min(grad.len());
                };
                match outcome {
                    Outcome::Agrees => agreed += 1,
                    Outcome::Kink => kinks += 1,
                    Outcome::Drowned => wrong.push(format!("{}: d{name} drowns in rounding", case.name)),
                    Outcome::Differs(got, expected) => wrong.push(format!(
                        "{}: d{name}[{at}] is {got}, differences say {expected} ({count} elements)",
                        case.name
                    )),
                }
            }
            if kinks > agreed / 9 {
                wrong.push(format!("{}: d{name} has {kinks} kinks and {agreed} derivatives", case.name));
            }
        }
        wrong
    }
}

/// What became of a derivative.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Agrees,
    /// The slopes on both sides differ, of an op that declares kinks.
    Kink,
    /// Rounding hides it at every step.
    Drowned,
    /// The gradient, and the differences.
    Differs(f64, f64),
}

/// The function of which derivatives are checked, the sum of all outputs times their gradients, around a point.
struct Surroundings<'a> {
    check: &'a Check,
    case: &'a OpCase,
    here: Vec<f64>,
    seeds: Vec<f64>,
}

impl Surroundings<'_> {
    /// Checks the derivative along `count` elements of an input from `at`, each in the direction of its gradient:
    /// central differences of falling steps, of which two in a row extrapolate to step zero (Richardson).
    fn derivative(&self, name: &str, grad: &[f64], at: usize, count: usize) -> Outcome {
        let elements = (0..count).map(|i| (at + i * (grad.len() / count)) % grad.len());
        let direction: Vec<(usize, f64)> = elements.map(|i| (i, if grad[i] < 0.0 { -1.0 } else { 1.0 })).collect();
        let got: f64 = direction.iter().map(|&(i, sign)| sign * grad[i]).sum();
        let scale = grad.iter().fold(got.abs().max(1e-6), |a, v| a.max(v.abs()));
        let kinks = self.case.op.has_kinks();
        let (mut before, mut last) = (None, None);
        let mut compared = false;
        for k in 0..STEPS.1 {
            let step = STEPS.0 * 0.5f64.powi(k);
            let [up, down] = [step, -step].map(|by| self.shifted(name, &direction, by));
            let slope = self.weighted(&up, &down) / (2.0 * step);
            let rounding = self.rounding(&up, &down, got) / step;
            // Outside of its domain the function is NaN.
            if !slope.is_finite() || rounding > RESOLUTION * scale {
                before = None;
                continue;
            }
            let bend = (self.weighted(&up, &self.here) - self.weighted(&self.here, &down)).abs() / step;
            last = Some((slope, bend));
            let Some(coarse) = before.replace(slope) else { continue };
            compared = true;
            let error = TOLERANCE * scale + rounding;
            if (slope - coarse).abs() / 3.0 > error {
                continue;
            }
            let extrapolated = (4.0 * slope - coarse) / 3.0;
            if (extrapolated - got).abs() <= error {
                return Outcome::Agrees;
            }
            if !kinks {
                return Outcome::Differs(got, extrapolated);
            }
        }
        match last.filter(|_| compared) {
            None => Outcome::Drowned,
            // A kink at the point moves the central difference by half of the bend.
            Some((slope, bend)) if kinks && (slope - got).abs() <= bend => Outcome::Kink,
            Some((slope, _)) => Outcome::Differs(got, slope),
        }
    }

    fn shifted(&self, name: &str, direction: &[(usize, f64)], by: f64) -> Vec<f64> {
        let mut inputs = self.check.inputs.clone();
        let data = inputs.get_mut(name).unwrap().data_mut();
        direction.iter().for_each(|&(i, sign)| data[i] += (sign * by) as f32);
        self.check.outputs(self.case, &inputs)
    }

    /// The difference of the function at two points.
    fn weighted(&self, a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).zip(&self.seeds).map(|((a, b), g)| (a - b) * g).sum()
    }

    /// Six standard deviations of the extrapolated difference times the step: outputs that change are rounded to `f32`,
    /// evenly within one unit in the last place.
    fn rounding(&self, up: &[f64], down: &[f64], got: f64) -> f64 {
        let variance = |all: bool| -> f64 {
            let changed = up.iter().zip(down).zip(&self.here).map(|((u, d), h)| all || u != h || d != h);
            let units = up.iter().zip(&self.seeds).map(|(y, g)| (y * g * f64::from(f32::EPSILON)).powi(2) / 12.0);
            units.zip(changed).filter(|u| u.1).map(|u| u.0).sum()
        };
        // A change that drowns entirely must not pass for none.
        let of_changed = variance(false);
        let variance = if of_changed == 0.0 && got != 0.0 { variance(true) } else { of_changed };
        // The extrapolation takes 4/3 of the fine difference, less 1/3 of the coarse one.
        6.0 * (variance / 2.0 * (16.0 / 9.0 + 1.0 / 36.0)).sqrt()
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
            let grads = check.run(&check.inputs).unwrap_or_else(|e| panic!("{}: {e}", case.name));
            wrong.extend(check.against_differences(&case, &grads));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let functions = Function::ALL.iter().map(|f| f.name());
    let missing: Vec<_> = DIFFERENTIABLE.into_iter().chain(functions).filter(|m| !seen.contains(*m)).collect();
    assert!(missing.is_empty(), "without a gradient: {missing:?}");
}

/// The check itself fails where a gradient is off by more than it allows, be the op smooth, kinked or a reduction.
#[test]
fn slightly_wrong_gradients_are_found() {
    let names = ["tanh/anything", "conv2d/", "max_pool2d/", "batch_norm2d_train/", "overlap/", "pixel_loss/"];
    for name in names {
        let cases = registry();
        let case = cases.iter().find(|c| c.name.starts_with(name)).unwrap();
        let check = build(case).unwrap().unwrap();
        let mut grads = check.run(&check.inputs).unwrap();
        assert_eq!(check.against_differences(case, &grads), [""; 0]);
        for grad in grads.iter_mut().filter(|g| g.0.starts_with('d')) {
            grad.1.data_mut().iter_mut().for_each(|v| *v *= 1.002);
        }
        let wrong = check.against_differences(case, &grads);
        assert!(wrong.len() >= check.requested.len(), "{}: {wrong:?}", case.name);
    }
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
