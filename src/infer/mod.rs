//! Segmentation of pictures.

mod decode;
pub mod image;
pub mod normalise;

pub use decode::MAX_PIXELS;
pub use image::{Picture, Pixels};
pub use normalise::{ChannelAffine, normalise};
