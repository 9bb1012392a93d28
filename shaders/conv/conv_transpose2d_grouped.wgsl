// Grouped and depthwise transposed convolution, untiled: one vec4 of output channels of one pixel per invocation. Its
// four lanes may belong to different groups, so each lane gathers its own channels.
//   x  [N, C, H, W]    blocked
//   w  bias [K], then [C][K / groups][KH][KW]
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
    out_channels: u32,
    h: u32,
    w: u32,
    stride_y: u32,
    stride_x: u32,
    pad_top: u32,
    pad_left: u32,
    dilation_y: u32,
    dilation_x: u32,
    group_in: u32,   // input channels per group
    group_out: u32,  // output channels per group
    alpha: f32,  // arguments of the activation
    beta: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> w: array<StoredScalar>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.ow || id.y >= p.oh) {
        return;
    }
    let n = id.z / p.out_blocks;
    let block = id.z % p.out_blocks;
    var result = vec4<f32>(0.0);
    let channels = trip_count(p.group_in, group.x);
    for (var lane = 0u; lane < 4u; lane++) {
        let o = block * 4u + lane;
        if (o >= p.out_channels) {
            break;
        }
        var sum = f32(w[o]);
        let first = o / p.group_out * p.group_in;
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
                for (var c = first; c < first + channels; c++) {
                    let weight = p.out_channels + ((c * p.group_out + o % p.group_out) * KH + ky) * KW + kx;
                    sum += f32(w[weight]) * f32(x[pixel + c / 4u * p.x.plane][c % 4u]);
                }
            }
        }
        result[lane] = sum;
    }
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(activate(result, p.alpha, p.beta));
}
