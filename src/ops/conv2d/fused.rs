//! A convolution with neighbouring ops fused, as produced by rewrites. It has no gradient; networks in training use
//! [`Conv2d`] and [`JoinedConv2d`].

mod choose;
mod gemm;
mod source_pass;
mod subgroup;
mod window;
mod winograd;

use super::Conv2d;
use super::params::{GroupedParams, PlainParams, TileParams};
use crate::error::{Error, Result};
use crate::kernel::{ConvChoice, ConvClass, ConvFamily, Function, KernelKey, Operand, Size};
use crate::ops::resize::{Resize, ResizeMode, ResizeSize};
use crate::ops::{ConvOrder, Lowering, MaxPool2d, Op, Packing, Spatial, WinogradForm, by_plane};
use crate::tensor::{HostTensor, LANES, Shape, TensorDesc};
use choose::choose;

/// A convolution over several sources, followed by an activation and optionally by pooling.
///
/// Inputs: `sources.len()` data tensors, read as if concatenated along the channels, then the weight and the bias of
/// the convolution. A source may be a crop of its tensor, or be upsampled; kernels that cannot do so read an upsampled
/// copy.
///
/// Outputs: the result and, if `pool`, its 2x2 max-pooling.
#[derive(Clone, Debug, PartialEq)]
pub struct FusedConv2d {
    /// The convolution; groups only with a single source.
    pub conv: Conv2d,
    /// How each source is read.
    pub sources: Vec<Source>,
    /// Rows and columns of the region read from every source; those of the first source if absent.
    pub region: Option<[usize; 2]>,
    /// Applied to the result.
    pub activation: Function,
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
    /// Interpolation mode and integer factor, applied before the crop.
    pub upsample: Option<(ResizeMode, usize)>,
}

impl Source {
    /// The whole tensor.
    pub const WHOLE: Self = Self { top: 0, left: 0, upsample: None };

    /// A crop.
    pub const fn at(top: usize, left: usize) -> Self {
        Self { top, left, upsample: None }
    }

    /// The whole tensor, upsampled.
    pub const fn upsampled(mode: ResizeMode, factor: usize) -> Self {
        Self { top: 0, left: 0, upsample: Some((mode, factor)) }
    }

    /// The shape of a tensor as the convolution reads it, before cropping.
    fn shape(&self, s: Shape) -> Option<Shape> {
        let Some((_, factor)) = self.upsample else { return Some(s) };
        Some(s.with_hw(s.h.checked_mul(factor)?, s.w.checked_mul(factor)?))
    }
}

impl FusedConv2d {
    /// The same with an activation.
    #[must_use]
    pub fn with_activation(self, activation: Function) -> Self {
        Self { activation, ..self }
    }

    /// Index of the weight among the inputs.
    pub fn weight_input(&self) -> usize {
        self.sources.len()
    }

    /// The key of tuned choices, from the inputs and the output.
    pub fn class(&self, inputs: &[TensorDesc], output: Shape) -> ConvClass {
        let channels = inputs.iter().take(self.sources.len()).map(|i| i.shape.c).sum();
        let Conv2d { kernel, stride, dilation, out_channels, .. } = self.conv;
        let (inputs, outputs, pixels) = (channels, out_channels, output.n * output.pixels());
        ConvClass { kernel, stride, dilation, inputs, outputs, pixels }.rounded()
    }

    /// Rows and columns of the region, where `first` is the first input's shape.
    pub(super) fn region(&self, first: Shape) -> [usize; 2] {
        let whole = self.sources.first().and_then(|s| s.shape(first)).unwrap_or(first);
        self.region.unwrap_or([whole.h, whole.w])
    }
}

impl Op for FusedConv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>> {
        let fail = |reason: String| Err(Error::op("conv2d", reason));
        let k = self.sources.len();
        if k == 0 || inputs.len() != k + 1 + usize::from(self.conv.bias) {
            return fail(format!("{} inputs for {k} sources, a weight and bias = {}", inputs.len(), self.conv.bias));
        }
        if [self.conv.kernel, self.conv.stride, self.conv.dilation].concat().contains(&0) || self.conv.groups == 0 {
            return fail(format!("a kernel, stride, dilation or groups of 0: {self:?}"));
        }
        let first = inputs[0].shape;
        let [h, w] = self.region(first);
        let channels: usize = inputs[..k].iter().map(|i| i.shape.c).sum();
        let weight = inputs[k].shape;
        let expected =
            Shape::new(self.conv.out_channels, channels / self.conv.groups, self.conv.kernel[0], self.conv.kernel[1]);
        if weight != expected
            || !channels.is_multiple_of(self.conv.groups)
            || !self.conv.out_channels.is_multiple_of(self.conv.groups)
        {
            return fail(format!(
                "weight {weight} does not fit {channels} input channels in {} groups, expected {expected}",
                self.conv.groups
            ));
        }
        if self.conv.groups > 1 && k > 1 {
            return fail("grouped convolution over several sources".into());
        }
        for (s, source) in inputs[..k].iter().zip(&self.sources) {
            let Source { top, left, upsample } = *source;
            let Some(s) = source.shape(s.shape).filter(|s| !s.is_empty()) else {
                return fail(format!("source {} cannot be upsampled by {upsample:?}", s.shape));
            };
            if s.n != first.n || top + h > s.h || left + w > s.w {
                return fail(format!(
                    "a {h}x{w} region at ({top}, {left}) is not inside source {s} (first source {first})"
                ));
            }
            let cropped = (s.h, s.w) != (h, w);
            if cropped && self.conv.padding != [0; 4] {
                return fail("a padded convolution cannot read a crop: the halo is not zero there".into());
            }
            if upsample.is_some() && (cropped || self.conv.groups > 1) {
                return fail("an upsampled source cannot be cropped or read by a grouped convolution".into());
            }
        }
        if self.conv.bias && inputs[k + 1].shape.len() != self.conv.out_channels {
            return fail(format!("bias {} for {} output channels", inputs[k + 1].shape, self.conv.out_channels));
        }
        match (self.conv.output_size(0, h), self.conv.output_size(1, w)) {
            (Some(oh), Some(ow)) => {
                let y = TensorDesc::blocked(Shape::new(first.n, self.conv.out_channels, oh, ow));
                let pooled = if self.pool { MaxPool2d::new(2).infer(&[y])? } else { vec![] };
                Ok([vec![y], pooled].concat())
            }
            _ => fail(format!("input of {h}x{w} pixels is smaller than the kernel {:?}", self.conv.kernel)),
        }
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Result<Vec<HostTensor>> {
        let k = self.sources.len();
        let shapes = inputs.iter().map(|i| i.shape()).collect::<Result<Vec<_>>>()?;
        let out = self.infer(&shapes.iter().map(|&s| TensorDesc::blocked(s)).collect::<Vec<_>>())?[0].shape;
        let [h, w] = self.region(shapes[0]);
        let [kh, kw] = self.conv.kernel;
        let weight = inputs[k].data();
        // Sources after upsampling, and their shapes.
        let mut sources = Vec::with_capacity(k);
        for (&input, source) in inputs.iter().zip(&self.sources) {
            sources.push(match source.upsample {
                Some((mode, factor)) => Resize { mode, size: ResizeSize::Scale(factor) }.reference(&[input])?.remove(0),
                None => input.clone(),
            });
        }
        let source_shapes = sources.iter().map(HostTensor::shape).collect::<Result<Vec<_>>>()?;
        let (group_in, group_out) = (shapes[k].c, self.conv.out_channels / self.conv.groups);
        let pad = [self.conv.padding[0], self.conv.padding[1]];
        let result = by_plane(out, |n, o, plane| {
            let bias = if self.conv.bias { f64::from(inputs[k + 1].data()[o]) } else { 0.0 };
            let mut sums = vec![bias; plane.len()];
            // `i` counts the input channels of the group across all sources.
            let mut i = 0;
            for (s, source) in sources.iter().enumerate() {
                let channels = if self.conv.groups > 1 { group_in } else { source_shapes[s].c };
                let from = (o / group_out) * if self.conv.groups > 1 { group_in } else { 0 };
                for c in from..from + channels {
                    for (ky, kx) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))) {
                        let wt = f64::from(weight[((o * group_in + i) * kh + ky) * kw + kx]);
                        let row =
                            |oy: usize| (oy * self.conv.stride[0] + ky * self.conv.dilation[0]).checked_sub(pad[0]);
                        for (oy, y) in (0..out.h).filter_map(|oy| Some((oy, row(oy).filter(|&y| y < h)?))) {
                            let line = source_shapes[s].index(n, c, y + self.sources[s].top, self.sources[s].left);
                            for ox in 0..out.w {
                                let x = ox * self.conv.stride[1] + kx * self.conv.dilation[1];
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
        if self.conv.groups == 1 {
            cx.explain(ConvChoice { family, reason });
        }
        match family {
            _ if self.conv.groups > 1 => self.lower_grouped(cx)?,
            ConvFamily::Plain => self.lower_plain(cx, false)?,
            ConvFamily::Tile => self.lower_plain(cx, true)?,
            ConvFamily::Winograd => winograd::lower(self, cx, WinogradForm::F4)?,
            ConvFamily::Winograd2 => winograd::lower(self, cx, WinogradForm::F2)?,
            ConvFamily::Gemm => gemm::lower(self, cx)?,
            ConvFamily::Subgroup => subgroup::lower(self, cx)?,
            ConvFamily::Window => window::lower(self, cx)?,
        }
        // Winograd's output transform pools in registers.
        let pooled =
            self.pool && (!matches!(family, ConvFamily::Winograd | ConvFamily::Winograd2) || self.conv.groups > 1);
        if pooled { MaxPool2d::new(2).lower_from(cx, Operand::OutputRead(0), cx.outputs[0], 1) } else { Ok(()) }
    }

    fn macs(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> u64 {
        self.conv.macs_with(&inputs[self.sources.len()], outputs)
    }

    fn spatial(&self, _: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        Spatial::Global("fused convolutions are executed, not analysed")
    }

    fn reads_halo(&self, input: usize) -> bool {
        self.conv.padding != [0; 4] && self.sources.get(input).is_some_and(|s| s.upsample.is_none())
    }
}

impl FusedConv2d {
    /// Kernels that read weights uniformly, packed as `[C_out/4][C_in/4][kh][kw][4 input channels]` of vec4 over
    /// output channels.
    fn lower_plain(&self, cx: &mut Lowering, tile: bool) -> Result<()> {
        let out = cx.output(0);
        let [h, w] = self.region(cx.input(0));
        for pass in self.source_passes(cx)? {
            let taps = self.conv.kernel[0] * self.conv.kernel[1];
            let (ob, ib) = (out.c.div_ceil(LANES), pass.channels.div_ceil(LANES));
            let order = ConvOrder::Plain { blocks: ib, bias: ob * LANES };
            let weights = self.pack(cx, &pass, ob * LANES * (1 + ib * taps * LANES), order);
            let (x, y, [alpha, beta]) = (pass.view, cx.output_view(0), pass.activation.arguments());
            let Size { w: ow, h: oh, blocks: out_blocks, .. } = out.into();
            let (in_blocks, [pad_top, pad_left, ..]) = (ib as u32, self.conv.padding.map(|p| p as u32));
            let bindings = [pass.operand, weights, Operand::Output(0)];
            if tile {
                let params = TileParams { x, y, ow, oh, out_blocks, in_blocks, pad_top, pad_left, alpha, beta };
                let workgroups = [out.w.div_ceil(8 * 4), out.h.div_ceil(8), out.n * ob.div_ceil(2)];
                cx.dispatch(pass.key(self, "conv2d_tile"), params, bindings, workgroups)?;
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
                    stride_y: self.conv.stride[0] as u32,
                    stride_x: self.conv.stride[1] as u32,
                    pad_top,
                    pad_left,
                    dilation_y: self.conv.dilation[0] as u32,
                    dilation_x: self.conv.dilation[1] as u32,
                    alpha,
                    beta,
                };
                cx.dispatch(pass.key(self, "conv2d_plain"), params, bindings, Lowering::per_vec4(out))?;
            }
        }
        Ok(())
    }

    fn lower_grouped(&self, cx: &mut Lowering) -> Result<()> {
        let (input, out) = (cx.input(0), cx.output(0));
        let [kh, kw] = self.conv.kernel;
        let group_in = input.c / self.conv.groups;
        let len = self.conv.out_channels * (1 + group_in * kh * kw);
        let (outputs, bias) = (self.conv.out_channels, self.conv.bias);
        let inputs: Vec<usize> = (1..=1 + usize::from(bias)).collect();
        let weights = cx.weights(inputs, len, Packing::BiasFirst { outputs, bias, weight: len - outputs });
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
            stride_y: self.conv.stride[0] as u32,
            stride_x: self.conv.stride[1] as u32,
            pad_top: self.conv.padding[0] as u32,
            pad_left: self.conv.padding[1] as u32,
            dilation_y: self.conv.dilation[0] as u32,
            dilation_x: self.conv.dilation[1] as u32,
            group_in: group_in as u32,
            group_out: (out.c / self.conv.groups) as u32,
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
