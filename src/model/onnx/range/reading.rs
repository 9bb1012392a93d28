//! From bounds to what an output means.

use super::Analysis;
use super::poly::Poly;

/// What an output's numbers mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Meaning {
    /// Neither of the others: what a sigmoid or softmax would be applied to.
    Logit,
    /// Probabilities times this: 1, or 255 and the like.
    Probability(f64),
    /// Logarithms of probabilities.
    Log,
    /// Numbers of so many classes.
    Classes(usize),
}

/// What an output is.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What its numbers mean.
    pub meaning: Meaning,
    /// Whether its channels are of one question, as those of a softmax.
    pub compete: bool,
    /// Whether a cubic resize may take it beyond its bounds a little.
    pub overshoots: bool,
    /// Its bounds.
    pub bounds: [f64; 2],
}

/// Ends of scales that probabilities are given on.
const SCALES: [f64; 4] = [1.0, 255.0, 100.0, 65535.0];
/// What an epsilon in the file may add.
const SLACK: f64 = 2e-3;

impl Analysis<'_> {
    /// What a value of so many channels is as an output.
    pub(super) fn reading(&self, p: &Poly, channels: usize) -> Reading {
        let bounds = self.known.bounds(p);
        let [lo, hi] = bounds;
        let ids = p.single().is_some_and(|(a, v)| v == 1.0 && self.known.of(a).ids) && channels == 1;
        let fits = |&s: &f64| {
            let whole = s == 1.0 || hi >= s * (1.0 - SLACK);
            lo >= -SLACK * s && hi <= s * (1.0 + SLACK) && hi > 0.0 && whole
        };
        let together = self.known.together(p, channels);
        let meaning = match SCALES.iter().find(|s| fits(s)) {
            _ if ids && hi > 1.0 => Meaning::Classes(hi as usize + 1),
            Some(&s) => Meaning::Probability(s),
            // A logarithm comes from far below; what lies between -1 and 0 is something else.
            None if hi <= SLACK && lo < -1.0 => Meaning::Log,
            None => Meaning::Logit,
        };
        Reading { meaning, compete: together.compete(), overshoots: self.known.overshoots(p), bounds }
    }
}
