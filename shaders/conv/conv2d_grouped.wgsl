// Grouped and depthwise convolution, the plain way: one vec4 of output channels of one pixel an invocation; its four
// lanes may belong to different groups, so each lane gathers its own channels.
//   x  [N, C, H, W]    blocked
//   w  bias [K], then [K][C / groups][KH][KW]
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
    size: vec4<u32>,      // OW, OH, output blocks, K
    region: vec4<u32>,    // H, W, stride y, stride x
    geometry: vec4<u32>,  // pad top, pad left, dilation y, dilation x
    group_in: u32,        // input channels of a group
    group_out: u32,       // output channels of a group
    slope: f32,
    unused: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> w: array<StoredScalar>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.size.x || id.y >= p.size.y) {
        return;
    }
    let n = id.z / p.size.z;
    let block = id.z % p.size.z;
    let top = i32(id.y * p.region.z) - i32(p.geometry.x);
    let left = i32(id.x * p.region.w) - i32(p.geometry.y);
    var result = vec4<f32>(0.0);
    let channels = turns(p.group_in, group.x);
    for (var lane = 0u; lane < 4u; lane++) {
        let o = block * 4u + lane;
        if (o >= p.size.w) {
            break;
        }
        var sum = f32(w[o]);
        var weight = p.size.w + o * p.group_in * KH * KW;
        let first = (o / p.group_out) * p.group_in;
        for (var c = first; c < first + channels; c++) {
            let plane = plane_start(p.x, n, c / 4u);
            for (var ky = 0u; ky < KH; ky++) {
                let iy = top + i32(ky * p.geometry.z);
                for (var kx = 0u; kx < KW; kx++) {
                    let ix = left + i32(kx * p.geometry.w);
                    if (iy >= 0 && iy < i32(p.region.x) && ix >= 0 && ix < i32(p.region.y)) {
                        sum += f32(w[weight]) * f32(x[plane + pixel_offset(p.x, iy, ix)][c % 4u]);
                    }
                    weight += 1u;
                }
            }
        }
        result[lane] = sum;
    }
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(activate(result, p.slope));
}
