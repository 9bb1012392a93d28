//! The ONNX format below networks: its messages, its tensors, and its operators on constants. Import and export of
//! networks are in [`model::onnx`](crate::low_level::model::onnx).

pub(crate) mod attributes;
mod expression;
pub(crate) mod fold;
#[expect(missing_docs, reason = "the schema documents the fields; names are its own")]
pub mod proto;
pub(crate) mod tensor;

pub use expression::Expression;
pub(crate) use expression::Input;

use crate::error::Error;
use std::fmt;

/// Why a node or a tensor cannot be translated. The caller adds its name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reason(pub(crate) String);

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
