//! Concatenation of channels.

use super::{Backward, ChannelSlice, GraphBuilder, Lowering, Op, OpCase, ValueId, by_plane, output_shape};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, LANES, Shape, TensorDesc};

/// `torch.cat(inputs, dim=1)` of any number of inputs with equal N, H and W.
///
/// One copy per input. In networks a graph rewrite removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concat;

impl Op for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let Some(first) = inputs.first() else {
            return Err(Error::op(self.name(), "takes at least 1 input, got 0"));
        };
        let first = first.shape;
        for (i, x) in inputs.iter().enumerate() {
            if x.shape.with_c(first.c) != first {
                return Err(Error::op(
                    self.name(),
                    format!("input {i} is {}, input 0 is {first}: they may differ in channels only", x.shape),
                ));
            }
        }
        Ok(vec![TensorDesc::blocked(first.with_c(inputs.iter().map(|x| x.shape.c).sum()))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let out = output_shape(self, inputs)?;
        let shapes = inputs.iter().map(|x| x.shape()).collect::<Result<Vec<_>>>()?;
        Ok(vec![by_plane(out, |n, mut c, plane| {
            for (x, s) in inputs.iter().zip(&shapes) {
                if c < s.c {
                    let start = s.index(n, c, 0, 0);
                    plane.copy_from_slice(&x.data()[start..start + s.pixels()]);
                    return;
                }
                c -= s.c;
            }
        })])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let o = cx.output(0);
        let mut offset = 0;
        for i in 0..cx.inputs.len() {
            let c = cx.input(i).c;
            let shift = offset % LANES;
            let touched = o.with_c(shift + c);
            let Size { w, h, blocks, .. } = touched.into();
            let params = ConcatParams {
                x: cx.input_view(i),
                y: cx.output_view(0),
                w,
                h,
                blocks,
                in_blocks: c.div_ceil(LANES) as u32,
                first_block: (offset / LANES) as u32,
            };
            let kernel = KernelKey::new("concat").with("SHIFT", shift as u32);
            // An empty input with a shift would otherwise count as touching its first block.
            if c > 0 {
                cx.dispatch(kernel, params, [Operand::Input(i), Operand::Output(0)], Lowering::per_vec4(touched))?;
            }
            offset += c;
        }
        Ok(())
    }

    fn backward(&self, node: &Backward, builder: &mut dyn GraphBuilder) -> Result<Vec<Option<ValueId>>> {
        let Some(dy) = node.grad(0) else { return Ok(vec![None; node.inputs.len()]) };
        let mut first = 0;
        let mut grads = Vec::with_capacity(node.inputs.len());
        for (i, &input) in node.inputs.iter().enumerate() {
            let count = builder.desc(input).shape.c;
            let slice = ChannelSlice { first, count };
            grads.push(if node.needs_grad(i) { Some(builder.node("grad", slice, &[dy])?) } else { None });
            first += count;
        }
        Ok(grads)
    }
}

shader_struct! {
    /// Parameters of `concat`.
    struct ConcatParams {
        x: View,
        y: View,
        w: u32,
        h: u32,
        /// Blocks of y that are touched.
        blocks: u32,
        /// Blocks of x.
        in_blocks: u32,
        /// First block of y that is touched.
        first_block: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let case = |name: &str, channels: &[usize], s: Shape| {
        let shapes: Vec<_> = channels.iter().map(|&c| s.with_c(c)).collect();
        OpCase::new(format!("concat/{name}"), Concat, &shapes)
    };
    vec![
        case("multiples of four", &[8, 4], Shape::new(1, 0, 9, 20)),
        case("shift 1", &[5, 7], Shape::new(2, 0, 9, 11)),
        case("shift 2", &[2, 8, 3], Shape::new(2, 0, 5, 17)),
        case("shift 3", &[3, 2], Shape::new(2, 0, 9, 11)),
        case("several inputs in one block", &[1, 1, 1, 1, 1, 2], Shape::new(1, 0, 4, 3)),
        case("every shift, one pixel", &[4, 1, 5, 5, 6, 9], Shape::new(3, 0, 1, 1)),
        case("one input", &[6], Shape::new(1, 0, 3, 5)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_sizes_are_refused() {
        let x = [Shape::new(1, 2, 4, 5), Shape::new(1, 3, 4, 6)].map(TensorDesc::blocked);
        let e = Concat.infer(&x).unwrap_err().to_string();
        assert_eq!(e, "concat: input 1 is 1x3x4x6, input 0 is 1x2x4x5: they may differ in channels only");
        assert!(Concat.infer(&[]).is_err());
    }
}
