//! Random displacements for elastic deformation.

use crate::error::Result;
use crate::ops::{Op, SimardField};
use crate::tensor::HostTensor;
use crate::train::augment::{Augmentation, Elastic, Simard};
use crate::train::rng::Rng;

/// Displacements (y, x) of a square of pixels, in pixels.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) side: usize,
    values: [Vec<f32>; 2],
}

impl Field {
    /// The displacements of a crop; `None` if it is not deformed.
    pub(super) fn draw(rng: &mut Rng, options: &Augmentation, side: usize) -> Result<Option<Self>> {
        match (options.elastic, options.simard) {
            (Some(Elastic { std, grid, probability }), _) if rng.uniform() < probability => {
                let points: Vec<f64> = (0..2 * grid * grid).map(|_| std * rng.normal()).collect();
                let values = [0, 1].map(|axis| bicubic(&points[axis * grid * grid..][..grid * grid], grid, side));
                Ok(Some(Self { side, values }))
            }
            (_, Some(Simard { alpha, sigma, probability })) if rng.uniform() < probability => {
                let noise: Vec<f32> = (0..2 * side * side).map(|_| (2.0 * rng.uniform() - 1.0) as f32).collect();
                let noise = HostTensor::new([1, 2, side, side], noise)?;
                let field = SimardField { alpha: alpha as f32, sigma: sigma as f32 }.reference(&[&noise])?;
                let Some(field) = field.first() else { return Ok(None) };
                let (y, x) = field.data().split_at(side * side);
                Ok(Some(Self { side, values: [y.to_vec(), x.to_vec()] }))
            }
            _ => Ok(None),
        }
    }

    /// The displacement of a pixel.
    pub(super) fn at(&self, y: usize, x: usize) -> [f64; 2] {
        [0, 1].map(|axis| f64::from(self.values[axis][y * self.side + x]))
    }
}

/// Keys' cubic convolution kernel, a = -0.5.
fn cubic(t: f64) -> f64 {
    let t = t.abs();
    match t {
        _ if t <= 1.0 => (1.5 * t - 2.5) * t * t + 1.0,
        _ if t < 2.0 => ((-0.5 * t + 2.5) * t - 4.0) * t + 2.0,
        _ => 0.0,
    }
}

/// Cubic convolution of a square of control points, whose corners are the corner pixels of a square of `side` pixels. Points
/// outside repeat the nearest.
pub(super) fn bicubic(points: &[f64], grid: usize, side: usize) -> Vec<f32> {
    let taps: Vec<[(usize, f64); 4]> = (0..side)
        .map(|i| {
            let position = i as f64 * (grid as f64 - 1.0) / (side as f64 - 1.0).max(1.0);
            let base = position.floor();
            [-1.0, 0.0, 1.0, 2.0].map(|k| {
                let point = (base + k).clamp(0.0, grid as f64 - 1.0) as usize;
                (point, cubic(position - base - k))
            })
        })
        .collect();
    let mut out = Vec::with_capacity(side * side);
    for rows in &taps {
        let row: Vec<f64> =
            (0..grid).map(|column| rows.iter().map(|(r, weight)| weight * points[r * grid + column]).sum()).collect();
        out.extend(taps.iter().map(|taps| taps.iter().map(|&(c, weight)| weight * row[c]).sum::<f64>() as f32));
    }
    out
}
