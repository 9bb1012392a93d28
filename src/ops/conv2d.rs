//! 2-D convolution over one tensor or over several that lie side by side along the channels.

mod cases;
mod choose;
mod gemm;
mod gradient;
pub(super) mod params;
mod part;
mod subgroup;
mod window;
mod winograd;

use super::resize::{Resize, ResizeMode, ResizeSize};
use super::{Backward, Emit, Function, Lowering, MaxPool2d, Op, OpCase, Spatial, ValueId, Window, by_plane};
use crate::error::{Error, Result};
use crate::kernel::{ConvClass, ConvFamily, KernelKey, Operand, Size, View, shader_struct};
use crate::tensor::{HostTensor, LANES, Shape, TensorDesc};
use choose::choose;
use params::{GroupedParams, PlainParams};

/// `torch.nn.functional.conv2d` (cross-correlation, zero padding) with an activation.
///
/// Inputs: `sources.len()` data tensors, read as if concatenated along the channels, then the weight
/// `[C_out, C_in / groups, kh, kw]`, then the bias `[C_out]` if `bias`. A source may be a crop of its tensor: that is
/// how skip connections reach a convolution without a copy. Or it may be enlarged on the way: then no enlarged copy is
/// made either, if the kernel can.
///
/// Outputs: the result and, if `pool`, its 2x2 max-pooling.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2d {
    /// Output channels.
    pub out_channels: usize,
    /// Kernel rows and columns.
    pub kernel: [usize; 2],
    /// Stride in rows and columns.
    pub stride: [usize; 2],
    /// Zero padding: top, left, bottom, right.
    pub padding: [usize; 4],
    /// Dilation in rows and columns.
    pub dilation: [usize; 2],
    /// Groups; more than one only with a single source.
    pub groups: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// Applied at the end.
    pub activation: Function,
    /// How each source is read.
    pub sources: Vec<Source>,
    /// Rows and columns of the region read from every source; the whole first source if absent.
    pub region: Option<[usize; 2]>,
    /// Whether `max_pool2d(y, 2)` is a second output.
    pub pool: bool,
}

/// How a convolution reads a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Row at which the region starts.
    pub top: usize,
    /// Column at which the region starts.
    pub left: usize,
    /// Interpolation to a whole multiple of its size, before anything else.
    pub enlarge: Option<(ResizeMode, usize)>,
}

impl Source {
    /// All of the tensor as it is.
    pub const WHOLE: Self = Self { top: 0, left: 0, enlarge: None };

    /// A crop.
    pub const fn at(top: usize, left: usize) -> Self {
        Self { top, left, enlarge: None }
    }

    /// All of the tensor, enlarged.
    pub const fn enlarged(mode: ResizeMode, factor: usize) -> Self {
        Self { top: 0, left: 0, enlarge: Some((mode, factor)) }
    }

    /// The shape that the convolution sees of a tensor, before cropping.
    fn shape(&self, s: Shape) -> Option<Shape> {
        let Some((_, factor)) = self.enlarge else { return Some(s) };
        Some(s.with_hw(s.h.checked_mul(factor)?, s.w.checked_mul(factor)?))
    }
}

impl Conv2d {
    /// Square kernel, stride 1, the same padding on all sides, one source, no bias.
    pub fn new(out_channels: usize, kernel: usize, padding: usize) -> Self {
        Self {
            out_channels,
            kernel: [kernel; 2],
            stride: [1; 2],
            padding: [padding; 4],
            dilation: [1; 2],
            groups: 1,
            bias: false,
            activation: Function::Identity,
            sources: vec![Source::WHOLE],
            region: None,
            pool: false,
        }
    }

    /// The same with or without a bias.
    #[must_use]
    pub fn with_bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }

    /// The same with an activation.
    #[must_use]
    pub fn with_activation(self, activation: Function) -> Self {
        Self { activation, ..self }
    }

    /// Index of the weight among the inputs.
    pub fn weight_input(&self) -> usize {
        self.sources.len()
    }

    /// What tuned choices know it by, from its inputs and its output.
    pub fn class(&self, inputs: &[TensorDesc], output: Shape) -> ConvClass {
        let channels = inputs.iter().take(self.sources.len()).map(|i| i.shape.c).sum();
        let geometry = [self.kernel, self.stride, self.dilation];
        ConvClass::new(geometry, [channels, self.out_channels], output.n * output.pixels())
    }

    /// Rows and columns of the region, where `first` is the first input's shape.
    fn region(&self, first: Shape) -> [usize; 2] {
        let seen = self.sources.first().and_then(|s| s.shape(first)).unwrap_or(first);
        self.region.unwrap_or([seen.h, seen.w])
    }

    fn output_size(&self, axis: usize, n: usize) -> Option<usize> {
        let span = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
        Some((n + self.padding[axis] + self.padding[axis + 2]).checked_sub(span)? / self.stride[axis] + 1)
    }
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let fail = |reason: String| Err(Error::op("conv2d", reason));
        let k = self.sources.len();
        if k == 0 || inputs.len() != k + 1 + usize::from(self.bias) {
            return fail(format!("{} inputs for {k} sources, a weight and bias = {}", inputs.len(), self.bias));
        }
        if [self.kernel, self.stride, self.dilation].concat().contains(&0) || self.groups == 0 {
            return fail(format!("a kernel, stride, dilation or groups of 0: {self:?}"));
        }
        let first = inputs[0].shape;
        let [h, w] = self.region(first);
        let channels: usize = inputs[..k].iter().map(|i| i.shape.c).sum();
        let weight = inputs[k].shape;
        let want = Shape::new(self.out_channels, channels / self.groups, self.kernel[0], self.kernel[1]);
        if weight != want || !channels.is_multiple_of(self.groups) || !self.out_channels.is_multiple_of(self.groups) {
            return fail(format!(
                "weight {weight} does not fit {channels} input channels in {} groups, expected {want}",
                self.groups
            ));
        }
        if self.groups > 1 && k > 1 {
            return fail("grouped convolution over several sources".into());
        }
        for (s, source) in inputs[..k].iter().zip(&self.sources) {
            let Source { top, left, enlarge } = *source;
            let Some(s) = source.shape(s.shape).filter(|s| !s.is_empty()) else {
                return fail(format!("source {} cannot be enlarged by {enlarge:?}", s.shape));
            };
            if s.n != first.n || top + h > s.h || left + w > s.w {
                return fail(format!(
                    "a {h}x{w} region at ({top}, {left}) is not inside source {s} (first source {first})"
                ));
            }
            let cropped = (s.h, s.w) != (h, w);
            if cropped && self.padding != [0; 4] {
                return fail("a padded convolution cannot read a crop: the halo is not zero there".into());
            }
            if enlarge.is_some() && (cropped || self.groups > 1) {
                return fail("an enlarged source is read whole, and by an ungrouped convolution".into());
            }
        }
        if self.bias && inputs[k + 1].shape.len() != self.out_channels {
            return fail(format!("bias {} for {} output channels", inputs[k + 1].shape, self.out_channels));
        }
        match (self.output_size(0, h), self.output_size(1, w)) {
            (Some(oh), Some(ow)) => {
                let y = TensorDesc::blocked(Shape::new(first.n, self.out_channels, oh, ow));
                let pooled = if self.pool { MaxPool2d::new(2).infer(&[y])? } else { vec![] };
                Ok([vec![y], pooled].concat())
            }
            _ => fail(format!("input of {h}x{w} pixels is smaller than the kernel {:?}", self.kernel)),
        }
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let k = self.sources.len();
        let shapes = inputs.iter().map(|i| i.shape()).collect::<Result<Vec<_>>>()?;
        let out = self.infer(&shapes.iter().map(|&s| TensorDesc::blocked(s)).collect::<Vec<_>>())?[0].shape;
        let [h, w] = self.region(shapes[0]);
        let [kh, kw] = self.kernel;
        let weight = inputs[k].data();
        // Sources as the sums below see them, and their shapes.
        let mut sources = Vec::with_capacity(k);
        for (&input, source) in inputs.iter().zip(&self.sources) {
            sources.push(match source.enlarge {
                Some((mode, factor)) => Resize { mode, size: ResizeSize::Scale(factor) }.reference(&[input])?.remove(0),
                None => input.clone(),
            });
        }
        let seen = sources.iter().map(HostTensor::shape).collect::<Result<Vec<_>>>()?;
        let (group_in, group_out) = (shapes[k].c, self.out_channels / self.groups);
        let pad = [self.padding[0], self.padding[1]];
        let result = by_plane(out, |n, o, plane| {
            let bias = if self.bias { f64::from(inputs[k + 1].data()[o]) } else { 0.0 };
            let mut sums = vec![bias; plane.len()];
            // `i` counts the group's input channels through all sources.
            let mut i = 0;
            for (s, source) in sources.iter().enumerate() {
                let channels = if self.groups > 1 { group_in } else { seen[s].c };
                let from = (o / group_out) * if self.groups > 1 { group_in } else { 0 };
                for c in from..from + channels {
                    for (ky, kx) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))) {
                        let wt = f64::from(weight[((o * group_in + i) * kh + ky) * kw + kx]);
                        let row = |oy: usize| (oy * self.stride[0] + ky * self.dilation[0]).checked_sub(pad[0]);
                        for (oy, y) in (0..out.h).filter_map(|oy| Some((oy, row(oy).filter(|&y| y < h)?))) {
                            let line = seen[s].index(n, c, y + self.sources[s].top, self.sources[s].left);
                            for ox in 0..out.w {
                                let x = ox * self.stride[1] + kx * self.dilation[1];
                                if x >= pad[1] && x - pad[1] < w {
                                    sums[oy * out.w + ox] += wt * f64::from(source.data()[line + x - pad[1]]);
                                }
                            }
                        }
                    }
                    i += 1;
                }
            }
            for (p, sum) in plane.iter_mut().zip(sums) {
                *p = self.activation.apply(sum) as f32;
            }
        });
        let pooled = if self.pool { MaxPool2d::new(2).reference(&[&result])? } else { vec![] };
        Ok([vec![result], pooled].concat())
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        let (family, reason) = choose(self, cx);
        if self.groups == 1 {
            cx.explain(family.name(), reason);
        }
        match family {
            _ if self.groups > 1 => self.lower_grouped(cx)?,
            ConvFamily::Plain => self.lower_plain(cx, false)?,
            ConvFamily::Tile => self.lower_plain(cx, true)?,
            ConvFamily::Winograd => winograd::lower(self, cx, winograd::Form::F4)?,
            ConvFamily::Winograd2 => winograd::lower(self, cx, winograd::Form::F2)?,
            ConvFamily::Gemm => gemm::lower(self, cx)?,
            ConvFamily::Subgroup => subgroup::lower(self, cx)?,
            ConvFamily::Window => window::lower(self, cx)?,
        }
        // Winograd's output transform pools what it has in registers.
        let pooled = self.pool && (!matches!(family, ConvFamily::Winograd | ConvFamily::Winograd2) || self.groups > 1);
        if pooled { MaxPool2d::new(2).lower_from(cx, Operand::OutputRead(0), cx.outputs[0], 1) } else { Ok(()) }
    }

    fn macs(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> u64 {
        let weight = inputs[self.sources.len()].shape;
        outputs[0].shape.len() as u64 * (weight.c * weight.h * weight.w) as u64
    }

    fn spatial(&self, inputs: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        if self.pool || self.sources.iter().any(|s| s.enlarge.is_some()) {
            return Spatial::Global("a convolution with fused neighbours is for running, not for analysis");
        }
        let windows = (0..inputs.len()).map(|s| {
            let source = self.sources.get(s).copied().unwrap_or_default();
            [(0, source.top), (1, source.left)].map(|(axis, offset)| {
                let first = offset as i64 - self.padding[axis] as i64;
                let reach = (self.dilation[axis] * (self.kernel[axis] - 1)) as i64;
                Window { num: self.stride[axis] as i64, den: 1, first, last: first + reach }
            })
        });
        Spatial::Windows(windows.collect())
    }

    fn reads_halo(&self, input: usize) -> bool {
        self.padding != [0; 4] && self.sources.get(input).is_some_and(|s| s.enlarge.is_none())
    }

    fn backward(&self, node: &Backward, emit: &mut dyn Emit) -> Result<Vec<Option<ValueId>>> {
        gradient::backward(self, node, emit)
    }
}

shader_struct! {
    /// Of `conv2d_tile`.
    struct TileParams {
        x: View,
        y: View,
        ow: u32,
        oh: u32,
        out_blocks: u32,
        in_blocks: u32,
        pad_top: u32,
        pad_left: u32,
        alpha: f32,
        beta: f32,
    }
}

impl Conv2d {
    /// The kernels that read weights uniformly, packed `[C_out/4][C_in/4][kh][kw][4 input channels]` of vec4 over
    /// output channels.
    fn lower_plain(&self, cx: &mut Lowering, tile: bool) -> Result<()> {
        let out = cx.output(0);
        let [h, w] = self.region(cx.input(0));
        for part in self.parts(cx)? {
            let taps = self.kernel[0] * self.kernel[1];
            let (ob, ib) = (out.c.div_ceil(LANES), part.channels.div_ceil(LANES));
            let weights = self.pack(cx, &part, ob * LANES * (1 + ib * taps * LANES), move |o, i, t| {
                let block = ((o / LANES) * ib + i / LANES) * taps + t;
                ob * LANES + (block * LANES + i % LANES) * LANES + o % LANES
            });
            let (x, y, [alpha, beta]) = (part.view, cx.output_view(0), part.activation.arguments());
            let Size { w: ow, h: oh, blocks: out_blocks, .. } = out.into();
            let (in_blocks, [pad_top, pad_left, ..]) = (ib as u32, self.padding.map(|p| p as u32));
            let bindings = [part.operand, weights, Operand::Output(0)];
            if tile {
                let params = TileParams { x, y, ow, oh, out_blocks, in_blocks, pad_top, pad_left, alpha, beta };
                let workgroups = [out.w.div_ceil(8 * 4), out.h.div_ceil(8), out.n * ob.div_ceil(2)];
                cx.dispatch(part.key(self, "conv2d_tile"), params, bindings, workgroups)?;
            } else {
                let params = PlainParams {
                    x,
                    y,
                    ow,
                    oh,
                    out_blocks,
                    in_blocks,
                    h: h as u32,
                    w: w as u32,
                    stride_y: self.stride[0] as u32,
                    stride_x: self.stride[1] as u32,
                    pad_top,
                    pad_left,
                    dilation_y: self.dilation[0] as u32,
                    dilation_x: self.dilation[1] as u32,
                    alpha,
                    beta,
                };
                cx.dispatch(part.key(self, "conv2d_plain"), params, bindings, Lowering::per_vec4(out))?;
            }
        }
        Ok(())
    }

    fn lower_grouped(&self, cx: &mut Lowering) -> Result<()> {
        let (input, out) = (cx.input(0), cx.output(0));
        let [kh, kw] = self.kernel;
        let group_in = input.c / self.groups;
        let len = self.out_channels * (1 + group_in * kh * kw);
        let (out_channels, bias) = (self.out_channels, self.bias);
        let inputs: Vec<usize> = (1..=1 + usize::from(bias)).collect();
        let weights = cx.weights(inputs, len, move |p| {
            let mut packed = if bias { p[1].data().to_vec() } else { vec![0.0; out_channels] };
            packed.extend_from_slice(p[0].data());
            Ok(packed)
        });
        let [h, w] = self.region(input);
        let Size { w: ow, h: oh, blocks: out_blocks, c: out_channels } = out.into();
        let params = GroupedParams {
            x: cx.cropped_view(0, self.sources[0].top, self.sources[0].left),
            y: cx.output_view(0),
            ow,
            oh,
            out_blocks,
            out_channels,
            h: h as u32,
            w: w as u32,
            stride_y: self.stride[0] as u32,
            stride_x: self.stride[1] as u32,
            pad_top: self.padding[0] as u32,
            pad_left: self.padding[1] as u32,
            dilation_y: self.dilation[0] as u32,
            dilation_x: self.dilation[1] as u32,
            group_in: group_in as u32,
            group_out: (out.c / self.groups) as u32,
            alpha: self.activation.arguments()[0],
            beta: self.activation.arguments()[1],
        };
        let key = KernelKey::new("conv2d_grouped")
            .with("KH", kh as u32)
            .with("KW", kw as u32)
            .with("ACTIVATION", self.activation.id());
        cx.dispatch(key, params, [Operand::Input(0), weights, Operand::Output(0)], Lowering::per_vec4(out))
    }
}

pub(super) fn cases() -> Vec<OpCase> {
    cases::cases()
}
