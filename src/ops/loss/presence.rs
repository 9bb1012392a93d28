//! The target of the classification-guided module: whether an image has any foreground.

use super::{case, expect, expect_pixels};
use crate::error::Result;
use crate::kernel::{KernelKey, Operand, shader_struct};
use crate::ops::{InputKind, Lowering, Op, OpCase, Spatial};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// Target NCHW `[N, K, H, W]` to NCHW `[N, 2, 1, 1]`: per image the pair (absent, present), (0, 1) if any element is
/// above 0, otherwise (1, 0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence;

impl Op for Presence {
    fn name(&self) -> &'static str {
        "presence"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let s = expect_pixels(self.name(), inputs)?;
        expect(self.name(), inputs, &[("target", TensorDesc::linear(s))])?;
        Ok(vec![TensorDesc::linear(Shape::new(s.n, 2, 1, 1))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let descs = inputs.iter().map(|t| t.shape().map(TensorDesc::linear)).collect::<Result<Vec<_>>>()?;
        let out = self.infer(&descs)?[0].shape;
        let images = inputs[0].data().chunks(inputs[0].data().len() / out.n);
        let pairs = images.flat_map(|t| if t.iter().any(|&v| v > 0.0) { [0.0, 1.0] } else { [1.0, 0.0] });
        Ok(vec![HostTensor::new(out.dims(), pairs.collect::<Vec<_>>())?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.input(0);
        let params = PresenceParams { len: (s.len() / s.n) as u32 };
        let bindings = [Operand::Input(0), Operand::Output(0)];
        cx.dispatch(KernelKey::new("presence"), params, bindings, [s.n, 1, 1])
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Global("presence depends on the whole image")
    }
}

shader_struct! {
    /// Parameters of `presence`.
    struct PresenceParams {
        /// C * H * W
        len: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let s = Shape::new(4, 3, 11, 13);
    // Image 1 has only its last element set, image 2 none.
    let encoding = |i: usize| match i / (s.len() / 4) {
        0 | 3 => f32::from(u8::from(i % 5 == 2)),
        1 => f32::from(u8::from(i == s.len() / 2 - 1)),
        _ => 0.0,
    };
    let fixed = InputKind::Fixed((0..s.len()).map(encoding).collect());
    let given = InputKind::Fixed(vec![0.0, 1.0, 1.0]);
    vec![
        case("presence/masks".into(), Presence, vec![(TensorDesc::linear(s), fixed)]),
        case("presence/given".into(), Presence, vec![(TensorDesc::linear(Shape::new(3, 1, 1, 1)), given)]),
    ]
}
