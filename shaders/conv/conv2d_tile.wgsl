// Convolution with stride 1 and no dilation: a register tile of 4 pixels x 8 output channels per invocation; weights
// are read at uniform addresses. Padding of at most 1 is the tensors' zero halo. Several sources take several
// dispatches.
//   x  [N, C, H, W]    blocked
//   w  bias [K/4] vec4, then [K/4][C/4][KH][KW][4 input channels] of vec4 over output channels
//   y  [N, K, OH, OW]  blocked
// Bindings: 0 params, 1 x (read), 2 w (read), 3 y (write).
// Dispatch: (ceil(OW / 32), ceil(OH / 8), N * ceil(K / 8)).
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
    pad_top: u32,
    pad_left: u32,
    alpha: f32,  // arguments of the activation
    beta: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> w: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

const TILE: u32 = 4u;

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let pairs = (p.out_blocks + 1u) / 2u;
    let n = group.z / pairs;
    let b0 = (group.z % pairs) * 2u;
    // With an odd number of blocks the last pair computes its block twice and stores it once.
    let b1 = min(b0 + 1u, p.out_blocks - 1u);
    let ox = (group.x * 8u + local.x) * TILE;
    let oy = group.y * 8u + local.y;
    if (ox >= p.ow || oy >= p.oh) {
        return;
    }
    let columns = min(TILE, p.ow - ox);
    let at0 = index(p.y, n, b0, i32(oy), i32(ox));
    let at1 = index(p.y, n, b1, i32(oy), i32(ox));
    var sum0: array<vec4<f32>, TILE>;
    var sum1: array<vec4<f32>, TILE>;
    for (var i = 0u; i < TILE; i++) {
#ifdef ACCUMULATE
        // Columns past the edge repeat the last one; they are not stored.
        sum0[i] = vec4<f32>(y[at0 + min(i, columns - 1u)]);
        sum1[i] = vec4<f32>(y[at1 + min(i, columns - 1u)]);
#else
        sum0[i] = vec4<f32>(w[b0]);
        sum1[i] = vec4<f32>(w[b1]);
#endif
    }
    let taps = KH * KW * 4u;
    let base0 = p.out_blocks + b0 * p.in_blocks * taps;
    let base1 = p.out_blocks + b1 * p.in_blocks * taps;
    // Clamping to the last column of the tensor, halo included, keeps reads of a partial tile inside the row.
    let last = columns + KW - 2u;
    let blocks = trip_count(p.in_blocks, group.x);
    for (var c = 0u; c < blocks; c++) {
        for (var ky = 0u; ky < KH; ky++) {
            let row = index(p.x, n, c, i32(oy + ky) - i32(p.pad_top), i32(ox) - i32(p.pad_left));
            var line: array<vec4<f32>, TILE + KW - 1u>;
            for (var i = 0u; i < TILE + KW - 1u; i++) {
                line[i] = vec4<f32>(x[row + min(i, last)]);
            }
            for (var kx = 0u; kx < KW; kx++) {
                let t = c * taps + (ky * KW + kx) * 4u;
                let w00 = vec4<f32>(w[base0 + t]);
                let w01 = vec4<f32>(w[base0 + t + 1u]);
                let w02 = vec4<f32>(w[base0 + t + 2u]);
                let w03 = vec4<f32>(w[base0 + t + 3u]);
                let w10 = vec4<f32>(w[base1 + t]);
                let w11 = vec4<f32>(w[base1 + t + 1u]);
                let w12 = vec4<f32>(w[base1 + t + 2u]);
                let w13 = vec4<f32>(w[base1 + t + 3u]);
                for (var i = 0u; i < TILE; i++) {
                    let v = line[i + kx];
                    sum0[i] += w00 * v.x + w01 * v.y + w02 * v.z + w03 * v.w;
                    sum1[i] += w10 * v.x + w11 * v.y + w12 * v.z + w13 * v.w;
                }
            }
        }
    }
    for (var i = 0u; i < TILE; i++) {
        if (i < columns) {
            y[at0 + i] = stored(activate(sum0[i], p.alpha, p.beta));
            if (b1 != b0) {
                y[at1 + i] = stored(activate(sum1[i], p.alpha, p.beta));
            }
        }
    }
}
