// The mean of a loss from its sum and divisor, or the gradient of the mean.
//   sums   [len]  linear f32: the sum, then possible divisors
//   dy     [1]    linear f32, with GRAD
//   y      [1]    linear f32; sums[0] / max(sums[divisor], min), or sums[0] if divisor is 0
//   dsums  [len]  linear f32, with GRAD in place of y
// Bindings: 0 params, 1 sums (read), 2 dy (read) with GRAD, Y y or dsums (write).
// Dispatch: (1, 1, 1).
// Constants: Y; optionally GRAD.
#import "lib/storage"

struct Params {
    len: u32,
    divisor: u32,
    min: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
#ifdef GRAD
@group(0) @binding(2) var<storage, read> dy: array<f32>;
#endif
@group(0) @binding(Y) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    let under = select(max(sums[p.divisor], p.min), 1.0, p.divisor == 0u);
#ifdef GRAD
    if (lane < p.len) {
        var v = select(0.0, dy[0] / under, lane == 0u);
        if (lane == p.divisor && lane > 0u && sums[lane] >= p.min) {
            v = -dy[0] * (sums[0] / under) / under;
        }
        y[lane] = v;
    }
#else
    if (lane == 0u) {
        y[0] = sums[0] / under;
    }
#endif
}
