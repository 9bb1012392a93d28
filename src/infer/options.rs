//! How images are segmented.

use crate::names::{Name, Named, named};
use crate::weights::Normalisation;

/// How tiles become one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Blend {
    /// Tiles overlap by the network's halo and are cut so that the result is that of one run on the whole image.
    #[default]
    Exact,
    /// Tiles overlap by half and are averaged with Gaussian weights, as nnU-Net and MONAI do it. Not the result of the whole
    /// image; works with networks that cannot be tiled exactly.
    Gaussian,
}

impl Named for Blend {
    const WHAT: &'static str = "blend";
    const NAMES: &'static [Name<Self>] = &[
        Name::new(
            Self::Exact,
            "exact",
            "Overlap by the network's halo and cut: the result of one run on the whole image",
        ),
        Name::new(
            Self::Gaussian,
            "gaussian",
            "Overlap by half and average with Gaussian weights as nnU-Net does: for networks that cannot be tiled exactly",
        ),
    ];
}

named!(Blend);

/// How images are segmented.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentOptions {
    /// Also give the probability of every class.
    pub probabilities: bool,
    /// Largest tile edge, input pixels; the planner shrinks it further if it must.
    pub tile: Option<usize>,
    /// Memory to stay under, bytes: the device's buffers and what the host holds of image and results at once, together.
    /// Images and results that the caller holds do not count.
    pub memory: u64,
    /// The same bits whatever the tiles: only kernels that add up every pixel's sum in the same order wherever the pixel
    /// lies. Without it, Winograd's blocks of 4x4 pixels round differently near the edges of tiles (about 1e-6 in f32, more in f16).
    pub exact: bool,
    /// How tiles become one image.
    pub blend: Blend,
    /// How pixels are normalised; as the model says if not given.
    pub normalisation: Option<Normalisation>,
    /// Tiles that one run of a network takes, at most: of one image, and their orientations, and with
    /// [`Segmenter::segment_several`](super::Segmenter::segment_several) of several images. Tiles are as large as for 1;
    /// where `memory` does not hold so many of them, fewer are taken. Results are the same bits.
    pub batch: usize,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self {
            probabilities: false,
            tile: None,
            memory: 2 << 30,
            exact: false,
            blend: Blend::Exact,
            normalisation: None,
            batch: 1,
        }
    }
}
