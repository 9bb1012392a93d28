//! One source's share of a convolution: its own dispatch, the later ones adding to what the earlier ones wrote.

use super::FusedConv2d;
use crate::error::Result;
use crate::kernel::{KernelKey, Operand, View};
use crate::ops::{ConvOrder, ConvPacking, Function, Lowering, Packing};

/// What one dispatch over one source needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct SourcePass {
    /// Its place among the sources.
    pub source: usize,
    /// What is read, and the view of its region.
    pub operand: Operand,
    pub view: View,
    /// First input channel in the weight, and their number.
    pub first: usize,
    pub channels: usize,
    /// Whether it brings the bias in: the first.
    pub bias: bool,
    /// The activation if it is the last, else none.
    pub activation: Function,
}

impl SourcePass {
    /// The constants that kernels of one source have in common.
    pub fn key(&self, op: &FusedConv2d, shader: &'static str) -> KernelKey {
        self.finish(KernelKey::new(shader).with("KH", op.conv.kernel[0] as u32).with("KW", op.conv.kernel[1] as u32))
    }

    /// The same but for the kernel's size.
    pub fn finish(&self, key: KernelKey) -> KernelKey {
        key.with("ACTIVATION", self.activation.id()).accumulating(self.source > 0)
    }
}

impl FusedConv2d {
    /// All passes, for kernels that read pixels as they are: upsampled sources are made in scratch memory first.
    pub(super) fn source_passes(&self, cx: &mut Lowering) -> Result<Vec<SourcePass>> {
        let mut passes = self.source_passes_as_given(cx);
        for pass in &mut passes {
            if let Some((mode, factor)) = self.sources[pass.source].upsample {
                (pass.operand, pass.view) = mode.into_scratch(cx, pass.source, factor)?;
            }
        }
        Ok(passes)
    }

    /// All passes, upsampled sources as they are before that.
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
