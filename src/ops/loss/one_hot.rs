//! One-hot encoding of class indices.

use super::{case, expect, expect_pixels, labels};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, shader_struct};
use crate::ops::{Lowering, Op, OpCase, by_plane};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// Class indices NCHW `[N, 1, H, W]` to masks of zeros and ones NCHW `[N, channels, H, W]`, for the classes from
/// `first` on. Pixels of other classes are 0 in every channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneHot {
    /// Class of the first channel.
    pub first: usize,
    /// Number of channels.
    pub channels: usize,
}

impl Op for OneHot {
    fn name(&self) -> &'static str {
        "one_hot"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let s = expect_pixels(self.name(), inputs)?;
        expect(self.name(), inputs, &[("target", TensorDesc::linear(s.with_c(1)))])?;
        if self.channels == 0 {
            return Err(Error::op(self.name(), "no channels"));
        }
        Ok(vec![TensorDesc::linear(s.with_c(self.channels))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let descs = inputs.iter().map(|t| t.shape().map(TensorDesc::linear)).collect::<Result<Vec<_>>>()?;
        let out = self.infer(&descs)?[0].shape;
        Ok(vec![by_plane(out, |n, c, plane| {
            let labels = &inputs[0].data()[n * out.pixels()..];
            for (y, t) in plane.iter_mut().zip(labels) {
                *y = f32::from(u8::from((t + 0.5).floor() == (self.first + c) as f32));
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.output(0);
        let len = s.len();
        let [pixels, classes, first] = [s.pixels(), s.c, self.first].map(|v| v as u32);
        let params = OneHotParams { len: len as u32, row: cx.linear_row(len), pixels, classes, first };
        let bindings = [Operand::Input(0), Operand::Output(0)];
        cx.dispatch(KernelKey::new("one_hot"), params, bindings, cx.per_element(len))
    }
}

shader_struct! {
    /// Parameters of `one_hot`.
    struct OneHotParams {
        len: u32,
        row: u32,
        pixels: u32,
        classes: u32,
        first: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let one_hot = |name: &str, s: Shape, first: usize| {
        let op = OneHot { first, channels: s.c };
        case(format!("one_hot/{name}"), op, vec![labels(s, s.c + first, Some(255.0))])
    };
    vec![one_hot("three classes", Shape::new(2, 3, 5, 7), 0), one_hot("foreground", Shape::new(3, 1, 17, 9), 1)]
}
