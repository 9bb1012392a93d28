//! Shared by tests and `unet selftest`: op cases as graphs, run on the device and on the CPU reference.

#[cfg(not(target_arch = "wasm32"))]
mod device;
mod faults;
mod gradient;

#[cfg(not(target_arch = "wasm32"))]
pub use device::{again_with_wide_vectors, gpu_or_skip};
pub use faults::{allocations, fail_allocation, fail_allocations_above, lose_at_submission};
pub use gradient::GradientGraph;

use crate::error::{Error, Result};
use crate::gpu::Gpu;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::graph::{Graph, ValueId};
use crate::kernel::{AdapterClass, Caps, ConvFamily, KernelOverrides, OperandPath, PlanOptions, Target, TensorStorage};
use crate::model::ArchitectureId;
use crate::ops::{ExportNchw, ImportNchw, InputKind, Lowered, Lowering, OpCase, Sensitivity};
use crate::plan::Plan;
use crate::session::Session;
use crate::tensor::{Comparison, HostTensor, Layout, Precision, TensorDesc};
use half::f16;
use std::collections::BTreeMap;

/// The tolerance of a single op against its `f64` reference, relative to the output's scale.
pub const OP_TOLERANCE: f32 = 1e-5;

/// [`OP_TOLERANCE`] for Winograd kernels, whose transforms amplify rounding.
pub const WINOGRAD_TOLERANCE: f32 = 5e-5;

/// [`OP_TOLERANCE`] for plans that store activations and weights as `f16`.
pub const F16_TOLERANCE: f32 = 5e-3;

/// The tolerance of a network's outputs and inner activations, relative to each tensor's scale.
pub const fn network_tolerance(precision: Precision) -> f32 {
    match precision {
        Precision::F32 => 1e-5,
        Precision::F16 => F16_TOLERANCE,
    }
}

/// A case lowered with the kernels chosen for `target`.
pub fn lowered(target: &Target, case: &OpCase) -> Result<Lowered> {
    let inputs: Vec<TensorDesc> = case.inputs.iter().map(|i| i.0).collect();
    let outputs = case.op.infer(&inputs)?;
    let mut cx = Lowering::new(&case.name, target, &inputs, &outputs);
    case.op.lower(&mut cx)?;
    Ok(cx.finish())
}

/// The tolerance of a case with the kernels chosen for `target`.
pub fn tolerance(target: &Target, case: &OpCase) -> Result<f32> {
    if target.options.precision == Precision::F16 {
        return Ok(F16_TOLERANCE);
    }
    let winograd = lowered(target, case)?.dispatches.iter().any(|d| d.kernel.is_winograd());
    Ok(if winograd { WINOGRAD_TOLERANCE } else { OP_TOLERANCE })
}

/// Variants of `target` that force each family of convolution kernels, with and without subgroups. On a device with
/// textures, families that use them also come with all tensors in textures and all in buffers.
pub fn family_caps(target: &Target) -> Vec<(String, Target)> {
    let other = Caps { class: AdapterClass::Other, subgroup: None, ..target.caps.clone() };
    let without = target.clone().with_caps(other).with_storage(TensorStorage::Buffers);
    let mut all = vec![("no subgroups".to_string(), without.clone())];
    // Tight limits split the grids and transformed weights even of small cases.
    let tight = Caps { max_workgroups: 40, max_binding_bytes: 384 << 10, ..target.caps.clone() };
    let tight = target.clone().with_caps(tight);
    for family in [ConvFamily::Gemm, ConvFamily::Winograd] {
        all.push((format!("{}, tight limits", family.name()), tight.clone().with_conv(family)));
    }
    for family in ConvFamily::ALL {
        let forced = |target: &Target| target.clone().with_conv(family);
        all.push((family.name().to_string(), forced(target)));
        all.push((format!("{}, no subgroups", family.name()), forced(&without)));
        let spread = matches!(family, ConvFamily::Gemm | ConvFamily::Winograd | ConvFamily::Subgroup);
        if target.options.storage != TensorStorage::Buffers && spread {
            for (what, storage) in [("textures", TensorStorage::AlwaysTextures), ("buffers", TensorStorage::Buffers)] {
                all.push((format!("{}, {what}", family.name()), forced(target).with_storage(storage)));
            }
        }
    }
    all
}

/// Variants of `target` that force each GEMM tile of hardware GPUs, for the convolutions built on GEMM.
pub fn tile_caps(target: &Target) -> Vec<(String, Target)> {
    let mut all = Vec::new();
    for path in [OperandPath::Workgroup, OperandPath::Uniform] {
        for &tile in path.tiles() {
            for family in [ConvFamily::Gemm, ConvFamily::Winograd] {
                let name = format!("{}, {} operands, tile {tile:?}", family.name(), path.name());
                let forced = target.clone().with_conv(family).with_operands(path).with_tile(tile);
                all.push((name, forced));
            }
        }
    }
    all
}

/// Variants of `target` that force cooperative matrices of each size, for the convolutions built on GEMM.
pub fn matrix_caps(target: &Target) -> Vec<(String, Target)> {
    let mut all = Vec::new();
    for side in [8, 16].into_iter().filter(|&s| target.caps.matrix.is_none_or(|only| only == s)) {
        for &tile in OperandPath::Matrix.tiles() {
            for family in [ConvFamily::Gemm, ConvFamily::Winograd2] {
                let caps = Caps { f16: true, matrix: Some(side), ..target.caps.clone() };
                let options = PlanOptions {
                    precision: Precision::F16,
                    storage: TensorStorage::Buffers,
                    matrices: true,
                    ..target.options
                };
                let overrides =
                    KernelOverrides { conv: Some(family), operands: Some(OperandPath::Matrix), tile: Some(tile) };
                let forced = target.clone().with_caps(caps).with_options(options).with_overrides(overrides);
                all.push((format!("{}, matrices of {side}, tile {tile:?}", family.name()), forced));
            }
        }
    }
    all
}

/// A graph of one op: inputs and parameters `x0`, `x1`, .. in the case's order; outputs `y0`, ...
pub fn case_graph(case: &OpCase) -> Result<Graph> {
    let mut graph = Graph::new();
    let mut args: Vec<ValueId> = Vec::new();
    for (i, (desc, kind)) in case.inputs.iter().enumerate() {
        let name = format!("x{i}");
        if case.op.updates().iter().any(|u| u.1 == i) {
            args.push(graph.variable(&name, &desc.shape.dims())?);
            continue;
        }
        args.push(match (kind, desc.layout) {
            (InputKind::Data | InputKind::Probability | InputKind::Wide | InputKind::Fixed(_), Layout::Blocked) => {
                let x = graph.input(&name, TensorDesc::linear(desc.shape));
                graph.node(name, ImportNchw, &[x])?
            }
            (InputKind::Data | InputKind::Probability | InputKind::Wide | InputKind::Fixed(_), _) => {
                graph.input(&name, *desc)
            }
            (InputKind::Parameter | InputKind::Positive, _) => graph.parameter(&name, &desc.shape.dims())?,
        });
    }
    let outputs = graph.node_shared(&case.name, case.op.clone(), &args)?;
    for (i, &y) in outputs.iter().enumerate() {
        if let Some(&(_, state)) = case.op.updates().iter().find(|u| u.0 == i) {
            graph.update(args[state], y)?;
            continue;
        }
        let y = match graph.value(y).desc.layout {
            Layout::Blocked => graph.node(format!("y{i}"), ExportNchw, &[y])?,
            Layout::Linear => y,
        };
        graph.output(format!("y{i}"), y);
    }
    Ok(graph)
}

/// Runs a case on the device with the kernels chosen for `target` and returns its outputs. `inputs` are in the case's
/// order.
#[cfg(not(target_arch = "wasm32"))]
pub fn run_case(gpu: &Gpu, target: &Target, case: &OpCase, inputs: &[HostTensor]) -> Result<Vec<HostTensor>> {
    block_on(run_case_async(gpu, target, case, inputs))
}

/// [`run_case`] as a future.
pub async fn run_case_async(
    gpu: &Gpu,
    target: &Target,
    case: &OpCase,
    inputs: &[HostTensor],
) -> Result<Vec<HostTensor>> {
    let graph = case_graph(case)?;
    let plan = Plan::new(&graph, target)?;
    let named: BTreeMap<String, HostTensor> =
        inputs.iter().enumerate().map(|(i, t)| (format!("x{i}"), t.clone())).collect();
    let stored = |name: &str, _: &[usize]| {
        named.get(name).cloned().ok_or_else(|| Error::ParameterMissing { key: name.into(), nearest: None })
    };
    let mut session = Session::new_async(gpu, plan, stored).await?;
    let mut outputs = session.run_all_async(&named).await?;
    let updates = case.op.updates();
    let mut all = Vec::new();
    for i in 0..outputs.len() + updates.len() {
        match updates.iter().find(|u| u.0 == i) {
            Some((_, state)) => all.push(session.read_state_async(&format!("x{state}")).await?),
            None => all.extend(outputs.remove(&format!("y{i}"))),
        }
    }
    Ok(all)
}

/// Runs a case on the device and compares it with the reference; returns the comparison of the worst output.
#[cfg(not(target_arch = "wasm32"))]
pub fn check_case(gpu: &Gpu, case: &OpCase) -> Result<Comparison> {
    check_case_with(gpu, gpu.target(), case)
}

/// [`check_case`] with the kernels chosen for `target` instead of the device's own.
#[cfg(not(target_arch = "wasm32"))]
pub fn check_case_with(gpu: &Gpu, target: &Target, case: &OpCase) -> Result<Comparison> {
    block_on(check_case_with_async(gpu, target, case))
}

/// [`check_case_with`] as a future.
pub async fn check_case_with_async(gpu: &Gpu, target: &Target, case: &OpCase) -> Result<Comparison> {
    let mut inputs = case.inputs()?;
    let sensitivity = case.op.sensitivity();
    if target.options.precision == Precision::F16 && sensitivity != Sensitivity::Smooth {
        // The reference gets what the device stores.
        let stored = |desc: &TensorDesc| desc.layout == Layout::Blocked || sensitivity == Sensitivity::JumpsWithAll;
        let rounded = inputs.iter_mut().zip(&case.inputs).filter(|i| stored(&i.1.0));
        rounded.flat_map(|i| i.0.data_mut()).for_each(|v| *v = f16::from_f32(*v).to_f32());
    }
    let expected = case.op.reference(&inputs.iter().collect::<Vec<_>>())?;
    let got = run_case_async(gpu, target, case, &inputs).await?;
    let mut worst = Comparison { max_error: 0.0, scale: 0.0, index: 0 };
    if got.len() != expected.len() {
        return Err(Error::op(&case.name, format!("{} outputs, the reference has {}", got.len(), expected.len())));
    }
    for (g, w) in got.iter().zip(&expected) {
        let c = g.compare(w)?;
        if c.max_error >= worst.max_error {
            worst = c;
        }
    }
    Ok(worst)
}

/// A reproducible parameter: weights with standard deviation `sqrt(2 / fan_in)`, positive variances, small biases.
pub fn random_parameter(name: &str, dims: &[usize]) -> Result<HostTensor> {
    let count: usize = dims.iter().product();
    let shape = crate::tensor::Shape::new(1, 1, 1, count);
    let noise = OpCase {
        name: name.to_string(),
        op: std::sync::Arc::new(ImportNchw),
        inputs: vec![(TensorDesc::linear(shape), InputKind::Data)],
    };
    let mut data = noise.inputs()?.remove(0).into_data();
    let fan_in: usize = dims.iter().skip(1).product::<usize>().max(1);
    for v in &mut data {
        *v = match name.rsplit('.').next() {
            Some("running_var") => 1.0 + 0.5 * *v,
            Some("weight") if dims.len() == 1 => 1.0 + 0.5 * *v,
            // Uniform noise in -1 .. 1 has variance 1/3.
            Some("weight") => *v * (6.0 / fan_in as f32).sqrt(),
            _ => *v * 0.2,
        };
    }
    HostTensor::new(dims, data)
}

/// Reproducible data of a shape, uniform in -1 .. 1.
pub fn random_input(name: &str, shape: crate::tensor::Shape) -> Result<HostTensor> {
    let noise = OpCase {
        name: name.to_string(),
        op: std::sync::Arc::new(ImportNchw),
        inputs: vec![(TensorDesc::linear(shape), InputKind::Data)],
    };
    Ok(noise.inputs()?.remove(0))
}

/// Configurations that together cover every option of every architecture, each with a small input `[N, C, H, W]`.
pub fn model_cases() -> Vec<(&'static str, serde_json::Value, [usize; 4])> {
    let cases = |arch: ArchitectureId| arch.cases().into_iter().map(move |(config, shape)| (arch.id(), config, shape));
    ArchitectureId::all().flat_map(cases).collect()
}
