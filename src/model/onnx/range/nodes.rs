//! What each operation makes of what is known of its inputs.

use super::moved::{Pixel, keeps_channels};
use super::poly::{About, Channels, Made, Poly, mul, times};
use super::{Analysis, Known, Share, linear};
use crate::graph::Node;
use crate::ops::{
    ArgMax, AvgPool2d, BatchNorm2d, Binary, BinaryKind, ChannelSlice, Concat, ConcatPixels, Conv2d, ConvTranspose2d,
    Crop2d, DepthToSpace, ExportNchw, Fill, GlobalAvgPool, GlobalMaxPool, ImportNchw, Interpolate, InterpolateKernel,
    MatMul, MaxPool2d, Pad2d, PadMode, PadWith, Pool2d, PoolKind, Rearrange, Reduce, ReduceKind, Resize, ResizeMode,
    Slice, Softmax, SpaceToDepth, Unary,
};
use crate::tensor::Shape;

/// Weights of a convolution that are looked at although its input is unbounded.
const SMALL: usize = 4096;
/// Parts of a concatenation that are kept apart.
const MAX_SPLITS: usize = 64;

impl Analysis<'_> {
    /// What a node's first output is.
    pub(super) fn node(&mut self, node: &Node) -> Known {
        let inputs: Vec<Known> = node.inputs.iter().take(2).map(|&v| self.value(v)).collect();
        let to = self.graph.shape(node.outputs[0]);
        let Some(first) = inputs.first() else {
            return match node.op.as_op::<Fill>() {
                Some(fill) => plain(Poly::constant(fill.value.into())),
                None => self.anything(node.outputs[0]),
            };
        };
        let from = self.graph.shape(node.inputs[0]);
        let value = self
            .joining(node)
            .or_else(|| self.elementwise(node, &inputs, to))
            .or_else(|| self.moving(node, first, from, to))
            .or_else(|| self.reducing(node, first, from, to).map(plain))
            .or_else(|| self.weighing(node, &first.value, from, to).map(plain));
        value.unwrap_or_else(|| self.anything(node.outputs[0]))
    }

    fn elementwise(&mut self, node: &Node, inputs: &[Known], to: Shape) -> Option<Known> {
        let (op, x) = (&node.op, &inputs[0]);
        if op.as_op::<ImportNchw>().is_some() || op.as_op::<ExportNchw>().is_some() {
            return Some(x.clone());
        }
        let function = op.as_op::<Unary>().map(|u| u.kind);
        let apply = |this: &mut Self, p: &Poly, channels: usize| function.map(|f| this.unary(f, p, channels));
        if let Some(value) = apply(self, &x.value, to.c) {
            let parts = x.parts.iter().map(|(n, p)| Some((*n, apply(self, p, *n)?))).collect::<Option<_>>();
            return Some(Known { parts: parts.unwrap_or_default(), ..plain(value) });
        }
        let kind = op.as_op::<Binary>()?.kind;
        let y = inputs.get(1)?;
        let value = self.binary(kind, &x.value, &y.value, to.c);
        Some(match kind {
            BinaryKind::Mul => {
                let bounds = [self.known.bounds(&x.value), self.known.bounds(&y.value)];
                let mut shares = Vec::new();
                for (factor, own, other) in [(x, bounds[0], bounds[1]), (y, bounds[1], bounds[0])] {
                    if own[0] >= 0.0 && own[1] <= 1.0 {
                        shares.push((factor.value.clone(), other));
                    }
                }
                Known { shares, ..plain(value) }
            }
            // c * a + (1 - c) * b lies between a and b.
            BinaryKind::Add => {
                let pairs = x.shares.iter().flat_map(|a| y.shares.iter().map(move |b| (a, b)));
                let whole = |((c, a), (d, b)): (&Share, &Share)| {
                    (c.plus(d, 1.0).as_constant() == Some(1.0)).then(|| [a[0].min(b[0]), a[1].max(b[1])])
                };
                match pairs.filter_map(whole).next() {
                    Some(range) => plain(self.tightest(value, range, to.c)),
                    None => plain(value),
                }
            }
            _ => plain(value),
        })
    }

    fn joining(&mut self, node: &Node) -> Option<Known> {
        let all = |this: &mut Self| -> Vec<(usize, Known)> {
            node.inputs.iter().map(|&v| (this.graph.shape(v).c, this.value(v))).collect()
        };
        if node.op.as_op::<Concat>().is_some() {
            let mut parts = Vec::new();
            for (channels, known) in all(self) {
                match known.parts.is_empty() {
                    true => parts.push((channels, known.value)),
                    false => parts.extend(known.parts),
                }
            }
            let value = self.joined(&parts);
            parts.truncate(if parts.len() > MAX_SPLITS { 0 } else { parts.len() });
            return Some(Known { parts, ..plain(value) });
        }
        node.op.as_op::<ConcatPixels>()?;
        let all = all(self);
        let channels = all.first()?.0;
        let flags: Vec<Channels> = all.iter().map(|k| self.known.together(&k.1.value, channels)).collect();
        let together = match flags[..] {
            [first, ..] if flags.iter().all(|&f| f == first) => first,
            _ if flags.iter().all(|f| f.compete()) => Channels::Compete,
            _ => Channels::Unknown,
        };
        let bounds: Vec<[f64; 2]> = all.iter().map(|k| self.known.bounds(&k.1.value)).collect();
        let lo = bounds.iter().fold(f64::INFINITY, |lo, b| lo.min(b[0]));
        let hi = bounds.iter().fold(f64::NEG_INFINITY, |hi, b| hi.max(b[1]));
        let about = About { together, ..About::within(lo, hi, channels) };
        let key = format!("beside {:?}", all.iter().map(|k| &k.1.value).collect::<Vec<_>>());
        Some(plain(Poly::atom(self.known.atom(key, |_| about))))
    }

    /// Operations that move elements.
    fn moving(&mut self, node: &Node, x: &Known, from: Shape, to: Shape) -> Option<Known> {
        let op = &node.op;
        let key = format!("{op:?} {from}");
        let whole = |this: &mut Self| {
            let value = this.moved(&key, &x.value, from.c, to.c, Pixel::Whole, false);
            let parts = x.parts.iter().map(|(n, p)| (*n, this.moved(&key, p, *n, *n, Pixel::Whole, false))).collect();
            Some(Known { parts, ..plain(value) })
        };
        if let Some(r) = op.as_op::<Rearrange>() {
            let pixel = if keeps_channels(r, from) { Pixel::Whole } else { Pixel::Parted };
            return Some(plain(self.moved(&key, &x.value, from.c, to.c, pixel, from.n == to.n)));
        }
        if op.as_op::<DepthToSpace>().is_some() || op.as_op::<SpaceToDepth>().is_some() {
            return Some(plain(self.moved(&key, &x.value, from.c, to.c, Pixel::Parted, false)));
        }
        if let Some(slice) = op.as_op::<ChannelSlice>() {
            return Some(self.channels(&key, x, from.c, slice.first, slice.count));
        }
        if let Some(slice) = op.as_op::<Slice>() {
            let all = slice.len[1] == from.c;
            if !all && slice.step[1] == 1 && !x.parts.is_empty() {
                return Some(self.channels(&key, x, from.c, slice.start[1], slice.len[1]));
            }
            let pixel = if all { Pixel::Whole } else { Pixel::Some };
            return Some(plain(self.moved(&key, &x.value, from.c, to.c, pixel, false)));
        }
        let nearest = op.as_op::<Resize>().is_some_and(|r| r.mode == ResizeMode::Nearest)
            || op.as_op::<Interpolate>().is_some_and(|i| matches!(i.kernel, InterpolateKernel::Nearest(_)));
        if op.as_op::<Crop2d>().is_some() || nearest {
            return whole(self);
        }
        let (sides, value) = if let Some(p) = op.as_op::<Pad2d>() {
            ([p.left, p.right, p.top, p.bottom], Some(0.0))
        } else {
            let p = op.as_op::<PadWith>()?;
            (
                [p.left, p.right, p.top, p.bottom],
                if let PadMode::Constant(v) = p.mode { Some(f64::from(v)) } else { None },
            )
        };
        match value {
            Some(v) if sides.iter().any(|&n| n > 0) => {
                Some(plain(self.chosen(&key, &x.value, Some(v), from.c, to.c, Pixel::Together)))
            }
            _ => whole(self),
        }
    }

    /// Some channels of a value.
    fn channels(&mut self, key: &str, x: &Known, from: usize, first: usize, count: usize) -> Known {
        let (mut at, mut taken) = (0, Vec::new());
        for (n, p) in &x.parts {
            if at >= first && at + n <= first + count {
                taken.push((*n, p.clone()));
            }
            at += n;
        }
        if taken.iter().map(|t| t.0).sum::<usize>() == count {
            let taken: Vec<_> =
                taken.iter().map(|(n, p)| (*n, self.moved(key, p, *n, *n, Pixel::Whole, false))).collect();
            return Known { value: self.joined(&taken), parts: taken, shares: Vec::new() };
        }
        let pixel = if count == from { Pixel::Whole } else { Pixel::Some };
        let value = self.moved(key, &x.value, from, count, pixel, false);
        if let (Some((source, 1.0)), Some((a, 1.0))) = (x.value.single(), value.single()) {
            self.known.set_made(a, Made::Slice(source, first, count));
        }
        plain(value)
    }

    /// Means, extremes and sums along axes, pooling, resizing.
    fn reducing(&mut self, node: &Node, x: &Known, from: Shape, to: Shape) -> Option<Poly> {
        let (op, p) = (&node.op, &x.value);
        let key = format!("{op:?} {from}");
        let both = [from.c, to.c];
        if let Some(r) = op.as_op::<Reduce>() {
            let count = from.len() / to.len().max(1);
            let only = r.channels && !r.rows && !r.columns;
            let pixel = if r.channels { Pixel::Parted } else { Pixel::Together };
            return Some(match r.kind {
                ReduceKind::Mean => match self.known.together(p, from.c) {
                    Channels::Sum(s) if only => Poly::constant(s / from.c as f64),
                    _ => self.averaged(&key, p, from.c, to.c, if r.channels { pixel } else { Pixel::Whole }),
                },
                ReduceKind::Sum => self.summed(&key, p, count, both, only),
                ReduceKind::Max => self.extreme(&key, p, both, true, to == Shape::new(to.n, 1, 1, 1)),
                ReduceKind::Min => self.extreme(&key, p, both, false, to == Shape::new(to.n, 1, 1, 1)),
            });
        }
        if op.as_op::<GlobalMaxPool>().is_some() {
            return Some(self.extreme(&key, p, both, true, from.c == 1));
        }
        if op.as_op::<MaxPool2d>().is_some() {
            return Some(self.chosen(&key, p, None, from.c, to.c, Pixel::Together));
        }
        if let Some(pool) = op.as_op::<Pool2d>() {
            return Some(match pool.kind {
                PoolKind::Max => self.chosen(&key, p, None, from.c, to.c, Pixel::Together),
                PoolKind::Average { count_include_pad: true } if pool.padding != [0; 4] => {
                    self.chosen(&key, p, Some(0.0), from.c, to.c, Pixel::Together)
                }
                PoolKind::Average { .. } => self.averaged(&key, p, from.c, to.c, Pixel::Whole),
            });
        }
        let linear = op.as_op::<Resize>().is_some()
            || op.as_op::<Interpolate>().is_some_and(|i| i.kernel == InterpolateKernel::Linear);
        if linear || op.as_op::<AvgPool2d>().is_some() || op.as_op::<GlobalAvgPool>().is_some() {
            return Some(self.averaged(&key, p, from.c, to.c, Pixel::Whole));
        }
        if op.as_op::<Interpolate>().is_some() {
            // A cubic goes beyond its neighbours a little; what it is of stays what it is.
            let y = self.averaged(&key, p, from.c, to.c, Pixel::Whole);
            y.atoms().into_iter().for_each(|a| self.known.set_overshoots(a));
            return Some(y);
        }
        None
    }

    /// Softmax, ArgMax, normalisations, convolutions, matrix products.
    fn weighing(&mut self, node: &Node, x: &Poly, from: Shape, to: Shape) -> Option<Poly> {
        let op = &node.op;
        if op.as_op::<Softmax>().is_some() {
            let about = About { together: Channels::Sum(1.0), ..About::within(0.0, 1.0, to.c) };
            let softmax = |this: &mut Self| this.known.atom(format!("softmax {} {x:?}", to.c), |_| about);
            return Some(if to.c == 1 { Poly::constant(1.0) } else { Poly::atom(softmax(self)) });
        }
        if op.as_op::<ArgMax>().is_some() {
            let about = About { ids: true, ..About::within(0.0, from.c.saturating_sub(1) as f64, 1) };
            return Some(Poly::atom(self.known.atom(format!("argmax {x:?} {}", node.outputs[0].index()), |_| about)));
        }
        let bounds = self.known.bounds(x);
        let bounded = bounds.iter().all(|b| b.is_finite());
        let together = self.known.together(x, from.c);
        let free = bounds == [f64::NEG_INFINITY, f64::INFINITY];
        let input = |i: usize| node.inputs.get(i).copied();
        let mut channels = Channels::Unknown;
        let range = if let Some(norm) = op.as_op::<BatchNorm2d>().filter(|_| bounded) {
            let p: Option<Vec<_>> = (1..5).map(|i| self.parameter(input(i)?)).collect();
            let p = p?;
            let coefficients = norm.coefficients([p[0].data(), p[1].data(), p[2].data(), p[3].data()]).ok()?;
            coefficients.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[lo, hi], &(k, o)| {
                let [a, b] = times(bounds, [k, k]);
                [lo.min(a + o), hi.max(b + o)]
            })
        } else if let Some(conv) = op.as_op::<Conv2d>() {
            let weight = input(1)?;
            if free || (!bounded && self.graph.shape(weight).len() > SMALL) {
                return None;
            }
            let w = self.parameter(weight)?;
            let bias = if conv.bias { Some(self.parameter(input(2)?)?) } else { None };
            let alone = conv.groups > 1 && conv.groups == from.c && to.c == from.c;
            channels = match together {
                Channels::Sum(s) => match linear::channel_sum(conv, &w, bias.as_deref(), s) {
                    Some(sum) => Channels::Sum(sum),
                    None if alone => Channels::Compete,
                    None => Channels::Unknown,
                },
                k if alone && k.compete() => Channels::Compete,
                _ => Channels::Unknown,
            };
            linear::conv(conv, &w, bias.as_deref(), bounds, together)
        } else if let Some(conv) = op.as_op::<ConvTranspose2d>() {
            let weight = input(1)?;
            if free || (!bounded && self.graph.shape(weight).len() > SMALL) {
                return None;
            }
            let w = self.parameter(weight)?;
            let bias = if conv.bias { Some(self.parameter(input(2)?)?) } else { None };
            let alone = conv.groups > 1 && conv.groups == from.c && to.c == from.c;
            channels = if alone && together.compete() { Channels::Compete } else { Channels::Unknown };
            linear::conv_transpose(conv, &w, bias.as_deref(), bounds)
        } else {
            op.as_op::<MatMul>().filter(|_| bounded)?;
            let other = self.value(input(1)?).value;
            let [lo, hi] = times(bounds, self.known.bounds(&other));
            [mul(lo, from.w as f64), mul(hi, from.w as f64)]
        };
        let about = About { together: channels, ..About::within(range[0], range[1], to.c) };
        Some(Poly::atom(self.known.atom(format!("value {}", node.outputs[0].index()), |_| about)))
    }
}

fn plain(value: Poly) -> Known {
    Known::plain(value)
}
