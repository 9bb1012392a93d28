//! Random changes of training crops: what is drawn on the host for each, and the nodes that apply it on the device.

use super::rng::Rng;
use crate::error::{Error, Result};
use crate::graph::{Graph, ValueId};
use crate::ops::{
    Border, DisplacementField, Dropout, Intensity, Interpolation, MAX_SIGMA, SimardField, Similarity, Warp,
};
use crate::tensor::{Shape, TensorDesc};
use serde::{Deserialize, Serialize};

/// What changes at random. The default is nothing; `a..b` are uniform ranges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Elastic deformation by displacements of a coarse grid (U-Net, section 3.1).
    pub elastic: Option<Elastic>,
    /// Elastic deformation by blurred noise, in place of `elastic`.
    pub simard: Option<Simard>,
    /// Mirror rows and columns, each half of the time.
    pub flips: bool,
    /// Turn by 0, 90, 180 or 270 degrees; crops must be square.
    pub turns: bool,
    /// Turn by up to this angle either way, degrees.
    pub rotate: f64,
    /// Enlarge by a factor in this range.
    pub scale: [f64; 2],
    /// Shift by up to this many pixels on each axis.
    pub shift: f64,
    /// Multiply grey values by a factor in this range.
    pub gain: [f64; 2],
    /// Add to grey values, in this range.
    pub offset: [f64; 2],
    /// Raise grey values to a power in this range.
    pub gamma: [f64; 2],
    /// Standard deviation of noise, up to this.
    pub noise: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            elastic: None,
            simard: None,
            flips: false,
            turns: false,
            rotate: 0.0,
            scale: [1.0; 2],
            shift: 0.0,
            gain: [1.0; 2],
            offset: [0.0; 2],
            gamma: [1.0; 2],
            noise: 0.0,
        }
    }
}

/// Elastic deformation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Elastic {
    /// Standard deviation of the displacements, pixels.
    pub std: f64,
    /// Control points along an axis.
    pub grid: usize,
    /// Share of the crops that are deformed.
    pub probability: f64,
}

impl Default for Elastic {
    /// The paper's.
    fn default() -> Self {
        Self { std: 10.0, grid: 3, probability: 1.0 }
    }
}

/// Elastic deformation of Simard, Steinkraus and Platt (2003): noise from -1 to 1 a pixel, blurred, times `alpha`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Simard {
    /// Strength, pixels before the blur.
    pub alpha: f64,
    /// Standard deviation of the blur, pixels.
    pub sigma: f64,
    /// Share of the crops that are deformed.
    pub probability: f64,
}

impl Default for Simard {
    /// The paper's, for digits of 29 x 29 pixels.
    fn default() -> Self {
        Self { alpha: 34.0, sigma: 4.0, probability: 1.0 }
    }
}

/// Names of the inputs that carry what was drawn.
const TRANSFORM: &str = "augment/transform";
const TRANSFORM_TARGET: &str = "augment/transform_target";
const BEND: &str = "augment/bend";
const CHANGE: &str = "augment/change";
const SEED: &str = "augment/seed";

/// The first stream of random numbers for augmentation; one a crop follows.
const STREAM: u64 = 1 << 40;
/// The same for the noise of [`Simard`].
const NOISE: u64 = 1 << 50;

/// Augmentation of batches of `n` crops of `side` rows and columns, of which a network loses `margin` on each side.
#[derive(Clone, Debug)]
pub struct Augmenter {
    options: Augmentation,
    n: usize,
    side: usize,
    margin: usize,
    seed: u64,
}

/// Crops as a network takes them.
#[derive(Clone, Copy, Debug)]
pub struct Augmented {
    /// `[N, C, H, W]`.
    pub image: ValueId,
    /// `[N, 1, H', W']`, the size of the network's output.
    pub target: ValueId,
    /// The same size.
    pub weight: Option<ValueId>,
}

impl Augmenter {
    /// Fails on values that are impossible.
    pub fn new(options: Augmentation, n: usize, side: usize, margin: usize, seed: u64) -> Result<Self> {
        let o = &options;
        let elastic = o
            .elastic
            .is_none_or(|e| e.std >= 0.0 && (2..=64).contains(&e.grid) && (0.0..=1.0).contains(&e.probability));
        let simard = o.simard.is_none_or(|e| {
            e.alpha.is_finite() && e.sigma > 0.0 && e.sigma <= MAX_SIGMA && (0.0..=1.0).contains(&e.probability)
        });
        let ordered =
            [o.scale, o.gain, o.offset, o.gamma].iter().all(|[a, b]| a <= b && a.is_finite() && b.is_finite());
        let positive = o.scale[0] > 0.0 && o.gamma[0] > 0.0 && o.noise >= 0.0 && o.rotate >= 0.0 && o.shift >= 0.0;
        if !elastic || !simard || !ordered || !positive {
            return Err(Error::invalid("augmentation", format!("{o:?} has an impossible value")));
        }
        if o.elastic.is_some() && o.simard.is_some() {
            return Err(Error::invalid("augmentation", "`elastic` and `simard` are two ways of bending: choose one"));
        }
        Ok(Self { options, n, side, margin, seed })
    }

    fn warps(&self) -> bool {
        let o = &self.options;
        let displaces = o.elastic.is_some() || o.simard.is_some();
        let moves = displaces || o.flips || o.turns || o.rotate > 0.0 || o.scale != [1.0; 2] || o.shift > 0.0;
        moves || self.margin > 0
    }

    fn changes(&self) -> bool {
        let Augmentation { gain, offset, gamma, noise, .. } = self.options;
        gain != [1.0; 2] || offset != [0.0; 2] || gamma != [1.0; 2] || noise > 0.0
    }

    /// Rows and columns of what is drawn to bend by.
    fn grid(&self) -> usize {
        match (self.options.simard, self.options.elastic) {
            (Some(_), _) => self.side,
            (None, elastic) => elastic.map_or(2, |e| e.grid),
        }
    }

    /// Adds the nodes; image, target and weight by one field, class ids by nearest pixels.
    pub fn build(&self, g: &mut Graph, image: ValueId, target: ValueId, weight: Option<ValueId>) -> Result<Augmented> {
        let mut out = Augmented { image, target, weight };
        let linear = |g: &mut Graph, name: &str, shape: Shape| g.input(name, TensorDesc::linear(shape));
        if self.warps() {
            let drawn = linear(g, BEND, Shape::new(self.n, 2, self.grid(), self.grid()));
            let (displacement, kind) = match self.options.simard {
                None => (drawn, DisplacementField::Grid),
                Some(Simard { alpha, sigma, .. }) => {
                    let field = SimardField { alpha: alpha as f32, sigma: sigma as f32 };
                    (g.node("augment.field", field, &[drawn])?, DisplacementField::Field)
                }
            };
            let whole = linear(g, TRANSFORM, Shape::new(self.n, 8, 1, 1));
            let middle = linear(g, TRANSFORM_TARGET, Shape::new(self.n, 8, 1, 1));
            let warp = |side: usize, interpolation| Warp {
                h: side,
                w: side,
                interpolation,
                border: Border::Mirror,
                a: -0.5,
                displacement: kind,
            };
            let output = self.side - 2 * self.margin;
            out.image =
                g.node("augment.image", warp(self.side, Interpolation::Bilinear), &[image, whole, displacement])?;
            out.target =
                g.node("augment.target", warp(output, Interpolation::Nearest), &[target, middle, displacement])?;
            if let Some(w) = weight {
                let op = warp(output, Interpolation::Bilinear);
                out.weight = Some(g.node("augment.weight", op, &[w, middle, displacement])?);
            }
        }
        if self.changes() {
            let change = linear(g, CHANGE, Shape::new(self.n, 4, 1, 1));
            let seed = linear(g, SEED, Dropout::SEED);
            out.image = g.node("augment.grey", Intensity { clip: false, salt: 0 }, &[out.image, change, seed])?;
        }
        Ok(out)
    }

    /// What is drawn for the batch whose first crop is number `first` of all: inputs by name. A function of the seed and
    /// that number alone.
    pub fn draw(&self, first: u64) -> Vec<(&'static str, Vec<f32>)> {
        let o = &self.options;
        let (mut whole, mut middle, mut displaces, mut changes) = (vec![], vec![], vec![], vec![]);
        for crop in first..first + self.n as u64 {
            let mut rng = Rng::new(self.seed, STREAM + crop);
            let within = |rng: &mut Rng, [a, b]: [f64; 2]| a + (b - a) * rng.uniform();
            let deformed = o.elastic.is_some_and(|e| rng.uniform() < e.probability);
            let std = o.elastic.map_or(0.0, |e| e.std);
            let points = 2 * self.grid() * self.grid();
            match o.simard {
                Some(e) => {
                    let deformed = rng.uniform() < e.probability;
                    let mut noise = Rng::new(self.seed, NOISE + crop);
                    displaces
                        .extend((0..points).map(|_| if deformed { (2.0 * noise.uniform() - 1.0) as f32 } else { 0.0 }));
                }
                None => displaces.extend((0..points).map(|_| {
                    // Drawn in any case: what follows does not depend on it.
                    let displacement = std * rng.normal();
                    if deformed { displacement as f32 } else { 0.0 }
                })),
            }
            let turns = if o.turns { rng.below(4) as f64 } else { 0.0 };
            let flip = [0, 1].map(|_| o.flips && rng.uniform() < 0.5);
            let angle = turns * std::f64::consts::FRAC_PI_2 + within(&mut rng, [-o.rotate, o.rotate]).to_radians();
            let scale = within(&mut rng, o.scale);
            let shift = [0, 1].map(|_| within(&mut rng, [-o.shift, o.shift]));
            let words = Similarity { angle, scale, shift, flip }.words(self.side, self.side);
            whole.extend(words);
            // The target's pixel (0, 0) is the image's (margin, margin).
            let mut inner = words;
            for row in [0, 3] {
                inner[row + 2] += self.margin as f32 * (inner[row] + inner[row + 1]);
            }
            middle.extend(inner);
            changes.extend([o.gain, o.offset, o.gamma].map(|range| within(&mut rng, range) as f32));
            changes.push((o.noise * rng.uniform()) as f32);
        }
        let mut inputs = Vec::new();
        if self.warps() {
            inputs.extend([(BEND, displaces), (TRANSFORM, whole), (TRANSFORM_TARGET, middle)]);
        }
        if self.changes() {
            let noise = Dropout::seed(self.seed.rotate_left(32) ^ first).to_vec();
            inputs.extend([(CHANGE, changes), (SEED, noise)]);
        }
        inputs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::HostTensor;
    use std::collections::BTreeMap;

    fn all() -> Augmentation {
        Augmentation {
            elastic: Some(Elastic { std: 2.0, grid: 3, probability: 0.5 }),
            flips: true,
            turns: true,
            gain: [0.7, 1.3],
            ..Augmentation::default()
        }
    }

    #[test]
    fn image_and_target_stay_together() {
        stay_together(Augmentation { gain: [1.0; 2], ..all() });
        let bent = stay_together(blurred(40.0, 1.0));
        let still = stay_together(blurred(40.0, 0.0));
        assert_eq!(still, stay_together(blurred(0.0, 1.0)));
        assert_ne!(still, bent);
    }

    /// Bent by blurred noise, else as [`all`].
    fn blurred(alpha: f64, probability: f64) -> Augmentation {
        let simard = Some(Simard { alpha, sigma: 3.0, probability });
        Augmentation { gain: [1.0; 2], elastic: None, simard, ..all() }
    }

    /// The augmented image.
    fn stay_together(options: Augmentation) -> HostTensor {
        // An image whose grey value is its class, in large squares: away from their edges both must agree.
        let (n, side, margin) = (3, 24, 4);
        let augmenter = Augmenter::new(options, n, side, margin, 5).unwrap();
        let mut g = Graph::new();
        let shape = Shape::new(n, 1, side, side);
        let [image, target] = ["image", "target"].map(|name| g.input(name, TensorDesc::linear(shape)));
        let out = augmenter.build(&mut g, image, target, None).unwrap();
        g.output("y", out.image);
        g.output("t", out.target);
        let image = HostTensor::from_fn(shape, |_, _, y, x| f32::from(u8::from((y / 8 + x / 8) % 2 == 1)));
        let mut inputs = BTreeMap::from([("image".to_string(), image.clone()), ("target".to_string(), image)]);
        for (name, data) in augmenter.draw(11) {
            let id = g.inputs().find(|i| i.0 == name).unwrap().1;
            inputs.insert(name.into(), HostTensor::new(g.shape(id).dims(), data).unwrap());
        }
        let out = g.run_reference(&inputs, |_, _| unreachable!(), |_, _| Ok(())).unwrap();
        let (y, t) = (&out["y"], &out["t"]);
        assert_eq!(t.dims(), [n, 1, side - 2 * margin, side - 2 * margin]);
        let (s, inner) = (y.shape().unwrap(), t.shape().unwrap());
        for i in 0..inner.len() {
            let (image, at) = (i / inner.pixels(), i % inner.pixels());
            let grey = y.data()[s.index(image, 0, at / inner.w + margin, at % inner.w + margin)];
            assert_eq!(f32::from(u8::from(grey > 0.5)), t.data()[i], "{i}: {grey}");
        }
        y.clone()
    }

    #[test]
    fn draws_depend_on_seed_and_crop_alone() {
        let augmenter = |n, seed| Augmenter::new(all(), n, 32, 0, seed).unwrap();
        let both = augmenter(2, 1).draw(6);
        let single = augmenter(1, 1).draw(7);
        for ((name, two), (_, one)) in both.iter().zip(&single).filter(|p| p.0.0 != SEED) {
            assert_eq!(two[two.len() / 2..], one[..], "{name}");
        }
        assert_ne!(augmenter(2, 2).draw(6), both);
    }

    #[test]
    fn impossible_values_are_refused() {
        for wrong in [
            Augmentation { scale: [0.0, 1.0], ..all() },
            Augmentation { gain: [1.2, 0.8], ..all() },
            Augmentation { elastic: Some(Elastic { grid: 1, ..Elastic::default() }), ..all() },
            Augmentation { simard: Some(Simard { sigma: 0.0, ..Simard::default() }), elastic: None, ..all() },
            // Both.
            Augmentation { simard: Some(Simard::default()), ..all() },
        ] {
            assert!(Augmenter::new(wrong, 1, 32, 0, 0).is_err());
        }
    }
}
