//! Cooperative matrices, checked before they are used.

use super::Session;
use crate::error::{Error, Result};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, PrecisionChoice};
use crate::graph::Graph;
use crate::kernel::{ConvFamily, OperandPath};
use crate::ops::{Conv2d, ExportNchw, ImportNchw};
use crate::plan::Plan;
use crate::tensor::{HostTensor, Shape, TensorDesc};
use std::collections::BTreeMap;

/// Tolerance for storing f16, relative to the output's scale.
const TOLERANCE: f32 = 5e-3;

/// The device with [`Gpu::with_matrices`] if a convolution on them agrees with the reference; otherwise unchanged. wgpu
/// calls the feature experimental, and drivers for it are young.
#[cfg(not(target_arch = "wasm32"))]
#[must_use]
pub fn with_matrices(gpu: &Gpu) -> Gpu {
    block_on(with_matrices_async(gpu))
}

/// [`with_matrices`] as a future.
pub async fn with_matrices_async(gpu: &Gpu) -> Gpu {
    let Some(enabled) = gpu.with_matrices() else { return gpu.clone() };
    match agrees(&enabled).await {
        Ok(true) => enabled,
        Ok(false) => {
            log::warn!("{}: cooperative matrices give wrong results and are not used", gpu.describe());
            gpu.clone()
        }
        Err(e) => {
            log::warn!("{}: cooperative matrices fail and are not used: {e}", gpu.describe());
            gpu.clone()
        }
    }
}

/// Whether a 3x3 convolution with partial tiles in every dimension is correct.
async fn agrees(gpu: &Gpu) -> Result<bool> {
    let gpu = gpu.with_precision(PrecisionChoice::F16)?;
    let target = gpu.target().clone().with_conv(ConvFamily::Gemm).with_operands(OperandPath::Matrix);
    let (input, dims) = (Shape::new(1, 37, 11, 9), [70, 37, 3, 3]);
    let mut graph = Graph::new();
    let x = graph.input("x", TensorDesc::linear(input));
    let x = graph.node("x", ImportNchw, &[x])?;
    let w = graph.parameter("w", &dims)?;
    let y = graph.node("conv", Conv2d::new(dims[0], 3, 1), &[x, w])?;
    let y = graph.node("y", ExportNchw, &[y])?;
    graph.output("y", y);
    // Small integers without a short period: their sums are exact in f32, so that rounding hides no error.
    let number = |i: usize| ((i * 7919 + i / 13) % 17) as f32 - 8.0;
    let tensor = |dims: &[usize]| HostTensor::new(dims, (0..dims.iter().product()).map(number).collect::<Vec<f32>>());
    let inputs = BTreeMap::from([("x".to_string(), tensor(&input.dims())?)]);
    let expected = graph.run_reference(&inputs, |_, dims| tensor(dims), |_, _| Ok(()))?;
    let mut session = Session::new_async(&gpu, Plan::new(&graph, &target)?, |_, dims| tensor(dims)).await?;
    let got = session.run_all_async(&inputs).await?;
    match (got.get("y"), expected.get("y")) {
        (Some(got), Some(expected)) => Ok(got.compare(expected)?.within(TOLERANCE)),
        _ => Err(Error::invalid("output `y`", "missing")),
    }
}
