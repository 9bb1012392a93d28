// Gradient of an elementwise function.
//   v   [N, C, H, W]  blocked, the function's result or its input
//   dy  [N, C, H, W]  blocked
//   dx  [N, C, H, W]  blocked; dy times the function's slope there, 0 past the last channel
// Bindings: 0 params, 1 v (read), 2 dy (read), 3 dx (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(C / 4)); each invocation computes one vec4.
// Constants: ACTIVATION, see lib/activation_slope
#import "lib/storage"
#import "lib/activation_slope"
#import "lib/tensor"
#import "lib/lanes"

struct Params {
    v: View,
    dx: View,  // and dy's: they share a shape
    size: Size,
    alpha: f32,
    beta: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> v: array<Stored>;
@group(0) @binding(2) var<storage, read> dy: array<Stored>;
@group(0) @binding(3) var<storage, read_write> dx: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.size.w || id.y >= p.size.h) {
        return;
    }
    let n = id.z / p.size.blocks;
    let block = id.z % p.size.blocks;
    let at = index(p.dx, n, block, i32(id.y), i32(id.x));
    let slope = activation_slope(vec4<f32>(v[index(p.v, n, block, i32(id.y), i32(id.x))]), p.alpha, p.beta);
    dx[at] = stored(select(vec4<f32>(0.0), vec4<f32>(dy[at]) * slope, inside_lanes(block, p.size.c)));
}
