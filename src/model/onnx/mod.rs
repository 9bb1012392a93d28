//! Import of ONNX files, translated at run time, and export of networks to ONNX.
//!
//! `file` reads a file, `parts` extracts its network, and `translate` converts its nodes for a given input shape.
//! `fold` evaluates shape arithmetic on the way. `quantised` converts integers to floats, and `range` infers the
//! meaning of an output. [`OnnxNetwork`] is the result as an [`Architecture`](super::Architecture). [`export`] writes
//! files.

mod attributes;
mod axes;
mod ending;
pub mod export;
mod external;
mod file;
mod fold;
mod layout;
mod network;
mod nodes;
mod options;
mod parts;
#[allow(missing_docs)] // The schema documents the fields; names are its own.
pub mod proto;
mod quantised;
mod range;
mod sizes;
mod tensor;
mod translate;
mod value;

pub use axes::Layout;
pub use ending::Ending;
#[cfg(feature = "std-fs")]
pub use file::parse;
pub use file::{is_onnx, open, parse_with};
pub use network::OnnxNetwork;
pub use options::{OnnxOptions, Size};

use crate::error::Error;
use std::fmt;

/// Number of first bytes used to recognise other file formats.
const HEAD: usize = 512;

/// Why a node or a tensor cannot be translated. The caller adds its name.
#[derive(Clone, Debug, PartialEq)]
struct Reason(String);

impl From<String> for Reason {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

impl From<&str> for Reason {
    fn from(reason: &str) -> Self {
        Self(reason.into())
    }
}

impl From<Error> for Reason {
    fn from(e: Error) -> Self {
        match e {
            Error::Op { reason, .. } => Self(reason),
            e => Self(e.to_string()),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
