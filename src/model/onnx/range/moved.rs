//! Bounds of values whose elements are moved, averaged or joined.

use super::Analysis;
use super::poly::{Channels, Definition, Info, Poly};
use crate::ops::Rearrange;
use crate::tensor::Shape;
use std::collections::BTreeSet;

/// Effect of an operation on the channels of a pixel.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Pixel {
    /// All stay in one pixel and keep their sum.
    Whole,
    /// All stay in one pixel; their sum changes at edges.
    Together,
    /// Some of them are selected.
    Some,
    /// They are distributed over several pixels.
    Parted,
}

/// The axes of `sizes` that are the channels, if they consist of whole axes; axes of one element are omitted.
fn channel_axes(sizes: impl Iterator<Item = (usize, usize)>, s: Shape) -> Option<BTreeSet<usize>> {
    let (mut images, mut channels, mut found) = (1, 1, BTreeSet::new());
    for (axis, size) in sizes.filter(|a| a.1 > 1) {
        if images < s.n {
            images *= size;
        } else if channels < s.c {
            channels *= size;
            found.insert(axis);
        }
    }
    (images == s.n && channels == s.c).then_some(found)
}

/// Whether the channels of a pixel stay in one pixel.
pub(super) fn keeps_channels(op: &Rearrange, from: Shape) -> bool {
    let size = |axis: usize| op.dims.get(axis).copied().unwrap_or(1);
    let before = channel_axes((0..op.dims.len()).map(|a| (a, size(a))), from);
    let after = channel_axes(op.order.iter().map(|&a| (a, size(a))), op.shape);
    before.is_some() && before == after
}

impl Analysis<'_> {
    /// A value whose elements are moved; `key` identifies the operation.
    pub(super) fn moved(&mut self, key: &str, p: &Poly, from: usize, to: usize, pixel: Pixel, permuted: bool) -> Poly {
        let p = self.limited(p.clone(), from);
        let range = self.known.bounds(&p);
        let out = p.replaced(|a| {
            let info = |info: &Info| {
                let relation = match (pixel, info.relation) {
                    _ if info.channels != from || to < 2 => Channels::Unknown,
                    (Pixel::Parted, _) => Channels::Unknown,
                    (Pixel::Whole, k) => k,
                    (Pixel::Some, Channels::Sum(s) | Channels::Share(s)) if info.lo >= 0.0 => Channels::Share(s),
                    (Pixel::Together, k) if k.compete() => Channels::Compete,
                    (Pixel::Some | Pixel::Together, _) => Channels::Unknown,
                };
                let definition = if permuted { Definition::Moved(a) } else { Definition::Other };
                Info { relation, definition, above: Vec::new(), below: Vec::new(), channels: to, ..info.clone() }
            };
            Poly::atom(self.known.atom(format!("{key} {from} {to} of {a}"), |known| info(known.of(a))))
        });
        // Facts hold at one position only and are dropped, but the bounds that follow from them remain.
        self.tightest(out, range, to)
    }

    /// A value that is weighted means of elements.
    pub(super) fn averaged(&mut self, key: &str, p: &Poly, from: usize, to: usize, pixel: Pixel) -> Poly {
        let p = if p.is_affine() { p.clone() } else { self.closed(p, from) };
        // A mean of class ids is not a class id.
        let out = self.moved(&format!("mean {key}"), &p, from, to, pixel, false);
        out.atoms().into_iter().for_each(|a| self.known.set_ids(a, false));
        out
    }

    /// A value within the bounds of `p`, extended by the number `also`.
    pub(super) fn chosen(
        &mut self,
        key: &str,
        p: &Poly,
        also: Option<f64>,
        from: usize,
        to: usize,
        pixel: Pixel,
    ) -> Poly {
        let [lo, hi] = self.known.bounds(p);
        let [lo, hi] = also.map_or([lo, hi], |v| [lo.min(v), hi.max(v)]);
        let preserved = pixel != Pixel::Parted && from == to;
        let compete = preserved && self.known.relation(p, from).compete();
        let relation = if compete { Channels::Compete } else { Channels::Unknown };
        let ids = p.single().is_some_and(|(a, v)| v == 1.0 && self.known.of(a).ids);
        let overshoots = self.known.overshoots(p);
        let info = Info { relation, ids, overshoots, ..Info::within(lo, hi, to) };
        Poly::atom(self.known.atom(format!("{key} {from} {to} {p:?}"), |_| info))
    }

    /// The value before a permutation of its elements, if it is one.
    fn unmoved(&self, p: &Poly) -> Option<Poly> {
        let source =
            |a: usize| if let Definition::Moved(from) = self.known.of(a).definition { Some(from) } else { None };
        let all = p.atoms().into_iter().all(|a| source(a).is_some());
        (all && p.as_constant().is_none()).then(|| p.replaced(|a| Poly::atom(source(a).unwrap_or(a))))
    }

    /// The maximum or minimum along axes; `whole` if these are all axes of an image.
    pub(super) fn extreme(&mut self, key: &str, p: &Poly, [from, to]: [usize; 2], max: bool, whole: bool) -> Poly {
        let pixel = if from == to { Pixel::Together } else { Pixel::Parted };
        let y = self.chosen(key, p, None, from, to, pixel);
        if let Some((a, _)) = y.single() {
            self.known.add_fact(a, max, p.clone());
            let mut source = if whole { self.unmoved(p) } else { None };
            while let Some(p) = source {
                self.known.add_fact(a, max, p.clone());
                source = self.unmoved(&p);
            }
        }
        y
    }

    /// The sum of `count` elements along axes; `only` if these are just the channels.
    pub(super) fn summed(&mut self, key: &str, p: &Poly, count: usize, [from, to]: [usize; 2], only: bool) -> Poly {
        if only {
            let channels = match p.as_constant() {
                Some(v) => Channels::Sum(v * from as f64),
                None => self.known.relation(p, from),
            };
            if let Channels::Sum(s) = channels {
                return Poly::constant(s);
            }
        }
        let share = match self.known.relation(p, from) {
            Channels::Share(s) if only => s,
            _ => f64::INFINITY,
        };
        let [lo, hi] = self.known.bounds(p);
        let definition = if only { Definition::ChannelSum(p.clone()) } else { Definition::Other };
        let count = count as f64;
        let info = Info { definition, ..Info::within(lo * count, (hi * count).min(share), to) };
        let a = self.known.atom(format!("{key} {from} {to} {p:?}"), |_| info);
        if lo >= 0.0 {
            self.known.add_fact(a, true, p.clone());
        }
        Poly::atom(a)
    }

    /// Several values concatenated along the channels.
    pub(super) fn joined(&mut self, parts: &[(usize, Poly)]) -> Poly {
        if let [(_, one)] = parts {
            return one.clone();
        }
        let channels = parts.iter().map(|p| p.0).sum();
        let bounds: Vec<[f64; 2]> = parts.iter().map(|p| self.known.bounds(&p.1)).collect();
        let lo = bounds.iter().fold(f64::INFINITY, |lo, b| lo.min(b[0]));
        let hi = bounds.iter().fold(f64::NEG_INFINITY, |hi, b| hi.max(b[1]));
        let relation = match self.sum_of(parts) {
            Some(sum) => Channels::Sum(sum),
            None => self.rejoined(parts),
        };
        let overshoots = parts.iter().any(|p| self.known.overshoots(&p.1));
        let info = Info { relation, overshoots, ..Info::within(lo, hi, channels) };
        Poly::atom(self.known.atom(format!("joined {parts:?}"), |_| info))
    }

    /// The relation of channels that were split and are all joined again, in any order.
    fn rejoined(&self, parts: &[(usize, Poly)]) -> Channels {
        let mut sources = parts.iter().map(|p| match (p.1.single(), p.0) {
            (Some((a, 1.0)), n) => match self.known.of(a).definition {
                Definition::Slice(source, first, count) if count == n => Some((source, first, count)),
                _ => None,
            },
            _ => None,
        });
        let Some(mut all) = sources.by_ref().collect::<Option<Vec<_>>>() else { return Channels::Unknown };
        all.sort_unstable();
        let source = all.first().map_or(0, |s| s.0);
        let mut next = 0;
        let complete = all.iter().all(|&(from, first, count)| {
            let continues = from == source && first == next;
            next += count;
            continues
        });
        let info = self.known.of(source);
        if complete && next == info.channels { info.relation } else { Channels::Unknown }
    }

    /// The sum of all channels of several values, if it is constant.
    fn sum_of(&self, parts: &[(usize, Poly)]) -> Option<f64> {
        let (mut sum, mut shares) = (Poly::default(), Vec::new());
        for (channels, p) in parts {
            match (channels, self.known.relation(p, *channels), p.as_constant()) {
                (_, Channels::Sum(s), _) => sum = sum.plus(&Poly::constant(s), 1.0),
                (&n, _, Some(v)) => sum = sum.plus(&Poly::constant(v * n as f64), 1.0),
                (1, ..) => sum = sum.plus(p, 1.0),
                _ => return None,
            }
        }
        if let Some(sum) = sum.as_constant() {
            return Some(sum);
        }
        // a / (a + b) and b / (a + b).
        let mut left = sum.clone();
        for a in sum.atoms() {
            if let Definition::Ratio(num, den) = &self.known.of(a).definition {
                shares.push((num.clone(), den.clone()));
                left = left.plus(&Poly::atom(a), -1.0);
            }
        }
        let den = shares.first()?.1.clone();
        let total = shares.iter().fold(Poly::default(), |sum, s| sum.plus(&s.0, 1.0));
        let same = shares.iter().all(|s| s.1 == den) && left.as_constant() == Some(0.0);
        let rest = total.plus(&den, -1.0).as_constant()?;
        (same && rest.abs() < 1e-3).then_some(1.0)
    }
}
