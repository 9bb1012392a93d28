//! The orders that convolutions' kernels read weights in.

use crate::tensor::LANES;
use serde::{Deserialize, Serialize};

/// A weight, or the part of it for some of its input channels, with the bias before it.
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
    /// Where elements go.
    pub order: ConvOrder,
}

/// Where an element goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ConvOrder {
    /// `[C_out/4][C_in/4][tap][4 input channels]` of vec4 over output channels.
    Plain {
        /// Input channels in fours.
        blocks: usize,
        /// Elements of the bias, in whole vec4s.
        bias: usize,
    },
    /// Tiles of a matrix product whose K goes over channels, then taps; of vec4 over K.
    Gemm {
        /// Rows of a tile.
        tile: TileOrder,
        /// Vec4s of K.
        steps: usize,
        /// Elements of K that a tap takes.
        channels: usize,
        /// Vec4s of the bias.
        bias_blocks: usize,
    },
    /// A matrix product for each tap.
    Products {
        /// Rows of a tile.
        tile: TileOrder,
        /// Vec4s of K.
        steps: usize,
        /// Vec4s of a product.
        product: usize,
        /// Vec4s of the bias.
        bias_blocks: usize,
    },
    /// `[C_out/outputs][C_in/4][tap][outputs]` of vec4 over input channels.
    Direct {
        /// Output channels side by side.
        outputs: usize,
        /// How many neighbours an invocation makes; they lie apart.
        side: usize,
        /// Input channels in fours.
        blocks: usize,
        /// Vec4s of the bias.
        bias_blocks: usize,
    },
    /// `[C_in/4][classes]` of vec4 over input channels.
    Head {
        /// Classes.
        classes: usize,
        /// Elements of the bias, in whole vec4s.
        bias: usize,
    },
}

/// The rows of a tile of a matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TileOrder {
    /// Their number.
    pub rows: usize,
    /// Whether neighbours lie side by side as invocations read them, each one's 8 rows apart.
    pub interleaved: bool,
}

impl TileOrder {
    /// Index of the weight vec4 of a row and step of K in `[rows/TM][steps][TM]`.
    pub fn weight(self, steps: usize, row: usize, step: usize) -> usize {
        let at = row % self.rows;
        let at = if self.interleaved { at % 8 * (self.rows / 8) + at / 8 } else { at };
        ((row / self.rows) * steps + step) * self.rows + at
    }
}

impl ConvPacking {
    /// Where the element of an output channel, an input channel of the part and a tap goes.
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
        // A loop for each order, so that none chooses in its innermost one.
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
