// Global max or average pooling.
//   x  [N, C, H, W]  blocked
//   y  [N, C, 1, 1]  blocked
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(C / 4), N, 1); each workgroup computes one vec4.
// Constants: optionally MAX, for the max instead of the mean.
#import "lib/storage"
#import "lib/lanes"
#import "lib/loops"
#import "lib/reduce"
#import "lib/tensor"

struct Params {
    x: View,
    y: View,
    w: u32,
    h: u32,
    c: u32,
    factor: f32,  // 1 / (H * W)
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

#ifdef MAX
// The lowest float, as bits: naga writes it as a decimal that browsers reject as too large.
fn start() -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4<u32>(0xff7fffffu));
}

fn combine(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return max(a, b);
}
#else
fn start() -> vec4<f32> {
    return vec4<f32>(0.0);
}

fn combine(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return a + b;
}
#endif

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let origin = plane_start(p.x, group.y, group.x);
    // Reduces within rows first: a sum's rounding error grows with W + H, not with W * H.
    var total = start();
    let rows = trip_count(p.h, group.x);
    let columns = trip_count(p.w, group.x);
    for (var iy = local.y; iy < rows; iy += 16u) {
        let row = origin + iy * p.x.row;
        var part = start();
        for (var ix = local.x; ix < columns; ix += 16u) {
            part = combine(part, vec4<f32>(x[row + ix]));
        }
        total = combine(total, part);
    }
    var v = reduce(lane, total);
#ifndef MAX
    v *= p.factor;
#endif
    if (lane == 0u) {
        // Sums in lanes past the last channel may overflow.
        let inside = inside_lanes(group.x, p.c);
        y[plane_start(p.y, group.y, group.x)] = stored(select(vec4<f32>(0.0), v, inside));
    }
}
