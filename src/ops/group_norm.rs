//! Group normalisation.

use super::norm_groups::lower_groups;
use super::normalise::infer_affine;
use super::{InputKind, Lowering, Op, OpCase, Spatial, expect_inputs, map_elements};
use crate::error::{Error, Result};
use crate::tensor::{HostTensor, Shape, TensorDesc};

/// `torch.nn.GroupNorm`: normalises each group of adjacent channels of each image by its mean and biased variance.
/// Inputs: x `[N, C, H, W]`, then gamma and beta `[C]` if `affine`. One group is `LayerNorm` over channels, rows and
/// columns.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupNorm {
    /// Number of groups; divides the channels.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f32,
    /// Scale by gamma and add beta.
    pub affine: bool,
}

impl Op for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        expect_inputs(self.name(), inputs, if self.affine { 3 } else { 1 })?;
        let c = inputs[0].shape.c;
        if self.groups == 0 || !c.is_multiple_of(self.groups) {
            return Err(Error::op(self.name(), format!("{} groups of {c} channels", self.groups)));
        }
        Ok(vec![infer_affine(self.name(), self.eps, self.affine, inputs)?])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let descs = inputs.iter().map(|t| t.shape().map(TensorDesc::blocked)).collect::<Result<Vec<_>>>()?;
        let s = self.infer(&descs)?[0].shape;
        let len = s.c / self.groups * s.pixels();
        let statistics: Vec<(f64, f64)> = inputs[0]
            .data()
            .chunks_exact(len)
            .map(|group| {
                let mean = group.iter().map(|&v| f64::from(v)).sum::<f64>() / len as f64;
                (mean, group.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / len as f64)
            })
            .collect();
        let affine = |i: usize, c: usize, otherwise: f64| inputs.get(i).map_or(otherwise, |p| f64::from(p.data()[c]));
        let y = map_elements(inputs[0], |n, c, v| {
            let (mean, var) = statistics[n * self.groups + c / (s.c / self.groups)];
            let hat = (f64::from(v) - mean) / (var + f64::from(self.eps)).sqrt();
            (hat * affine(1, c, 1.0) + affine(2, c, 0.0)) as f32
        })?;
        Ok(vec![y])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        lower_groups(cx, self.groups, self.eps)
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Global("group norm averages over the whole image")
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, groups: usize, affine: bool, s: Shape| {
        let op = GroupNorm { groups, eps: 1e-5, affine };
        let case = OpCase::new(format!("group_norm/{name}"), op, &[s]);
        if !affine {
            return case;
        }
        case.parameter(&[s.c], InputKind::Positive).parameter(&[s.c], InputKind::Parameter)
    };
    vec![
        case("groups across blocks", 3, true, Shape::new(2, 9, 7, 11)),
        case("groups inside a block", 6, true, Shape::new(1, 12, 5, 6)),
        case("whole blocks", 2, true, Shape::new(2, 16, 9, 10)),
        case("one group, not affine", 1, false, Shape::new(2, 5, 17, 16)),
        case("a group a channel, several bands", 5, true, Shape::new(1, 5, 151, 173)),
        case("several bands", 2, true, Shape::new(1, 10, 131, 140)),
        case("one pixel", 2, false, Shape::new(2, 6, 1, 1)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_must_divide_the_channels() {
        let x = [TensorDesc::blocked(Shape::new(1, 6, 3, 3))];
        let op = |groups| GroupNorm { groups, eps: 1e-5, affine: false };
        assert!(op(3).infer(&x).is_ok());
        assert_eq!(op(4).infer(&x).unwrap_err().to_string(), "group_norm: 4 groups of 6 channels");
        assert!(op(0).infer(&x).is_err());
    }
}
