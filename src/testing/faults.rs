//! Failures of the device at a place of the test's choice.

use crate::gpu::Gpu;

/// Destroys the device when the `n`th submission from now, counted from 1, has been made and is in flight.
pub fn lose_at_submission(gpu: &Gpu, n: u64) {
    gpu.lose_at_submission(n);
}

/// Lets the `n`th allocation from now fail, counted from 1, as if the device had no memory left.
pub fn fail_allocation(gpu: &Gpu, n: u64) {
    gpu.fail_allocation(n);
}

/// Lets every allocation of more than `bytes` bytes fail.
pub fn fail_allocations_above(gpu: &Gpu, bytes: u64) {
    gpu.fail_allocations_above(bytes);
}

/// Number of allocations on the device so far.
pub fn allocations(gpu: &Gpu) -> u64 {
    gpu.allocations()
}
