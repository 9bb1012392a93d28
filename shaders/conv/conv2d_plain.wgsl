// Convolution of any geometry, untiled: one vec4 of output channels of one pixel per invocation, with every tap checked
// against the edges of the region. Several sources take several dispatches: ACCUMULATE adds to y.
//   x  [N, C, >=H, >=W]  blocked, read in a region of H x W pixels from the view's origin on
//   w  bias [K/4] vec4, then [K/4][C/4][KH][KW][4 input channels] of vec4 over output channels
//   y  [N, K, OH, OW]    blocked
// Bindings: 0 params, 1 x (read), 2 w (read), 3 y (write).
// Dispatch: (ceil(OW / 16), ceil(OH / 4), N * ceil(K / 4)).
// Constants: KH, KW, ACTIVATION; optionally ACCUMULATE.
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
    let at = index(p.y, n, block, i32(id.y), i32(id.x));
#ifdef ACCUMULATE
    var sum = vec4<f32>(y[at]);
#else
    var sum = vec4<f32>(w[block]);
#endif
    let top = i32(id.y * p.stride_y) - i32(p.pad_top);
    let left = i32(id.x * p.stride_x) - i32(p.pad_left);
    var weight = p.out_blocks + block * p.in_blocks * (KH * KW * 4u);
    let blocks = trip_count(p.in_blocks, group.x);
    for (var c = 0u; c < blocks; c++) {
        let plane = plane_start(p.x, n, c);
        for (var ky = 0u; ky < KH; ky++) {
            let iy = top + i32(ky * p.dilation_y);
            for (var kx = 0u; kx < KW; kx++) {
                let ix = left + i32(kx * p.dilation_x);
                if (iy >= 0 && iy < i32(p.h) && ix >= 0 && ix < i32(p.w)) {
                    let v = vec4<f32>(x[plane + pixel_offset(p.x, iy, ix)]);
                    sum += tap(weight, v);
                }
                weight += 4u;
            }
        }
    }
    y[at] = stored(activate(sum, p.alpha, p.beta));
}
