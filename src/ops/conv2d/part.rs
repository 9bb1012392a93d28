//! One source's share of a convolution: its own dispatch, the later ones adding to what the earlier ones wrote.

use super::FusedConv2d;
use crate::error::Result;
use crate::kernel::{KernelKey, Operand, View};
use crate::ops::{Function, Lowering};

/// What one dispatch over one source needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
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

impl Part {
    /// The constants that kernels of one source have in common.
    pub fn key(&self, op: &FusedConv2d, shader: &'static str) -> KernelKey {
        self.finish(KernelKey::new(shader).with("KH", op.conv.kernel[0] as u32).with("KW", op.conv.kernel[1] as u32))
    }

    /// The same but for the kernel's size.
    pub fn finish(&self, key: KernelKey) -> KernelKey {
        key.with("ACTIVATION", self.activation.id()).flag("ACCUMULATE", self.source > 0)
    }
}

impl FusedConv2d {
    /// All parts, for kernels that read pixels as they are: upsampled sources are made in scratch memory first.
    pub(super) fn parts(&self, cx: &mut Lowering) -> Result<Vec<Part>> {
        let mut parts = self.parts_as_given(cx);
        for part in &mut parts {
            if let Some((mode, factor)) = self.sources[part.source].upsample {
                (part.operand, part.view) = mode.into_scratch(cx, part.source, factor)?;
            }
        }
        Ok(parts)
    }

    /// All parts, upsampled sources as they are before that.
    pub(super) fn parts_as_given(&self, cx: &Lowering) -> Vec<Part> {
        let k = self.sources.len();
        let mut first = 0;
        (0..k)
            .map(|source| {
                let channels = cx.input(source).c;
                first += channels;
                let s = self.sources[source];
                Part {
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

    /// Packs a part's weight into `len` elements: the bias first, element `(output, input channel of the part, tap)` at
    /// `at`. What no element goes to is zero.
    pub(super) fn pack(
        &self,
        cx: &mut Lowering,
        part: &Part,
        len: usize,
        at: impl Fn(usize, usize, usize) -> usize + Send + Sync + 'static,
    ) -> Operand {
        let taps = self.conv.kernel[0] * self.conv.kernel[1];
        let (out_channels, Part { first, channels, bias, .. }) = (self.conv.out_channels, *part);
        let mut inputs = vec![self.weight_input()];
        inputs.extend(bias.then_some(self.weight_input() + 1));
        cx.weights(inputs, len, move |p| {
            let total = p[0].shape()?.c;
            let mut packed = vec![0.0; len];
            if bias {
                packed[..out_channels].copy_from_slice(p[1].data());
            }
            for o in 0..out_channels {
                for i in 0..channels {
                    for t in 0..taps {
                        packed[at(o, i, t)] = p[0].data()[(o * total + first + i) * taps + t];
                    }
                }
            }
            Ok(packed)
        })
    }
}
