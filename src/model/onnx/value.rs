//! Values during a translation.

use super::proto::NodeProto;
use super::tensor::Tensor;
use crate::graph::ValueId;
use crate::tensor::Shape;
use std::sync::Arc;

/// A value of the file.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Computed by the network.
    Data(Data),
    /// A constant with known elements; with a name if it is an initialiser.
    Known(Arc<Tensor>, Option<Arc<str>>),
    /// A parameter of the graph, and its dimensions in the file.
    Param(ValueId, Vec<usize>),
    /// An initialiser that is not declared yet.
    Stored(Arc<str>, Vec<usize>),
}

/// A value computed by the network, as a view of a tensor of the graph: its elements in NCHW order are reshaped to
/// `base`, and the axes of that are permuted. So reshaping and transposing cost nothing until an operator needs the
/// elements in that order.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    /// The tensor.
    pub id: ValueId,
    /// Dimensions that its elements are reshaped to.
    pub base: Vec<usize>,
    /// Axis `i` is axis `order[i]` of `base`.
    pub order: Vec<usize>,
    /// Whether all elements are integers, as in the result of ArgMax.
    pub integral: bool,
}

impl Data {
    /// A tensor of the graph reshaped to `dims`.
    pub fn plain(id: ValueId, dims: Vec<usize>) -> Self {
        Self { id, order: (0..dims.len()).collect(), base: dims, integral: false }
    }

    /// Dimensions in the file.
    pub fn dims(&self) -> Vec<usize> {
        self.order.iter().map(|&i| self.base[i]).collect()
    }

    /// Whether the elements are stored in the order of the dimensions; axes of one element do not matter.
    pub fn in_order(&self) -> bool {
        let long: Vec<usize> = self.order.iter().copied().filter(|&i| self.base[i] != 1).collect();
        long.is_sorted()
    }

    /// The same view of another tensor of the same shape.
    pub fn with(&self, id: ValueId) -> Self {
        Self { id, ..self.clone() }
    }
}

impl Value {
    /// A tensor without a name.
    pub(super) fn known(t: Tensor) -> Self {
        Self::Known(Arc::new(t), None)
    }

    /// The elements, if they are known.
    pub(super) fn tensor(&self) -> Option<&Tensor> {
        match self {
            Self::Known(t, _) => Some(t),
            _ => None,
        }
    }

    /// Dimensions.
    pub(super) fn dims(&self) -> Vec<usize> {
        match self {
            Self::Data(d) => d.dims(),
            Self::Known(t, _) => t.dims.clone(),
            Self::Param(_, dims) | Self::Stored(_, dims) => dims.clone(),
        }
    }
}

/// The NCHW shape of a tensor of up to four dimensions: `[C]`, `[N, C]`, `[N, C, W]`, `[N, C, H, W]`.
pub(super) fn canonical(dims: &[usize]) -> Option<Shape> {
    Some(match *dims {
        [] => Shape::new(1, 1, 1, 1),
        [c] => Shape::new(1, c, 1, 1),
        [n, c] => Shape::new(n, c, 1, 1),
        [n, c, w] => Shape::new(n, c, 1, w),
        [n, c, h, w] => Shape::new(n, c, h, w),
        _ => return None,
    })
}

/// The axis of [`canonical`]'s shape that axis `axis` of `rank` becomes.
pub(super) fn canonical_axis(axis: usize, rank: usize) -> usize {
    match rank {
        1 => 1,
        3 if axis == 2 => 3,
        _ => axis,
    }
}

/// The name of a node in messages and in the graph.
pub(super) fn label(node: &NodeProto) -> &str {
    if !node.name.is_empty() { &node.name } else { node.output.iter().find(|o| !o.is_empty()).map_or("node", |o| o) }
}
