//! The orders in which kernels of convolutions read weights.

use crate::tensor::LANES;
use serde::{Deserialize, Serialize};

/// The weight, or its part for some of the input channels, after the bias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConvPacking {
    /// Output channels.
    pub out_channels: usize,
    /// Input channels of the part.
    pub channels: usize,
    /// Elements of the kernel.
    pub taps: usize,
    /// Whether the bias is the second input and comes first.
    pub bias: bool,
    /// Input channels of the whole weight; 0 for a weight with the input channels before the output channels.
    pub weight_channels: usize,
    /// The part's first input channel.
    pub first: usize,
    /// Order of the elements.
    pub order: ConvOrder,
}

/// Order of the elements of a weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ConvOrder {
    /// `[C_out/4][C_in/4][tap][4 input channels]` of vec4 over output channels.
    Plain {
        /// Input channels / 4.
        blocks: usize,
        /// Elements of the bias, rounded up to vec4s.
        bias: usize,
    },
    /// Tiles of a GEMM, of vec4 over K. K runs over channels, then taps.
    Gemm {
        /// Rows of a tile.
        tile: TileOrder,
        /// vec4s of K.
        steps: usize,
        /// Elements of K per tap.
        channels: usize,
        /// vec4s of the bias.
        bias_blocks: usize,
    },
    /// A GEMM per tap.
    Products {
        /// Rows of a tile.
        tile: TileOrder,
        /// vec4s of K.
        steps: usize,
        /// vec4s per GEMM.
        product: usize,
        /// vec4s of the bias.
        bias_blocks: usize,
    },
    /// `[C_out/outputs][C_in/4][tap][outputs]` of vec4 over input channels.
    Direct {
        /// Output channels of a tile.
        outputs: usize,
        /// Adjacent output channels per invocation; they are stored `outputs / side` vec4s apart.
        side: usize,
        /// Input channels / 4.
        blocks: usize,
        /// vec4s of the bias.
        bias_blocks: usize,
    },
    /// `[C_in/4][classes]` of vec4 over input channels.
    Head {
        /// Classes.
        classes: usize,
        /// Elements of the bias, rounded up to vec4s.
        bias: usize,
    },
}

/// The rows of a GEMM tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TileOrder {
    /// Number of rows.
    pub rows: usize,
    /// Whether the 8 rows of an invocation are stored `rows / 8` vec4s apart, so that neighbouring invocations read
    /// adjacent vec4s.
    pub interleaved: bool,
}

impl TileOrder {
    /// Index of the weight vec4 of a row and K block in `[rows/TM][steps][TM]`.
    pub fn weight(self, steps: usize, row: usize, step: usize) -> usize {
        let at = row % self.rows;
        let at = if self.interleaved { at % 8 * (self.rows / 8) + at / 8 } else { at };
        ((row / self.rows) * steps + step) * self.rows + at
    }
}

impl ConvPacking {
    /// Packed index of the element of an output channel, an input channel of the part and a tap.
    #[cfg(test)]
    pub(super) fn at(&self, o: usize, i: usize, t: usize) -> usize {
        let mut found = 0;
        let from = (o * self.weight_channels + self.first + i) * self.taps + t;
        self.copies(|to, input, at| {
            if (input, at) == (0, from) {
                found = to;
            }
        });
        found
    }

    pub(super) fn copies(&self, mut put: impl FnMut(usize, usize, usize)) {
        (0..self.out_channels).filter(|_| self.bias).for_each(|o| put(o, 1, o));
        let taps = self.taps;
        // One loop per order keeps the branch out of the innermost loop.
        match self.order {
            ConvOrder::Plain { blocks, bias } => self.each(put, |o, i, t| {
                let block = ((o / LANES) * blocks + i / LANES) * taps + t;
                bias + (block * LANES + i % LANES) * LANES + o % LANES
            }),
            ConvOrder::Gemm { tile, steps, channels, bias_blocks } => self.each(put, |o, i, t| {
                let k = t * channels + i;
                (bias_blocks + tile.weight(steps, o, k / LANES)) * LANES + k % LANES
            }),
            ConvOrder::Products { tile, steps, product, bias_blocks } => self.each(put, |o, i, t| {
                (bias_blocks + t * product + tile.weight(steps, o, i / LANES)) * LANES + i % LANES
            }),
            ConvOrder::Direct { outputs, side, blocks, bias_blocks } => self.each(put, |o, i, t| {
                let row = o % outputs;
                let row = row % side * (outputs / side) + row / side;
                let vec4 = (((o / outputs) * blocks + i / LANES) * taps + t) * outputs + row;
                (bias_blocks + vec4) * LANES + i % LANES
            }),
            ConvOrder::Head { classes, bias } => {
                self.each(put, |o, i, _| bias + (i / LANES * classes + o) * LANES + i % LANES);
            }
        }
    }

    fn each(&self, mut put: impl FnMut(usize, usize, usize), at: impl Fn(usize, usize, usize) -> usize) {
        for o in 0..self.out_channels {
            for i in 0..self.channels {
                let from = match self.weight_channels {
                    0 => (self.first + i) * self.out_channels + o,
                    channels => o * channels + self.first + i,
                };
                for t in 0..self.taps {
                    put(at(o, i, t), 0, from * self.taps + t);
                }
            }
        }
    }
}
