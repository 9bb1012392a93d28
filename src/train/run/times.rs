//! Where the time of a run's steps goes.

use std::time::Duration;

/// Time of the steps of this process, without evaluations and checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTimes {
    /// From the first crop's request to the last loss.
    pub total: Duration,
    /// Spent waiting for crops. The device stands still for this long at most, since earlier steps may still run on it.
    pub waiting: Duration,
}

impl StepTimes {
    /// The share of the time that was spent waiting for crops, 0 to 1.
    pub fn waiting_share(&self) -> f64 {
        let total = self.total.as_secs_f64();
        if total > 0.0 { self.waiting.as_secs_f64() / total } else { 0.0 }
    }
}
