//! The head of a network in one kernel: the 1x1 convolution to the classes, activation or softmax, and the output.

use super::{Conv2d, ExportNchw, Function, FusedConv2d, InputKind, Lowering, MaskOut, MaskRule, Op, OpCase, Softmax};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::Sensitivity;
use crate::ops::packing::{ConvOrder, ConvPacking, Packing};
use crate::tensor::{HostTensor, LANES, Layout, Shape, TensorDesc};

/// Output of a head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HeadOutput {
    /// The values of the classes, as written by [`ExportNchw`]: `[N, K, H, W]`.
    Values,
    /// A class id per pixel, as written by [`MaskOut`]: `[N, 1, H, W]`.
    Mask(MaskRule),
}

/// `conv2d(x, w, b)` with a 1x1 kernel, then an activation, then softmax if `softmax`, then [`HeadOutput`].
///
/// Inputs: data `[N, C, H, W]` blocked, weight `[K, C, 1, 1]`, bias `[K]` if `bias`. Output: linear.
#[derive(Clone, Debug, PartialEq)]
pub struct Head2d {
    /// Classes, at most [`Head2d::MAX_CLASSES`].
    pub classes: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// Applied to each value.
    pub activation: Function,
    /// Whether softmax over the classes follows.
    pub softmax: bool,
    /// Values or mask.
    pub output: HeadOutput,
}

/// Adjacent pixels of a row per invocation, which share loaded weights.
const PIXELS: usize = 4;

impl Head2d {
    /// Maximum number of classes: an invocation holds a sum per class and pixel.
    pub const MAX_CLASSES: usize = 8;

    fn convolution(&self) -> FusedConv2d {
        Conv2d::new(self.classes, 1, 0).with_bias(self.bias).with_activation(self.activation)
    }
}

impl Op for Head2d {
    fn name(&self) -> &'static str {
        "head2d"
    }

    fn sensitivity(&self) -> Sensitivity {
        match self.output {
            HeadOutput::Values => Sensitivity::Smooth,
            HeadOutput::Mask(_) => Sensitivity::JumpsWithData,
        }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        if self.classes > Self::MAX_CLASSES {
            return Err(Error::op(self.name(), format!("{} classes, at most {}", self.classes, Self::MAX_CLASSES)));
        }
        let shape = self.convolution().infer(inputs)?[0].shape;
        let channels = if self.output == HeadOutput::Values { self.classes } else { 1 };
        Ok(vec![TensorDesc { shape: shape.with_c(channels), layout: Layout::Linear }])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let mut y = self.convolution().reference(inputs)?.remove(0);
        if self.softmax {
            y = Softmax.reference(&[&y])?.remove(0);
        }
        match self.output {
            HeadOutput::Values => ExportNchw.reference(&[&y]),
            HeadOutput::Mask(rule) => MaskOut { rule }.reference(&[&y]),
        }
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (s, classes, bias) = (cx.input(0), self.classes, self.bias);
        let blocks = s.c.div_ceil(LANES);
        // The bias, then a vec4 of input channels for each block and class.
        let first = classes.next_multiple_of(LANES);
        let len = first + blocks * classes * LANES;
        let packing = ConvPacking {
            out_channels: classes,
            channels: s.c,
            taps: 1,
            bias,
            weight_channels: s.c,
            first: 0,
            order: ConvOrder::Head { classes, bias: first },
        };
        let parameters: Vec<usize> = (1..=1 + usize::from(bias)).collect();
        let weights = cx.weights_f32(parameters, len, Packing::Convolution(packing));
        let threshold = match self.output {
            HeadOutput::Mask(MaskRule::Threshold(t)) => t,
            _ => 0.0,
        };
        let Size { w, h, blocks, .. } = s.into();
        let (bias_vec4s, [alpha, beta]) = ((first / LANES) as u32, self.activation.arguments());
        let params = HeadParams { x: cx.input_view(0), w, h, blocks, bias_vec4s, alpha, beta, threshold };
        let key = KernelKey::new("head2d")
            .with("CLASSES", classes as u32)
            .with("PIXELS", PIXELS as u32)
            .with("ACTIVATION", self.activation.id())
            .flag("SOFTMAX", self.softmax)
            .flag("MASK", self.output != HeadOutput::Values)
            .flag("THRESHOLD", matches!(self.output, HeadOutput::Mask(MaskRule::Threshold(_))));
        let grid = [s.w.div_ceil(16 * PIXELS), s.h.div_ceil(4), s.n];
        cx.dispatch(key, params, [Operand::Input(0), weights, Operand::Output(0)], grid)
    }

    fn macs(&self, inputs: &[TensorDesc], _: &[TensorDesc]) -> u64 {
        inputs[0].shape.len() as u64 * self.classes as u64
    }
}

shader_struct! {
    /// Parameters of `head2d`.
    struct HeadParams {
        x: View,
        w: u32,
        h: u32,
        blocks: u32,
        /// vec4s of the bias, before the weights.
        bias_vec4s: u32,
        alpha: f32,
        beta: f32,
        threshold: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, op: Head2d, s: Shape| {
        let (classes, bias) = (op.classes, op.bias);
        let case =
            OpCase::new(format!("head2d/{name}"), op, &[s]).parameter(&[classes, s.c, 1, 1], InputKind::Parameter);
        if bias { case.parameter(&[classes], InputKind::Parameter) } else { case }
    };
    let values = |classes: usize| Head2d {
        classes,
        bias: true,
        activation: Function::Identity,
        softmax: false,
        output: HeadOutput::Values,
    };
    let mask = |classes: usize, rule| Head2d { output: HeadOutput::Mask(rule), ..values(classes) };
    let sigmoid = Function::Sigmoid;
    vec![
        case("two classes", values(2), Shape::new(2, 9, 5, 70)),
        case("one class, no bias", Head2d { bias: false, ..values(1) }, Shape::new(1, 4, 9, 13)),
        case("sigmoid", Head2d { activation: sigmoid, ..values(1) }, Shape::new(1, 16, 6, 7)),
        case("softmax of seven", Head2d { softmax: true, ..values(7) }, Shape::new(2, 5, 6, 19)),
        case("softmax of eight", Head2d { softmax: true, ..values(8) }, Shape::new(1, 3, 2, 3)),
        case("argmax of three", mask(3, MaskRule::Argmax), Shape::new(2, 10, 9, 21)),
        case("argmax after softmax", Head2d { softmax: true, ..mask(5, MaskRule::Argmax) }, Shape::new(1, 6, 5, 9)),
        case(
            "sigmoid above a threshold",
            Head2d { activation: sigmoid, ..mask(1, MaskRule::Threshold(0.5)) },
            Shape::new(2, 8, 7, 18),
        ),
        case("threshold of three", mask(3, MaskRule::Threshold(0.25)), Shape::new(1, 4, 7, 18)),
        case("one pixel", values(4), Shape::new(3, 1, 1, 1)),
    ]
}
