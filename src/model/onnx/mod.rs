//! Import of ONNX files, translated at run time.
//!
//! `file` reads a file, `parts` extracts its network, and `translate` converts its nodes for a given input shape.
//! `fold` evaluates shape arithmetic on the way. `quantised` converts integers to floats, and `range` infers the
//! meaning of an output. [`OnnxNetwork`] is the result as an [`Architecture`](super::Architecture).

mod axes;
mod ending;
mod external;
mod file;
mod layout;
mod network;
mod options;
mod parts;
mod quantised;
mod range;
mod sizes;
mod translate;
mod value;

pub use axes::Layout;
pub use ending::Ending;
#[cfg(feature = "std-fs")]
pub use file::parse;
pub use file::{is_onnx, open, parse_with};
pub use network::OnnxNetwork;
pub use options::{OnnxOptions, Size};

pub use crate::onnx::proto;

use crate::onnx::{Reason, attributes, fold, tensor};

/// Number of first bytes used to recognise other file formats.
const HEAD: usize = 512;
