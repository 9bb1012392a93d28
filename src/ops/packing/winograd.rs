//! Order and transform of Winograd filters.

use super::{TileOrder, mismatch};
use crate::error::Result;
use crate::parallel::*;
use crate::tensor::{HostTensor, LANES};
use serde::{Deserialize, Serialize};

/// The transform: F(4, 3) needs the fewest multiplications, F(2, 3) less than half the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WinogradForm {
    /// Tiles of 4 x 4 outputs.
    F4,
    /// Tiles of 2 x 2 outputs.
    F2,
}

/// The filter transform's `G` (`G g Gt`) of F(4, 3) and F(2, 3).
const G4: &[[f64; 3]] = &[
    [0.25, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];
const G2: &[[f64; 3]] = &[[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

impl WinogradForm {
    /// Outputs per tile along an axis.
    pub const fn outputs(self) -> usize {
        match self {
            Self::F4 => 4,
            Self::F2 => 2,
        }
    }

    const fn g(self) -> &'static [[f64; 3]] {
        match self {
            Self::F4 => G4,
            Self::F2 => G2,
        }
    }

    /// Points of the transform, one GEMM each.
    pub const fn points(self) -> usize {
        self.g().len() * self.g().len()
    }
}

/// Order of the filters of a point: GEMM tiles, `[K/TM][C/4][TM]` of vec4.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WinogradOrder {
    /// Output channels.
    pub out_channels: usize,
    /// Rows of a tile.
    pub tile: TileOrder,
    /// Input channels / 4.
    pub steps: usize,
    /// Elements per point.
    pub size: usize,
    /// For each source: first channel in the weight, number of channels, and first channel among the padded ones.
    pub sources: Vec<(usize, usize, usize)>,
}

impl WinogradOrder {
    fn at(&self, o: usize, k: usize) -> usize {
        self.tile.weight(self.steps, o, k / LANES) * LANES + k % LANES
    }

    /// Calls `put` with the index of each filter in a point, and that of its first tap in the weight.
    pub(super) fn copies(&self, mut put: impl FnMut(usize, usize)) {
        let channels: usize = self.sources.iter().map(|s| s.1).sum();
        for o in 0..self.out_channels {
            for &(first, count, to) in &self.sources {
                (0..count).for_each(|c| put(self.at(o, to + c), (o * channels + first + c) * 9));
            }
        }
    }

    /// The transformed filters of `points` points from `first` on.
    pub(super) fn transform(
        &self,
        form: WinogradForm,
        first: usize,
        points: usize,
        weight: &HostTensor,
        packed: &mut [f32],
    ) -> Result<()> {
        let (g, shape) = (form.g(), weight.shape()?);
        let channels = self.sources.iter().map(|s| s.0 + s.1).max().unwrap_or(0);
        let largest = self.sources.iter().map(|s| (s.1 + s.2).saturating_sub(1)).max().unwrap_or(0);
        let tiles = self.out_channels.div_ceil(self.tile.rows.max(1));
        let inside = largest / LANES < self.steps && tiles * self.steps * self.tile.rows * LANES <= self.size;
        let fitting = (shape.n, shape.h * shape.w) == (self.out_channels, 9) && channels <= shape.c;
        if !inside || !fitting || packed.len() != points * self.size || first + points > form.points() {
            return Err(mismatch("a 3x3 weight"));
        }
        packed.par_chunks_mut(self.size).enumerate().for_each(|(i, packed)| {
            let (gy, gx) = (g[(first + i) / g.len()], g[(first + i) % g.len()]);
            for o in 0..shape.n {
                for &(first, channels, to) in &self.sources {
                    for c in 0..channels {
                        let w = &weight.data()[(o * shape.c + first + c) * 9..][..9];
                        let row = |y: usize| (0..3).map(|x| f64::from(w[y * 3 + x]) * gx[x]).sum::<f64>();
                        let value: f64 = (0..3).map(|y| gy[y] * row(y)).sum();
                        packed[self.at(o, to + c)] = value as f32;
                    }
                }
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Packing;

    /// In `f32`, element numbers would be exact up to 2^24 only.
    #[test]
    fn index_map_of_a_large_layer_is_exact() {
        let (outputs, channels, tile) = (2048, 1024, TileOrder { rows: 16, interleaved: false });
        let (steps, size) = (channels / LANES, outputs * channels);
        let order = WinogradOrder { out_channels: outputs, tile, steps, size, sources: vec![(0, channels, 0)] };
        let elements = outputs * channels * 9;
        assert!(elements > 1 << 24);
        let map = Packing::WinogradTaps(order.clone()).index_map(size, &[elements]).unwrap();
        for (o, i) in [(0, 0), (2047, 1023), (2047, 1022), (1900, 3), (2046, 1021)] {
            assert_eq!(map[order.at(o, i)] as usize, (o * channels + i) * 9 + 1);
        }
        let mut all = map;
        all.sort_unstable();
        assert!(all.iter().enumerate().all(|(i, &first)| first as usize == i * 9 + 1), "each filter once");
        let last = Packing::IndexMap { of: Box::new(Packing::WinogradTaps(order.clone())), inputs: vec![elements] };
        let packed = last.pack(size, &[]).unwrap();
        assert_eq!(packed[order.at(2047, 1023)].to_bits() as usize, elements - 8, "stored as words, not rounded");
    }
}
