// Transposed convolution of any geometry, untiled: each output pixel gathers the input pixels whose windows cover it.
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
    ow: u32,
    oh: u32,
    out_blocks: u32,
    in_blocks: u32,
    h: u32,
    w: u32,
    stride_y: u32,
    stride_x: u32,
    pad_top: u32,
    pad_left: u32,
    dilation_y: u32,
    dilation_x: u32,
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
    if (id.x >= p.ow || id.y >= p.oh) {
        return;
    }
    let n = id.z / p.out_blocks;
    let block = id.z % p.out_blocks;
    var sum = vec4<f32>(w[block]);
    let blocks = trip_count(p.in_blocks, group.x);
    for (var ky = 0u; ky < KH; ky++) {
        let ty = i32(id.y + p.pad_top) - i32(ky * p.dilation_y);
        if (ty < 0 || ty % i32(p.stride_y) != 0 || ty / i32(p.stride_y) >= i32(p.h)) {
            continue;
        }
        for (var kx = 0u; kx < KW; kx++) {
            let tx = i32(id.x + p.pad_left) - i32(kx * p.dilation_x);
            if (tx < 0 || tx % i32(p.stride_x) != 0 || tx / i32(p.stride_x) >= i32(p.w)) {
                continue;
            }
            let pixel = index(p.x, n, 0u, ty / i32(p.stride_y), tx / i32(p.stride_x));
            for (var c = 0u; c < blocks; c++) {
                let v = vec4<f32>(x[pixel + c * p.x.plane]);
                let at = p.out_blocks + (((block * p.in_blocks + c) * KH + ky) * KW + kx) * 4u;
                sum += tap(at, v);
            }
        }
    }
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(activate(sum, p.alpha, p.beta));
}
