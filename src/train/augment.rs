//! Random augmentation of training crops: parameters are drawn on the host, and graph nodes apply them on the device.

mod options;
mod range;

pub use options::{Augmentation, AugmentationPreset, Elastic, Simard};

use super::rng::Rng;
use crate::error::{Error, Result};
use crate::graph::{Graph, ValueId};
use crate::ops::{Border, DisplacementField, Dropout, Intensity, Interpolation, SimardField, Similarity, Warp};
use crate::tensor::{Shape, TensorDesc};

/// Names of the inputs that carry the drawn parameters.
const TRANSFORM: &str = "augment/transform";
const TRANSFORM_TARGET: &str = "augment/transform_target";
const DISPLACEMENT: &str = "augment/bend";
const INTENSITY: &str = "augment/change";
const SEED: &str = "augment/seed";

/// First random stream of augmentation; each crop has its own.
const STREAM: u64 = 1 << 40;
/// First random stream of [`Simard`] noise.
const NOISE: u64 = 1 << 50;

/// Augmentation of batches of `n` crops of `side` x `side` pixels. The network's output is smaller by `margin` on each
/// side.
#[derive(Clone, Debug)]
pub struct Augmenter {
    options: Augmentation,
    n: usize,
    side: usize,
    margin: usize,
    seed: u64,
    /// Whether crops arrive augmented, so that nothing is left to do on the device.
    on_host: bool,
}

/// Augmented crops: the inputs of the network and of its loss.
#[derive(Clone, Copy, Debug)]
pub struct Augmented {
    /// `[N, C, H, W]`.
    pub image: ValueId,
    /// `[N, P, H', W']`: the network's output size.
    pub target: ValueId,
    /// `[N, 1, H', W']`, like `target`.
    pub weight: Option<ValueId>,
}

impl Augmenter {
    /// Errors if an option is out of range, if `elastic` and `simard` are both set, or if an option works on the host only.
    pub fn new(options: Augmentation, n: usize, side: usize, margin: usize, seed: u64) -> Result<Self> {
        options.validate()?;
        if let Some(key) = options.host_only() {
            return Err(Error::invalid("augmentation", format!("`{key}` does not work on the device")));
        }
        Ok(Self { options, n, side, margin, seed, on_host: false })
    }

    /// For crops that are augmented on the host: adds no node, draws nothing. Targets and weights already have the size of
    /// the network's output.
    pub fn on_host(n: usize, side: usize, margin: usize) -> Self {
        Self { options: Augmentation::default(), n, side, margin, seed: 0, on_host: true }
    }

    /// The shape of a batch's target or weights with `planes` planes, before augmentation: the network's input size, or,
    /// augmented on the host, its output size.
    pub fn target_shape(&self, planes: usize) -> Shape {
        let side = if self.on_host { self.side - 2 * self.margin } else { self.side };
        Shape::new(self.n, planes, side, side)
    }

    fn warps(&self) -> bool {
        let o = &self.options;
        let displaced = o.elastic.is_some() || o.simard.is_some();
        let moves = displaced || o.flips || o.turns || o.rotate > 0.0 || o.scale != [1.0; 2] || o.shift > 0.0;
        !self.on_host && (moves || self.margin > 0)
    }

    fn changes(&self) -> bool {
        let Augmentation { gain, offset, gamma, noise, .. } = self.options;
        gain != [1.0; 2] || offset != [0.0; 2] || gamma != [1.0; 2] || noise[1] > 0.0
    }

    /// Rows and columns of the drawn displacement grid or noise.
    fn grid(&self) -> usize {
        match (self.options.simard, self.options.elastic) {
            (Some(_), _) => self.side,
            (None, elastic) => elastic.map_or(2, |e| e.grid),
        }
    }

    /// Adds the nodes. Image, target and weight share one displacement field; class ids are sampled by nearest
    /// neighbour.
    pub fn build(&self, g: &mut Graph, image: ValueId, target: ValueId, weight: Option<ValueId>) -> Result<Augmented> {
        let mut out = Augmented { image, target, weight };
        let linear = |g: &mut Graph, name: &str, shape: Shape| g.input(name, TensorDesc::linear(shape));
        if self.warps() {
            let drawn = linear(g, DISPLACEMENT, Shape::new(self.n, 2, self.grid(), self.grid()));
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
            let change = linear(g, INTENSITY, Shape::new(self.n, 4, 1, 1));
            let seed = linear(g, SEED, Dropout::SEED);
            out.image = g.node("augment.grey", Intensity { clip: false, salt: 0 }, &[out.image, change, seed])?;
        }
        Ok(out)
    }

    /// Draws the inputs, by name, for the batch whose first crop has the index `first` in the run. Depends on the seed
    /// and `first` alone.
    pub fn draw(&self, first: u64) -> Vec<(&'static str, Vec<f32>)> {
        let o = &self.options;
        let (mut whole, mut middle, mut displacements, mut changes) = (vec![], vec![], vec![], vec![]);
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
                    displacements
                        .extend((0..points).map(|_| if deformed { (2.0 * noise.uniform() - 1.0) as f32 } else { 0.0 }));
                }
                None => displacements.extend((0..points).map(|_| {
                    // Always drawn, so that later numbers of the stream do not depend on `deformed`.
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
            changes.push((o.noise[1] * rng.uniform()) as f32);
        }
        let mut inputs = Vec::new();
        if self.warps() {
            inputs.extend([(DISPLACEMENT, displacements), (TRANSFORM, whole), (TRANSFORM_TARGET, middle)]);
        }
        if self.changes() {
            let noise = Dropout::seed(self.seed.rotate_left(32) ^ first).to_vec();
            inputs.extend([(INTENSITY, changes), (SEED, noise)]);
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
    fn image_and_target_stay_aligned() {
        check_aligned(Augmentation { gain: [1.0; 2], ..all() });
        let deformed = check_aligned(blurred(40.0, 1.0));
        let undeformed = check_aligned(blurred(40.0, 0.0));
        assert_eq!(undeformed, check_aligned(blurred(0.0, 1.0)));
        assert_ne!(undeformed, deformed);
    }

    /// [`all`] with Simard deformation.
    fn blurred(alpha: f64, probability: f64) -> Augmentation {
        let simard = Some(Simard { alpha, sigma: 3.0, probability });
        Augmentation { gain: [1.0; 2], elastic: None, simard, ..all() }
    }

    /// Checks that image and target are warped alike; returns the image.
    fn check_aligned(options: Augmentation) -> HostTensor {
        // A checkerboard whose intensity is its class: the warped image and target must agree.
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
    fn crops_from_the_host_pass_unchanged() {
        let augmenter = Augmenter::on_host(2, 24, 4);
        assert_eq!(augmenter.target_shape(6), Shape::new(2, 6, 16, 16));
        assert!(augmenter.draw(5).is_empty());
        let mut g = Graph::new();
        let image = g.input("image", TensorDesc::linear(Shape::new(2, 1, 24, 24)));
        let target = g.input("target", TensorDesc::linear(augmenter.target_shape(6)));
        let out = augmenter.build(&mut g, image, target, None).unwrap();
        assert_eq!((out.image, out.target), (image, target));
        let device = Augmenter::new(all(), 2, 24, 4, 0).unwrap();
        assert_eq!(device.target_shape(1), Shape::new(2, 1, 24, 24));
        let e = Augmenter::new(Augmentation { blur: [0.0, 1.0], ..all() }, 2, 24, 4, 0).unwrap_err().to_string();
        assert_eq!(e, "augmentation: `blur` does not work on the device");
    }
}
