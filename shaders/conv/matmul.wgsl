// Products of planes.
//   a  [N or 1, C or 1, H, K]  blocked
//   b  [N or 1, C or 1, K, W]  blocked, or transposed
//   y  [N, C, H, W]            blocked; y[i, j] = sum over k of a[i, k] * b[k, j]
// Bindings: 0 params, 1 a (read), 2 b (read), 3 y (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(C / 4)); an invocation makes one vec4.
#import "lib/storage"
#import "lib/loops"
#import "lib/tensor"

struct Params {
    a: View,  // strides of axes of one element are 0
    b: View,
    y: View,
    size: vec4<u32>,  // W, H, channel blocks, K
    step: vec4<u32>,  // strides of b along k and along columns of y; 1 if the one channel of a is every channel, of b
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Stored>;
@group(0) @binding(2) var<storage, read> b: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.size.x || id.y >= p.size.y) {
        return;
    }
    let n = id.z / p.size.z;
    let block = id.z % p.size.z;
    let left = plane_start(p.a, n, block) + id.y * p.a.y;
    let right = plane_start(p.b, n, block) + id.x * p.step.y;
    let depth = turns(p.size.w, group.x);
    var sum = vec4<f32>(0.0);
    for (var k = 0u; k < depth; k++) {
        var u = vec4<f32>(a[left + k]);
        var v = vec4<f32>(b[right + k * p.step.x]);
        u = select(u, u.xxxx, p.step.z != 0u);
        v = select(v, v.xxxx, p.step.w != 0u);
        sum += u * v;
    }
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(sum);
}
