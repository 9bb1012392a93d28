// Softmax over channels.
//   x  [N, C, H, W]  blocked
//   y  [N, C, H, W]  blocked; y = exp(x - m) / sum over channels of exp(x - m), m the largest channel
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N); each invocation computes one pixel.
#import "lib/storage"
#import "lib/lanes"
#import "lib/loops"
#import "lib/tensor"

struct Params {
    x: View,
    y: View,
    w: u32,
    h: u32,
    c: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

// exp(v - top); 0 past the last channel, where v is an arbitrary finite value and exp might overflow.
fn power(v: vec4<f32>, top: f32, block: u32) -> vec4<f32> {
    let valid = inside_lanes(block, p.c);
    let d = select(vec4<f32>(0.0), v - top, valid);
    return select(vec4<f32>(0.0), exp(d), valid);
}

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let source = index(p.x, id.z, 0u, i32(id.y), i32(id.x));
    let place = index(p.y, id.z, 0u, i32(id.y), i32(id.x));
    let blocks = trip_count((p.c + 3u) / 4u, group.x);
    // The lowest float, as bits: naga writes it as a decimal that browsers reject as too large.
    let lowest = bitcast<vec4<f32>>(vec4<u32>(0xff7fffffu));
    var best = lowest;
    for (var b = 0u; b < blocks; b++) {
        best = max(best, select(lowest, vec4<f32>(x[source + b * p.x.plane]), inside_lanes(b, p.c)));
    }
    let top = max(max(best.x, best.y), max(best.z, best.w));
    var sums = vec4<f32>(0.0);
    for (var b = 0u; b < blocks; b++) {
        sums += power(vec4<f32>(x[source + b * p.x.plane]), top, b);
    }
    // At least 1, from the largest channel.
    let sum = (sums.x + sums.y) + (sums.z + sums.w);
    for (var b = 0u; b < blocks; b++) {
        y[place + b * p.y.plane] = stored(power(vec4<f32>(x[source + b * p.x.plane]), top, b) / sum);
    }
}
