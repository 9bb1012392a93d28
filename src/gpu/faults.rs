//! Failures that tests provoke at a place of their choice.

use super::Gpu;
use std::sync::atomic::{AtomicU64, Ordering};

/// Countdowns to failures; 0 is never.
#[derive(Debug, Default)]
pub(super) struct Faults {
    submission: AtomicU64,
    allocation: AtomicU64,
    allocations: AtomicU64,
    /// Bytes of the largest allocation that succeeds.
    largest: AtomicU64,
}

/// Whether this call is the one that a countdown ends at.
fn ends(countdown: &AtomicU64) -> bool {
    countdown.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) == Ok(1)
}

impl Faults {
    /// Whether the device is lost with this submission.
    pub(super) fn loses_device(&self) -> bool {
        ends(&self.submission)
    }

    /// Whether the device has no memory for this allocation of `bytes` bytes.
    pub(super) fn allocation_fails(&self, bytes: u64) -> bool {
        self.allocations.fetch_add(1, Ordering::SeqCst);
        let largest = self.largest.load(Ordering::SeqCst);
        ends(&self.allocation) || (largest > 0 && bytes > largest)
    }
}

impl Gpu {
    /// Destroys the device when the `n`th submission from now, counted from 1, has been made and is in flight.
    pub(crate) fn lose_at_submission(&self, n: u64) {
        self.inner.faults.submission.store(n, Ordering::SeqCst);
    }

    /// Lets the `n`th allocation from now fail, counted from 1, as if the device had no memory left.
    pub(crate) fn fail_allocation(&self, n: u64) {
        self.inner.faults.allocation.store(n, Ordering::SeqCst);
    }

    /// Lets every allocation of more than `bytes` bytes fail.
    pub(crate) fn fail_allocations_above(&self, bytes: u64) {
        self.inner.faults.largest.store(bytes, Ordering::SeqCst);
    }

    /// Number of allocations so far.
    pub(crate) fn allocations(&self) -> u64 {
        self.inner.faults.allocations.load(Ordering::SeqCst)
    }
}
