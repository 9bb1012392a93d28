//! Weight gradient of convolutions and transposed convolutions.

use super::conv_weight_lanes::{self, Geometry, Share};
use super::conv_weight_winograd::Winograd;
use crate::error::{Error, Result};
use crate::kernel::{KernelKey, Operand, Target, View, shader_struct};
use crate::ops::gemm::broadcasts;
use crate::ops::{Lowering, Op, OpCase};
use crate::tensor::{HALO, HostTensor, LANES, Shape, TensorDesc};

/// `dW[r, c, ky, kx] = sum over n, y, x of g[n, r, y, x] * X[n, c, y * stride + ky - top, x * stride + kx - left]`, where X is
/// the concatenation of the sources along the channels, zero outside.
///
/// Inputs: g `[N, R, OH, OW]`, then the sources. Output: linear `[R, C, kh, kw]`. For a convolution, g is the gradient
/// of the result and the sources are its inputs. For a transposed convolution, g is its input and the source is the
/// gradient of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvWeightGrad {
    /// Kernel rows and columns.
    pub kernel: [usize; 2],
    /// Stride in rows and columns: 1 or 2.
    pub stride: usize,
    /// Zero padding: top, left, bottom, right.
    pub padding: [usize; 4],
    /// First pixel of the region in each source.
    pub sources: Vec<Corner>,
}

/// First pixel of the region that a convolution reads from a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Corner {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
}

impl ConvWeightGrad {
    /// Whether the window of the last pixel of g ends inside a source or its halo.
    fn fits(&self, g: Shape, x: Shape, source: Corner) -> bool {
        let axis = |axis: usize, out: usize, start: usize, n: usize| {
            let (before, after) = (self.padding[axis], self.padding[axis + 2]);
            // A crop is surrounded by pixels, not by zeros.
            let halo = if start > 0 { 0 } else { HALO };
            let end = start + (out - 1) * self.stride + self.kernel[axis];
            before <= halo && after <= HALO && end <= n + before + after
        };
        axis(0, g.h, source.top, x.h) && axis(1, g.w, source.left, x.w)
    }

    fn lower_source(&self, cx: &mut Lowering, source: usize, first: usize) -> Result<()> {
        let (g, x, dw) = (cx.input(0), cx.input(source + 1), cx.output(0));
        let taps = self.kernel[0] * self.kernel[1];
        let c_blocks = x.c.div_ceil(LANES);
        // With fewer rows most of a GEMM tile would be padding.
        let share = Share::of_taps(cx, g.c, c_blocks, taps);
        let (partial, bands) = if let Some(share) = share {
            self.lanes(share, cx, source)?
        } else if broadcasts(cx.target).is_none() && g.c > MIN_ROWS {
            self.products(cx, source)?
        } else {
            self.blocks(cx, source)?
        };
        let len = g.c * c_blocks * taps;
        let stride = LANES * g.c.div_ceil(LANES) * c_blocks * taps;
        let params = WeightGradSumParams {
            len: len as u32,
            row: cx.linear_row(len),
            bands: bands as u32,
            stride: stride as u32,
            taps: taps as u32,
            blocks: c_blocks as u32,
            c: x.c as u32,
            inputs: dw.c as u32,
            first: first as u32,
        };
        let bindings = [Operand::ScratchRead(partial), Operand::Output(0)];
        cx.dispatch(KernelKey::new("conv_weight_grad_sum"), params, bindings, cx.per_element(len))
    }

    /// Each workgroup computes one block of channels of g and x over a band of rows of an image. Returns the scratch
    /// buffer of the partial sums, and their number.
    fn blocks(&self, cx: &mut Lowering, source: usize) -> Result<(usize, usize)> {
        let (g, x) = (cx.input(0), cx.input(source + 1));
        let [kh, kw] = self.kernel;
        let subgroup = broadcasts(cx.target);
        let (r_blocks, c_blocks) = (g.c.div_ceil(LANES), x.c.div_ceil(LANES));
        // Sums in registers: of all taps with subgroups, otherwise of one row of taps, because more spill on hardware
        // GPUs.
        let (tap_rows, rows, height) = if subgroup.is_some() { (kh, 2, 1) } else { (1, 1, 8) };
        let groups = [r_blocks, c_blocks * kh / tap_rows];
        let requested = band_count(cx.target, groups[0] * groups[1] * g.n).min(g.h.div_ceil(4 * height)).max(1);
        let band = g.h.div_ceil(requested).next_multiple_of(height);
        let bands = g.h.div_ceil(band);
        let partial = cx.scratch((g.n * bands * LANES * r_blocks * c_blocks * kh * kw * 16) as u64);
        let params = WeightGradParams {
            g: cx.input_view(0),
            x: self.view(cx, source),
            ow: g.w as u32,
            oh: g.h as u32,
            r_blocks: r_blocks as u32,
            c_blocks: c_blocks as u32,
            pad_top: self.padding[0] as u32,
            pad_left: self.padding[1] as u32,
            kh: kh as u32,
            bands: bands as u32,
            band_rows: band as u32,
            invocation_rows: (band / height) as u32,
            columns: (c_blocks * kh * kw) as u32,
        };
        let key = KernelKey::new("conv_weight_grad")
            .with("KW", kw as u32)
            .with("STRIDE", self.stride as u32)
            .with("TAP_ROWS", tap_rows as u32)
            .with("ROWS", rows);
        let key = subgroup.into_iter().fold(key, |key, lanes| key.with("SUBGROUP", lanes));
        cx.reads(Operand::Input(0), groups[1] as f64);
        cx.reads(Operand::Input(source + 1), (groups[0] * kw) as f64);
        let bindings = [Operand::Input(0), Operand::Input(source + 1), Operand::ScratchWrite(partial)];
        cx.dispatch(key, params, bindings, [groups[0], groups[1], g.n * bands])?;
        Ok((partial, g.n * bands))
    }

    /// With channels on the lanes of a subgroup. Returns the same as `blocks`.
    fn lanes(&self, share: Share, cx: &mut Lowering, source: usize) -> Result<(usize, usize)> {
        let (g, x) = (cx.input(0), cx.input(source + 1));
        let [top, left, ..] = self.padding;
        let geometry =
            Geometry { kernel: self.kernel, stride: self.stride, padding: [top, left], view: self.view(cx, source) };
        let taps = share.tap_groups(self.kernel[0] * self.kernel[1]);
        let groups = share.columns(x.c.div_ceil(LANES)) * g.c.div_ceil(share.rows) * taps;
        let bands = band_count(cx.target, groups * g.n);
        conv_weight_lanes::lower(share, &geometry, cx, source, bands)
    }

    /// As a GEMM through workgroup memory, over bands of the pixels of all images. Returns the same as `blocks`.
    fn products(&self, cx: &mut Lowering, source: usize) -> Result<(usize, usize)> {
        let (g, x) = (cx.input(0), cx.input(source + 1));
        let [kh, kw] = self.kernel;
        let (r_blocks, columns) = (g.c.div_ceil(LANES), x.c.div_ceil(LANES) * kh * kw);
        let rows = g.c.next_power_of_two().clamp(16, 64);
        // Few enough that an invocation stages few vec4s, which it holds in registers beside its sums.
        let at_a_time = rows / 4;
        let groups = [g.c.div_ceil(rows), columns.div_ceil(1024 / rows)];
        let pixels = g.n * g.pixels();
        let requested = band_count(cx.target, groups[0] * groups[1]).min(pixels.div_ceil(MIN_PIXELS));
        let band = pixels.div_ceil(requested).next_multiple_of(at_a_time);
        let bands = pixels.div_ceil(band);
        let partial = cx.scratch((bands * LANES * r_blocks * columns * 16) as u64);
        let params = WeightGradGemmParams {
            g: cx.input_view(0),
            x: self.view(cx, source),
            ow: g.w as u32,
            oh: g.h as u32,
            r_blocks: r_blocks as u32,
            columns: columns as u32,
            pad_top: self.padding[0] as u32,
            pad_left: self.padding[1] as u32,
            kw: kw as u32,
            taps: (kh * kw) as u32,
            band: band as u32,
            pixels: pixels as u32,
            stride: self.stride as u32,
            advance_column: (at_a_time % g.w) as u32,
            advance_row: (at_a_time / g.w % g.h) as u32,
            advance_image: (at_a_time / g.pixels()) as u32,
        };
        let key = KernelKey::new("conv_weight_grad_gemm").with("TM", rows as u32).with("KB", at_a_time as u32);
        cx.reads(Operand::Input(0), groups[1] as f64);
        cx.reads(Operand::Input(source + 1), (groups[0] * kh * kw) as f64);
        let bindings = [Operand::Input(0), Operand::Input(source + 1), Operand::ScratchWrite(partial)];
        cx.dispatch(key, params, bindings, [groups[0], groups[1], bands])?;
        Ok((partial, bands))
    }

    /// View of the region of a source.
    fn view(&self, cx: &Lowering, source: usize) -> View {
        let s = self.sources[source];
        cx.cropped_view(source + 1, s.top, s.left)
    }
}

/// Rows of g above which the gradient is a GEMM.
const MIN_ROWS: usize = 8;
/// Minimum number of pixels per band: each band writes a partial sum as large as all weights.
const MIN_PIXELS: usize = 256;

/// Bands per workgroup of `groups`, so that all of them fill the device.
fn band_count(target: &Target, groups: usize) -> usize {
    target.preset().reduction_workgroups.div_ceil(groups.max(1))
}

impl Op for ConvWeightGrad {
    fn name(&self) -> &'static str {
        "conv_weight_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let fail = |reason: String| Err(Error::op("conv_weight_grad", reason));
        if inputs.len() != self.sources.len() + 1 || inputs.len() < 2 {
            return fail(format!("{} inputs for g and {} sources", inputs.len(), self.sources.len()));
        }
        if !(1..=2).contains(&self.stride) || self.kernel.iter().any(|k| !(1..=3).contains(k)) {
            return fail(format!(
                "has no gradient for kernel {:?}, stride {}: at most 3x3 and 2",
                self.kernel, self.stride
            ));
        }
        let g = inputs[0].shape;
        for (x, &source) in inputs[1..].iter().zip(&self.sources) {
            if x.shape.n != g.n || g.is_empty() || x.shape.is_empty() || !self.fits(g, x.shape, source) {
                return fail(format!("has no gradient for g {g}, source {} from {source:?}, {self:?}", x.shape));
            }
        }
        let channels = inputs[1..].iter().map(|x| x.shape.c).sum();
        Ok(vec![TensorDesc::linear(Shape::new(g.c, channels, self.kernel[0], self.kernel[1]))])
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        use crate::parallel::*;
        let shapes = inputs.iter().map(|i| i.shape()).collect::<Result<Vec<_>>>()?;
        let out = self.infer(&shapes.iter().map(|&s| TensorDesc::blocked(s)).collect::<Vec<_>>())?[0].shape;
        let g = shapes[0];
        let element = |r: usize, c: usize, ky: usize, kx: usize| {
            let (mut source, mut c) = (1, c);
            while c >= shapes[source].c {
                c -= shapes[source].c;
                source += 1;
            }
            let (s, at) = (shapes[source], self.sources[source - 1]);
            let mut sum = 0.0;
            for (n, y) in (0..g.n).flat_map(|n| (0..g.h).map(move |y| (n, y))) {
                let Some(iy) = (at.top + y * self.stride + ky).checked_sub(self.padding[0]).filter(|&v| v < s.h) else {
                    continue;
                };
                for x in 0..g.w {
                    let ix = (at.left + x * self.stride + kx).checked_sub(self.padding[1]);
                    if let Some(ix) = ix.filter(|&v| v < s.w) {
                        let dy = inputs[0].data()[g.index(n, r, y, x)];
                        sum += f64::from(dy) * f64::from(inputs[source].data()[s.index(n, c, iy, ix)]);
                    }
                }
            }
            sum as f32
        };
        let mut dw = HostTensor::zeros(out);
        dw.data_mut().par_chunks_mut(out.c * out.pixels()).enumerate().for_each(|(r, row)| {
            for (i, v) in row.iter_mut().enumerate() {
                *v = element(r, i / out.pixels(), i % out.pixels() / out.w, i % out.w);
            }
        });
        Ok(vec![dw])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let views = (0..self.sources.len()).map(|source| self.view(cx, source)).collect();
        if let Some(winograd) = Winograd::choose(self.kernel, self.stride, cx, views) {
            return winograd.lower(self.padding, cx);
        }
        let mut first = 0;
        for source in 0..self.sources.len() {
            self.lower_source(cx, source, first)?;
            first += cx.input(source + 1).c;
        }
        Ok(())
    }

    fn macs(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> u64 {
        let g = inputs[0].shape;
        outputs[0].shape.len() as u64 * (g.n * g.pixels()) as u64
    }

    fn reads_halo(&self, input: usize) -> bool {
        input > 0 && self.padding != [0; 4]
    }
}

shader_struct! {
    /// Parameters of `conv_weight_grad`.
    struct WeightGradParams {
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
        kh: u32,
        /// Bands per image.
        bands: u32,
        /// Rows per band.
        band_rows: u32,
        /// Rows per invocation.
        invocation_rows: u32,
        /// ceil(C / 4) KH KW
        columns: u32,
    }

    /// Parameters of `conv_weight_grad_gemm`.
    struct WeightGradGemmParams {
        g: View,
        x: View,
        ow: u32,
        oh: u32,
        /// ceil(R / 4)
        r_blocks: u32,
        columns: u32,
        pad_top: u32,
        pad_left: u32,
        kw: u32,
        /// KH KW
        taps: u32,
        /// Pixels per band.
        band: u32,
        /// Pixels of all images.
        pixels: u32,
        stride: u32,
        /// Pixels per step: the columns, less than OW.
        advance_column: u32,
        /// The rows, less than OH.
        advance_row: u32,
        /// The images.
        advance_image: u32,
    }

    /// Parameters of `conv_weight_grad_sum`.
    struct WeightGradSumParams {
        len: u32,
        row: u32,
        bands: u32,
        /// vec4s per band.
        stride: u32,
        taps: u32,
        /// ceil(C / 4)
        blocks: u32,
        c: u32,
        /// I
        inputs: u32,
        first: u32,
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    let op = |kernel: usize, stride: usize, padding: usize, sources: usize| ConvWeightGrad {
        kernel: [kernel; 2],
        stride,
        padding: [padding; 4],
        sources: vec![Corner::default(); sources],
    };
    let case =
        |name: &str, op: ConvWeightGrad, data: &[Shape]| OpCase::new(format!("conv_weight_grad/{name}"), op, data);
    let s = Shape::new;
    let crop = ConvWeightGrad { sources: vec![Corner { top: 2, left: 3 }, Corner::default()], ..op(3, 1, 0, 2) };
    let after = ConvWeightGrad { padding: [0, 0, 1, 1], ..op(2, 1, 0, 1) };
    vec![
        case("3x3 padding 1, batch", op(3, 1, 1, 1), &[s(2, 5, 9, 11), s(2, 3, 9, 11)]),
        case("3x3 padding 1, several blocks and bands", op(3, 1, 1, 1), &[s(1, 12, 37, 21), s(1, 9, 37, 21)]),
        case("3x3 valid", op(3, 1, 0, 1), &[s(2, 4, 7, 9), s(2, 6, 9, 11)]),
        case("3x3 valid, two sources, one cropped", crop.clone(), &[s(1, 6, 6, 7), s(1, 5, 12, 14), s(1, 3, 8, 9)]),
        case("3x3, three sources", op(3, 1, 1, 3), &[s(1, 4, 8, 8), s(1, 4, 8, 8), s(1, 1, 8, 8), s(1, 6, 8, 8)]),
        case("3x3, several tiles and bands, batch", op(3, 1, 1, 1), &[s(2, 70, 13, 15), s(2, 37, 13, 15)]),
        case("3x3, a tile of 32 rows, two sources", op(3, 1, 1, 2), &[s(2, 30, 9, 7), s(2, 20, 9, 7), s(2, 17, 9, 7)]),
        case("3x3, tiles of 16 rows", op(3, 1, 1, 1), &[s(2, 11, 9, 8), s(2, 70, 9, 8)]),
        case("2x2 stride 2, several tiles", op(2, 2, 0, 1), &[s(1, 40, 9, 7), s(1, 100, 18, 14)]),
        case("3x3, several chunks of tiles on small bindings", op(3, 1, 1, 1), &[s(2, 16, 45, 43), s(2, 16, 45, 43)]),
        case("3x3 valid, 24 and 33 channels, one cropped", crop, &[s(1, 22, 6, 7), s(1, 24, 12, 14), s(1, 33, 8, 9)]),
        case("2x2 stride 2, 16 and 24 channels, batch", op(2, 2, 0, 1), &[s(2, 24, 9, 7), s(2, 16, 18, 14)]),
        case("1x1, one band of 17 rows", op(1, 1, 0, 1), &[s(1, 17, 3, 5), s(1, 150, 3, 5)]),
        case("1x1", op(1, 1, 0, 1), &[s(2, 2, 9, 33), s(2, 9, 9, 33)]),
        case("2x2 stride 2, of a transposed convolution", op(2, 2, 0, 1), &[s(2, 5, 5, 7), s(2, 3, 10, 14)]),
        case("2x2, padded after the end", after, &[s(1, 3, 6, 7), s(1, 4, 6, 7)]),
        case("one pixel", op(3, 1, 1, 1), &[s(1, 1, 1, 1), s(1, 1, 1, 1)]),
        case("many rows, many images", op(3, 1, 1, 1), &[s(3, 3, 70, 5), s(3, 2, 70, 5)]),
    ]
}
