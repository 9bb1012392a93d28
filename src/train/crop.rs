//! Where crops lie and how large they are.

/// Size of the crops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CropOptions {
    /// Rows of the network's input.
    pub height: usize,
    /// Columns of the network's input.
    pub width: usize,
    /// Pixels by which the output is smaller on each side: 0 for a network with same padding.
    pub margin: usize,
}

/// The origin of a crop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crop {
    /// Index of the example.
    pub example: usize,
    /// Name of the example.
    pub name: String,
    /// Column of the crop's first pixel; negative if the crop starts left of the image.
    pub x: isize,
    /// Row of the crop's first pixel; negative if the crop starts above the image.
    pub y: isize,
}
