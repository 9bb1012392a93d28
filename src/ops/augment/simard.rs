//! Simard's elastic deformation.

use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, shader_struct};
use crate::ops::packing::Packing;
use crate::ops::{InputKind, Lowering, Op, OpCase, by_plane, expect_inputs};
use crate::tensor::{HostTensor, Layout, Shape, TensorDesc};
use std::sync::Arc;

/// The displacement field of Simard, Steinkraus and Platt (2003): noise in -1 .. 1, blurred by a Gaussian of `sigma`
/// pixels, times `alpha` pixels. Input and output: linear `[N, 2, H, W]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SimardField {
    /// Strength, pixels.
    pub alpha: f32,
    /// Standard deviation of the blur, pixels.
    pub sigma: f32,
}

/// The largest [`SimardField::sigma`].
pub const MAX_SIGMA: f64 = 256.0;

impl SimardField {
    /// The taps of the Gaussian; they sum to 1.
    fn window(&self) -> Vec<f64> {
        let radius = (4.0 * f64::from(self.sigma) + 0.5) as i64;
        let all: Vec<f64> =
            (-radius..=radius).map(|i| (-0.5 * (i as f64 / f64::from(self.sigma)).powi(2)).exp()).collect();
        let sum: f64 = all.iter().sum();
        all.into_iter().map(|v| v / sum).collect()
    }
}

/// Half-sample reflection.
fn inside(i: i64, n: usize) -> usize {
    let n = n as i64;
    let m = i.rem_euclid(2 * n);
    (if m >= n { 2 * n - 1 - m } else { m }) as usize
}

impl Op for SimardField {
    fn name(&self) -> &'static str {
        "simard_field"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 1)?;
        if inputs[0].layout != Layout::Linear || inputs[0].shape.is_empty() {
            return Err(Error::op(self.name(), format!("noise is {:?}", inputs[0])));
        }
        if !(self.sigma > 0.0 && f64::from(self.sigma) <= MAX_SIGMA && self.alpha.is_finite()) {
            return Err(Error::op(self.name(), format!("sigma {}, alpha {}", self.sigma, self.alpha)));
        }
        Ok(vec![inputs[0]])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let (x, s, window) = (inputs[0], inputs[0].shape()?, self.window());
        let radius = (window.len() / 2) as i64;
        Ok(vec![by_plane(s, |n, c, plane| {
            let at = |y: usize, x_: usize| f64::from(x.data()[s.index(n, c, y, x_)]);
            let blurred = |y: usize, x_: usize| -> f64 {
                (-radius..=radius).zip(&window).map(|(k, w)| w * at(y, inside(x_ as i64 + k, s.w))).sum()
            };
            let rows: Vec<f64> = (0..s.pixels()).map(|i| blurred(i / s.w, i % s.w)).collect();
            for (i, v) in plane.iter_mut().enumerate() {
                let (y, x_) = (i / s.w, i % s.w);
                let taps = (-radius..=radius).zip(&window);
                let sum: f64 = taps.map(|(k, w)| w * rows[inside(y as i64 + k, s.h) * s.w + x_]).sum();
                *v = (sum * f64::from(self.alpha)) as f32;
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (s, window) = (cx.input(0), self.window());
        let radius = window.len() / 2;
        let len = window.len().next_multiple_of(4);
        let weights = cx.weights_f32([], len, Packing::Constants(window.iter().map(|&v| v as f32).collect()));
        let rows = cx.scratch(s.len() as u64 * 4);
        for (from, to, along_rows, factor) in [
            (Operand::Input(0), Operand::ScratchWrite(rows), false, 1.0),
            (Operand::ScratchRead(rows), Operand::Output(0), true, self.alpha),
        ] {
            let Size { w, h, .. } = s.into();
            let (len, row) = (s.len() as u32, cx.linear_row(s.len()));
            let params = SimardFieldParams { len, row, w, h, radius: radius as i32, factor };
            let key = KernelKey::new("simard_field").flag("ROWS", along_rows);
            cx.dispatch(key, params, [from, weights, to], cx.per_element(s.len()))?;
        }
        Ok(())
    }
}

shader_struct! {
    /// Parameters of `simard_field`.
    struct SimardFieldParams {
        len: u32,
        row: u32,
        w: u32,
        h: u32,
        radius: i32,
        factor: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, alpha: f32, sigma: f32, s: Shape| OpCase {
        name: format!("simard_field/{name}"),
        op: Arc::new(SimardField { alpha, sigma }),
        inputs: vec![(TensorDesc::linear(s), InputKind::Data)],
    };
    vec![
        case("sigma 4", 34.0, 4.0, Shape::new(2, 2, 19, 23)),
        case("window larger than the map", 3.0, 2.5, Shape::new(1, 2, 4, 7)),
    ]
}
