//! What a PyTorch file holds, whoever has read it.

use std::collections::BTreeMap;

use ::safetensors::tensor::Dtype;

/// A value of a file, as far as it tells where the weights are.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A dict, by its keys.
    Dict(BTreeMap<String, Value>),
    /// A tensor.
    Tensor,
    /// Anything else, in the words of a message.
    Other(String),
}

impl Value {
    /// Whether it is a tensor or a dict with one in it.
    pub(super) fn holds_tensors(&self) -> bool {
        match self {
            Self::Dict(entries) => entries.values().any(Self::holds_tensors),
            value => value.is_tensor(),
        }
    }

    /// Whether it is a tensor.
    pub(super) fn is_tensor(&self) -> bool {
        matches!(self, Self::Tensor)
    }

    /// What it is, for messages.
    pub(super) fn what(&self) -> String {
        match self {
            Self::Dict(entries) => format!("a dict of {}", entries.len()),
            Self::Tensor => "a tensor".into(),
            Self::Other(what) => what.clone(),
        }
    }
}

/// Reads the elements of a tensor, row by row.
pub(super) type Read<'a> = Box<dyn Fn() -> Result<Vec<u8>, String> + 'a>;

/// A tensor whose elements are still in the file.
pub(super) struct Stored<'a> {
    /// Type of its elements.
    pub(super) dtype: Dtype,
    /// Its dimensions.
    pub(super) shape: Vec<usize>,
    /// Its elements.
    pub(super) read: Read<'a>,
}

impl Stored<'_> {
    /// Bytes of its elements; none if they are more than can be counted.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.shape.iter().try_fold(size(self.dtype) as u64, |n, &d| n.checked_mul(d as u64))
    }
}

/// Bytes of an element.
pub(super) fn size(dtype: Dtype) -> usize {
    dtype.bitsize() / 8
}

/// The content of a file: its values, and its tensors by their place in it, with dots between keys.
pub(super) struct Content<'a> {
    pub(super) root: Value,
    pub(super) tensors: BTreeMap<String, Stored<'a>>,
}
