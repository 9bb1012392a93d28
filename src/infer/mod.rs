//! Segmentation of pictures.

mod decode;
pub mod image;
pub mod normalise;
pub mod output;
pub mod tile;

pub use decode::MAX_PIXELS;
pub use image::{Picture, Pixels};
pub use normalise::{ChannelAffine, normalise};
pub use output::{
    Ids, Mask, ProbabilityFormat, palette, write_atomically, write_mask, write_overlay, write_probabilities,
};
pub use tile::{AxisPlan, AxisWindow, Tile, TileGrid, TileSpec, mirror, plan_axis, source_window};
