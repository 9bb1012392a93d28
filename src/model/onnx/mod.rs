//! ONNX files as networks of this engine, read and translated at run time; and networks of this engine as ONNX files.
//!
//! `file` reads, `parts` takes apart, `translate` makes nodes of this engine from the file's nodes for an input of a given
//! shape, `fold` does the arithmetic on shapes on the way; `quantised` makes floats of whole numbers, `range` finds out what an
//! output is; [`OnnxNetwork`] is the result as an
//! [`Architecture`](super::Architecture). [`export`] writes.

mod attributes;
mod axes;
mod ending;
pub mod export;
mod file;
mod fold;
mod layout;
mod network;
mod nodes;
mod options;
mod outside;
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

/// Why a node or a tensor cannot be translated: the reason alone, since who asks knows of what.
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
