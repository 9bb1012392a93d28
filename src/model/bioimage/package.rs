//! What a package's description says.

use super::{Described, Post};
use crate::io::Input;

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
