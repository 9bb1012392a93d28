//! Dropout.

use super::random::{random, stream_of};
use super::{Backward, GraphBuilder, InputKind, Lowering, Op, OpCase, ValueId, by_plane, expect_inputs};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, Layout, Shape, TensorDesc};

/// `torch.nn.functional.dropout` in training mode: each element is zeroed with probability `p`, the others are divided
/// by `1 - p`. Inputs: x, and a seed, linear `[1, 4, 1, 1]`: 16-bit words, which are exact as `f32`. The random number
/// for an element is a hash of seed, `salt` and its index, so it is the same on every device. The gradient is the same
/// op on dy.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    /// Probability of zeroing an element, in 0 .. 1 without 1.
    pub p: f32,
    /// Distinguishes the dropouts of a network.
    pub salt: u32,
}

impl Dropout {
    /// Shape of the seed.
    pub const SEED: Shape = Shape::new(1, 4, 1, 1);

    /// The elements of a seed.
    pub fn seed(seed: u64) -> [f32; 4] {
        [0, 16, 32, 48].map(|shift| (seed >> shift & 0xffff) as f32)
    }

    fn threshold(&self) -> u32 {
        (f64::from(self.p) * 4_294_967_296.0) as u32
    }

    fn scale(&self) -> f32 {
        (1.0 / (1.0 - f64::from(self.p))) as f32
    }
}

impl Op for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, 2)?;
        if !(0.0..1.0).contains(&self.p) {
            return Err(Error::op(self.name(), format!("p is {}, not in 0 .. 1", self.p)));
        }
        if inputs[1].shape != Self::SEED || inputs[1].layout != Layout::Linear {
            return Err(Error::op(self.name(), format!("the seed is {:?}", inputs[1])));
        }
        Ok(vec![TensorDesc::blocked(inputs[0].shape)])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let (x, s) = (inputs[0], inputs[0].shape()?);
        let stream = stream_of(inputs[1].data(), self.salt);
        Ok(vec![by_plane(s, |n, c, plane| {
            let start = s.index(n, c, 0, 0);
            for (i, y) in plane.iter_mut().enumerate() {
                *y = if random(stream, (start + i) as u32) < self.threshold() {
                    0.0
                } else {
                    x.data()[start + i] * self.scale()
                };
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let o = cx.output(0);
        let params = DropoutParams {
            x: cx.input_view(0),
            y: cx.output_view(0),
            size: o.into(),
            salt: self.salt,
            threshold: self.threshold(),
            scale: self.scale(),
        };
        let bindings = [Operand::Input(0), Operand::Input(1), Operand::Output(0)];
        cx.dispatch(KernelKey::new("dropout"), params, bindings, Lowering::per_vec4(o))
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None, None]) };
        Ok(vec![Some(builder.node("grad", self.clone(), &[dy, node.inputs[1]])?), None])
    }
}

shader_struct! {
    /// Parameters of `dropout`.
    struct DropoutParams {
        x: View,
        y: View,
        size: Size,
        salt: u32,
        /// Elements with a random number below it are dropped.
        threshold: u32,
        scale: f32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, p: f32, s: Shape, seed: u64| {
        let mut case = OpCase::new(format!("dropout/{name}"), Dropout { p, salt: 7 }, &[s]);
        case.inputs.push((TensorDesc::linear(Dropout::SEED), InputKind::Fixed(Dropout::seed(seed).to_vec())));
        case
    };
    vec![
        case("half", 0.5, Shape::new(2, 5, 9, 11), 1),
        case("a tenth", 0.1, Shape::new(1, 8, 17, 33), 0xfedc_ba98_7654_3210),
        case("none", 0.0, Shape::new(1, 3, 2, 2), 3),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fraction_of_zeros_is_p_and_seeds_differ() {
        let x = HostTensor::from_fn(Shape::new(1, 4, 50, 50), |_, _, _, _| 1.0);
        let run = |salt: u32, seed: u64| {
            let seed = HostTensor::new([1, 4, 1, 1], Dropout::seed(seed).to_vec()).unwrap();
            Dropout { p: 0.3, salt }.reference(&[&x, &seed]).unwrap().remove(0)
        };
        let first = run(0, 0);
        let zeros = first.data().iter().filter(|v| **v == 0.0).count() as f64 / 10_000.0;
        assert!((zeros - 0.3).abs() < 0.02, "{zeros}");
        let mean = first.data().iter().sum::<f32>() / 10_000.0;
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        for (salt, seed) in [(1, 0), (0, 1), (0, 1 << 40)] {
            let other = run(salt, seed);
            let same = first.data().iter().zip(other.data()).filter(|(a, b)| a == b).count() as f64 / 10_000.0;
            assert!((same - 0.58).abs() < 0.03, "salt {salt}, seed {seed}: {same} of the elements are equal");
        }
    }
}
