// Multiplies every image by its gate.
//   x     [N, C, H, W]  blocked
//   gate  [N, 1, 1, 1]  blocked
//   y     [N, C, H, W]  blocked; y = x * gate
// Bindings: 0 params, 1 x (read), 2 gate (read), 3 y (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(C / 4)); each invocation computes one vec4.
#import "lib/storage"
#import "lib/tensor"

struct Params {
    x: View,
    gate: View,
    y: View,
    size: Size,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> gate: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.size.w || id.y >= p.size.h) {
        return;
    }
    let n = id.z / p.size.blocks;
    let block = id.z % p.size.blocks;
    let v = vec4<f32>(x[index(p.x, n, block, i32(id.y), i32(id.x))]);
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(v * f32(gate[plane_start(p.gate, n, 0u)].x));
}
