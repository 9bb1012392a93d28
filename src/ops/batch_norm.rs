//! Batch normalisation with stored statistics.

use super::fold::batch_norm_coefficients;
use super::packing::Packing;
use super::{
    Backward, BatchNorm2dGrad, BatchStatistics, Function, GraphBuilder, InputKind, Lowering, Op, OpCase, ValueId,
    expect_inputs, expect_per_channel, map_elements, output_shape,
};
use crate::error::Result;
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, Shape, TensorDesc};
use std::sync::Arc;

/// `torch.nn.BatchNorm2d` in evaluation mode. Inputs: x, gamma, beta, running mean, running variance.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm2d {
    /// Added to the variance.
    pub eps: f32,
}

const NAME: &str = "batch_norm2d";

impl BatchNorm2d {
    /// The normalisation as an affine map `(scale, shift)` per channel, in `f64` so that folding it into a convolution
    /// rounds once. Parameters are in the order of the op's inputs.
    pub fn coefficients(&self, parameters: [&[f32]; 4]) -> Result<Vec<(f64, f64)>> {
        batch_norm_coefficients(self.eps, parameters)
    }
}

/// Dispatches `y = activation(x * scale + shift)`; with `per_image`, every image has its own coefficients.
pub(super) fn lower_scale_shift(
    cx: &mut Lowering,
    coefficients: Operand,
    per_image: bool,
    activation: Function,
) -> Result<()> {
    let o = cx.output(0);
    let Size { w, h, blocks, .. } = o.into();
    let image = if per_image { 2 * blocks } else { 0 };
    let [alpha, beta] = activation.arguments();
    let params = ScaleShiftParams { x: cx.input_view(0), y: cx.output_view(0), w, h, blocks, image, alpha, beta };
    let bindings = [Operand::Input(0), coefficients, Operand::Output(0)];
    let (key, grid) = cx.per_area(KernelKey::new("scale_shift").with("ACTIVATION", activation.id()), o);
    cx.dispatch(key, params, bindings, grid)
}

impl Op for BatchNorm2d {
    fn name(&self) -> &'static str {
        NAME
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(NAME, inputs, 5)?;
        let s = inputs[0].shape;
        for (name, p) in ["gamma", "beta", "running_mean", "running_var"].iter().zip(&inputs[1..]) {
            expect_per_channel(NAME, name, p, s.c)?;
        }
        Ok(vec![TensorDesc::blocked(s)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        output_shape(self, inputs)?;
        let p = &inputs[1..];
        let coefficients = self.coefficients([p[0].data(), p[1].data(), p[2].data(), p[3].data()])?;
        let y = map_elements(inputs[0], |_, c, v| {
            let (scale, shift) = coefficients[c];
            (f64::from(v) * scale + shift) as f32
        })?;
        Ok(vec![y])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let channels = cx.output(0).c;
        if cx.training {
            // Parameters are persistent variables: the device computes the coefficients from them in every run.
            let coefficients = cx.scratch((Packing::pairs_len(channels) * 4) as u64);
            let Size { blocks, c, .. } = cx.output(0).into();
            let params = BatchNormCoefficientsParams { c, blocks, eps: self.eps };
            let mut bindings: Vec<Operand> = (1..5).map(Operand::Input).collect();
            bindings.push(Operand::ScratchWrite(coefficients));
            cx.dispatch(
                KernelKey::new("batch_norm_coefficients"),
                params,
                bindings,
                [channels.div_ceil(4 * 64), 1, 1],
            )?;
            cx.reads(Operand::ScratchRead(coefficients), cx.output(0).pixels() as f64);
            return lower_scale_shift(cx, Operand::ScratchRead(coefficients), false, Function::Identity);
        }
        let coefficients =
            cx.weights_f32([1, 2, 3, 4], Packing::pairs_len(channels), Packing::BatchNorm { channels, eps: self.eps });
        lower_scale_shift(cx, coefficients, false, Function::Identity)
    }

    /// The running statistics are constants.
    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None; 5]) };
        let op =
            BatchNorm2dGrad { eps: self.eps, activation: Function::Identity, statistics: BatchStatistics::Running };
        let [x, gamma, beta, mean, var] = [0, 1, 2, 3, 4].map(|i| node.inputs[i]);
        let grads = builder.emit("grad", Arc::new(op), &[x, dy, gamma, beta, mean, var])?;
        Ok((0..5).map(|i| grads.get(i).copied().filter(|_| node.needs_grad(i))).collect())
    }
}

shader_struct! {
    /// Parameters of `scale_shift`.
    struct ScaleShiftParams {
        x: View,
        y: View,
        w: u32,
        h: u32,
        blocks: u32,
        /// Stride of the coefficients per image; 0 if all images share them.
        image: u32,
        alpha: f32,
        beta: f32,
    }

    /// Parameters of `batch_norm_coefficients`.
    struct BatchNormCoefficientsParams {
        c: u32,
        blocks: u32,
        eps: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, s: Shape| {
        OpCase::new(format!("batch_norm2d/{name}"), BatchNorm2d { eps: 1e-5 }, &[s])
            .parameter(&[s.c], InputKind::Positive)
            .parameter(&[s.c], InputKind::Parameter)
            .parameter(&[s.c], InputKind::Parameter)
            .parameter(&[s.c], InputKind::Positive)
    };
    vec![
        case("batch", Shape::new(2, 3, 9, 11)),
        case("blocks", Shape::new(2, 13, 5, 17)),
        case("multiple of four", Shape::new(1, 8, 4, 16)),
        case("one pixel", Shape::new(3, 6, 1, 1)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_parameters_are_named() {
        let op = BatchNorm2d { eps: 1e-5 };
        let e = op.coefficients([&[1.0; 2], &[0.0; 2], &[0.0; 2], &[1.0, -1.0]]).unwrap_err().to_string();
        assert!(e.contains("channel 1"), "{e}");
        assert!(op.coefficients([&[1.0; 2], &[0.0; 2], &[0.0; 2], &[1.0, f32::NAN]]).is_err());
        let descs = [Shape::new(1, 2, 3, 3), Shape::new(1, 3, 1, 1)].map(TensorDesc::blocked);
        let e = op.infer(&[descs[0], descs[1], descs[1], descs[1], descs[1]]).unwrap_err().to_string();
        assert_eq!(e, "batch_norm2d: gamma has shape 1x3x1x1, the input has 2 channels");
    }
}
