// Transposed convolution 2x2, stride 2: each input pixel contributes to its own 2x2 output pixels; nothing overlaps.
//   x  [N, C, H, W]      blocked
//   w  bias [K/4] vec4, then [K/4][C/4][2][2][4 input channels] of vec4 over output channels
//   y  [N, K, 2 H, 2 W]  blocked
// Bindings: 0 params, 1 x (read), 2 w (read), 3 y (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(K / 4)); each invocation computes the 2x2 vec4s of one input pixel.
// Constants: ACTIVATION.
#import "lib/storage"
#import "lib/loops"
#import "lib/tensor"
#import "lib/activation"

struct Params {
    x: View,
    y: View,
    w: u32,
    h: u32,
    out_blocks: u32,
    in_blocks: u32,
    alpha: f32,  // arguments of the activation
    beta: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> w: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

fn tap(at: u32, v: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(w[at]) * v.x + vec4<f32>(w[at + 1u]) * v.y + vec4<f32>(w[at + 2u]) * v.z
        + vec4<f32>(w[at + 3u]) * v.w;
}

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let n = id.z / p.out_blocks;
    let block = id.z % p.out_blocks;
    let bias = vec4<f32>(w[block]);
    var a = bias;
    var b = bias;
    var c = bias;
    var d = bias;
    let pixel = index(p.x, n, 0u, i32(id.y), i32(id.x));
    let weight = p.out_blocks + block * p.in_blocks * 16u;
    let blocks = trip_count(p.in_blocks, group.x);
    for (var i = 0u; i < blocks; i++) {
        let v = vec4<f32>(x[pixel + i * p.x.plane]);
        let at = weight + i * 16u;
        a += tap(at, v);
        b += tap(at + 4u, v);
        c += tap(at + 8u, v);
        d += tap(at + 12u, v);
    }
    let out = index(p.y, n, block, i32(2u * id.y), i32(2u * id.x));
    y[out] = stored(activate(a, p.alpha, p.beta));
    y[out + 1u] = stored(activate(b, p.alpha, p.beta));
    y[out + p.y.row] = stored(activate(c, p.alpha, p.beta));
    y[out + p.y.row + 1u] = stored(activate(d, p.alpha, p.beta));
}
