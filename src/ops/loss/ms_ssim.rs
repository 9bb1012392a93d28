//! Multi-scale structural similarity, from the means at every scale.

use super::{SCALAR, case, expect};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, shader_struct};
use crate::ops::{Backward, GraphBuilder, InputKind, Lowering, Op, OpCase, ValueId};
use crate::tensor::{HostTensor, Shape, TensorDesc};
use serde::{Deserialize, Serialize};

/// Combination of the scales.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MsSsimForm {
    /// Per image and channel: `ssim_M^w_M` times all `cs_m^w_m` of finer scales; then the mean. Wang et al., 2003.
    #[default]
    Wang,
    /// Luminance and contrast-structure at every scale: U-Net 3+ paper, arXiv 2004.08790.
    Paper,
    /// Means over the whole batch, mapped by (v + 1) / 2, with the last scale's factor repeated once for each other
    /// scale: the code of the U-Net 3+ authors.
    Official,
}

/// `1 - MS-SSIM` from [`SsimMeans`](crate::ops::SsimMeans). Input: NCHW `[scales, N, K, 3]`; output: a scalar.
#[derive(Clone, Debug, PartialEq)]
pub struct MsSsim {
    /// Combination of the scales.
    pub form: MsSsimForm,
    /// Exponent of each scale, finest first.
    pub weights: Vec<f32>,
}

/// Gradient of [`MsSsim`]. Inputs: the means, dy.
#[derive(Clone, Debug, PartialEq)]
pub struct MsSsimGrad {
    /// The forward op.
    pub forward: MsSsim,
}

/// Maximum number of scales.
const MAX: usize = 8;

impl MsSsim {
    /// Minimum of a mean before it is raised to its exponent.
    const fn floor(&self) -> f32 {
        match self.form {
            MsSsimForm::Wang | MsSsimForm::Paper => 1e-6,
            // The official form has no minimum, but 0 to a power has no derivative.
            MsSsimForm::Official => 1e-30,
        }
    }

    fn check(&self, op: &str, inputs: &[TensorDesc], more: &[(&str, TensorDesc)]) -> Result<TensorDesc> {
        let scales = self.weights.len();
        if !(1..=MAX).contains(&scales) || self.weights.iter().any(|w| !(*w > 0.0 && w.is_finite())) {
            return Err(Error::op(op, format!("weights {:?}: 1 to {MAX} numbers above 0", self.weights)));
        }
        let s = super::expect_pixels(op, inputs)?;
        let means = TensorDesc::linear(Shape::new(scales, s.c, s.h, 3));
        let expected: Vec<_> = [("means", means)].into_iter().chain(more.iter().copied()).collect();
        expect(op, inputs, &expected).map(|()| means)
    }

    /// The exponent of mean `k` of a scale.
    fn exponent(&self, scale: usize, k: usize) -> f64 {
        let w = f64::from(self.weights[scale]);
        let last = scale + 1 == self.weights.len();
        match (self.form, k) {
            (MsSsimForm::Paper, 0 | 1) => w,
            (MsSsimForm::Paper, _) => 0.0,
            (MsSsimForm::Official, 2) if last => w * (self.weights.len() - 1) as f64,
            (MsSsimForm::Wang, 2) if last => w,
            (_, 1) if !last => w,
            _ => 0.0,
        }
    }

    /// Mean `k` of a plane at a scale: the base of the power, before the floor.
    fn mean(&self, means: &[f32], planes: usize, scale: usize, plane: usize, k: usize) -> f64 {
        let at = |plane: usize| f64::from(means[(scale * planes + plane) * 3 + k]);
        match self.form {
            MsSsimForm::Official => 0.5 + 0.5 * (0..planes).map(at).sum::<f64>() / planes as f64,
            _ => at(plane),
        }
    }

    fn product(&self, means: &[f32], planes: usize, plane: usize) -> f64 {
        let floor = f64::from(self.floor());
        let factor = |(scale, k)| self.mean(means, planes, scale, plane, k).max(floor).powf(self.exponent(scale, k));
        (0..self.weights.len()).flat_map(|scale| [0, 1, 2].map(|k| (scale, k))).map(factor).product()
    }

    fn dispatch(&self, cx: &mut Lowering, grad: bool) -> Result<()> {
        let s = cx.input(0);
        let planes = s.c * s.h;
        let mut bindings: Vec<_> = (0..cx.inputs.len()).map(Operand::Input).collect();
        bindings.push(Operand::Output(0));
        let key = KernelKey::new("ms_ssim").with("FORM", self.form as u32 + 1).with("Y", bindings.len() as u32);
        let mut weights = [[0.0; 4]; MAX / 4];
        weights.as_flattened_mut()[..self.weights.len()].copy_from_slice(&self.weights);
        let params = MsSsimParams {
            planes: planes as u32,
            scales: self.weights.len() as u32,
            floor_at: self.floor(),
            factor: (1.0 / planes as f64) as f32,
            weights,
        };
        cx.dispatch(key.flag("GRAD", grad), params, bindings, [1, 1, 1])
    }
}

fn descs(inputs: &[&HostTensor]) -> Result<Vec<TensorDesc>> {
    inputs.iter().map(|t| t.shape().map(TensorDesc::linear)).collect()
}

impl Op for MsSsim {
    fn name(&self) -> &'static str {
        "ms_ssim"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        self.check(self.name(), inputs, &[])?;
        Ok(vec![SCALAR])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let s = self.check(self.name(), &descs(inputs)?, &[])?.shape;
        let planes = s.c * s.h;
        let sum: f64 = (0..planes).map(|plane| self.product(inputs[0].data(), planes, plane)).sum();
        Ok(vec![HostTensor::new([1, 1, 1, 1], vec![(1.0 - sum / planes as f64) as f32])?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        self.dispatch(cx, false)
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None]) };
        let grad = MsSsimGrad { forward: self.clone() };
        Ok(vec![Some(builder.node("grad", grad, &[node.inputs[0], dy])?)])
    }
}

impl Op for MsSsimGrad {
    fn name(&self) -> &'static str {
        "ms_ssim_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        Ok(vec![self.forward.check(self.name(), inputs, &[("dy", SCALAR)])?])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let f = &self.forward;
        let s = f.check(self.name(), &descs(inputs)?, &[("dy", SCALAR)])?.shape;
        let (means, planes) = (inputs[0].data(), s.c * s.h);
        // The loss averages over planes; the official mapping (v + 1) / 2 has slope 1/2.
        let half = if f.form == MsSsimForm::Official { 0.5 } else { 1.0 };
        let scale = -f64::from(inputs[1].data()[0]) * half / planes as f64;
        let products: Vec<f64> = (0..planes).map(|plane| f.product(means, planes, plane)).collect();
        let at = |i: usize| {
            let (m, plane, k) = (i / 3 / planes, i / 3 % planes, i % 3);
            let v = f.mean(means, planes, m, plane, k);
            // The derivative is 0 below the floor.
            let active = v >= f64::from(f.floor()) && f.exponent(m, k) > 0.0;
            if active { (scale * f.exponent(m, k) * products[plane] / v) as f32 } else { 0.0 }
        };
        Ok(vec![HostTensor::new(s.dims(), (0..s.len()).map(at).collect::<Vec<_>>())?])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        self.forward.dispatch(cx, true)
    }
}

shader_struct! {
    /// Parameters of `ms_ssim`.
    struct MsSsimParams {
        planes: u32,
        scales: u32,
        floor_at: f32,
        /// 1 / planes
        factor: f32,
        weights: [[f32; 4]; 2],
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let five = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
    let mut all = Vec::new();
    for (form, weights, n, k) in [
        (MsSsimForm::Wang, &five[..], 2, 3),
        (MsSsimForm::Paper, &five[..], 1, 2),
        (MsSsimForm::Official, &five[..], 2, 2),
        (MsSsimForm::Wang, &[1.0], 70, 2),
        (MsSsimForm::Official, &[0.5, 0.5], 3, 1),
    ] {
        let forward = MsSsim { form, weights: weights.to_vec() };
        let s = Shape::new(weights.len(), n, k, 3);
        let name = format!("{form:?}, {s}");
        let means = (TensorDesc::linear(s), InputKind::Probability);
        all.push(case(format!("ms_ssim/{name}"), forward.clone(), vec![means.clone()]));
        let dy = (SCALAR, InputKind::Fixed(vec![(n * k) as f32]));
        all.push(case(format!("ms_ssim_grad/{name}"), MsSsimGrad { forward }, vec![means, dy]));
    }
    for form in [MsSsimForm::Wang, MsSsimForm::Paper] {
        let forward = MsSsim { form, weights: vec![0.4, 0.6] };
        let s = Shape::new(2, 1, 2, 3);
        let means = [0.5, -0.25, 0.125, 0.75, 0.5, 0.25, 0.5, 0.5, -0.5, 0.5, 0.25, 1.0].to_vec();
        let means = (TensorDesc::linear(s), InputKind::Fixed(means));
        let dy = (SCALAR, InputKind::Fixed(vec![1.0]));
        all.push(case(format!("ms_ssim/{form:?}, below its floor"), forward.clone(), vec![means.clone()]));
        all.push(case(format!("ms_ssim_grad/{form:?}, below its floor"), MsSsimGrad { forward }, vec![means, dy]));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_maps_have_no_loss() {
        for form in [MsSsimForm::Wang, MsSsimForm::Paper, MsSsimForm::Official] {
            let op = MsSsim { form, weights: vec![0.5, 0.5] };
            let ones = HostTensor::new([2, 1, 1, 3], vec![1.0; 6]).unwrap();
            assert_eq!(op.reference(&[&ones]).unwrap()[0].data(), [0.0], "{form:?}");
        }
        assert!(MsSsim { form: MsSsimForm::Wang, weights: vec![] }.infer(&[]).is_err());
    }
}
