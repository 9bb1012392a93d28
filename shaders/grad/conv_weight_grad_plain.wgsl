// Weight gradient of a convolution of any geometry.
//   g   [N, R, OH, OW]  blocked, the gradient of the output (or a transposed convolution's input)
//   x   [N, C, H, W]    blocked, the convolution's input (or the gradient of a transposed convolution's output)
//   dw  [R, C / groups, KH, KW]  linear f32; the sum over n, y, x of g[n, r, y, x] * x[n, c, iy, ix],
//                                iy = y * stride + ky * dilation - top, ix likewise
// Bindings: 0 params, 1 g (read), 2 x (read), 3 dw (write).
// Dispatch: (ceil(R / 4), ceil(C / 4) * KH, KW); each workgroup computes one tap of 4 x 4 channels. With GROUPED
// (R, C / groups * KH, KW); each workgroup computes one element.
// Constants: GROUPED if there are groups.
#import "lib/storage"
#import "lib/loops"
#import "lib/reduce_sum"
#import "lib/tensor"

struct Params {
    g: View,
    x: View,
    ow: u32,
    oh: u32,
    images: u32,   // N
    taps: u32,     // KH KW
    h: u32,
    w: u32,
    stride_y: u32,
    stride_x: u32,
    pad_top: u32,
    pad_left: u32,
    dilation_y: u32,
    dilation_x: u32,
    kw: u32,
    r: u32,
    group_c: u32,  // C / groups
    group_r: u32,  // R / groups
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> g: array<Stored>;
@group(0) @binding(2) var<storage, read> x: array<Stored>;
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let height = p.taps / p.kw;
    let ky = group.y % height;
    let kx = group.z;
    let column_group = group.y / height;
    let tap = ky * p.kw + kx;
#ifdef GROUPED
    let c = group.x / p.group_r * p.group_c + column_group;
    let g_block = group.x / 4u;
    let x_block = c / 4u;
    var total = vec4<f32>(0.0);
#else
    let g_block = group.x;
    let x_block = column_group;
    var totals = array<vec4<f32>, 4>();
#endif
    let images = trip_count(p.images, group.x);
    let rows = trip_count(p.oh, group.x);
    let columns = trip_count(p.ow, group.x);
    for (var n = 0u; n < images; n++) {
        for (var oy = local.y; oy < rows; oy += 16u) {
            let iy = i32(oy * p.stride_y + ky * p.dilation_y) - i32(p.pad_top);
            if (iy < 0 || iy >= i32(p.h)) {
                continue;
            }
            // Sums within rows first: rounding error grows with W + H, not with W * H.
#ifdef GROUPED
            var part = 0.0;
#else
            var parts = array<vec4<f32>, 4>();
#endif
            for (var ox = local.x; ox < columns; ox += 16u) {
                let ix = i32(ox * p.stride_x + kx * p.dilation_x) - i32(p.pad_left);
                if (ix < 0 || ix >= i32(p.w)) {
                    continue;
                }
                let u = vec4<f32>(g[index(p.g, n, g_block, i32(oy), i32(ox))]);
                let v = vec4<f32>(x[index(p.x, n, x_block, iy, ix)]);
#ifdef GROUPED
                part += u[group.x % 4u] * v[c % 4u];
#else
                parts[0] += u.x * v;
                parts[1] += u.y * v;
                parts[2] += u.z * v;
                parts[3] += u.w * v;
#endif
            }
#ifdef GROUPED
            total.x += part;
#else
            for (var i = 0u; i < 4u; i++) {
                totals[i] += parts[i];
            }
#endif
        }
    }
#ifdef GROUPED
    let sum = reduce(lane, total).x;
    if (lane == 0u) {
        dw[(group.x * p.group_c + column_group) * p.taps + tap] = sum;
    }
#else
    for (var i = 0u; i < 4u; i++) {
        let sum = reduce(lane, totals[i]);
        let r = 4u * g_block + i;
        let column = 4u * x_block + lane;
        if (lane < 4u && r < p.r && column < p.group_c) {
            dw[(r * p.group_c + column) * p.taps + tap] = sum[lane];
        }
    }
#endif
}
