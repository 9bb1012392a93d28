// Transposed convolution of any geometry, the plain way: an output pixel gathers the input pixels whose windows cover it.
//   x  [N, C, H, W]    blocked
//   w  bias [K/4] vec4, then [K/4][C/4][KH][KW][4 input channels] of vec4 over output channels
//   y  [N, K, OH, OW]  blocked
// Bindings: 0 params, 1 x (read), 2 w (read), 3 y (write).
// Dispatch: (ceil(OW / 16), ceil(OH / 4), N * ceil(K / 4)).
// Constants: KH, KW, ACTIVATION.
#import "lib/storage"
#import "lib/loops"
#import "lib/tensor"
#import "lib/activation"

struct Params {
    x: View,
    y: View,
    size: vec4<u32>,    // OW, OH, output blocks, input blocks
    region: vec4<u32>,  // H, W, stride y, stride x
    pad: vec4<u32>,     // top, left, dilation y, x
    slope: vec4<f32>,   // slope of a leaky ReLU, -, -, -
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
    if (id.x >= p.size.x || id.y >= p.size.y) {
        return;
    }
    let n = id.z / p.size.z;
    let block = id.z % p.size.z;
    var sum = vec4<f32>(w[block]);
    let blocks = turns(p.size.w, group.x);
    for (var ky = 0u; ky < KH; ky++) {
        let ty = i32(id.y + p.pad.x) - i32(ky * p.pad.z);
        if (ty < 0 || ty % i32(p.region.z) != 0 || ty / i32(p.region.z) >= i32(p.region.x)) {
            continue;
        }
        for (var kx = 0u; kx < KW; kx++) {
            let tx = i32(id.x + p.pad.y) - i32(kx * p.pad.w);
            if (tx < 0 || tx % i32(p.region.w) != 0 || tx / i32(p.region.w) >= i32(p.region.y)) {
                continue;
            }
            let pixel = index(p.x, n, 0u, ty / i32(p.region.z), tx / i32(p.region.w));
            for (var c = 0u; c < blocks; c++) {
                let v = vec4<f32>(x[pixel + c * p.x.z]);
                let at = p.size.z + (((block * p.size.w + c) * KH + ky) * KW + kx) * 4u;
                sum += tap(at, v);
            }
        }
    }
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(activate(sum, p.slope.x));
}
