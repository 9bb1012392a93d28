//! The source passes of a convolution: one dispatch per source, each adding to the result of the previous ones.

use super::FusedConv2d;
use crate::error::Result;
use crate::kernel::{KernelKey, Operand, View};
use crate::ops::{ConvOrder, ConvPacking, Function, Lowering, Packing};

/// The pass over one source.
#[derive(Clone, Copy, Debug)]
pub(super) struct SourcePass {
    /// Index of the source.
    pub source: usize,
    /// The source, and the view of its region.
    pub operand: Operand,
    pub view: View,
    /// First input channel in the weight, and number of channels.
    pub first: usize,
    pub channels: usize,
    /// Whether it adds the bias: only the first does.
    pub bias: bool,
    /// The activation of the last pass; identity for the others.
    pub activation: Function,
}

impl SourcePass {
    /// Constants shared by the kernels of a pass.
    pub(super) fn key(&self, op: &FusedConv2d, shader: &'static str) -> KernelKey {
        self.finish(KernelKey::new(shader).with("KH", op.conv.kernel[0] as u32).with("KW", op.conv.kernel[1] as u32))
    }

    /// The same without the kernel size.
    pub(super) fn finish(&self, key: KernelKey) -> KernelKey {
        key.with("ACTIVATION", self.activation.id()).accumulating(self.source > 0)
    }
}

impl FusedConv2d {
    /// All passes, for kernels that do not upsample: upsampled sources are first computed in scratch memory.
    pub(super) fn source_passes(&self, cx: &mut Lowering) -> Result<Vec<SourcePass>> {
        let mut passes = self.source_passes_as_given(cx);
        for pass in &mut passes {
            if let Some((mode, factor)) = self.sources[pass.source].upsample {
                (pass.operand, pass.view) = mode.into_scratch(cx, pass.source, factor)?;
            }
        }
        Ok(passes)
    }

    /// All passes, with sources not yet upsampled.
    pub(super) fn source_passes_as_given(&self, cx: &Lowering) -> Vec<SourcePass> {
        let k = self.sources.len();
        let mut first = 0;
        (0..k)
            .map(|source| {
                let channels = cx.input(source).c;
                first += channels;
                let s = self.sources[source];
                SourcePass {
                    source,
                    operand: Operand::Input(source),
                    view: cx.cropped_view(source, s.top, s.left),
                    first: first - channels,
                    channels,
                    bias: self.conv.bias && source == 0,
                    activation: if source + 1 == k { self.activation } else { Function::Identity },
                }
            })
            .collect()
    }

    /// Packs the weight of a source's channels into `len` elements in a kernel's order, the bias first.
    pub(super) fn pack(&self, cx: &mut Lowering, pass: &SourcePass, len: usize, order: ConvOrder) -> Operand {
        let mut inputs = vec![self.weight_input()];
        inputs.extend(pass.bias.then_some(self.weight_input() + 1));
        let packing = ConvPacking {
            out_channels: self.conv.out_channels,
            channels: pass.channels,
            taps: self.conv.kernel[0] * self.conv.kernel[1],
            bias: pass.bias,
            weight_channels: cx.input(self.weight_input()).c,
            first: pass.first,
            order,
        };
        cx.weights(inputs, len, Packing::Convolution(packing))
    }
}
