// Weight gradient of a convolution of any geometry.
//   g   [N, R, OH, OW]  blocked, the gradient of the result (or a transposed convolution's input)
//   x   [N, C, H, W]    blocked, what the convolution read (or the gradient of a transposed convolution's result)
//   dw  [R, C / groups, KH, KW]  linear f32; the sum over n, y, x of g[n, r, y, x] * x[n, c, y * stride + ky * dilation - top, ..]
// Bindings: 0 params, 1 g (read), 2 x (read), 3 dw (write).
// Dispatch: (ceil(R / 4), ceil(C / 4) * KH, KW), a workgroup makes one tap of 4 x 4 channels; with GROUPED
// (R, C / groups * KH, KW), a workgroup makes one element.
// Constants: GROUPED, where there are groups.
#import "lib/storage"
#import "lib/loops"
#import "lib/reduce"
#import "lib/tensor"

struct Params {
    g: View,
    x: View,
    size: vec4<u32>,      // OW, OH, N, KH * KW
    region: vec4<u32>,    // H, W, stride y, stride x
    geometry: vec4<u32>,  // pad top, pad left, dilation y, dilation x
    more: vec4<u32>,      // KW, R, C / groups, R / groups
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> g: array<Stored>;
@group(0) @binding(2) var<storage, read> x: array<Stored>;
@group(0) @binding(3) var<storage, read_write> dw: array<f32>;

fn combine(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return a + b;
}

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let height = p.size.w / p.more.x;
    let ky = group.y % height;
    let kx = group.z;
    let column_group = group.y / height;
    let tap = ky * p.more.x + kx;
#ifdef GROUPED
    let c = group.x / p.more.w * p.more.z + column_group;
    let g_block = group.x / 4u;
    let x_block = c / 4u;
    var total = vec4<f32>(0.0);
#else
    let g_block = group.x;
    let x_block = column_group;
    var totals = array<vec4<f32>, 4>();
#endif
    let images = turns(p.size.z, group.x);
    let rows = turns(p.size.y, group.x);
    let columns = turns(p.size.x, group.x);
    for (var n = 0u; n < images; n++) {
        for (var oy = local.y; oy < rows; oy += 16u) {
            let iy = i32(oy * p.region.z + ky * p.geometry.z) - i32(p.geometry.x);
            if (iy < 0 || iy >= i32(p.region.x)) {
                continue;
            }
            // Rows first: rounding grows with W + H, not with W * H.
#ifdef GROUPED
            var part = 0.0;
#else
            var parts = array<vec4<f32>, 4>();
#endif
            for (var ox = local.x; ox < columns; ox += 16u) {
                let ix = i32(ox * p.region.w + kx * p.geometry.w) - i32(p.geometry.y);
                if (ix < 0 || ix >= i32(p.region.y)) {
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
        dw[(group.x * p.more.z + column_group) * p.size.w + tap] = sum;
    }
#else
    for (var i = 0u; i < 4u; i++) {
        let sum = reduce(lane, totals[i]);
        let r = 4u * g_block + i;
        let column = 4u * x_block + lane;
        if (lane < 4u && r < p.more.y && column < p.more.z) {
            dw[(r * p.more.z + column) * p.size.w + tap] = sum[lane];
        }
    }
#endif
}
