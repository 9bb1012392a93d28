//! How much of a run is recorded at once, in the encoder of an application.

/// The part of a frame, or of a training step, that one call records: at least one dispatch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// Everything that is left.
    All,
    /// That many dispatches.
    Dispatches(usize),
    /// Dispatches that together take about as long as this, by measured times.
    Milliseconds(f64),
}

/// How far a frame or a training step is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeProgress {
    /// Dispatches recorded.
    pub done: usize,
    /// Dispatches in all.
    pub of: usize,
}

impl EncodeProgress {
    /// Whether everything is recorded, the results included.
    pub const fn finished(&self) -> bool {
        self.done == self.of
    }
}

impl Budget {
    /// The first dispatch that is not recorded, of `of` from `done` on. `times` are those of all dispatches, in milliseconds.
    pub(crate) fn end(self, EncodeProgress { done, of }: EncodeProgress, times: &[f64]) -> usize {
        let least = (done + 1).min(of);
        match self {
            Self::All => of,
            Self::Dispatches(n) => done.saturating_add(n).clamp(least, of),
            Self::Milliseconds(budget) => {
                let mut left = budget;
                let fits = |ms: &&f64| {
                    left -= **ms;
                    left >= 0.0
                };
                let count = times.get(done..of).unwrap_or_default().iter().take_while(fits).count();
                (done + count).clamp(least, of)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_kept_and_every_call_records_something() {
        let at = |done| EncodeProgress { done, of: 5 };
        let times = [1.0, 2.0, 3.0, 0.5, 0.25];
        assert_eq!(Budget::All.end(at(2), &times), 5);
        assert_eq!(Budget::Dispatches(2).end(at(0), &times), 2);
        assert_eq!(Budget::Dispatches(0).end(at(3), &times), 4);
        assert_eq!(Budget::Dispatches(usize::MAX).end(at(3), &times), 5);
        assert_eq!(Budget::Milliseconds(3.0).end(at(0), &times), 2);
        assert_eq!(Budget::Milliseconds(0.0).end(at(0), &times), 1);
        assert_eq!(Budget::Milliseconds(0.8).end(at(3), &times), 5);
        assert_eq!(Budget::Milliseconds(f64::NAN).end(at(1), &times), 2);
        assert_eq!(Budget::All.end(at(5), &times), 5);
        assert_eq!(Budget::Dispatches(1).end(at(5), &times), 5);
    }
}
