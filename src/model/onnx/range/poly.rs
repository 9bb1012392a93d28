//! Values as polynomials of quantities whose bounds are known: what makes `1 - p`, `p * q + (1 - p) * r` and
//! `(x - min) / (max - min)` exact, where plain intervals take the same quantity for two.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A quantity: the element of a tensor at the place that is looked at.
pub type Atom = usize;

/// Coefficients below this are what is left of constants rounded to `f32`.
const ROUNDING: f64 = 1e-7;
/// Most terms and quantities of a polynomial; beyond them it becomes a quantity of its own.
const MAX_TERMS: usize = 16;
const MAX_ATOMS: usize = 6;

/// A sum of products of quantities, each at most once in a product. The constant has no quantities.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Poly(BTreeMap<Vec<Atom>, f64>);

impl Poly {
    /// A number.
    pub fn constant(v: f64) -> Self {
        Self::default().with(Vec::new(), v)
    }

    /// A quantity.
    pub fn atom(a: Atom) -> Self {
        Self::default().with(vec![a], 1.0)
    }

    fn with(mut self, product: Vec<Atom>, v: f64) -> Self {
        let sum = self.0.get(&product).copied().unwrap_or_default() + v;
        // A small constant is one: `p + 1e-8`.
        if sum == 0.0 || (sum.abs() < ROUNDING && !product.is_empty()) {
            self.0.remove(&product);
        } else {
            self.0.insert(product, sum);
        }
        self
    }

    /// The sum with a multiple of another.
    pub fn plus(&self, other: &Self, factor: f64) -> Self {
        other.0.iter().fold(self.clone(), |sum, (product, v)| sum.with(product.clone(), v * factor))
    }

    /// A multiple.
    pub fn times(&self, factor: f64) -> Self {
        Self::default().plus(self, factor)
    }

    /// The number, if it is one.
    pub fn as_constant(&self) -> Option<f64> {
        match self.0.len() {
            0 => Some(0.0),
            1 => self.0.get(&[][..]).copied(),
            _ => None,
        }
    }

    /// The quantity and its factor, if it is one alone.
    pub fn single(&self) -> Option<(Atom, f64)> {
        match self.0.iter().next() {
            Some((product, &v)) if self.0.len() == 1 && product.len() == 1 => Some((product[0], v)),
            _ => None,
        }
    }

    /// The factor of a quantity that is in no product with others.
    fn alone(&self, a: Atom) -> Option<f64> {
        let own = self.0.get(&[a][..]).copied()?;
        self.0.keys().all(|p| p.len() < 2 || !p.contains(&a)).then_some(own)
    }

    /// Its quantities.
    pub fn atoms(&self) -> BTreeSet<Atom> {
        self.0.keys().flatten().copied().collect()
    }

    /// Products and their factors.
    pub fn terms(&self) -> impl Iterator<Item = (&[Atom], f64)> {
        self.0.iter().map(|(p, &v)| (&p[..], v))
    }

    /// Whether no quantities are multiplied with each other.
    pub fn is_affine(&self) -> bool {
        self.0.keys().all(|p| p.len() < 2)
    }

    /// The largest factor.
    pub fn largest(&self) -> f64 {
        self.0.iter().filter(|t| !t.0.is_empty()).fold(0.0, |max, (_, v)| max.max(v.abs()))
    }

    /// Whether it is small enough to be kept.
    pub fn is_small(&self) -> bool {
        self.0.len() <= MAX_TERMS && self.atoms().len() <= MAX_ATOMS
    }

    /// The same of other quantities.
    pub fn replaced(&self, mut f: impl FnMut(Atom) -> Self) -> Self {
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

    /// The product; `square` gives the quantity that is the square of another.
    pub fn product(&self, other: &Self, square: &mut impl FnMut(Atom) -> Atom) -> Self {
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

/// What is known of the channels of a tensor together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Channels {
    /// Nothing.
    Unknown,
    /// They were made of a softmax, so they are of one question; their sum is not known.
    Compete,
    /// At every pixel they sum to this.
    Sum(f64),
    /// They are some of those, none below 0: they sum to no more than this.
    Share(f64),
    /// At every pixel their exponentials sum to 1.
    LogSum,
}

impl Channels {
    /// Whether they are of one question.
    pub fn compete(self) -> bool {
        matches!(self, Self::Compete | Self::Sum(_) | Self::LogSum)
    }
}

/// How a quantity was made, as far as that says more than its bounds.
#[derive(Clone, Debug, PartialEq)]
pub enum Made {
    /// Not of interest.
    Other,
    /// The sigmoid of a value.
    Sigmoid(Poly),
    /// `e` to the power of a value.
    Exp(Poly),
    /// The natural logarithm of a value.
    Log(Poly),
    /// The square of a quantity.
    Square(Atom),
    /// One value by another.
    Ratio(Poly, Poly),
    /// The sum over the channels of a value.
    ChannelSum(Poly),
    /// Elements of another quantity in another order, image by image.
    Moved(Atom),
    /// Channels of another quantity: the first, and how many.
    Slice(Atom, usize, usize),
}

/// What is known of a quantity.
#[derive(Clone, Debug)]
pub struct About {
    /// Bounds.
    pub lo: f64,
    pub hi: f64,
    /// How it was made.
    pub made: Made,
    /// Of the channels of the tensor it is an element of, and how many these are.
    pub together: Channels,
    pub channels: usize,
    /// Whether it is the number of a class.
    pub ids: bool,
    /// Whether a cubic resize may exceed the bounds a little.
    pub overshoots: bool,
    /// Values that it is not below, and not above.
    pub above: Vec<Poly>,
    pub below: Vec<Poly>,
}

impl About {
    /// Of a quantity between two numbers.
    pub fn within(lo: f64, hi: f64, channels: usize) -> Self {
        Self {
            lo: if lo.is_nan() { f64::NEG_INFINITY } else { lo },
            hi: if hi.is_nan() { f64::INFINITY } else { hi },
            made: Made::Other,
            together: Channels::Unknown,
            channels,
            ids: false,
            overshoots: false,
            above: Vec::new(),
            below: Vec::new(),
        }
    }
}

/// The product of bounds: nothing times anything is nothing.
pub fn mul(a: f64, b: f64) -> f64 {
    if a == 0.0 || b == 0.0 { 0.0 } else { a * b }
}

/// The product of two intervals.
pub fn times([a, b]: [f64; 2], [c, d]: [f64; 2]) -> [f64; 2] {
    let all = [mul(a, c), mul(a, d), mul(b, c), mul(b, d)];
    [all.into_iter().fold(f64::INFINITY, f64::min), all.into_iter().fold(f64::NEG_INFINITY, f64::max)]
}

/// All quantities.
#[derive(Debug, Default)]
pub struct Knowledge {
    atoms: Vec<About>,
    named: HashMap<String, Atom>,
    /// How often facts have been used.
    used: Cell<u32>,
}

/// How many facts are used one after the other.
const DEPTH: usize = 3;
/// How often facts are used in a network; some thousand times in real ones.
const MAX_USES: u32 = 1 << 20;
/// Most facts of a quantity, on each side.
const MAX_FACTS: usize = 4;

impl Knowledge {
    /// The quantity of that description: the same for the same.
    pub fn atom(&mut self, key: String, about: impl FnOnce(&Self) -> About) -> Atom {
        if let Some(&a) = self.named.get(&key) {
            return a;
        }
        let about = about(self);
        self.atoms.push(about);
        self.named.insert(key, self.atoms.len() - 1);
        self.atoms.len() - 1
    }

    /// The quantity of that description, if there is one.
    pub fn find(&self, key: &str) -> Option<Atom> {
        self.named.get(key).copied()
    }

    /// What is known of a quantity.
    pub fn of(&self, a: Atom) -> &About {
        &self.atoms[a]
    }

    /// Notes that a quantity is not below a value, or not above it.
    pub fn add_fact(&mut self, a: Atom, above: bool, p: Poly) {
        let about = &mut self.atoms[a];
        let facts = if above { &mut about.above } else { &mut about.below };
        // The same node may be met twice; more facts than these cost more than they say.
        if !facts.contains(&p) && facts.len() < MAX_FACTS {
            facts.push(p);
        }
    }

    /// Notes how a quantity was made.
    pub fn set_made(&mut self, a: Atom, made: Made) {
        self.atoms[a].made = made;
    }

    /// Notes whether a quantity is the number of a class.
    pub fn set_ids(&mut self, a: Atom, ids: bool) {
        self.atoms[a].ids = ids;
    }

    /// Notes that a quantity may exceed its bounds a little.
    pub fn set_overshoots(&mut self, a: Atom) {
        self.atoms[a].overshoots = true;
    }

    /// Notes what is known of the channels of a quantity's tensor.
    pub fn set_together(&mut self, a: Atom, together: Channels) {
        self.atoms[a].together = together;
    }

    /// Bounds of a value.
    pub fn bounds(&self, p: &Poly) -> [f64; 2] {
        [self.lower(p), -self.lower(&p.times(-1.0))]
    }

    /// A number that a value is not below.
    pub fn lower(&self, p: &Poly) -> f64 {
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

    /// The lower bound from the bounds of the quantities alone: exact where these are independent and bounded.
    fn plain(&self, p: &Poly) -> f64 {
        let atoms: Vec<Atom> = p.atoms().into_iter().collect();
        let bounded = atoms.iter().all(|&a| self.of(a).lo.is_finite() && self.of(a).hi.is_finite());
        if p.is_affine() || !bounded || atoms.len() > MAX_ATOMS {
            let term = |(product, v): (&[Atom], f64)| {
                product.iter().fold([v, v], |range, &a| times(range, [self.of(a).lo, self.of(a).hi]))[0]
            };
            return p.terms().map(term).sum();
        }
        // Linear in every quantity, so it is smallest at a corner.
        let corner = |bits: usize| -> f64 {
            let at = |a: Atom| {
                let i = atoms.iter().position(|&b| b == a).unwrap_or_default();
                if bits >> i & 1 == 1 { self.of(a).hi } else { self.of(a).lo }
            };
            p.terms().map(|(product, v)| product.iter().fold(v, |all, &a| all * at(a))).sum()
        };
        (0..1usize << atoms.len()).map(corner).fold(f64::INFINITY, f64::min)
    }

    /// What is known of the channels of a value of `channels` channels.
    pub fn together(&self, p: &Poly, channels: usize) -> Channels {
        if channels < 2 {
            return Channels::Unknown;
        }
        let flag = |a: Atom| if self.of(a).channels == channels { self.of(a).together } else { Channels::Unknown };
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

    /// Whether a value is made of quantities that a cubic resize may have taken beyond their bounds.
    pub fn overshoots(&self, p: &Poly) -> bool {
        p.atoms().into_iter().any(|a| self.of(a).overshoots)
    }
}
