// A loss from the sums of an overlap, or its gradient.
//   sums   [groups][3]  linear f32: I, P, T
//   dy     [1]          linear f32, with GRAD
//   y      [1]          linear f32; mean over groups of offset - (a I + s) / max(P + T - b I + s, floor)
//   dsums  [groups][3]  linear f32, with GRAD in place of y
// Bindings: 0 params, 1 sums (read), 2 dy (read) with GRAD, Y y or dsums (write).
// Dispatch: (1, 1, 1).
// Constants: Y; optionally GRAD.
#import "lib/storage"
#import "lib/loops"
#import "lib/planes"
#import "lib/reduce"

struct Params {
    groups: u32,
    offset: f32,
    a: f32,
    b: f32,
    smooth_by: f32,
    min: f32,   // floor
    factor: f32,  // 1 / groups
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
#ifdef GRAD
@group(0) @binding(2) var<storage, read> dy: array<f32>;
#endif
@group(0) @binding(Y) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(16, 16)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
    var total = 0.0;
    for (var g = lane; g < trip_count(p.groups, group.x); g += 256u) {
        let both = sums[3u * g];
        let whole = sums[3u * g + 1u] + sums[3u * g + 2u] - p.b * both + p.smooth_by;
        let under = max(whole, p.min);
        let ratio = (p.a * both + p.smooth_by) / under;
#ifdef GRAD
        // The denominator is constant below the floor.
        let moves = select(0.0, ratio / under, whole >= p.min);
        let scale = dy[0] * p.factor;
        y[3u * g] = -scale * (p.a / under + p.b * moves);
        y[3u * g + 1u] = scale * moves;
        y[3u * g + 2u] = scale * moves;
#else
        total += p.offset - ratio;
#endif
    }
#ifndef GRAD
    let sum = reduce(lane, vec4<f32>(total, 0.0, 0.0, 0.0));
    if (lane == 0u) {
        y[0] = sum.x * p.factor;
    }
#endif
}
