//! Operations, each in one file with its shape rule, CPU reference, lowering to kernels and test cases.
//!
//! To add one, write a file here with the parameter struct of its kernel and a shader in a folder of `shaders/`, and
//! add its `mod` line and its line in `CASES`. Shader validation, `unet selftest` and the GPU-against-reference tests
//! then include it.

mod augment;
mod average;
mod avg_pool2d;
mod backward;
mod batch_norm;
mod batch_norm_train;
mod binary;
mod concat;
mod conv2d;
mod crop2d;
mod dropout;
mod fill;
mod fold;
mod gate;
mod gemm;
mod global_pool;
mod grad;
mod group_norm;
mod head2d;
mod image_in;
mod interpolate;
mod loss;
mod lowering;
mod mask_out;
mod matmul;
mod max_pool2d;
mod moving_average;
mod nchw;
mod norm_groups;
mod normalise;
mod optim;
mod packing;
mod pad2d;
mod pad_mode;
mod pool2d;
mod random;
mod rearrange;
mod reduce;
mod resample;
mod resize;
mod slice;
mod softmax;
mod spatial;
mod strided;
mod sum;
mod tap_sum;
mod unary;
mod winograd;

pub use crate::kernel::Function;
pub use augment::{Border, DisplacementField, Intensity, Interpolation, MAX_SIGMA, SimardField, Similarity, Warp};
pub use average::Average;
pub use avg_pool2d::AvgPool2d;
pub use backward::{Backward, GraphBuilder, ValueId};
pub use batch_norm::BatchNorm2d;
pub use batch_norm_train::BatchNorm2dTrain;
pub use binary::{Binary, BinaryKind};
pub use concat::Concat;
pub use conv2d::{Conv2d, ConvTranspose2d, FusedConv2d, FusedConvTranspose2d, JoinedConv2d, Source};
pub use crop2d::Crop2d;
pub use dropout::Dropout;
pub use fill::Fill;
pub use fold::batch_norm_coefficients;
pub use gate::{ArgmaxGate, ScaleByGate};
pub use global_pool::{GlobalAvgPool, GlobalMaxPool};
pub use grad::{
    ActivationGrad, BatchNorm2dGrad, BatchStatistics, ChannelSlice, ChannelSum, ConvWeightGrad, ConvWeightGradPlain,
    Corner, FlipWeights, GlobalMaxPoolGrad, InstanceNorm2dGrad, SoftmaxGrad,
};
pub use group_norm::GroupNorm;
pub use head2d::{Head2d, HeadOutput};
pub use image_in::{ImageIn, ImageInfo, mirror};
pub use interpolate::{Coordinates, Interpolate, InterpolateKernel, NearestRule, OutputSize};
pub use loss::{
    InstanceMean, InstanceMeanGrad, InstanceSums, InstanceSumsGrad, LossMean, LossMeanGrad, LossReduction, MsSsim,
    MsSsimForm, MsSsimGrad, OneHot, Overlap, OverlapGrad, OverlapGroup, OverlapRatio, OverlapRatioGrad, PixelLoss,
    PixelLossGrad, PixelLossKind, Presence, SoftmaxCrossEntropy, SoftmaxCrossEntropyGrad, SsimMeans, SsimMeansGrad,
    TargetEncoding, WeightedSum,
};
pub use lowering::{Lowered, Lowering, MANY_READS, PackedWeights, halo};
pub use mask_out::{MaskOut, MaskRule};
pub use matmul::MatMul;
pub use max_pool2d::{MaxPool2d, MaxPool2dGrad};
pub use moving_average::MovingAverage;
pub use nchw::{ExportNchw, ImportNchw};
pub use normalise::InstanceNorm2d;
pub use optim::{Accumulate, ClipFactor, Hyper, OptimiserKind, OptimiserStep, SquaredNorm};
pub use packing::{ConvOrder, ConvPacking, Packing, TileOrder, WinogradForm, WinogradOrder};
pub use pad_mode::{PadMode, PadWith};
pub use pad2d::Pad2d;
pub use pool2d::{Pool2d, Pool2dGrad, PoolKind};
pub use rearrange::{DepthOrder, DepthToSpace, Rearrange, SpaceToDepth};
pub use reduce::{ArgMax, Reduce, ReduceKind};
pub use resize::{Resize, ResizeGrad, ResizeMode, ResizeSize};
pub use slice::{ConcatPixels, Slice};
pub use softmax::Softmax;
pub use spatial::{Spatial, Window};
pub use sum::Sum;
pub use tap_sum::TapSum;
pub use unary::Unary;

use crate::error::{Error, Result};
use crate::tensor::{HostTensor, Shape, TensorDesc};
use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

/// An operation with its attributes. Implementations are plain structs with named fields.
pub trait Op: Any + Debug + Send + Sync {
    /// Name, snake case, as in PyTorch where there is one.
    fn name(&self) -> &'static str;

    /// Descriptions of the outputs from those of the inputs. Fails if the inputs do not fit.
    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>>;

    /// Naive reference implementation on the CPU: one output element at a time, with sums in `f64`.
    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>>;

    /// The kernels that compute the op on a device.
    fn lower(&self, cx: &mut Lowering) -> Result<()>;

    /// Multiply-accumulates of convolutions and matrix products; other ops count as 0, as in the papers.
    fn macs(&self, _inputs: &[TensorDesc], _outputs: &[TensorDesc]) -> u64 {
        0
    }

    /// Which input pixels an output pixel needs.
    fn spatial(&self, _inputs: &[TensorDesc], _outputs: &[TensorDesc]) -> Spatial {
        Spatial::Pointwise
    }

    /// Outputs computed in place, as pairs (output, input). The input must be a persistent variable that the output
    /// updates; kernels bind only the output.
    fn updates(&self) -> &[(usize, usize)] {
        &[]
    }

    /// The gradient of each input, as nodes added through `builder`; `None` where it is zero or not needed.
    fn backward(&self, _node: &Backward, _builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        Err(Error::op(self.name(), "has no gradient"))
    }

    /// How the result reacts to small changes of the inputs, for tests that round them.
    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::Smooth
    }

    /// Whether the result has kinks or jumps, where there is no derivative, as at a maximum or a bound.
    fn has_kinks(&self) -> bool {
        false
    }

    /// Number of leading outputs that gradients can come from; the others are statistics.
    fn differentiable_outputs(&self, outputs: usize) -> usize {
        outputs
    }

    /// Whether an input is read with its zero halo, which the planner must then keep zero.
    fn reads_halo(&self, _input: usize) -> bool {
        false
    }
}

impl dyn Op {
    /// The op as the concrete type `T`, if it is one.
    pub fn as_op<T: Op>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref::<T>()
    }
}

/// How a result reacts to small changes of its inputs, such as rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sensitivity {
    /// It changes little.
    Smooth,
    /// It may jump, or is steep, if data are rounded.
    JumpsWithData,
    /// It may jump if data or parameters are rounded.
    JumpsWithAll,
}

/// An op with inputs, for the tests that run on every registered op. [`OpCase::inputs`] fills the inputs with
/// reproducible noise.
#[derive(Debug)]
pub struct OpCase {
    /// Unique name, `op/variant`.
    pub name: String,
    /// The op.
    pub op: Arc<dyn Op>,
    /// Description and contents of each input: data, or a parameter (read from a checkpoint).
    pub inputs: Vec<(TensorDesc, InputKind)>,
}

/// How an [`OpCase`] input is filled.
#[derive(Clone, Debug, PartialEq)]
pub enum InputKind {
    /// Data, uniform in -1 .. 1.
    Data,
    /// A parameter, uniform in -1 .. 1.
    Parameter,
    /// A parameter, uniform in 0.5 .. 1.5 (variances, gains).
    Positive,
    /// Data, uniform in 0.02 .. 0.98.
    Probability,
    /// Data, uniform in -6 .. 6.
    Wide,
    /// The given elements.
    Fixed(Vec<f32>),
}

impl OpCase {
    /// A case on blocked data inputs.
    pub fn new(name: impl Into<String>, op: impl Op, data: &[Shape]) -> Self {
        let inputs = data.iter().map(|&s| (TensorDesc::blocked(s), InputKind::Data)).collect();
        Self { name: name.into(), op: Arc::new(op), inputs }
    }

    /// Adds a parameter input.
    #[must_use]
    pub fn parameter(mut self, dims: &[usize], kind: InputKind) -> Self {
        let shape = Shape::from_dims(dims).unwrap_or(Shape::new(1, 1, 1, 1));
        self.inputs.push((TensorDesc::linear(shape), kind));
        self
    }

    /// Reproducible inputs, different for every case name.
    pub fn inputs(&self) -> Result<Vec<HostTensor>> {
        let mut seed =
            self.name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        let mut uniform = move || {
            // SplitMix64: small, seedable from a name, good enough for test data.
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = seed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
        };
        self.inputs
            .iter()
            .map(|(desc, kind)| {
                let count = 0..desc.shape.len();
                let data = match kind {
                    InputKind::Data | InputKind::Parameter => count.map(|_| 2.0 * uniform() - 1.0).collect(),
                    InputKind::Probability => count.map(|_| 0.02 + 0.96 * uniform()).collect(),
                    InputKind::Wide => count.map(|_| 12.0 * uniform() - 6.0).collect(),
                    InputKind::Positive => count.map(|_| 0.5 + uniform()).collect(),
                    InputKind::Fixed(elements) => elements.clone(),
                };
                HostTensor::new(desc.shape.dims(), data)
            })
            .collect()
    }
}

/// Fails unless exactly `count` inputs are given.
pub(crate) fn expect_inputs(op: &str, inputs: &[TensorDesc], count: usize) -> Result<()> {
    if inputs.len() == count {
        return Ok(());
    }
    Err(Error::op(op, format!("takes {count} inputs, got {}", inputs.len())))
}

/// Fails unless parameter `name` holds one element per channel.
pub(crate) fn expect_per_channel(op: &str, name: &str, parameter: &TensorDesc, channels: usize) -> Result<()> {
    if parameter.shape == Shape::new(1, channels, 1, 1) {
        return Ok(());
    }
    Err(Error::op(op, format!("{name} has shape {}, the input has {channels} channels", parameter.shape)))
}

/// Shape of the output of a one-output op on host tensors; fails as [`Op::infer`] does.
pub(crate) fn output_shape(op: &impl Op, inputs: &[&HostTensor]) -> Result<Shape> {
    let descs = inputs.iter().map(|t| t.shape().map(TensorDesc::blocked)).collect::<Result<Vec<_>>>()?;
    Ok(op.infer(&descs)?[0].shape)
}

/// Applies `f(n, c, v)` to every element of an NCHW tensor.
pub(crate) fn map_elements(x: &HostTensor, f: impl Fn(usize, usize, f32) -> f32 + Sync) -> Result<HostTensor> {
    let shape = x.shape()?;
    Ok(by_plane(shape, |n, c, plane| {
        for (y, &v) in plane.iter_mut().zip(&x.data()[shape.index(n, c, 0, 0)..]) {
            *y = f(n, c, v);
        }
    }))
}

/// Computes every plane `(n, c)` of an output in parallel; `f` fills one plane of `h * w` elements.
pub(crate) fn by_plane(shape: Shape, f: impl Fn(usize, usize, &mut [f32]) + Sync) -> HostTensor {
    use crate::parallel::*;
    let mut out = HostTensor::zeros(shape);
    if !shape.is_empty() {
        out.data_mut()
            .par_chunks_mut(shape.pixels())
            .enumerate()
            .for_each(|(i, plane)| f(i / shape.c, i % shape.c, plane));
    }
    out
}

/// Test cases of every operation.
const CASES: &[fn() -> Vec<OpCase>] = &[
    augment::cases,
    average::cases,
    avg_pool2d::cases,
    batch_norm::cases,
    batch_norm_train::cases,
    binary::cases,
    concat::cases,
    conv2d::cases,
    crop2d::cases,
    dropout::cases,
    fill::cases,
    gate::cases,
    global_pool::cases,
    grad::cases,
    group_norm::cases,
    head2d::cases,
    image_in::cases,
    interpolate::cases,
    loss::cases,
    mask_out::cases,
    matmul::cases,
    max_pool2d::cases,
    nchw::cases,
    moving_average::cases,
    normalise::cases,
    optim::cases,
    pad2d::cases,
    pad_mode::cases,
    pool2d::cases,
    rearrange::cases,
    reduce::cases,
    resize::cases,
    slice::cases,
    softmax::cases,
    sum::cases,
    tap_sum::cases,
    unary::cases,
];

/// The test cases of every registered op.
pub fn registry() -> Vec<OpCase> {
    CASES.iter().flat_map(|cases| cases()).collect()
}
