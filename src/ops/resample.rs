//! Resizing and padding by tables of source pixels and weights: the general case. [`Resize`](super::Resize) and
//! [`Pad2d`](super::Pad2d) are faster where they apply.

use super::{Lowering, by_plane};
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Size, View, shader_struct};
use crate::ops::packing::Packing;
use crate::tensor::{HostTensor, Shape};

/// Maximum number of pixels along an axis: tables hold pixel indices as `f32`.
const MAX: usize = 1 << 24;

/// For one axis: the input pixels and weights of each output pixel. `None` stands for the fill value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    /// Entries per output pixel.
    pub taps: usize,
    /// `taps` entries for each output pixel.
    pub entries: Vec<(Option<usize>, f64)>,
}

impl Table {
    /// One input pixel per output pixel.
    pub(super) fn of_single(pixels: impl Iterator<Item = Option<usize>>) -> Self {
        Self { taps: 1, entries: pixels.map(|p| (p, 1.0)).collect() }
    }

    /// From rows of `taps` entries each.
    pub(super) fn of_rows(taps: usize, rows: impl Iterator<Item = Vec<(usize, f64)>>) -> Self {
        Self { taps, entries: rows.flatten().map(|(p, w)| (Some(p), w)).collect() }
    }

    fn row(&self, o: usize) -> &[(Option<usize>, f64)] {
        &self.entries[o * self.taps..(o + 1) * self.taps]
    }
}

/// `x` resampled by two tables.
pub(super) fn reference(x: &HostTensor, out: Shape, rows: &Table, columns: &Table, fill: f32) -> Result<HostTensor> {
    let s = x.shape()?;
    Ok(by_plane(out, |n, c, plane| {
        for (i, v) in plane.iter_mut().enumerate() {
            let mut sum = 0.0;
            for &(y, wy) in rows.row(i / out.w) {
                for &(column, wx) in columns.row(i % out.w) {
                    let pixel = y.zip(column).map_or(fill, |(y, x_)| x.data()[s.index(n, c, y, x_)]);
                    sum += wy * wx * f64::from(pixel);
                }
            }
            *v = sum as f32;
        }
    }))
}

shader_struct! {
    /// Parameters of `resample`.
    struct ResampleParams {
        x: View,
        y: View,
        ow: u32,
        oh: u32,
        blocks: u32,
        /// Index of the first entry for rows in the table.
        first_row: u32,
        column_taps: u32,
        row_taps: u32,
        fill: f32,
    }
}

/// The dispatch of [`reference`].
pub(super) fn lower(cx: &mut Lowering, rows: &Table, columns: &Table, fill: f32) -> Result<()> {
    let (s, o) = (cx.input(0), cx.output(0));
    let largest = s.h.max(s.w);
    if largest > MAX {
        let what = format!("{} ({s} to {o})", cx.label);
        return Err(Error::Limit { what, needed: format!("{largest} pixels"), limit: MAX.to_string() });
    }
    let mut packed = Vec::with_capacity(2 * (rows.entries.len() + columns.entries.len()));
    for &(pixel, weight) in columns.entries.iter().chain(&rows.entries) {
        packed.extend([pixel.map_or(-1.0, |p| p as f32), weight as f32]);
    }
    let table = cx.weights_f32([], packed.len(), Packing::Constants(packed));
    let Size { w: ow, h: oh, blocks, .. } = o.into();
    let params = ResampleParams {
        x: cx.input_view(0),
        y: cx.output_view(0),
        ow,
        oh,
        blocks,
        first_row: columns.entries.len() as u32,
        column_taps: columns.taps as u32,
        row_taps: rows.taps as u32,
        fill,
    };
    cx.reads(Operand::Input(0), (rows.taps * columns.taps * o.pixels()) as f64 / s.pixels().max(1) as f64);
    let bindings = [Operand::Input(0), table, Operand::Output(0)];
    cx.dispatch(KernelKey::new("resample"), params, bindings, Lowering::per_vec4(o))
}
