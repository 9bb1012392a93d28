// The loss of instances from its sums, or the gradient of it.
//   sums   [2 pairs]  linear f32: sum of w e, sum of w, of each term
//   dy     [1]        linear f32, with GRAD
//   y      [1]        linear f32; the sum over terms of sums[2 i] / max(sums[2 i + 1], 1), the second times `distance`
//   dsums  [2 pairs]  linear f32, with GRAD in place of y
// Bindings: 0 params, 1 sums (read), 2 dy (read) with GRAD, Y y or dsums (write).
// Dispatch: (1, 1, 1).
// Constants: Y; optionally GRAD.
#import "lib/storage"
#import "lib/loops"

struct Params {
    pairs: u32,
    distance: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
#ifdef GRAD
@group(0) @binding(2) var<storage, read> dy: array<f32>;
#endif
@group(0) @binding(Y) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
#ifdef GRAD
    if (lane < 2u * p.pairs) {
        let pair = lane / 2u;
        let weight = sums[2u * pair + 1u];
        let under = max(weight, 1.0);
        let slope = dy[0] * select(1.0, p.distance, pair == 1u) / under;
        let of_weight = select(0.0, -slope * (sums[2u * pair] / under), weight >= 1.0);
        y[lane] = select(of_weight, slope, lane % 2u == 0u);
    }
#else
    if (lane == 0u) {
        var total = 0.0;
        for (var pair = 0u; pair < trip_count(p.pairs, group.x); pair++) {
            total += select(1.0, p.distance, pair == 1u) * (sums[2u * pair] / max(sums[2u * pair + 1u], 1.0));
        }
        y[0] = total;
    }
#endif
}
