//! Options of segmentation.

use super::limit::MemoryLimit;
use super::scale::Scale;
use crate::names::{Name, Named, named};
use crate::weights::{InstanceSettings, Normalisation};

/// How tiles are merged into one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Blend {
    /// Tiles overlap by the network's halo and are cropped, so that the result equals one run on the whole image.
    #[default]
    Exact,
    /// Tiles overlap by half and are averaged with Gaussian weights, as in nnU-Net and MONAI. The result differs from a
    /// run on the whole image; also works with networks that cannot be tiled exactly.
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

/// Options of segmentation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SegmentOptions {
    /// Also return the probability of every class.
    pub probabilities: bool,
    /// Also return the instances. These settings replace those of the model (of an ensemble, its first), which replace the
    /// defaults of [`InstanceOptions`](super::InstanceOptions).
    pub instances: Option<InstanceSettings>,
    /// Maximum tile side in input pixels; the planner reduces it further if necessary.
    pub tile: Option<usize>,
    /// Memory limit in bytes, for the device's buffers and the host's share of image and results together. Images and
    /// results held by the caller do not count.
    pub memory: u64,
    /// Bytes of `memory` that the caller keeps for finding instances.
    pub reserved: u64,
    /// Bit-identical results for any tile size: only kernels whose summation order does not depend on a pixel's
    /// position. Without it, Winograd's blocks of 4x4 pixels round differently near tile edges (about 1e-6 in f32, more
    /// in f16).
    pub exact: bool,
    /// How tiles are merged into one image.
    pub blend: Blend,
    /// Normalisation of pixels; the model's if absent.
    pub normalisation: Option<Normalisation>,
    /// Maximum number of tiles per run of a network: of one image with its orientations, and with
    /// [`Segmenter::segment_several`](super::Segmenter::segment_several) of several images. Tiles are as large as for
    /// 1; if `memory` cannot hold that many, fewer are run at once. Results are bit-identical.
    pub batch: usize,
    /// How the image is resized for the model (of an ensemble, the first).
    pub scale: Scale,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self {
            probabilities: false,
            instances: None,
            tile: None,
            memory: 2 << 30,
            reserved: 0,
            exact: false,
            blend: Blend::Exact,
            normalisation: None,
            batch: 1,
            scale: Scale::default(),
        }
    }
}

/// A method per field that returns the options with that field changed.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $field:ident, $type:ty;)*) => {
        impl SegmentOptions {
            $($(#[$doc])* #[must_use] pub fn $name(mut self, $field: $type) -> Self {
                self.$field = $field;
                self
            })*
        }
    };
}

setters! {
    /// Sets [`Self::probabilities`].
    with_probabilities: probabilities, bool;
    /// Sets [`Self::instances`].
    with_instances: instances, Option<InstanceSettings>;
    /// Sets [`Self::tile`].
    with_tile: tile, Option<usize>;
    /// Sets [`Self::memory`].
    with_memory: memory, u64;
    /// Sets [`Self::reserved`].
    with_reserved: reserved, u64;
    /// Sets [`Self::exact`].
    with_exact: exact, bool;
    /// Sets [`Self::blend`].
    with_blend: blend, Blend;
    /// Sets [`Self::normalisation`].
    with_normalisation: normalisation, Option<Normalisation>;
    /// Sets [`Self::batch`].
    with_batch: batch, usize;
    /// Sets [`Self::scale`].
    with_scale: scale, Scale;
}

impl SegmentOptions {
    /// The limit and its part for instances.
    pub(super) fn limit(&self) -> MemoryLimit {
        MemoryLimit { whole: self.memory, instances: self.reserved }
    }
}
