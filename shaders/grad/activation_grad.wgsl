// Gradient of an activation, from its result.
//   y   [N, C, H, W]  blocked, the activation's result
//   dy  [N, C, H, W]  blocked
//   dx  [N, C, H, W]  blocked; dy times the activation's slope there, that of negative values at 0
// Bindings: 0 params, 1 y (read), 2 dy (read), 3 dx (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(C / 4)); an invocation makes one vec4.
// Constants: ACTIVATION, see lib/activation.
#import "lib/storage"
#import "lib/activation"
#import "lib/tensor"

struct Params {
    y: View,
    dx: View,  // and dy's: they have one shape
    w: u32,
    h: u32,
    blocks: u32,  // of channels
    slope: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y: array<Stored>;
@group(0) @binding(2) var<storage, read> dy: array<Stored>;
@group(0) @binding(3) var<storage, read_write> dx: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let n = id.z / p.blocks;
    let block = id.z % p.blocks;
    let at = index(p.dx, n, block, i32(id.y), i32(id.x));
    let v = vec4<f32>(y[index(p.y, n, block, i32(id.y), i32(id.x))]);
    dx[at] = stored(vec4<f32>(dy[at]) * activation_slope(v, p.slope));
}
