//! Convolution over the channel-wise concatenation of tensors or crops, without a copy.

mod gradient;

use super::{Conv2d, FusedConv2d};
use crate::error::Result;
use crate::ops::{Backward, Corner, GraphBuilder, Lowering, Op, Spatial, ValueId};
use crate::tensor::{HostTensor, TensorDesc};

/// [`Conv2d`] over the concatenation of crops.
///
/// Inputs: `sources.len()` data tensors, then the weight and the bias of the convolution. Sources are read in place, so
/// skip connections need no copy.
#[derive(Clone, Debug, PartialEq)]
pub struct JoinedConv2d {
    /// The convolution.
    pub conv: Conv2d,
    /// First pixel of the region in each source.
    pub sources: Vec<Corner>,
    /// Rows and columns of the region read from every source; those of the first source if absent.
    pub region: Option<[usize; 2]>,
}

impl From<Conv2d> for JoinedConv2d {
    fn from(conv: Conv2d) -> Self {
        Self { conv, sources: vec![Corner::default()], region: None }
    }
}

impl JoinedConv2d {
    fn fused(&self) -> FusedConv2d {
        self.clone().into()
    }
}

impl Op for JoinedConv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        self.fused().infer(inputs)
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        self.fused().reference(inputs)
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        self.fused().lower(cx)
    }

    fn macs(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> u64 {
        self.conv.macs_with(&inputs[self.sources.len()], outputs)
    }

    fn spatial(&self, inputs: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        let corner = |i: usize| self.sources.get(i).copied().unwrap_or_default();
        let windows = (0..inputs.len()).map(|i| self.conv.window([corner(i).top, corner(i).left]));
        Spatial::Windows(windows.collect())
    }

    fn reads_halo(&self, input: usize) -> bool {
        self.conv.padding != [0; 4] && input < self.sources.len()
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        gradient::backward(self, node, builder)
    }
}
