//! Elements in another order: what slices, transposed and reshaped tensors and shuffled pixels come down to.

use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand};
use crate::ops::Lowering;
use crate::tensor::{LANES, Shape};

/// Axes that the kernel counts along.
const AXES: usize = 8;

/// `y` as a strided view of `x`, both in NCHW order: element `(i0, i1, ..)` of `dims`, whose product is the number of y's
/// elements, is element `offset + i0 * strides[0] + i1 * strides[1] + ..` of x.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Strided {
    pub dims: Vec<usize>,
    pub strides: Vec<i64>,
    pub offset: usize,
}

impl Strided {
    /// A tensor of `dims` with its axes in another order.
    pub fn permuted(dims: &[usize], order: &[usize]) -> Self {
        let mut strides = vec![1i64; dims.len()];
        for i in (1..dims.len()).rev() {
            strides[i - 1] = strides[i] * dims[i] as i64;
        }
        let [dims, strides] = [dims.iter().map(|&d| d as i64).collect(), strides]
            .map(|all: Vec<i64>| order.iter().map(|&axis| all[axis]).collect::<Vec<i64>>());
        Self { dims: dims.into_iter().map(|d| d as usize).collect(), strides, offset: 0 }
    }

    /// The dispatch that makes output 0 of input 0.
    pub fn lower(&self, cx: &mut Lowering) -> Result<()> {
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
        let mut params = cx.views();
        params.extend([o.w, o.h, o.c.div_ceil(LANES), o.c, s.w, s.h, s.c, self.offset].map(|v| v as u32));
        // The last axis first.
        let pad = AXES - self.dims.len();
        params.extend(self.dims.iter().rev().map(|&d| d as u32).chain(std::iter::repeat_n(1, pad)));
        params.extend(self.strides.iter().rev().map(|&s| s as i32 as u32).chain(std::iter::repeat_n(0, pad)));
        cx.dispatch(KernelKey::new("strided"), params, [Operand::Input(0), Operand::Output(0)], Lowering::per_vec4(o))
    }
}

/// The strides of a tensor in NCHW order.
pub(super) fn strides(s: Shape) -> [i64; 4] {
    [s.c * s.h * s.w, s.h * s.w, s.w, 1].map(|v| v as i64)
}
