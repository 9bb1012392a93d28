//! The order in which kernels read weights, as plain data. It is evaluated when a session is created, or, where weights
//! change from run to run, applied by the device as an index map.

mod convolution;
mod winograd;

pub use convolution::{ConvOrder, ConvPacking, TileOrder};
pub use winograd::{WinogradForm, WinogradOrder};

use super::fold::batch_norm_coefficients;
use crate::error::{Error, Result};
use crate::tensor::{BlockedLayout, HostTensor, LANES, Shape};
use serde::{Deserialize, Serialize};

/// How a kernel's weights are computed from a node's inputs. Elements without a source are zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Packing {
    /// Constants that do not depend on parameters.
    Constants(#[serde(with = "crate::tensor::bits")] Vec<f32>),
    /// The given number of leading elements of the first input, unchanged; 0 if there is no input.
    Copied(usize),
    /// The bias, which is the second input, or zeros; then the first input, unchanged.
    BiasFirst {
        /// Elements of the bias.
        outputs: usize,
        /// Whether there is a bias.
        bias: bool,
        /// Elements of the weight.
        weight: usize,
    },
    /// A tensor of the given shape in the device layout.
    Blocked(Shape),
    /// A factor and an offset per channel, in alternating vec4s.
    Pairs {
        /// Channels.
        channels: usize,
        /// Input that holds the factors; they are 1 if absent.
        factors: Option<usize>,
        /// Input that holds the offsets; they are 0 if absent.
        offsets: Option<usize>,
    },
    /// [`Packing::Pairs`] of a batch normalisation, from its weight, bias, mean and variance.
    BatchNorm {
        /// Channels.
        channels: usize,
        /// Added to the variance.
        eps: f32,
    },
    /// Weight and bias of a convolution in the order of one of its kernels.
    Convolution(ConvPacking),
    /// Transformed Winograd filters for a range of points.
    WinogradFilters {
        /// The transform.
        form: WinogradForm,
        /// Order of the filters.
        order: WinogradOrder,
        /// First point.
        first: usize,
        /// Number of points.
        points: usize,
    },
    /// The first tap of each filter at the position of that filter, so that the index map gives where each filter
    /// begins.
    WinogradTaps(WinogradOrder),
    /// The index map of another packing, as words: the index of the source of each element, counted from 1 across all
    /// inputs; 0 for none.
    IndexMap {
        /// The packing that it maps.
        of: Box<Packing>,
        /// Number of elements of each input.
        inputs: Vec<usize>,
    },
}

impl Packing {
    /// Pairs of a factor and an offset from the first two of `inputs` inputs, where they exist.
    pub(super) fn affine(channels: usize, inputs: usize) -> Self {
        let present = |i: usize| (i < inputs).then_some(i);
        Self::Pairs { channels, factors: present(0), offsets: present(1) }
    }

    /// Length of [`Packing::Pairs`].
    pub(super) const fn pairs_len(channels: usize) -> usize {
        channels.div_ceil(LANES) * 2 * LANES
    }

    /// The `len` packed elements.
    pub fn pack(&self, len: usize, inputs: &[&HostTensor]) -> Result<Vec<f32>> {
        let mut packed = vec![0.0; len];
        match self {
            Self::Constants(numbers) => copy(&mut packed, numbers)?,
            Self::BatchNorm { channels, eps } => {
                let [gamma, beta, mean, var] = inputs else { return Err(mismatch("four parameters")) };
                let parameters = [gamma.data(), beta.data(), mean.data(), var.data()];
                let pairs = batch_norm_coefficients(*eps, parameters)?;
                for (c, (factor, offset)) in pairs.into_iter().take(*channels).enumerate() {
                    let at = pair(c);
                    *packed.get_mut(at).ok_or_else(|| mismatch("the channels"))? = factor as f32;
                    *packed.get_mut(at + LANES).ok_or_else(|| mismatch("the channels"))? = offset as f32;
                }
            }
            Self::WinogradFilters { form, order, first, points } => {
                let weight = inputs.first().ok_or_else(|| mismatch("a weight"))?;
                order.transform(*form, *first, *points, weight, &mut packed)?;
            }
            Self::IndexMap { of, inputs } => {
                let map = of.index_map(len, inputs)?;
                packed = map.into_iter().map(f32::from_bits).collect();
            }
            _ => {
                if let Self::Pairs { channels, factors: None, .. } = self {
                    for c in 0..*channels {
                        *packed.get_mut(pair(c)).ok_or_else(|| mismatch("the channels"))? = 1.0;
                    }
                }
                let mut outside = false;
                self.copies(|to, input, from| {
                    let element = inputs.get(input).and_then(|t| t.data().get(from));
                    match (packed.get_mut(to), element) {
                        (Some(to), Some(v)) => *to = *v,
                        _ => outside = true,
                    }
                });
                if outside {
                    return Err(mismatch("their order"));
                }
            }
        }
        Ok(packed)
    }

    /// The source of each of `len` packed elements, counted from 1 across all inputs; 0 for none. Fails if the packing
    /// computes values.
    pub fn index_map(&self, len: usize, inputs: &[usize]) -> Result<Vec<u32>> {
        if u32::try_from(inputs.iter().sum::<usize>()).is_err() {
            return Err(Error::op("packed weights", format!("{inputs:?} elements are more than u32 can index")));
        }
        let starts: Vec<usize> = inputs
            .iter()
            .scan(0, |at, n| {
                *at += n;
                Some(*at - n)
            })
            .collect();
        let mut map = vec![0; len];
        let mut outside = false;
        let copies = self.copies(|to, input, from| match (map.get_mut(to), starts.get(input)) {
            (Some(to), Some(start)) if from < inputs[input] => *to = (start + from + 1) as u32,
            _ => outside = true,
        });
        match (copies, outside) {
            (true, false) => Ok(map),
            (true, true) => Err(mismatch("their order")),
            (false, _) => {
                Err(Error::op("packed weights", "cannot be computed from weights that change from run to run"))
            }
        }
    }

    /// Whether it only copies elements, and so has an index map.
    pub fn is_copy(&self) -> bool {
        match self {
            Self::Copied(_) | Self::BiasFirst { .. } | Self::Blocked(_) => true,
            Self::Convolution(_) | Self::WinogradTaps(_) => true,
            Self::Pairs { factors, .. } => factors.is_some(),
            Self::Constants(_) | Self::BatchNorm { .. } | Self::WinogradFilters { .. } | Self::IndexMap { .. } => false,
        }
    }

    /// Calls `put` with the index of every packed element, its input, and its index there. False if the packing does
    /// not only copy.
    fn copies(&self, mut put: impl FnMut(usize, usize, usize)) -> bool {
        match self {
            Self::Copied(count) => (0..*count).for_each(|i| put(i, 0, i)),
            Self::BiasFirst { outputs, bias, weight } => {
                (0..*outputs).filter(|_| *bias).for_each(|i| put(i, 1, i));
                (0..*weight).for_each(|i| put(outputs + i, 0, i));
            }
            Self::Blocked(shape) => {
                let layout = BlockedLayout::new(*shape);
                for at in 0..shape.len() {
                    let (plane, pixel) = (at / shape.pixels(), at % shape.pixels());
                    let [n, c, y, x] = [plane / shape.c, plane % shape.c, pixel / shape.w, pixel % shape.w];
                    put(layout.element(n, c, y, x), 0, at);
                }
            }
            Self::Pairs { channels, factors, offsets } => {
                for c in 0..*channels {
                    factors.iter().for_each(|i| put(pair(c), *i, c));
                    offsets.iter().for_each(|i| put(pair(c) + LANES, *i, c));
                }
                return factors.is_some();
            }
            Self::Convolution(packing) => packing.copies(put),
            Self::WinogradTaps(order) => order.copies(|to, from| put(to, 0, from)),
            Self::Constants(_) | Self::BatchNorm { .. } | Self::WinogradFilters { .. } | Self::IndexMap { .. } => {
                return false;
            }
        }
        true
    }
}

/// Index of a channel's factor; its offset is one vec4 further.
fn pair(c: usize) -> usize {
    c / LANES * 2 * LANES + c % LANES
}

fn copy(to: &mut [f32], from: &[f32]) -> Result<()> {
    to.get_mut(..from.len()).ok_or_else(|| mismatch("the constants"))?.copy_from_slice(from);
    Ok(())
}

fn mismatch(what: &str) -> Error {
    Error::op("packed weights", format!("do not fit {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_maps_match_packing() {
        let tile = TileOrder { rows: 16, interleaved: true };
        let conv = ConvPacking {
            out_channels: 10,
            channels: 6,
            taps: 9,
            bias: true,
            weight_channels: 8,
            first: 2,
            order: ConvOrder::Gemm { tile, steps: 18, channels: 8, bias_blocks: 3 },
        };
        let packings = [
            (Packing::Convolution(conv), 4 * (3 + 18 * 16), vec![10 * 8 * 9, 10]),
            (Packing::BiasFirst { outputs: 3, bias: true, weight: 5 }, 8, vec![5, 3]),
            (Packing::Blocked(Shape::new(2, 5, 2, 3)), 2 * 2 * 4 * 5 * 4, vec![60]),
            (Packing::affine(5, 2), 16, vec![5, 5]),
            (Packing::Copied(5), 8, vec![5]),
        ];
        for (packing, len, counts) in packings {
            let inputs: Vec<HostTensor> = counts
                .iter()
                .scan(0, |at, &n| {
                    *at += n;
                    Some(HostTensor::new([n], (*at - n..*at).map(|v| v as f32 + 0.5).collect()).unwrap())
                })
                .collect();
            let all: Vec<f32> = inputs.iter().flat_map(|t| t.data().to_vec()).collect();
            let packed = packing.pack(len, &inputs.iter().collect::<Vec<_>>()).unwrap();
            let map = packing.index_map(len, &counts).unwrap();
            let followed: Vec<f32> = map.iter().map(|&i| if i == 0 { 0.0 } else { all[i as usize - 1] }).collect();
            assert_eq!(packed, followed, "{packing:?}");
            assert!(map.iter().filter(|&&i| i > 0).count() >= 5, "{packing:?}");
            let text = serde_json::to_string(&packing).unwrap();
            assert_eq!(serde_json::from_str::<Packing>(&text).unwrap(), packing);
        }
    }

    /// `f32` is exact only up to 2^24.
    #[test]
    fn index_map_of_a_large_layer() {
        let (outputs, channels, taps) = (2048, 1024, 9);
        let conv = ConvPacking {
            out_channels: outputs,
            channels,
            taps,
            bias: true,
            weight_channels: channels,
            first: 0,
            order: ConvOrder::Plain { blocks: channels / LANES, bias: outputs },
        };
        let elements = outputs * channels * taps;
        assert!(elements > 1 << 24);
        let map = Packing::Convolution(conv.clone()).index_map(outputs + elements, &[elements, outputs]).unwrap();
        for (o, i, t) in [(0, 0, 0), (2047, 1023, 8), (2047, 1023, 7), (1900, 3, 5), (2046, 1022, 1)] {
            assert_eq!(map[conv.at(o, i, t)] as usize, (o * channels + i) * taps + t + 1);
        }
        assert_eq!(map[2047] as usize, elements + 2048, "the last bias");
        let mut seen = vec![false; elements + outputs];
        map.iter().for_each(|&i| assert!(!std::mem::replace(&mut seen[i as usize - 1], true)));
        assert!(seen.iter().all(|&s| s));
    }

    #[test]
    fn pairs_alternate_per_block() {
        let tensor = |from: f32| HostTensor::new([5], (0..5).map(|i| from + i as f32).collect()).unwrap();
        let packed = Packing::affine(5, 2).pack(16, &[&tensor(0.0), &tensor(10.0)]).unwrap();
        assert_eq!(packed, [0., 1., 2., 3., 10., 11., 12., 13., 4., 0., 0., 0., 14., 0., 0., 0.]);
        let none = Packing::affine(5, 0).pack(16, &[]).unwrap();
        assert_eq!(none, [1., 1., 1., 1., 0., 0., 0., 0., 1., 0., 0., 0., 0., 0., 0., 0.]);
    }

    #[test]
    fn computed_packings_have_no_index_map() {
        assert!(Packing::BatchNorm { channels: 4, eps: 1e-5 }.index_map(8, &[4; 4]).is_err());
        assert!(Packing::Copied(9).index_map(8, &[9]).is_err(), "a place outside");
        assert!(Packing::Copied(8).pack(8, &[]).is_err(), "an input that is missing");
    }
}
