//! Weight gradients by sums of outer products whose operands the lanes of a subgroup share: each lane has four channels of
//! x, for one tap or for its part's, and gets those of g from the others.

use crate::error::Result;
use crate::kernel::{KernelKey, Operand, View, WEIGHT_GRAD_STEPS, shader_struct};
use crate::ops::Lowering;
use crate::ops::gemm::broadcasts;
use crate::tensor::LANES;

/// With fewer channels on either side most lanes or rows would be idle.
const MIN_CHANNELS: usize = 16;

/// What each part of a subgroup has of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parts {
    /// Pixels or tiles: at the end the parts are added.
    Pixels,
    /// A tap of the kernel: all parts share the pixels of g, so the lane that a value comes from is a constant.
    Taps,
}

/// How the lanes of a subgroup divide an outer product.
#[derive(Clone, Copy)]
pub(super) struct Share {
    lanes: usize,
    /// Parts of a subgroup, where there are fewer channel blocks than lanes.
    split: usize,
    /// What the parts have of their own.
    parts: Parts,
    /// Rows of a workgroup.
    pub(super) rows: usize,
}

impl Share {
    /// For `rows` channels of g and `blocks` channel blocks of x, if lanes can share them in Winograd's domain.
    pub(super) fn choose(cx: &Lowering, rows: usize, blocks: usize) -> Option<Self> {
        Self::parted(cx, rows, blocks, Parts::Pixels)
    }

    /// The same for a sum over the pixels of each of `taps` taps.
    pub(super) fn of_taps(cx: &Lowering, rows: usize, blocks: usize, taps: usize) -> Option<Self> {
        let taps = if taps > 1 { Self::parted(cx, rows, blocks, Parts::Taps) } else { None };
        Self::choose(cx, rows, blocks).or(taps)
    }

    fn parted(cx: &Lowering, rows: usize, blocks: usize, parts: Parts) -> Option<Self> {
        let lanes = broadcasts(cx.target)? as usize;
        let split = (lanes / blocks.next_power_of_two()).clamp(1, 4);
        // Subgroups of 16 lanes permute them one by one, unless the lane is a constant.
        let possible = lanes == 8 || split == 1 || parts == Parts::Taps;
        let enough = rows >= MIN_CHANNELS && blocks * LANES >= MIN_CHANNELS;
        (possible && enough).then_some(Self { lanes, split, parts, rows: if rows > 16 { 32 } else { 16 } })
    }

    /// Workgroups that cover the columns, channel blocks of x.
    pub(super) fn columns(self, blocks: usize) -> usize {
        blocks.div_ceil(self.lanes / self.split)
    }

    /// Workgroups that cover so many taps.
    pub(super) fn tap_groups(self, taps: usize) -> usize {
        if self.parts == Parts::Taps { taps.div_ceil(self.split) } else { taps }
    }

    /// Pixels or tiles of an iteration.
    pub(super) fn steps(self) -> usize {
        let parts = if self.parts == Parts::Pixels { self.split } else { 1 };
        WEIGHT_GRAD_STEPS as usize * parts
    }

    /// Adds the constants to the key of a kernel.
    pub(super) fn constants(self, key: KernelKey) -> KernelKey {
        let [lanes, split, rows] = [self.lanes, self.split, self.rows].map(|v| v as u32);
        let key = key.with("SUBGROUP", lanes).with("SPLIT", split).with("TM", rows);
        if self.parts == Parts::Taps { key.with("TAPS", 1) } else { key }
    }
}

/// A convolution whose weight gradient is computed: its taps, stride, padding at the top and left, and the view of a source.
pub(super) struct Geometry {
    pub kernel: [usize; 2],
    pub stride: usize,
    pub padding: [usize; 2],
    pub view: View,
}

/// The partial sums for one source over `bands` bands of rows of each image: the scratch buffer, and their number.
pub(super) fn lower(
    share: Share,
    geometry: &Geometry,
    cx: &mut Lowering,
    source: usize,
    bands: usize,
) -> Result<(usize, usize)> {
    let (g, x) = (cx.input(0), cx.input(source + 1));
    let taps = geometry.kernel[0] * geometry.kernel[1];
    let (r_blocks, c_blocks) = (g.c.div_ceil(LANES), x.c.div_ceil(LANES));
    let band = g.h.div_ceil(bands.clamp(1, g.h));
    let bands = g.h.div_ceil(band);
    let partial = cx.scratch((g.n * bands * LANES * r_blocks * c_blocks * taps * 16) as u64);
    let params = WeightGradLanesParams {
        g: cx.input_view(0),
        x: geometry.view,
        ow: g.w as u32,
        oh: g.h as u32,
        r_blocks: r_blocks as u32,
        c_blocks: c_blocks as u32,
        pad_top: geometry.padding[0] as u32,
        pad_left: geometry.padding[1] as u32,
        kw: geometry.kernel[1] as u32,
        taps: taps as u32,
        stride: geometry.stride as u32,
        bands: bands as u32,
        band_rows: band as u32,
        trips: g.w.div_ceil(share.steps()) as u32,
    };
    let tap_groups = share.tap_groups(taps);
    let grid = [share.columns(c_blocks), g.c.div_ceil(share.rows) * tap_groups, g.n * bands];
    cx.reads(Operand::Input(0), (grid[0] * tap_groups) as f64);
    cx.reads(Operand::Input(source + 1), g.c.div_ceil(share.rows) as f64);
    let bindings = [Operand::Input(0), Operand::Input(source + 1), Operand::ScratchWrite(partial)];
    cx.dispatch(share.constants(KernelKey::new("conv_weight_grad_lanes")), params, bindings, grid)?;
    Ok((partial, g.n * bands))
}

shader_struct! {
    /// Parameters of `conv_weight_grad_lanes`.
    struct WeightGradLanesParams {
        g: View,
        x: View,
        ow: u32,
        oh: u32,
        /// ceil(R / 4)
        r_blocks: u32,
        /// ceil(C / 4)
        c_blocks: u32,
        pad_top: u32,
        pad_left: u32,
        kw: u32,
        taps: u32,
        stride: u32,
        /// Bands per image.
        bands: u32,
        /// Rows per band.
        band_rows: u32,
        /// Iterations over a row.
        trips: u32,
    }
}
