//! Infers the meaning of an output from its bounds.

use super::Analysis;
use super::poly::Poly;

/// Meaning of an output's numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// None of the others: the input of a sigmoid or softmax.
    Logit,
    /// Probabilities times this factor, such as 1 or 255.
    Probability(f64),
    /// Logarithms of probabilities.
    Log,
    /// Class ids of this many classes.
    Classes(usize),
}

/// The interpretation of an output.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    /// Meaning of its numbers.
    pub meaning: Meaning,
    /// Whether its channels are mutually exclusive classes, as in a softmax.
    pub compete: bool,
    /// Whether a cubic resize may slightly exceed its bounds.
    pub overshoots: bool,
    /// Lower and upper bound.
    pub bounds: [f64; 2],
}

/// Possible maxima of a scale of probabilities.
const SCALES: [f64; 4] = [1.0, 255.0, 100.0, 65535.0];
/// Relative tolerance for epsilons in the file.
const SLACK: f64 = 2e-3;

impl Analysis<'_> {
    /// Interprets a value of `channels` channels as an output.
    pub(super) fn reading(&self, p: &Poly, channels: usize) -> Reading {
        let bounds = self.known.bounds(p);
        let [lo, hi] = bounds;
        let ids = p.single().is_some_and(|(a, v)| v == 1.0 && self.known.of(a).ids) && channels == 1;
        let fits = |&s: &f64| {
            let whole = s == 1.0 || hi >= s * (1.0 - SLACK);
            lo >= -SLACK * s && hi <= s * (1.0 + SLACK) && hi > 0.0 && whole
        };
        let relation = self.known.relation(p, channels);
        let meaning = match SCALES.iter().find(|s| fits(s)) {
            _ if ids && hi > 1.0 => Meaning::Classes(hi as usize + 1),
            Some(&s) => Meaning::Probability(s),
            // A logarithm has a very low bound; a value between -1 and 0 is something else.
            None if hi <= SLACK && lo < -1.0 => Meaning::Log,
            None => Meaning::Logit,
        };
        Reading { meaning, compete: relation.compete(), overshoots: self.known.overshoots(p), bounds }
    }
}
