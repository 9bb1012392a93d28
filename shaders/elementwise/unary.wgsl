// An elementwise function.
//   x  [N, C, H, W]  blocked
//   y  [N, C, H, W]  blocked; y = f(x), 0 past the last channel
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(C / 4)); each invocation computes one vec4.
// Constants: ACTIVATION, see lib/activation.
#import "lib/storage"
#import "lib/tensor"
#import "lib/lanes"
#import "lib/activation"

struct Params {
    x: View,
    y: View,
    size: Size,
    alpha: f32,
    beta: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.size.w || id.y >= p.size.h) {
        return;
    }
    let n = id.z / p.size.blocks;
    let block = id.z % p.size.blocks;
    let v = vec4<f32>(x[index(p.x, n, block, i32(id.y), i32(id.x))]);
    let result = select(vec4<f32>(0.0), activate(v, p.alpha, p.beta), inside_lanes(block, p.size.c));
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(result);
}
