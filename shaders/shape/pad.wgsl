// Zero padding and cropping.
//   x  [N, C, H, W]    blocked
//   y  [N, C, OH, OW]  blocked; y[oy, ox] = x[oy - top, ox - left], 0 outside x
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(OW / 16), ceil(OH / 4), N * ceil(C / 4)); each invocation computes one vec4.
#import "lib/storage"
#import "lib/tensor"

struct Params {
    x: View,
    y: View,
    ow: u32,
    oh: u32,
    blocks: u32,  // of channels
    w: i32,
    h: i32,
    top: i32,
    left: i32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.ow || id.y >= p.oh) {
        return;
    }
    let n = id.z / p.blocks;
    let block = id.z % p.blocks;
    let iy = i32(id.y) - p.top;
    let ix = i32(id.x) - p.left;
    var v = vec4<f32>(0.0);
    if (iy >= 0 && iy < p.h && ix >= 0 && ix < p.w) {
        v = vec4<f32>(x[index(p.x, n, block, iy, ix)]);
    }
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(v);
}
