// Zero padding and cropping: a shift of the picture.
//   x  [N, C, H, W]    blocked
//   y  [N, C, OH, OW]  blocked; y[oy, ox] = x[oy - top, ox - left], 0 outside x
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(OW / 16), ceil(OH / 4), N * ceil(C / 4)); an invocation makes one vec4.
#import "lib/storage"
#import "lib/tensor"

struct Params {
    x: View,
    y: View,
    size: vec4<u32>,  // OW, OH, channel blocks, W
    rest: vec4<i32>,  // H, top, left, -
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.size.x || id.y >= p.size.y) {
        return;
    }
    let n = id.z / p.size.z;
    let block = id.z % p.size.z;
    let iy = i32(id.y) - p.rest.y;
    let ix = i32(id.x) - p.rest.z;
    var v = vec4<f32>(0.0);
    if (iy >= 0 && iy < p.rest.x && ix >= 0 && ix < i32(p.size.w)) {
        v = vec4<f32>(x[index(p.x, n, block, iy, ix)]);
    }
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(v);
}
