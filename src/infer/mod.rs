//! Segmentation of pictures.

mod decode;
pub mod image;

pub use decode::MAX_PIXELS;
pub use image::{Picture, Pixels};
