// Gradient of softmax over channels, from its output.
//   y   [N, C, H, W]  blocked, the softmax
//   dy  [N, C, H, W]  blocked
//   dx  [N, C, H, W]  blocked; dx = y (dy - sum over channels of y dy)
// Bindings: 0 params, 1 y (read), 2 dy (read), 3 dx (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N); each invocation computes all channels of one pixel.
#import "lib/storage"
#import "lib/lanes"
#import "lib/loops"
#import "lib/tensor"

struct Params {
    y: View,     // and of the others: they share a shape
    size: Size,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y: array<Stored>;
@group(0) @binding(2) var<storage, read> dy: array<Stored>;
@group(0) @binding(3) var<storage, read_write> dx: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.size.w || id.y >= p.size.h) {
        return;
    }
    let first = index(p.y, id.z, 0u, i32(id.y), i32(id.x));
    var sum = 0.0;
    let blocks = trip_count(p.size.blocks, group.x);
    for (var block = 0u; block < blocks; block++) {
        let at = first + block * p.y.plane;
        let inside = inside_lanes(block, p.size.c);
        // Lanes past the last channel may hold anything.
        sum += dot(select(vec4<f32>(0.0), vec4<f32>(y[at]), inside), select(vec4<f32>(0.0), vec4<f32>(dy[at]), inside));
    }
    for (var block = 0u; block < blocks; block++) {
        let at = first + block * p.y.plane;
        dx[at] = stored(vec4<f32>(y[at]) * (vec4<f32>(dy[at]) - sum));
    }
}
