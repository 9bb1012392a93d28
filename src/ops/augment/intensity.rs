//! Intensity augmentation.

use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, shader_struct};
use crate::ops::random::{random, stream_of};
use crate::ops::{Dropout, InputKind, Lowering, Op, OpCase, expect_inputs};
use crate::tensor::{HostTensor, Layout, Shape, TensorDesc};
use std::sync::Arc;

/// `gain * x^gamma + offset + noise`. Inputs, all linear: x `[N, C, H, W]`, changes `[N, 4, 1, 1]` (gain, offset, gamma,
/// standard deviation of the noise), seed ([`Dropout::seed`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Intensity {
    /// Clip both x and the result to 0 .. 1. Otherwise the power of a negative value is that of its magnitude, with its
    /// sign.
    pub clip: bool,
    /// Distinguishes streams of noise.
    pub salt: u32,
}

impl Op for Intensity {
    fn name(&self) -> &'static str {
        "intensity"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 3)?;
        let s = inputs[0].shape;
        let linear = inputs.iter().all(|i| i.layout == Layout::Linear);
        if !linear || inputs[1].shape != Shape::new(s.n, 4, 1, 1) || inputs[2].shape != Dropout::SEED || s.is_empty() {
            return Err(Error::op(self.name(), format!("inputs {inputs:?} do not fit")));
        }
        Ok(vec![inputs[0]])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = inputs[0].shape()?;
        let stream = stream_of(inputs[2].data(), self.salt);
        let image = s.len() / s.n;
        let clip = |v: f64| if self.clip { v.clamp(0.0, 1.0) } else { v };
        let change = |(i, &v): (usize, &f32)| {
            let [gain, offset, gamma, noise] = [0, 1, 2, 3].map(|k| f64::from(inputs[1].data()[4 * (i / image) + k]));
            let v = clip(f64::from(v));
            let v = gain * v.abs().powf(gamma) * if v < 0.0 { -1.0 } else { 1.0 } + offset;
            let unit = |k: u32, add: f64| (f64::from(random(stream, 2 * i as u32 + k) >> 8) + add) / 16_777_216.0;
            let normal = (-2.0 * unit(0, 1.0).ln()).sqrt() * (std::f64::consts::TAU * unit(1, 0.0)).cos();
            clip(v + noise * normal) as f32
        };
        let y: Vec<f32> = inputs[0].data().iter().enumerate().map(change).collect();
        Ok(vec![HostTensor::new(inputs[0].dims(), y)?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let s = cx.input(0);
        let params = IntensityParams {
            len: s.len() as u32,
            row: cx.linear_row(s.len()),
            image: (s.len() / s.n) as u32,
            salt: self.salt,
        };
        let bindings = [Operand::Input(0), Operand::Input(1), Operand::Input(2), Operand::Output(0)];
        cx.dispatch(KernelKey::new("intensity").flag("CLIP", self.clip), params, bindings, cx.per_element(s.len()))
    }
}

shader_struct! {
    /// Parameters of `intensity`.
    struct IntensityParams {
        len: u32,
        row: u32,
        /// Elements per image.
        image: u32,
        salt: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, clip: bool, s: Shape, change: [f32; 4]| OpCase {
        name: format!("intensity/{name}"),
        op: Arc::new(Intensity { clip, salt: 3 }),
        inputs: vec![
            (TensorDesc::linear(s), InputKind::Data),
            (TensorDesc::linear(Shape::new(s.n, 4, 1, 1)), InputKind::Fixed(change.repeat(s.n))),
            (TensorDesc::linear(Dropout::SEED), InputKind::Fixed(Dropout::seed(77).to_vec())),
        ],
    };
    vec![
        case("gain and offset", false, Shape::new(2, 1, 9, 11), [1.3, -0.1, 1.0, 0.0]),
        case("gamma, clipped", true, Shape::new(1, 3, 5, 7), [1.3, -0.1, 0.8, 0.0]),
        case("noise", false, Shape::new(2, 2, 16, 16), [1.0, 0.0, 1.0, 0.1]),
    ]
}
