// Converts plain NCHW to the device layout; lanes past the last channel become 0.
//   x  [N, C, H, W]  linear f32
//   y  [N, C, H, W]  blocked
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(C / 4)).
#import "lib/storage"
#import "lib/tensor"

struct Params {
    y: View,
    size: Size,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.size.w || id.y >= p.size.h) {
        return;
    }
    let n = id.z / p.size.blocks;
    let block = id.z % p.size.blocks;
    var v = vec4<f32>(0.0);
    for (var lane = 0u; lane < 4u; lane++) {
        let c = block * 4u + lane;
        if (c < p.size.c) {
            v[lane] = x[((n * p.size.c + c) * p.size.h + id.y) * p.size.w + id.x];
        }
    }
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(v);
}
