//! From probabilities or logits to class ids.

use super::{Lowering, Op, OpCase, by_plane, expect_inputs};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::Sensitivity;
use crate::tensor::{HostTensor, LANES, Layout, Shape, TensorDesc};

/// Rule that decides the class of a pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaskRule {
    /// The channel with the largest value; ties go to the first. Channel 0 is the background.
    Argmax,
    /// The channel with the largest value, plus one, if that value is above the threshold; else 0. For sigmoid outputs,
    /// which have no background channel.
    Threshold(f32),
    /// Channel 0 is the background's probability: 0 where it is 0.5 or more, else the largest of the other channels.
    Foreground,
}

impl MaskRule {
    /// The class of a pixel with one value per plane; ties go to the first.
    pub(crate) fn class(self, planes: usize, value: impl Fn(usize) -> f32) -> usize {
        let first = usize::from(self == Self::Foreground);
        let best = (first + 1..planes).fold(first, |best, c| if value(c) > value(best) { c } else { best });
        match self {
            Self::Foreground if value(0) < 0.5 => best,
            Self::Foreground => 0,
            Self::Argmax => best,
            Self::Threshold(t) if value(best) > t => best + 1,
            Self::Threshold(_) => 0,
        }
    }
}

/// Class ids as `f32`: `[N, K, H, W]` blocked to `[N, 1, H, W]` linear.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskOut {
    /// The rule.
    pub rule: MaskRule,
}

impl Op for MaskOut {
    fn name(&self) -> &'static str {
        "mask_out"
    }

    fn sensitivity(&self) -> Sensitivity {
        Sensitivity::JumpsWithData
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        if self.rule == MaskRule::Foreground && inputs[0].shape.c < 2 {
            return Err(Error::op(self.name(), format!("{} has no channel of a class", inputs[0].shape)));
        }
        Ok(vec![TensorDesc { shape: inputs[0].shape.with_c(1), layout: Layout::Linear }])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = inputs[0].shape()?;
        let x = inputs[0].data();
        Ok(vec![by_plane(s.with_c(1), |n, _, plane| {
            for (i, p) in plane.iter_mut().enumerate() {
                *p = self.rule.class(s.c, |c| x[s.index(n, c, 0, 0) + i]) as f32;
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.input(0);
        let key = KernelKey::new("mask_out");
        let (key, threshold) = match self.rule {
            MaskRule::Argmax => (key, 0.0f32),
            MaskRule::Threshold(t) => (key.flag("THRESHOLD", true), t),
            MaskRule::Foreground => (key.flag("FOREGROUND", true), 0.5),
        };
        let Size { w, h, c: classes, .. } = s.into();
        let params = MaskOutParams { x: cx.input_view(0), w, h, classes, threshold };
        let (key, grid) = cx.per_area(key, s.with_c(LANES));
        cx.dispatch(key, params, [Operand::Input(0), Operand::Output(0)], grid)
    }
}

shader_struct! {
    /// Parameters of `mask_out`.
    struct MaskOutParams {
        x: View,
        w: u32,
        h: u32,
        classes: u32,
        threshold: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, rule: MaskRule, s: Shape| OpCase::new(format!("mask_out/{name}"), MaskOut { rule }, &[s]);
    vec![
        case("argmax of 2", MaskRule::Argmax, Shape::new(2, 2, 9, 11)),
        case("argmax of 7", MaskRule::Argmax, Shape::new(1, 7, 6, 17)),
        case("threshold", MaskRule::Threshold(0.5), Shape::new(2, 1, 9, 11)),
        case("threshold of 5 channels", MaskRule::Threshold(0.25), Shape::new(1, 5, 9, 11)),
        case("foreground of one class", MaskRule::Foreground, Shape::new(2, 2, 7, 5)),
        case("foreground of 5 classes", MaskRule::Foreground, Shape::new(1, 6, 9, 11)),
    ]
}
