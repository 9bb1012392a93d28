//! What is known of functions of one element, and of two.

use super::Analysis;
use super::poly::{About, Channels, Made, Poly, times};
use crate::ops::{BinaryKind, Function};

/// Far enough for every function to be at its limit, and near enough to be computed with.
const FAR: f64 = 1e300;

/// The bounds of a function that only rises, if it is one.
fn rising(kind: Function, [lo, hi]: [f64; 2]) -> Option<[f64; 2]> {
    use Function as K;
    let at = |v: f64| kind.apply(v);
    Some(match kind {
        K::Identity | K::Exp | K::Floor | K::Ceil | K::Round | K::Sign | K::Erf | K::Tanh | K::Softplus => {
            [at(lo), at(hi)]
        }
        K::Softsign => [at(lo.clamp(-FAR, FAR)), at(hi.clamp(-FAR, FAR))],
        K::Log | K::Sqrt => [at(lo.max(0.0)), at(hi.max(0.0))],
        K::HardSigmoid { alpha, .. } if alpha > 0.0 => [at(lo), at(hi)],
        K::HardSigmoid { .. } => [0.0, 1.0],
        K::Clip { .. } => [at(lo), at(hi)],
        K::Elu { alpha } | K::Selu { alpha, .. } if alpha >= 0.0 => [at(lo), at(hi)],
        // They fall a little below zero before they rise; the least is rounded down.
        K::Silu => [if lo >= 0.0 { at(lo) } else { -0.2785 }, at(hi).max(0.0)],
        K::Mish => [if lo >= 0.0 { at(lo) } else { -0.3089 }, at(hi).max(0.0)],
        K::Gelu | K::GeluTanh => [if lo >= 0.0 { at(lo) } else { -0.1701 }, at(hi).max(0.0)],
        K::HardSwish => [if lo >= 0.0 { at(lo) } else { -0.375 }, at(hi).max(0.0)],
        _ => return None,
    })
}

impl Analysis<'_> {
    /// What is known of the channels of a function of each element.
    fn of_function(&self, p: &Poly, channels: usize) -> Channels {
        if self.known.together(p, channels).compete() { Channels::Compete } else { Channels::Unknown }
    }

    /// A quantity that is a function of a value.
    fn function(&mut self, name: &str, p: &Poly, channels: usize, [lo, hi]: [f64; 2], made: Made) -> Poly {
        let (together, overshoots) = (self.of_function(p, channels), self.known.overshoots(p));
        let about = About { made, together, overshoots, ..About::within(lo, hi, channels) };
        Poly::atom(self.known.atom(format!("{name} {channels} {p:?}"), |_| about))
    }

    /// Notes that a value is not below another, and gives it back.
    fn not_below(&mut self, y: &Poly, p: &Poly) -> Poly {
        if let Some((a, 1.0)) = y.single() {
            self.known.add_fact(a, true, p.clone());
        }
        y.clone()
    }

    pub(super) fn unary(&mut self, kind: Function, p: &Poly, channels: usize) -> Poly {
        let [lo, hi] = self.known.bounds(p);
        match kind {
            Function::Identity => return p.clone(),
            Function::Relu | Function::LeakyRelu { .. } if lo >= 0.0 => return p.clone(),
            Function::Relu => {
                let y = self.function("relu", p, channels, [0.0, hi.max(0.0)], Made::Other);
                return self.not_below(&y, p);
            }
            Function::LeakyRelu { slope } => {
                let range = if slope >= 0.0 { [kind.apply(lo), kind.apply(hi)] } else { [0.0, f64::INFINITY] };
                return self.function(&format!("leaky {slope}"), p, channels, range, Made::Other);
            }
            Function::Sigmoid => {
                // The sigmoid of -x is 1 minus that of x.
                if let Some(a) = self.known.find(&format!("sigmoid {channels} {:?}", p.times(-1.0))) {
                    return Poly::constant(1.0).plus(&Poly::atom(a), -1.0);
                }
                let range = [kind.apply(lo), kind.apply(hi)];
                return self.function("sigmoid", p, channels, range, Made::Sigmoid(p.clone()));
            }
            Function::Neg => return p.times(-1.0),
            Function::Reciprocal => return self.ratio(&Poly::constant(1.0), p, channels),
            Function::Abs if lo >= 0.0 => return p.clone(),
            Function::Abs if hi <= 0.0 => return p.times(-1.0),
            Function::Abs => {
                let y = self.function("abs", p, channels, [0.0, (-lo).max(hi)], Made::Other);
                let y = self.not_below(&y, p);
                return self.not_below(&y, &p.times(-1.0));
            }
            Function::Clip { min, max } if lo >= f64::from(min) && hi <= f64::from(max) => return p.clone(),
            Function::Exp => {
                let y = self.function("exp", p, channels, [lo.exp(), hi.exp()], Made::Exp(p.clone()));
                return self.with_channels(
                    y,
                    channels,
                    |k| match k {
                        Channels::LogSum => Channels::Sum(1.0),
                        k => k,
                    },
                    p,
                );
            }
            Function::Log => {
                let range = [lo.max(0.0).ln(), hi.max(0.0).ln()];
                let y = self.function("log", p, channels, range, Made::Log(p.clone()));
                // The logarithm of a sum of exponentials is not below any exponent.
                let facts = self.parts_of(p, |made| if let Made::Exp(x) = made { Some(x.clone()) } else { None });
                let y = facts.iter().fold(y, |y, fact| self.not_below(&y, fact));
                return self.with_channels(
                    y,
                    channels,
                    |k| match k {
                        Channels::Sum(s) if (s - 1.0).abs() < 1e-3 => Channels::LogSum,
                        k => k,
                    },
                    p,
                );
            }
            _ => {}
        }
        let range = rising(kind, [lo, hi]).unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
        let y = self.function(&format!("{kind:?}"), p, channels, range, Made::Other);
        match kind {
            Function::Softplus => self.not_below(&y, p),
            Function::Sqrt => {
                // The root of a sum of squares is not below any of their sides.
                let side = |made: &Made| if let Made::Square(a) = made { Some(Poly::atom(*a)) } else { None };
                let sides = self.parts_of(p, side);
                sides.iter().fold(y, |y, a| {
                    let y = self.not_below(&y, a);
                    self.not_below(&y, &a.times(-1.0))
                })
            }
            Function::Clip { max, .. } if hi <= f64::from(max) => self.not_below(&y, p),
            _ => y,
        }
    }

    /// Changes what is known of the channels of a quantity by what was known of those of `p`.
    fn with_channels(&mut self, y: Poly, channels: usize, f: impl Fn(Channels) -> Channels, p: &Poly) -> Poly {
        let of = self.known.together(p, channels);
        if let (Some((a, 1.0)), true) = (y.single(), f(of) != of) {
            self.known.set_together(a, f(of));
        }
        y
    }

    /// What `of` makes of the terms of a sum whose rest is not negative, and of what these are themselves sums of.
    fn parts_of(&self, p: &Poly, of: impl Fn(&Made) -> Option<Poly>) -> Vec<Poly> {
        let mut found = Vec::new();
        for (product, v) in p.terms() {
            let &[a] = product else { continue };
            if v != 1.0 || self.known.lower(&p.plus(&Poly::atom(a), -1.0)) < 0.0 {
                continue;
            }
            found.extend(of(&self.known.of(a).made));
            let parts = self.known.of(a).above.iter().filter_map(|e| e.single().filter(|s| s.1 == 1.0));
            found.extend(parts.filter_map(|s| of(&self.known.of(s.0).made)));
        }
        found
    }

    pub(super) fn binary(&mut self, kind: BinaryKind, a: &Poly, b: &Poly, channels: usize) -> Poly {
        let ([alo, ahi], [blo, bhi]) = (self.known.bounds(a), self.known.bounds(b));
        match kind {
            BinaryKind::Add => self.softened(a.plus(b, 1.0), channels),
            BinaryKind::Sub => self.softened(a.plus(b, -1.0), channels),
            BinaryKind::Mul => self.product(a, b, channels),
            BinaryKind::Div => self.ratio(a, b, channels),
            BinaryKind::Max if blo >= ahi => b.clone(),
            BinaryKind::Max if alo >= bhi => a.clone(),
            BinaryKind::Min if blo >= ahi => a.clone(),
            BinaryKind::Min if alo >= bhi => b.clone(),
            BinaryKind::Max => {
                let y = self.pair("max", a, b, channels, [alo.max(blo), ahi.max(bhi)]);
                let y = self.not_below(&y, a);
                self.not_below(&y, b)
            }
            BinaryKind::Min => {
                let y = self.pair("min", a, b, channels, [alo.min(blo), ahi.min(bhi)]);
                if let Some((atom, 1.0)) = y.single() {
                    self.known.add_fact(atom, false, a.clone());
                    self.known.add_fact(atom, false, b.clone());
                }
                y
            }
            BinaryKind::Pow => self.power(a, b, channels),
            BinaryKind::Prelu => {
                let below = times([alo.min(0.0), ahi.min(0.0)], [blo, bhi]);
                let range = [alo.max(0.0).min(below[0]), ahi.max(0.0).max(below[1])];
                self.pair("prelu", a, b, channels, if alo >= 0.0 { [alo, ahi] } else { range })
            }
            BinaryKind::Less | BinaryKind::Greater | BinaryKind::Equal => {
                self.pair(&format!("{kind:?}"), a, b, channels, [0.0, 1.0])
            }
        }
    }

    /// A quantity that is a function of two values.
    fn pair(&mut self, name: &str, a: &Poly, b: &Poly, channels: usize, [lo, hi]: [f64; 2]) -> Poly {
        let flags = [self.of_function(a, channels), self.of_function(b, channels)];
        let together = if flags.contains(&Channels::Compete) { Channels::Compete } else { Channels::Unknown };
        let overshoots = self.known.overshoots(a) || self.known.overshoots(b);
        let about = About { together, overshoots, ..About::within(lo, hi, channels) };
        Poly::atom(self.known.atom(format!("{name} {channels} {a:?} {b:?}"), |_| about))
    }

    /// A sum; where it is `x - log(sum of exp(x) over channels)`, the logarithm of a softmax.
    fn softened(&mut self, sum: Poly, channels: usize) -> Poly {
        let log = |known: &super::poly::Knowledge, (product, v): (&[usize], f64)| -> Option<Poly> {
            let (&[a], -1.0) = (product, v) else { return None };
            let Made::Log(s) = &known.of(a).made else { return None };
            let Made::ChannelSum(e) = &known.of(s.single().filter(|s| s.1 == 1.0)?.0).made else { return None };
            let Made::Exp(x) = &known.of(e.single().filter(|s| s.1 == 1.0)?.0).made else { return None };
            (sum.plus(&Poly::atom(a), 1.0) == *x).then(|| x.clone())
        };
        let found = sum.terms().find_map(|t| log(&self.known, t));
        if let Some(x) = found.filter(|_| channels > 1) {
            let about = About { together: Channels::LogSum, ..About::within(f64::NEG_INFINITY, 0.0, channels) };
            return Poly::atom(self.known.atom(format!("log softmax {channels} {x:?}"), |_| about));
        }
        self.kept(sum, channels)
    }

    fn product(&mut self, a: &Poly, b: &Poly, channels: usize) -> Poly {
        if let Some(v) = a.as_constant() {
            return b.times(v);
        }
        if let Some(v) = b.as_constant() {
            return a.times(v);
        }
        // Something times the reciprocal of a value is a ratio, of which more is known.
        for (p, q) in [(a, b), (b, a)] {
            if let Some((atom, v)) = q.single()
                && let Made::Ratio(num, den) = self.known.of(atom).made.clone()
                && let Some(k) = num.as_constant()
            {
                return self.ratio(&p.times(k * v), &den, channels);
            }
        }
        let known = &mut self.known;
        let mut square = |atom: usize| {
            let About { lo, hi, channels, overshoots, .. } = *known.of(atom);
            let together = if known.of(atom).together.compete() { Channels::Compete } else { Channels::Unknown };
            let ends = [lo * lo, hi * hi];
            let min = if lo <= 0.0 && hi >= 0.0 { 0.0 } else { ends[0].min(ends[1]) };
            let made = Made::Square(atom);
            let mut about = About { made, together, overshoots, ..About::within(min, ends[0].max(ends[1]), channels) };
            if lo.is_finite() && hi.is_finite() {
                // A parabola lies above its tangents and below its secant.
                let tangent = |at: f64| Poly::constant(-at * at).plus(&Poly::atom(atom), 2.0 * at);
                about.above = [lo, (lo + hi) / 2.0, hi].map(tangent).to_vec();
                about.below = vec![Poly::constant(-lo * hi).plus(&Poly::atom(atom), lo + hi)];
            }
            known.atom(format!("square of {atom}"), |_| about)
        };
        let p = a.product(b, &mut square);
        let plain = times(self.known.bounds(a), self.known.bounds(b));
        self.tightest(p, plain, channels)
    }

    /// One value by another.
    pub(super) fn ratio(&mut self, a: &Poly, b: &Poly, channels: usize) -> Poly {
        if let Some(v) = b.as_constant().filter(|&v| v != 0.0) {
            return a.times(1.0 / v);
        }
        let ([alo, ahi], [blo, bhi]) = (self.known.bounds(a), self.known.bounds(b));
        if bhi < 0.0 || (bhi <= 0.0 && blo < 0.0) {
            return self.ratio(&a.times(-1.0), &b.times(-1.0), channels);
        }
        let mut range = [f64::NEG_INFINITY, f64::INFINITY];
        if blo >= 0.0 {
            let inverse = [1.0 / bhi, if blo > 0.0 { 1.0 / blo } else { f64::INFINITY }];
            range = times([alo, ahi], inverse);
            // Where one is known not to exceed so many times the other.
            for k in [1.0, a.largest() / b.largest().max(f64::MIN_POSITIVE)] {
                if self.known.lower(&b.times(k).plus(a, -1.0)) >= -1e-9 {
                    range[1] = range[1].min(k);
                }
                if self.known.lower(&b.times(k).plus(a, 1.0)) >= -1e-9 {
                    range[0] = range[0].max(-k);
                }
            }
        }
        let together = self.shares(a, b, channels);
        let overshoots = self.known.overshoots(a);
        let made = Made::Ratio(a.clone(), b.clone());
        let about = About { made, together, overshoots, ..About::within(range[0], range[1], channels) };
        Poly::atom(self.known.atom(format!("ratio {channels} {a:?} {b:?}"), |_| about))
    }

    /// What is known of the channels of `a / b`: where `b` is the sum of the channels of `a`, they sum to 1.
    fn shares(&self, a: &Poly, b: &Poly, channels: usize) -> Channels {
        if channels < 2 {
            return Channels::Unknown;
        }
        let factor = |atom: usize| -> Option<f64> {
            let Made::ChannelSum(p) = &self.known.of(atom).made else { return None };
            let k = a.largest() / p.largest().max(f64::MIN_POSITIVE);
            (*a == p.times(k)).then_some(k)
        };
        for (product, v) in b.terms() {
            let &[atom] = product else { continue };
            if let (Some(k), 1.0) = (factor(atom), v) {
                let exact = b.plus(&Poly::atom(atom), -1.0).as_constant().is_some_and(|c| c.abs() < 1e-3);
                return if exact { Channels::Sum(k) } else { Channels::Compete };
            }
            let kept_apart = self.known.of(atom).above.iter().flat_map(Poly::atoms).any(|f| factor(f).is_some());
            if kept_apart {
                return Channels::Compete;
            }
        }
        self.of_function(a, channels)
    }

    fn power(&mut self, a: &Poly, b: &Poly, channels: usize) -> Poly {
        let ([alo, ahi], [blo, bhi]) = (self.known.bounds(a), self.known.bounds(b));
        match b.as_constant() {
            Some(1.0) => return a.clone(),
            Some(2.0) => {
                let a = self.closed(a, channels);
                return self.product(&a, &a, channels);
            }
            Some(0.5) => return self.unary(Function::Sqrt, a, channels),
            Some(-1.0) => return self.ratio(&Poly::constant(1.0), a, channels),
            _ => {}
        }
        let range = if alo >= 0.0 {
            let all = [alo.powf(blo), alo.powf(bhi), ahi.powf(blo), ahi.powf(bhi)];
            match all.iter().any(|v| v.is_nan()) {
                true => [0.0, f64::INFINITY],
                false => [all.into_iter().fold(f64::INFINITY, f64::min), all.into_iter().fold(0.0, f64::max)],
            }
        } else if b.as_constant().is_some_and(|v| v > 0.0 && v % 2.0 == 0.0) {
            [0.0, alo.abs().max(ahi.abs()).powf(bhi)]
        } else if b.as_constant().is_some_and(|v| v > 0.0 && v % 2.0 == 1.0) {
            [alo.powf(blo), ahi.powf(bhi)]
        } else {
            [f64::NEG_INFINITY, f64::INFINITY]
        };
        self.pair("pow", a, b, channels, range)
    }

    /// A value as it is, or as a quantity of its own where it has become too large.
    pub(super) fn kept(&mut self, p: Poly, channels: usize) -> Poly {
        if p.is_small() { p } else { self.closed(&p, channels) }
    }

    /// A value whose bounds are known to be `range` too: as it is where its own say as much, else a quantity between both.
    pub(super) fn tightest(&mut self, p: Poly, range: [f64; 2], channels: usize) -> Poly {
        let own = self.known.bounds(&p);
        let slack = 1e-9;
        if range[0] <= own[0] + slack && range[1] >= own[1] - slack {
            return self.kept(p, channels);
        }
        let (together, overshoots) = (self.known.together(&p, channels), self.known.overshoots(&p));
        let about =
            About { together, overshoots, ..About::within(own[0].max(range[0]), own[1].min(range[1]), channels) };
        Poly::atom(self.known.atom(format!("within {range:?} {channels} {p:?}"), |_| about))
    }

    /// A value as a quantity of its own.
    pub(super) fn closed(&mut self, p: &Poly, channels: usize) -> Poly {
        if p.single().is_some_and(|s| s.1 == 1.0) {
            return p.clone();
        }
        let [lo, hi] = self.known.bounds(p);
        let about = About {
            together: self.known.together(p, channels),
            overshoots: self.known.overshoots(p),
            ..About::within(lo, hi, channels)
        };
        Poly::atom(self.known.atom(format!("closed {channels} {p:?}"), |_| about))
    }
}
