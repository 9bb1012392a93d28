//! Batch normalisation as an affine map per channel.

use crate::error::{Error, Result};

/// A batch normalisation as an affine map `(scale, shift)` per channel, in `f64` so that folding it into a convolution
/// rounds once. Parameters are in the order of the op's inputs. Fails if their lengths differ or a variance is not
/// positive.
pub fn batch_norm_coefficients(eps: f32, parameters: [&[f32]; 4]) -> Result<Vec<(f64, f64)>> {
    const NAME: &str = "batch_norm2d";
    let [gamma, beta, mean, var] = parameters;
    let len = gamma.len();
    if [beta, mean, var].iter().any(|p| p.len() != len) {
        let lens = parameters.map(<[f32]>::len);
        return Err(Error::op(NAME, format!("gamma, beta, mean and variance have {lens:?} elements")));
    }
    (0..len)
        .map(|c| {
            let var = f64::from(var[c]) + f64::from(eps);
            // Also false for a NaN: a broken checkpoint must not become a broken image.
            if !(var > 0.0 && var.is_finite()) {
                return Err(Error::op(NAME, format!("variance + eps is {var} in channel {c}")));
            }
            let scale = f64::from(gamma[c]) / var.sqrt();
            Ok((scale, f64::from(beta[c]) - f64::from(mean[c]) * scale))
        })
        .collect()
}
