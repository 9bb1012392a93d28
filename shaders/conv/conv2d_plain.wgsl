// Convolution of any geometry, the plain way: one vec4 of output channels of one pixel an invocation, every tap checked
// against the border of the region. Several sources are several dispatches: ACCUMULATE adds to what is there.
//   x  [N, C, >=H, >=W]  blocked, read in a region of H x W pixels whose corner the view's origin is
//   w  bias [K/4] vec4, then [K/4][C/4][KH][KW][4 input channels] of vec4 over output channels
//   y  [N, K, OH, OW]    blocked
// Bindings: 0 params, 1 x (read), 2 w (read), 3 y (write).
// Dispatch: (ceil(OW / 16), ceil(OH / 4), N * ceil(K / 4)).
// Constants: KH, KW, ACTIVATION; ACCUMULATE if defined.
#import "lib/storage"
#import "lib/loops"
#import "lib/tensor"
#import "lib/activation"

struct Params {
    x: View,
    y: View,
    size: vec4<u32>,      // OW, OH, output blocks, input blocks
    region: vec4<u32>,    // H, W, stride y, stride x
    geometry: vec4<u32>,  // pad top, pad left, dilation y, dilation x
    slope: vec4<f32>,     // slope of a leaky ReLU, -, -, -
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
    let at = index(p.y, n, block, i32(id.y), i32(id.x));
#ifdef ACCUMULATE
    var sum = vec4<f32>(y[at]);
#else
    var sum = vec4<f32>(w[block]);
#endif
    let top = i32(id.y * p.region.z) - i32(p.geometry.x);
    let left = i32(id.x * p.region.w) - i32(p.geometry.y);
    var weight = p.size.z + block * p.size.w * (KH * KW * 4u);
    let blocks = turns(p.size.w, group.x);
    for (var c = 0u; c < blocks; c++) {
        let plane = plane_start(p.x, n, c);
        for (var ky = 0u; ky < KH; ky++) {
            let iy = top + i32(ky * p.geometry.z);
            for (var kx = 0u; kx < KW; kx++) {
                let ix = left + i32(kx * p.geometry.w);
                if (iy >= 0 && iy < i32(p.region.x) && ix >= 0 && ix < i32(p.region.y)) {
                    let v = vec4<f32>(x[plane + pixel_offset(p.x, iy, ix)]);
                    sum += tap(weight, v);
                }
                weight += 4u;
            }
        }
    }
    y[at] = stored(activate(sum, p.slope.x));
}
