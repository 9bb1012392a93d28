// The index of the largest channel.
//   x  [N, C, H, W]  blocked
//   y  [N, 1, H, W]  blocked
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N); each invocation computes one pixel.
#import "lib/storage"
#import "lib/loops"
#import "lib/tensor"

struct Params {
    x: View,
    y: View,
    w: u32,
    h: u32,
    c: u32,
    last: u32,  // 1 to take the last one on ties, else the first
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let source = index(p.x, id.z, 0u, i32(id.y), i32(id.x));
    let channels = trip_count(p.c, group.x);
    var best = 0u;
    var score = vec4<f32>(x[source]).x;
    for (var c = 1u; c < channels; c++) {
        let v = vec4<f32>(x[source + c / 4u * p.x.plane])[c % 4u];
        if (v > score || (v == score && p.last == 1u)) {
            best = c;
            score = v;
        }
    }
    y[index(p.y, id.z, 0u, i32(id.y), i32(id.x))] = stored(vec4<f32>(f32(best), 0.0, 0.0, 0.0));
}
