//! What the description of a bioimage.io package says, as data; [`bioimage`](super::bioimage) reads it.

use crate::io::Input;

/// Meaning of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Images.
    Batch,
    /// Channels.
    Channel,
    /// Rows.
    Y,
    /// Columns.
    X,
    /// Any other axis, of size 1.
    One,
}

/// Size of an axis, in pixels.
#[derive(Clone, Debug, PartialEq)]
pub enum Size {
    /// Not specified.
    Free,
    /// Fixed.
    Fixed(usize),
    /// `min + n * step`.
    Steps {
        /// Minimum.
        min: usize,
        /// Step, above 0.
        step: usize,
    },
    /// The size of another axis, times `scale`, plus `offset`.
    Like {
        /// The other tensor.
        tensor: String,
        /// Its axis.
        axis: String,
        /// Pixels per pixel of the other axis.
        scale: f64,
        /// Pixels added; negative if pixels are lost.
        offset: f64,
    },
}

/// A tensor as the description specifies it.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// Name.
    pub id: String,
    /// Axes, in the tensor's order.
    pub axes: Vec<Axis>,
    /// Sizes of rows and columns.
    pub size: [Size; 2],
    /// Invalid margin in pixels, of rows and columns.
    pub halo: [usize; 2],
    /// Number of channels, if specified.
    pub channels: Option<usize>,
    /// Factor and summand that relate it to the input's.
    pub(super) channels_like: Option<[f64; 2]>,
    /// Names of the channels, format 0.5 only.
    pub channel_names: Vec<String>,
    /// Name of the channel axis.
    pub channel_axis: String,
}

/// A postprocessing step. Lists have one number per channel, or one for all.
#[derive(Clone, Debug, PartialEq)]
pub enum Post {
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// Softmax over the channels.
    Softmax,
    /// 1 above the threshold, else 0; always the last step.
    Binarize(f64),
    /// `x * gain + offset`.
    Linear(Vec<f64>, Vec<f64>),
    /// Clamps to a range, low and high.
    Clip(f64, f64),
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Name inside the package.
    pub name: String,
    /// Checksum, if the description has one.
    pub sha256: Option<String>,
}

/// An opened package, as its description has it.
#[derive(Clone, Debug)]
pub struct Package {
    /// The package file.
    pub file: Input,
    /// Format version of the description.
    pub format_version: String,
    /// Name, description, license, authors and citations, as far as present.
    pub about: Vec<(&'static str, String)>,
    /// Format and file of the weights: the first that can be read.
    pub weights: (String, Source),
    /// The input.
    pub input: Described,
    /// The output: the first that is an image.
    pub output: Described,
    /// Postprocessing of the network's output.
    pub post: Vec<Post>,
    /// Name of that output of the network.
    pub network_output: String,
    /// Input and output of the package's own test.
    pub test: Option<[Source; 2]>,
    /// Deviations from the description, and choices made.
    pub notes: Vec<String>,
}
