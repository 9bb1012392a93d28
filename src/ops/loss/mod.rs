//! Training losses. Each takes a prediction in the device layout and a target in plain NCHW, and returns a scalar.
//!
//! Sums over pixels take two stages in a fixed order: each workgroup sums a few thousand pixels, then one workgroup
//! adds the partial sums. The loss is computed from the sums by a further op. Every op has its own gradient, and
//! `train::LossConfig` composes them.

mod cross_entropy;
mod instance_mean;
mod instance_sums;
mod ms_ssim;
mod one_hot;
mod overlap;
mod pixel;
mod presence;
mod quotient;
mod ratio;
mod ssim;
mod weighted_sum;

pub use cross_entropy::{SoftmaxCrossEntropy, SoftmaxCrossEntropyGrad};
pub use instance_mean::{InstanceMean, InstanceMeanGrad};
pub use instance_sums::{InstanceSums, InstanceSumsGrad};
pub use ms_ssim::{MsSsim, MsSsimForm, MsSsimGrad};
pub use one_hot::OneHot;
pub use overlap::{Overlap, OverlapGrad, OverlapGroup, TargetEncoding};
pub use pixel::{PixelLoss, PixelLossGrad, PixelLossKind};
pub use presence::Presence;
pub use quotient::{LossMean, LossMeanGrad, LossReduction};
pub use ratio::{OverlapRatio, OverlapRatioGrad};
pub use ssim::{SsimMeans, SsimMeansGrad};
pub use weighted_sum::WeightedSum;

use super::{InputKind, Lowering, OpCase};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, shader_struct};
use crate::tensor::{Layout, Shape, TensorDesc};

/// Pixels per workgroup of a first stage: see `shaders/lib/planes.wgsl`.
const PIXELS: usize = 4096;

/// A scalar.
const SCALAR: TensorDesc = TensorDesc::linear(Shape::new(1, 1, 1, 1));

shader_struct! {
    /// Parameters of `loss_sum`.
    struct LossSumParams {
        len: u32,
        take: u32,
        start: u32,
        factor: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let all = [
        cross_entropy::cases(),
        instance_mean::cases(),
        instance_sums::cases(),
        ms_ssim::cases(),
        one_hot::cases(),
        overlap::cases(),
        pixel::cases(),
        presence::cases(),
        quotient::cases(),
        ratio::cases(),
        ssim::cases(),
        weighted_sum::cases(),
    ];
    all.into_iter().flatten().collect()
}

/// Fails unless the inputs have exactly the expected descriptions, each with its name.
fn expect(op: &str, inputs: &[TensorDesc], expected: &[(&str, TensorDesc)]) -> Result<()> {
    super::expect_inputs(op, inputs, expected.len())?;
    for (got, (name, expected)) in inputs.iter().zip(expected) {
        if got != expected {
            let layout = |l| if l == Layout::Linear { "NCHW" } else { "blocked" };
            let reason = format!(
                "{name} is {} {}, not {} {}",
                got.shape,
                layout(got.layout),
                expected.shape,
                layout(expected.layout)
            );
            return Err(Error::op(op, reason));
        }
    }
    Ok(())
}

/// The shape of the first input; fails if it is empty, since its mean is undefined.
fn expect_pixels(op: &str, inputs: &[TensorDesc]) -> Result<Shape> {
    let shape = inputs.first().map_or(Shape::new(0, 0, 0, 0), |x| x.shape);
    if shape.is_empty() { Err(Error::op(op, format!("input {shape} is empty"))) } else { Ok(shape) }
}

/// Workgroups per plane in a first stage.
fn parts(s: Shape) -> usize {
    s.pixels().div_ceil(PIXELS)
}

/// Scratch memory for `count` partial sums.
fn partials(cx: &mut Lowering, count: usize) -> usize {
    cx.scratch((count * 16) as u64)
}

/// The second stage: reduces `groups` groups of `len` partial sums to `take` numbers each, times `factor`, and writes
/// them to output 0 from element `start` on.
fn second_stage(
    cx: &mut Lowering,
    scratch: usize,
    [groups, len]: [usize; 2],
    take: usize,
    start: usize,
    factor: f64,
) -> Result<()> {
    let [len, take, start] = [len, take, start].map(|v| v as u32);
    let params = LossSumParams { len, take, start, factor: factor as f32 };
    let bindings = [Operand::ScratchRead(scratch), Operand::Output(0)];
    cx.dispatch(KernelKey::new("loss_sum"), params, bindings, [groups, 1, 1])
}

/// `1 / (1 + exp(-v))`
fn logistic(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

/// Reproducible labels 0 .. classes for a case, with `ignored` at some pixels if given.
fn labels(s: Shape, classes: usize, ignored: Option<f32>) -> (TensorDesc, InputKind) {
    let s = s.with_c(1);
    let label = |i: usize| match ignored {
        Some(v) if i % 7 == 3 => v,
        _ => {
            let i = i as u64;
            ((i * i + i / 3) % classes as u64) as f32
        }
    };
    (TensorDesc::linear(s), InputKind::Fixed((0..s.len()).map(label).collect()))
}

/// Reproducible target of zeros and ones for a case.
fn masks(s: Shape) -> (TensorDesc, InputKind) {
    let one = |i: u64| f32::from(u8::from((i * 5 + i * i / 11).is_multiple_of(3)));
    (TensorDesc::linear(s), InputKind::Fixed((0..s.len() as u64).map(one).collect()))
}

/// Reproducible pixel weights 0.5 .. 4 for a case.
fn pixel_weights(s: Shape) -> (TensorDesc, InputKind) {
    let s = s.with_c(1);
    let weight = |i: usize| 0.5 + 0.25 * (i * 3 % 15) as f32;
    (TensorDesc::linear(s), InputKind::Fixed((0..s.len()).map(weight).collect()))
}

/// A linear input for a case.
fn linear(s: Shape) -> (TensorDesc, InputKind) {
    (TensorDesc::linear(s), InputKind::Data)
}

/// A blocked input of probabilities for a case.
fn probabilities(s: Shape) -> (TensorDesc, InputKind) {
    (TensorDesc::blocked(s), InputKind::Probability)
}

/// A case with the given inputs.
fn case(name: String, op: impl super::Op, inputs: Vec<(TensorDesc, InputKind)>) -> OpCase {
    OpCase { name, op: std::sync::Arc::new(op), inputs }
}
