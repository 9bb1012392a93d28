//! Values as polynomials of bounded quantities. This makes the bounds of `1 - p`, `p * q + (1 - p) * r` and
//! `(x - min) / (max - min)` exact; plain interval arithmetic would treat equal quantities as independent.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A quantity: the element of a tensor at the position under consideration.
pub(super) type Atom = usize;

/// Coefficients below this are rounding errors of `f32` constants.
const ROUNDING: f64 = 1e-7;
/// Maximum number of terms and quantities of a polynomial; beyond them it is replaced by a new quantity.
const MAX_TERMS: usize = 16;
const MAX_ATOMS: usize = 6;

/// A sum of products of quantities, each at most once per product. The empty product is the constant.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Poly(BTreeMap<Vec<Atom>, f64>);

impl Poly {
    /// A number.
    pub(super) fn constant(v: f64) -> Self {
        Self::default().with(Vec::new(), v)
    }

    /// A quantity.
    pub(super) fn atom(a: Atom) -> Self {
        Self::default().with(vec![a], 1.0)
    }

    fn with(mut self, product: Vec<Atom>, v: f64) -> Self {
        let sum = self.0.get(&product).copied().unwrap_or_default() + v;
        // Small constants are kept, as in `p + 1e-8`.
        if sum == 0.0 || (sum.abs() < ROUNDING && !product.is_empty()) {
            self.0.remove(&product);
        } else {
            self.0.insert(product, sum);
        }
        self
    }

    /// `self + factor * other`.
    pub(super) fn plus(&self, other: &Self, factor: f64) -> Self {
        other.0.iter().fold(self.clone(), |sum, (product, v)| sum.with(product.clone(), v * factor))
    }

    /// `factor * self`.
    pub(super) fn times(&self, factor: f64) -> Self {
        Self::default().plus(self, factor)
    }

    /// The number, if it is constant.
    pub(super) fn as_constant(&self) -> Option<f64> {
        match self.0.len() {
            0 => Some(0.0),
            1 => self.0.get(&[][..]).copied(),
            _ => None,
        }
    }

    /// The quantity and its factor, if it is a single linear term.
    pub(super) fn single(&self) -> Option<(Atom, f64)> {
        match self.0.iter().next() {
            Some((product, &v)) if self.0.len() == 1 && product.len() == 1 => Some((product[0], v)),
            _ => None,
        }
    }

    /// The factor of a quantity, if it occurs in no product with others.
    fn alone(&self, a: Atom) -> Option<f64> {
        let own = self.0.get(&[a][..]).copied()?;
        self.0.keys().all(|p| p.len() < 2 || !p.contains(&a)).then_some(own)
    }

    /// Its quantities.
    pub(super) fn atoms(&self) -> BTreeSet<Atom> {
        self.0.keys().flatten().copied().collect()
    }

    /// The products and their factors.
    pub(super) fn terms(&self) -> impl Iterator<Item = (&[Atom], f64)> {
        self.0.iter().map(|(p, &v)| (&p[..], v))
    }

    /// Whether no quantities are multiplied with each other.
    pub(super) fn is_affine(&self) -> bool {
        self.0.keys().all(|p| p.len() < 2)
    }

    /// The largest absolute factor.
    pub(super) fn largest(&self) -> f64 {
        self.0.iter().filter(|t| !t.0.is_empty()).fold(0.0, |max, (_, v)| max.max(v.abs()))
    }

    /// Whether it is within [`MAX_TERMS`] and [`MAX_ATOMS`].
    pub(super) fn is_small(&self) -> bool {
        self.0.len() <= MAX_TERMS && self.atoms().len() <= MAX_ATOMS
    }

    /// Substitutes every quantity.
    pub(super) fn replaced(&self, mut f: impl FnMut(Atom) -> Self) -> Self {
        self.0.iter().fold(Self::default(), |sum, (product, &v)| match product[..] {
            [] => sum.with(Vec::new(), v),
            [a] => sum.plus(&f(a), v),
            _ => {
                let mut all: Vec<Atom> = product.iter().filter_map(|&a| f(a).single().map(|s| s.0)).collect();
                all.sort_unstable();
                sum.with(all, v)
            }
        })
    }

    /// The product; `square` returns the quantity that is the square of another.
    pub(super) fn product(&self, other: &Self, square: &mut impl FnMut(Atom) -> Atom) -> Self {
        let mut out = Self::default();
        for (p, v) in &self.0 {
            for (q, w) in &other.0 {
                let mut all: Vec<Atom> = p.iter().filter(|a| !q.contains(a)).copied().collect();
                all.extend(q.iter().map(|a| if p.contains(a) { square(*a) } else { *a }));
                all.sort_unstable();
                while let Some(i) = all.windows(2).position(|pair| pair[0] == pair[1]) {
                    let a = all.remove(i);
                    all[i] = square(a);
                    all.sort_unstable();
                }
                out = out.with(all, v * w);
            }
        }
        out
    }
}

/// Known relation between the channels of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Channels {
    /// Nothing.
    Unknown,
    /// Derived from a softmax, so mutually exclusive; the sum is unknown.
    Compete,
    /// They sum to this at every pixel.
    Sum(f64),
    /// Some of those, not negative: they sum to at most this.
    Share(f64),
    /// Their exponentials sum to 1 at every pixel.
    LogSum,
}

impl Channels {
    /// Whether they are mutually exclusive classes.
    pub(super) fn compete(self) -> bool {
        matches!(self, Self::Compete | Self::Sum(_) | Self::LogSum)
    }
}

/// The definition of a quantity, if it says more than its bounds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Definition {
    /// Not of interest.
    Other,
    /// The sigmoid of a value.
    Sigmoid(Poly),
    /// The exponential of a value.
    Exp(Poly),
    /// The natural logarithm of a value.
    Log(Poly),
    /// The square of a quantity.
    Square(Atom),
    /// The quotient of two values.
    Ratio(Poly, Poly),
    /// The sum of a value over the channels.
    ChannelSum(Poly),
    /// A permutation of another quantity's elements within each image.
    Moved(Atom),
    /// Channels of another quantity: the first, and their number.
    Slice(Atom, usize, usize),
}

/// The known properties of a quantity.
#[derive(Clone, Debug)]
pub(super) struct Info {
    /// Bounds.
    pub lo: f64,
    pub hi: f64,
    /// Its definition.
    pub definition: Definition,
    /// Relation and number of the channels of its tensor.
    pub relation: Channels,
    pub channels: usize,
    /// Whether it is a class id.
    pub ids: bool,
    /// Whether a cubic resize may slightly exceed the bounds.
    pub overshoots: bool,
    /// Facts: values that are lower bounds of it, and upper bounds.
    pub above: Vec<Poly>,
    pub below: Vec<Poly>,
}

impl Info {
    /// A quantity between two numbers; NaN means unbounded.
    pub(super) fn within(lo: f64, hi: f64, channels: usize) -> Self {
        Self {
            lo: if lo.is_nan() { f64::NEG_INFINITY } else { lo },
            hi: if hi.is_nan() { f64::INFINITY } else { hi },
            definition: Definition::Other,
            relation: Channels::Unknown,
            channels,
            ids: false,
            overshoots: false,
            above: Vec::new(),
            below: Vec::new(),
        }
    }
}

/// The product of bounds; 0 times infinity is 0.
pub(super) fn mul(a: f64, b: f64) -> f64 {
    if a == 0.0 || b == 0.0 { 0.0 } else { a * b }
}

/// The product of two intervals.
pub(super) fn times([a, b]: [f64; 2], [c, d]: [f64; 2]) -> [f64; 2] {
    let all = [mul(a, c), mul(a, d), mul(b, c), mul(b, d)];
    [all.into_iter().fold(f64::INFINITY, f64::min), all.into_iter().fold(f64::NEG_INFINITY, f64::max)]
}

/// All quantities.
#[derive(Debug, Default)]
pub(super) struct Knowledge {
    atoms: Vec<Info>,
    named: HashMap<String, Atom>,
    /// Number of uses of facts so far.
    used: Cell<u32>,
}

/// Maximum number of facts applied in sequence.
const DEPTH: usize = 3;
/// Maximum number of uses of facts per network; real ones need a few thousand.
const MAX_USES: u32 = 1 << 20;
/// Maximum number of facts of a quantity, on each side.
const MAX_FACTS: usize = 4;

impl Knowledge {
    /// The quantity with the description `key`, created if needed.
    pub(super) fn atom(&mut self, key: String, info: impl FnOnce(&Self) -> Info) -> Atom {
        if let Some(&a) = self.named.get(&key) {
            return a;
        }
        let info = info(self);
        self.atoms.push(info);
        self.named.insert(key, self.atoms.len() - 1);
        self.atoms.len() - 1
    }

    /// The quantity with the description `key`, if it exists.
    pub(super) fn find(&self, key: &str) -> Option<Atom> {
        self.named.get(key).copied()
    }

    /// The known properties of a quantity.
    pub(super) fn of(&self, a: Atom) -> &Info {
        &self.atoms[a]
    }

    /// Records that a quantity is at least `p` (`above`), or at most `p`.
    pub(super) fn add_fact(&mut self, a: Atom, above: bool, p: Poly) {
        let info = &mut self.atoms[a];
        let facts = if above { &mut info.above } else { &mut info.below };
        // The same node may be visited twice; more facts cost more than they gain.
        if !facts.contains(&p) && facts.len() < MAX_FACTS {
            facts.push(p);
        }
    }

    /// Records the definition of a quantity.
    pub(super) fn set_definition(&mut self, a: Atom, definition: Definition) {
        self.atoms[a].definition = definition;
    }

    /// Records whether a quantity is a class id.
    pub(super) fn set_ids(&mut self, a: Atom, ids: bool) {
        self.atoms[a].ids = ids;
    }

    /// Records that a quantity may slightly exceed its bounds.
    pub(super) fn set_overshoots(&mut self, a: Atom) {
        self.atoms[a].overshoots = true;
    }

    /// Records the relation of the channels of a quantity's tensor.
    pub(super) fn set_relation(&mut self, a: Atom, relation: Channels) {
        self.atoms[a].relation = relation;
    }

    /// Bounds of a value.
    pub(super) fn bounds(&self, p: &Poly) -> [f64; 2] {
        [self.lower(p), -self.lower(&p.times(-1.0))]
    }

    /// A lower bound of a value.
    pub(super) fn lower(&self, p: &Poly) -> f64 {
        self.lower_by(p, DEPTH)
    }

    fn lower_by(&self, p: &Poly, depth: usize) -> f64 {
        let mut best = self.plain(p);
        if depth == 0 || self.used.get() > MAX_USES {
            return best;
        }
        for a in p.atoms() {
            let Some(factor) = p.alone(a) else { continue };
            let facts = if factor > 0.0 { &self.of(a).above } else { &self.of(a).below };
            for fact in facts {
                self.used.set(self.used.get() + 1);
                let other = p.plus(&Poly::atom(a), -factor).plus(fact, factor);
                best = best.max(self.lower_by(&other, depth - 1));
            }
        }
        best
    }

    /// The lower bound from the bounds of the quantities alone; exact if these are independent and bounded.
    fn plain(&self, p: &Poly) -> f64 {
        let atoms: Vec<Atom> = p.atoms().into_iter().collect();
        let bounded = atoms.iter().all(|&a| self.of(a).lo.is_finite() && self.of(a).hi.is_finite());
        if p.is_affine() || !bounded || atoms.len() > MAX_ATOMS {
            let term = |(product, v): (&[Atom], f64)| {
                product.iter().fold([v, v], |range, &a| times(range, [self.of(a).lo, self.of(a).hi]))[0]
            };
            return p.terms().map(term).sum();
        }
        // It is linear in every quantity, so the minimum is at a corner.
        let corner = |bits: usize| -> f64 {
            let at = |a: Atom| {
                let i = atoms.iter().position(|&b| b == a).unwrap_or_default();
                if bits >> i & 1 == 1 { self.of(a).hi } else { self.of(a).lo }
            };
            p.terms().map(|(product, v)| product.iter().fold(v, |all, &a| all * at(a))).sum()
        };
        (0..1usize << atoms.len()).map(corner).fold(f64::INFINITY, f64::min)
    }

    /// The relation of the channels of a value of `channels` channels.
    pub(super) fn relation(&self, p: &Poly, channels: usize) -> Channels {
        if channels < 2 {
            return Channels::Unknown;
        }
        let flag = |a: Atom| if self.of(a).channels == channels { self.of(a).relation } else { Channels::Unknown };
        if let Some((a, 1.0)) = p.single() {
            return flag(a);
        }
        let sum = |sum: Option<f64>, (product, v): (&[Atom], f64)| match product {
            [] => Some(sum? + v * channels as f64),
            &[a] => match flag(a) {
                Channels::Sum(s) => Some(sum? + v * s),
                _ => None,
            },
            _ => None,
        };
        match p.terms().fold(Some(0.0), sum) {
            Some(sum) if p.as_constant().is_none() => Channels::Sum(sum),
            _ if p.atoms().into_iter().any(|a| flag(a).compete()) => Channels::Compete,
            _ => Channels::Unknown,
        }
    }

    /// Whether a value contains quantities that may slightly exceed their bounds.
    pub(super) fn overshoots(&self, p: &Poly) -> bool {
        p.atoms().into_iter().any(|a| self.of(a).overshoots)
    }
}
