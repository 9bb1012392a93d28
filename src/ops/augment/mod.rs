//! Random augmentation of training images. Random numbers are drawn on the host, except noise; each op is a pure
//! function of its inputs. All tensors are linear.

mod intensity;
mod simard;
mod warp;

pub use intensity::Intensity;
pub use simard::{MAX_SIGMA, SimardField};
pub use warp::{Border, DisplacementField, Interpolation, Similarity, Warp};

use super::OpCase;

pub(super) fn cases() -> Vec<OpCase> {
    [intensity::cases(), simard::cases(), warp::cases()].into_iter().flatten().collect()
}
