// Matrix products of planes.
//   a  [N or 1, C or 1, H, K]  blocked
//   b  [N or 1, C or 1, K, W]  blocked, or transposed
//   y  [N, C, H, W]            blocked; y[i, j] = sum over k of a[i, k] * b[k, j]
// Bindings: 0 params, 1 a (read), 2 b (read), 3 y (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(C / 4)); each invocation computes one vec4.
#import "lib/storage"
#import "lib/loops"
#import "lib/tensor"

struct Params {
    a: View,  // strides of axes of one element are 0
    b: View,
    y: View,
    w: u32,
    h: u32,
    blocks: u32,         // of channels
    depth: u32,          // K
    b_step_k: u32,       // stride of b along k
    b_step_column: u32,  // and along columns of y
    a_one_channel: u32,  // 1 if the single channel of a is broadcast
    b_one_channel: u32,  // the same for b
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Stored>;
@group(0) @binding(2) var<storage, read> b: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let n = id.z / p.blocks;
    let block = id.z % p.blocks;
    let left = plane_start(p.a, n, block) + id.y * p.a.row;
    let right = plane_start(p.b, n, block) + id.x * p.b_step_column;
    let depth = trip_count(p.depth, group.x);
    var sum = vec4<f32>(0.0);
    for (var k = 0u; k < depth; k++) {
        var u = vec4<f32>(a[left + k]);
        var v = vec4<f32>(b[right + k * p.b_step_k]);
        u = select(u, u.xxxx, p.a_one_channel != 0u);
        v = select(v, v.xxxx, p.b_one_channel != 0u);
        sum += u * v;
    }
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(sum);
}
