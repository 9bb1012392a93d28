//! Gradients of ops, written as further nodes through [`GraphBuilder`].

use super::Op;
use crate::error::Result;
use crate::tensor::TensorDesc;
use std::sync::Arc;

/// Identifies a value of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct ValueId(u32);

impl ValueId {
    /// The value at a position of a graph's list of values.
    pub(crate) const fn new(index: usize) -> Self {
        Self(index as u32)
    }

    /// Position in a graph's list of values.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The graph that an op's gradient is added to.
pub trait GraphBuilder {
    /// Description of a value.
    fn desc(&self, value: ValueId) -> TensorDesc;

    /// Adds a node labelled `<forward node>.<what>`; returns its outputs.
    fn emit(&mut self, what: &str, op: Arc<dyn Op>, inputs: &[ValueId]) -> Result<Vec<ValueId>>;
}

impl dyn GraphBuilder + '_ {
    /// Adds a node and returns its first output.
    pub fn node(&mut self, what: &str, op: impl Op, inputs: &[ValueId]) -> Result<ValueId> {
        Ok(self.emit(what, Arc::new(op), inputs)?[0])
    }
}

/// A node to differentiate.
#[derive(Debug)]
pub struct Backward<'a> {
    /// Its inputs.
    pub inputs: &'a [ValueId],
    /// Its outputs.
    pub outputs: &'a [ValueId],
    /// The gradient of each output, in its shape and layout; `None` where the loss does not depend on it.
    pub grads: &'a [Option<ValueId>],
    /// Which inputs need a gradient.
    pub needs_grad: &'a [bool],
}

impl Backward<'_> {
    /// The gradient of output `i`.
    pub fn grad(&self, i: usize) -> Option<ValueId> {
        self.grads.get(i).copied().flatten()
    }

    /// Whether input `i` needs a gradient.
    pub fn needs_grad(&self, i: usize) -> bool {
        self.needs_grad.get(i).copied().unwrap_or(false)
    }
}
