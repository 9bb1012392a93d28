//! Tensors in host memory, and the comparison of two.

use super::Shape;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// A tensor in host memory: `f32`, row-major, NCHW when it has four dimensions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct HostTensor {
    dims: Vec<usize>,
    #[serde(with = "super::bits")]
    data: Vec<f32>,
}

/// A tensor as a file has it.
#[derive(Deserialize)]
struct Unchecked {
    dims: Vec<usize>,
    #[serde(with = "super::bits")]
    data: Vec<f32>,
}

impl TryFrom<Unchecked> for HostTensor {
    type Error = Error;

    fn try_from(Unchecked { dims, data }: Unchecked) -> Result<Self> {
        Self::new(dims, data)
    }
}

impl HostTensor {
    /// A tensor from its dimensions and elements. Fails when their numbers differ.
    pub fn new(dims: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self> {
        let dims = dims.into();
        let count = dims.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
        if count != Some(data.len()) {
            return Err(Error::invalid(
                "tensor",
                format!("{} elements do not fill the dimensions {dims:?}", data.len()),
            ));
        }
        Ok(Self { dims, data })
    }

    /// Zeros of an NCHW shape.
    pub fn zeros(shape: Shape) -> Self {
        Self { dims: shape.dims().to_vec(), data: vec![0.0; shape.len()] }
    }

    /// An NCHW tensor whose element at `(n, c, y, x)` is `f(n, c, y, x)`.
    pub fn from_fn(shape: Shape, mut f: impl FnMut(usize, usize, usize, usize) -> f32) -> Self {
        let mut data = Vec::with_capacity(shape.len());
        for n in 0..shape.n {
            for c in 0..shape.c {
                for y in 0..shape.h {
                    for x in 0..shape.w {
                        data.push(f(n, c, y, x));
                    }
                }
            }
        }
        Self { dims: shape.dims().to_vec(), data }
    }

    /// The dimensions, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The dimensions as NCHW (see [`Shape::from_dims`]).
    pub fn shape(&self) -> Result<Shape> {
        Shape::from_dims(&self.dims)
    }

    /// The elements.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The elements, mutably.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The elements, by value.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// The same elements under other dimensions of the same number.
    pub fn reshaped(self, dims: impl Into<Vec<usize>>) -> Result<Self> {
        Self::new(dims, self.data)
    }

    /// Compares computed values (`self`) with the expected ones.
    pub fn compare(&self, expected: &HostTensor) -> Result<Comparison> {
        if self.data.len() != expected.data.len() {
            return Err(Error::invalid("comparison", format!("shapes {:?} and {:?} differ", self.dims, expected.dims)));
        }
        let mut c = Comparison { max_error: 0.0, scale: 0.0, index: 0 };
        for (i, (&g, &w)) in self.data.iter().zip(&expected.data).enumerate() {
            c.scale = c.scale.max(w.abs());
            let e = if g == w { 0.0 } else { (g - w).abs() };
            // A NaN on either side must never pass: it counts as an infinite error.
            let e = if e.is_nan() { f32::INFINITY } else { e };
            if e > c.max_error {
                (c.max_error, c.index) = (e, i);
            }
        }
        Ok(c)
    }
}

/// The largest difference between two tensors, and its scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Largest `|got - expected|`; infinite if a NaN is involved.
    pub max_error: f32,
    /// Largest `|expected|`.
    pub scale: f32,
    /// Index of the largest difference.
    pub index: usize,
}

impl Comparison {
    /// The documented tolerance rule of the whole project: `|got - expected| <= factor * scale`, with a scale of at
    /// least 1e-3 so that an all-zero tensor does not ask for exactness below rounding.
    pub fn within(&self, factor: f32) -> bool {
        self.max_error <= self.tolerance(factor)
    }

    /// The largest difference allowed under [`Self::within`].
    pub fn tolerance(&self, factor: f32) -> f32 {
        factor * self.scale.max(1e-3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nan_never_passes() {
        let expected = HostTensor::new([2], vec![1.0, 2.0]).unwrap();
        let got = HostTensor::new([2], vec![1.0, f32::NAN]).unwrap();
        assert!(!got.compare(&expected).unwrap().within(1e9));
        assert!(!expected.compare(&got).unwrap().within(1e9));
        assert!(expected.compare(&expected).unwrap().within(0.0));
    }

    #[test]
    fn elements_must_fill_the_dimensions() {
        assert!(HostTensor::new([2, 3], vec![0.0; 5]).is_err());
        assert!(HostTensor::new([usize::MAX, 2], vec![]).is_err());
    }
}
