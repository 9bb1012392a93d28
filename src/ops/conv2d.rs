//! 2-D convolution over one tensor or over several that lie side by side along the channels.

mod cases;
mod choose;
mod gemm;
mod subgroup;
mod winograd;

use super::{ActivationKind, Lowering, Op, OpCase, Spatial, Window, by_plane};
use crate::error::{Error, Result};
use crate::kernel::{ConvClass, ConvFamily, KernelKey, Operand};
use crate::tensor::{HostTensor, LANES, Shape, TensorDesc};
use choose::choose;

/// `torch.nn.functional.conv2d` (cross-correlation, zero padding) with an activation.
///
/// Inputs: `sources.len()` data tensors, read as if concatenated along the channels, then the weight
/// `[C_out, C_in / groups, kh, kw]`, then the bias `[C_out]` if `bias`. A source may be a crop of its tensor: that is
/// how skip connections reach a convolution without a copy.
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
    pub activation: ActivationKind,
    /// Row and column at which each source's region starts.
    pub sources: Vec<[usize; 2]>,
    /// Rows and columns of the region read from every source; the whole first source if absent.
    pub region: Option<[usize; 2]>,
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
            activation: ActivationKind::None,
            sources: vec![[0; 2]],
            region: None,
        }
    }

    /// The same with or without a bias.
    #[must_use]
    pub fn with_bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }

    /// The same with an activation.
    #[must_use]
    pub fn with_activation(self, activation: ActivationKind) -> Self {
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

    fn region(&self, first: Shape) -> [usize; 2] {
        self.region.unwrap_or([first.h, first.w])
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
        if weight != want
            || !channels.is_multiple_of(self.groups)
            || !self.out_channels.is_multiple_of(self.groups)
        {
            return fail(format!("weight {weight} does not fit {channels} input channels in {} groups, expected {want}", self.groups));
        }
        if self.groups > 1 && k > 1 {
            return fail("grouped convolution over several sources".into());
        }
        for (s, [top, left]) in inputs[..k].iter().zip(&self.sources) {
            let s = s.shape;
            if s.n != first.n || top + h > s.h || left + w > s.w {
                return fail(format!("a {h}x{w} region at ({top}, {left}) is not inside source {s} (first source {first})"));
            }
            let cropped = (s.h, s.w) != (h, w);
            if cropped && self.padding != [0; 4] {
                return fail("a padded convolution cannot read a crop: the halo is not zero there".into());
            }
        }
        if self.bias && inputs[k + 1].shape.len() != self.out_channels {
            return fail(format!("bias {} for {} output channels", inputs[k + 1].shape, self.out_channels));
        }
        match (self.output_size(0, h), self.output_size(1, w)) {
            (Some(oh), Some(ow)) => Ok(vec![TensorDesc::blocked(Shape::new(first.n, self.out_channels, oh, ow))]),
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
        let (group_in, group_out) = (shapes[k].c, self.out_channels / self.groups);
        let pad = [self.padding[0], self.padding[1]];
        let result = by_plane(out, |n, o, plane| {
            let bias = if self.bias { f64::from(inputs[k + 1].data()[o]) } else { 0.0 };
            let mut sums = vec![bias; plane.len()];
            // `i` counts the group's input channels through all sources.
            let mut i = 0;
            for (s, source) in inputs[..k].iter().enumerate() {
                let channels = if self.groups > 1 { group_in } else { shapes[s].c };
                let from = (o / group_out) * if self.groups > 1 { group_in } else { 0 };
                for c in from..from + channels {
                    for (ky, kx) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))) {
                        let wt = f64::from(weight[((o * group_in + i) * kh + ky) * kw + kx]);
                        let row = |oy: usize| (oy * self.stride[0] + ky * self.dilation[0]).checked_sub(pad[0]);
                        for (oy, y) in (0..out.h).filter_map(|oy| Some((oy, row(oy).filter(|&y| y < h)?))) {
                            let line = shapes[s].index(n, c, y + self.sources[s][0], self.sources[s][1]);
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
        Ok(vec![result])
    }

    fn lower(&self, cx: &mut Lowering) -> Result<()> {
        if self.groups > 1 {
            return self.lower_grouped(cx);
        }
        let (family, reason) = choose(self, cx);
        cx.explain(family.name(), reason);
        match family {
            ConvFamily::Plain => self.lower_plain(cx, false),
            ConvFamily::Tile => self.lower_plain(cx, true),
            ConvFamily::Winograd => winograd::lower(self, cx),
            ConvFamily::Gemm => gemm::lower(self, cx),
            ConvFamily::Subgroup => subgroup::lower(self, cx),
        }
    }

    fn macs(&self, inputs: &[TensorDesc], outputs: &[TensorDesc]) -> u64 {
        let weight = inputs[self.sources.len()].shape;
        outputs[0].shape.len() as u64 * (weight.c * weight.h * weight.w) as u64
    }

    fn spatial(&self, inputs: &[TensorDesc], _: &[TensorDesc]) -> Spatial {
        let windows = (0..inputs.len()).map(|s| {
            let offset = self.sources.get(s).copied().unwrap_or([0; 2]);
            [0, 1].map(|axis| {
                let first = offset[axis] as i64 - self.padding[axis] as i64;
                let reach = (self.dilation[axis] * (self.kernel[axis] - 1)) as i64;
                Window { num: self.stride[axis] as i64, den: 1, first, last: first + reach }
            })
        });
        Spatial::Windows(windows.collect())
    }

    fn reads_halo(&self, input: usize) -> bool {
        input < self.sources.len() && self.padding != [0; 4]
    }
}

/// One source's share of a convolution: its own dispatch, the later ones adding to what the earlier ones wrote.
#[derive(Clone, Copy, Debug)]
struct Part {
    source: usize,
    /// First input channel in the weight, and their number.
    first: usize,
    channels: usize,
    /// Whether it brings the bias in: the first.
    bias: bool,
    /// The activation if it is the last, else none.
    activation: ActivationKind,
}

impl Part {
    /// The constants that kernels of one source have in common.
    fn key(&self, op: &Conv2d, shader: &'static str) -> KernelKey {
        KernelKey::new(shader)
            .with("KH", op.kernel[0] as u32)
            .with("KW", op.kernel[1] as u32)
            .with("ACTIVATION", self.activation.id())
            .flag("ACCUMULATE", self.source > 0)
    }
}

impl Conv2d {
    fn parts(&self, cx: &Lowering) -> Vec<Part> {
        let k = self.sources.len();
        let mut first = 0;
        (0..k)
            .map(|source| {
                let channels = cx.input(source).c;
                first += channels;
                let activation = if source + 1 == k { self.activation } else { ActivationKind::None };
                Part { source, first: first - channels, channels, bias: self.bias && source == 0, activation }
            })
            .collect()
    }

    /// View of a part's region.
    fn view(&self, cx: &Lowering, part: &Part) -> [u32; 4] {
        let [y, x] = self.sources[part.source];
        cx.cropped_view(part.source, y, x)
    }

    /// Packs a part's weight into `len` elements: the bias first, element `(output, input channel of the part, tap)` at
    /// `at`. What no element goes to is zero.
    fn pack(
        &self,
        cx: &mut Lowering,
        part: &Part,
        len: usize,
        at: impl Fn(usize, usize, usize) -> usize + Send + Sync + 'static,
    ) -> Operand {
        let taps = self.kernel[0] * self.kernel[1];
        let (out_channels, Part { first, channels, bias, .. }) = (self.out_channels, *part);
        let mut inputs = vec![self.weight_input()];
        inputs.extend(bias.then_some(self.weight_input() + 1));
        cx.weights(inputs, len, move |p| {
            let total = p[0].shape()?.c;
            let mut packed = vec![0.0; len];
            if bias {
                packed[..out_channels].copy_from_slice(p[1].data());
            }
            for o in 0..out_channels {
                for i in 0..channels {
                    for t in 0..taps {
                        packed[at(o, i, t)] = p[0].data()[(o * total + first + i) * taps + t];
                    }
                }
            }
            Ok(packed)
        })
    }

    /// The kernels that read weights uniformly, packed `[C_out/4][C_in/4][kh][kw][4 input channels]` of vec4 over
    /// output channels.
    fn lower_plain(&self, cx: &mut Lowering, tile: bool) -> Result<()> {
        let out = cx.output(0);
        let [h, w] = self.region(cx.input(0));
        for part in self.parts(cx) {
            let taps = self.kernel[0] * self.kernel[1];
            let (ob, ib) = (out.c.div_ceil(LANES), part.channels.div_ceil(LANES));
            let weights = self.pack(cx, &part, ob * LANES * (1 + ib * taps * LANES), move |o, i, t| {
                let block = ((o / LANES) * ib + i / LANES) * taps + t;
                ob * LANES + (block * LANES + i % LANES) * LANES + o % LANES
            });
            let mut params = Vec::with_capacity(24);
            params.extend(self.view(cx, &part));
            params.extend(cx.output_view(0));
            params.extend([out.w, out.h, ob, ib].map(|v| v as u32));
            let (shader, workgroups) = if tile {
                params.extend([self.padding[0], self.padding[1], 0, 0].map(|v| v as u32));
                ("conv2d_tile", [out.w.div_ceil(8 * 4), out.h.div_ceil(8), out.n * ob.div_ceil(2)])
            } else {
                params.extend([h, w, self.stride[0], self.stride[1]].map(|v| v as u32));
                params.extend([self.padding[0], self.padding[1], self.dilation[0], self.dilation[1]].map(|v| v as u32));
                ("conv2d_plain", Lowering::per_vec4(out))
            };
            params.extend([part.activation.slope().to_bits(), 0, 0, 0]);
            let bindings = [Operand::Input(part.source), weights, Operand::Output(0)];
            cx.dispatch(part.key(self, shader), params, bindings, workgroups)?;
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
        let mut params = Vec::with_capacity(28);
        params.extend(cx.cropped_view(0, self.sources[0][0], self.sources[0][1]));
        params.extend(cx.output_view(0));
        params.extend([out.w, out.h, out.c.div_ceil(LANES), out.c].map(|v| v as u32));
        params.extend([h, w, self.stride[0], self.stride[1]].map(|v| v as u32));
        params.extend([self.padding[0], self.padding[1], self.dilation[0], self.dilation[1]].map(|v| v as u32));
        params.extend([group_in as u32, (out.c / self.groups) as u32, self.activation.slope().to_bits(), 0]);
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
