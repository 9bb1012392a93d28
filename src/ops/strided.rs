//! Strided copies: how slices, transposes, reshapes and pixel shuffles are lowered.

use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::Lowering;
use crate::tensor::Shape;

/// Maximum number of axes in the kernel.
const AXES: usize = 8;

/// `y` as a strided view of `x`, both in NCHW order: element `(i0, i1, ..)` of `dims` is element
/// `offset + i0 * strides[0] + i1 * strides[1] + ..` of x. The product of `dims` is the number of elements of y.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Strided {
    pub dims: Vec<usize>,
    pub strides: Vec<i64>,
    pub offset: usize,
}

impl Strided {
    /// A tensor of `dims` with its axes permuted.
    pub(super) fn permuted(dims: &[usize], order: &[usize]) -> Self {
        let mut strides = vec![1i64; dims.len()];
        for i in (1..dims.len()).rev() {
            strides[i - 1] = strides[i] * dims[i] as i64;
        }
        let [dims, strides] = [dims.iter().map(|&d| d as i64).collect(), strides]
            .map(|all: Vec<i64>| order.iter().map(|&axis| all[axis]).collect::<Vec<i64>>());
        Self { dims: dims.into_iter().map(|d| d as usize).collect(), strides, offset: 0 }
    }

    /// The dispatch that computes output 0 from input 0.
    pub(super) fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (s, o) = (cx.input(0), cx.output(0));
        if self.dims.len() > AXES {
            let what = format!("{} ({s} to {o})", cx.label);
            return Err(Error::Limit { what, needed: format!("{} axes", self.dims.len()), limit: AXES.to_string() });
        }
        let largest = s.len().max(o.len());
        if i32::try_from(largest).is_err() {
            let what = format!("{} ({s} to {o})", cx.label);
            return Err(Error::Limit { what, needed: format!("{largest} elements"), limit: i32::MAX.to_string() });
        }
        let (mut dims, mut strides) = ([[1; 4]; AXES / 4], [[0; 4]; AXES / 4]);
        for (to, &dim) in dims.as_flattened_mut().iter_mut().zip(self.dims.iter().rev()) {
            *to = dim as u32;
        }
        for (to, &stride) in strides.as_flattened_mut().iter_mut().zip(self.strides.iter().rev()) {
            *to = stride as i32;
        }
        let (x, y, Size { w, h, c, .. }) = (cx.input_view(0), cx.output_view(0), s.into());
        let params = StridedParams { x, y, size: o.into(), w, h, c, offset: self.offset as u32, dims, strides };
        cx.dispatch(KernelKey::new("strided"), params, [Operand::Input(0), Operand::Output(0)], Lowering::per_vec4(o))
    }
}

shader_struct! {
    /// Parameters of `strided`.
    struct StridedParams {
        x: View,
        y: View,
        /// Size of y.
        size: Size,
        w: u32,
        h: u32,
        c: u32,
        offset: u32,
        /// Last axis first; 1 for unused axes.
        dims: [[u32; 4]; AXES / 4],
        strides: [[i32; 4]; AXES / 4],
    }
}

/// The strides of a tensor in NCHW order.
pub(super) fn strides(s: Shape) -> [i64; 4] {
    [s.c * s.h * s.w, s.h * s.w, s.w, 1].map(|v| v as i64)
}
