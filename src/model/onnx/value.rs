//! Values during a translation.

use super::proto::NodeProto;
use super::tensor::Tensor;
use crate::graph::ValueId;
use crate::tensor::Shape;
use std::sync::Arc;

/// A value of the file.
#[derive(Clone, Debug)]
pub enum Value {
    /// Computed by the network.
    Data(Data),
    /// Elements known now; with a name if it is an initialiser.
    Known(Arc<Tensor>, Option<Arc<str>>),
    /// A parameter of the graph, and its dimensions in the file.
    Param(ValueId, Vec<usize>),
    /// An initialiser that nothing has used yet.
    Stored(Arc<str>, Vec<usize>),
}

/// A value computed by the network: a tensor of the graph, whose elements in NCHW order are taken for a tensor of dimensions
/// `base`, whose axes are taken in another order. So reshaping and transposing cost nothing until something needs the elements
/// in that order.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    /// The tensor.
    pub id: ValueId,
    /// What its elements are taken for.
    pub base: Vec<usize>,
    /// Axis `i` is axis `order[i]` of `base`.
    pub order: Vec<usize>,
    /// Whether all elements are whole numbers, as of ArgMax.
    pub whole: bool,
}

impl Data {
    /// A tensor of the graph under dimensions of as many elements.
    pub fn plain(id: ValueId, dims: Vec<usize>) -> Self {
        Self { id, order: (0..dims.len()).collect(), base: dims, whole: false }
    }

    /// Dimensions, as the file sees them.
    pub fn dims(&self) -> Vec<usize> {
        self.order.iter().map(|&i| self.base[i]).collect()
    }

    /// Whether the elements lie in the order of the dimensions; axes of one element may be anywhere.
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
    pub fn known(t: Tensor) -> Self {
        Self::Known(Arc::new(t), None)
    }

    /// The elements, if they are known.
    pub fn tensor(&self) -> Option<&Tensor> {
        match self {
            Self::Known(t, _) => Some(t),
            _ => None,
        }
    }

    /// Dimensions.
    pub fn dims(&self) -> Vec<usize> {
        match self {
            Self::Data(d) => d.dims(),
            Self::Known(t, _) => t.dims.clone(),
            Self::Param(_, dims) | Self::Stored(_, dims) => dims.clone(),
        }
    }
}

/// The NCHW shape that a tensor of up to four dimensions is computed with: `[C]`, `[N, C]`, `[N, C, W]`, `[N, C, H, W]`.
pub fn canonical(dims: &[usize]) -> Option<Shape> {
    Some(match *dims {
        [] => Shape::new(1, 1, 1, 1),
        [c] => Shape::new(1, c, 1, 1),
        [n, c] => Shape::new(n, c, 1, 1),
        [n, c, w] => Shape::new(n, c, 1, w),
        [n, c, h, w] => Shape::new(n, c, h, w),
        _ => return None,
    })
}

/// Where axis `axis` of `rank` is in [`canonical`]'s shape.
pub fn canonical_axis(axis: usize, rank: usize) -> usize {
    match rank {
        1 => 1,
        3 if axis == 2 => 3,
        _ => axis,
    }
}

/// What a node is called in messages and in the graph.
pub fn label(node: &NodeProto) -> &str {
    if !node.name.is_empty() { &node.name } else { node.output.iter().find(|o| !o.is_empty()).map_or("node", |o| o) }
}
