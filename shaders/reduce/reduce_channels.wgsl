// Reduction over channels.
//   x  [N, C, H, W]  blocked
//   y  [N, 1, H, W]  blocked
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N); each invocation computes one pixel.
// Constants: KIND, see lib/reduction.
#import "lib/storage"
#import "lib/loops"
#import "lib/tensor"
#import "lib/lanes"
#import "lib/reduction"

struct Params {
    x: View,
    y: View,
    size: Size,     // of x
    reduced: Size,  // of y
    factor: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.size.w || id.y >= p.size.h) {
        return;
    }
    let source = index(p.x, id.z, 0u, i32(id.y), i32(id.x));
    let blocks = trip_count(p.size.blocks, group.x);
    var all = start();
    for (var b = 0u; b < blocks; b++) {
        all = combine(all, select(start(), vec4<f32>(x[source + b * p.x.plane]), inside_lanes(b, p.size.c)));
    }
    let halves = combine(all, all.zwxy);
    let v = combine(halves, halves.yxwz).x * p.factor;
    y[index(p.y, id.z, 0u, i32(id.y), i32(id.x))] = stored(vec4<f32>(v, 0.0, 0.0, 0.0));
}
