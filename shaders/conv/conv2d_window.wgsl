// Convolution with stride 1 and no dilation, through workgroup memory: each workgroup computes a block of BW x 8 BANDS
// output pixels x TM output channels, and stages the pixels under it once for all taps. Padding of at most 1 is the
// tensors' zero halo. Several sources take several dispatches.
//   x  [N, C, H, W]    blocked
//   w  bias [K/4] vec4, then [K/TM][C/4][KH][KW][8][TM/8] of vec4 over input channels; [j][i] is channel 8 i + j
//   y  [N, K, OH, OW]  blocked
// Bindings: 0 params, 1 x (read), 2 w (read), 3 y (write).
// Dispatch: (ceil(OW / BW), ceil(OH / (8 BANDS)), N * ceil(K / TM)).
// Constants: KH, KW (at most 3), ACTIVATION, TM, BW, BANDS; optionally ACCUMULATE; WHOLE if K is a multiple of TM.
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
    tiles: u32,  // of output channels
    kw: u32,     // KW
    alpha: f32,  // arguments of the activation
    beta: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> w: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

// Rows per invocation; the generator requires 8.
const ROWS: u32 = 8u;
const LINES: u32 = BANDS * ROWS + KH - 1u;
var<workgroup> xs: array<vec4<f32>, (BW + KW - 1u) * LINES>;
var<workgroup> ws: array<vec4<f32>, KH * KW * TM>;

fn bias(row4: u32) -> vec4<f32> {
#ifdef ACCUMULATE
    return vec4<f32>(0.0);
#else
    return vec4<f32>(w[row4]);
#endif
}

fn put(to: u32, v: vec4<f32>) {
#ifdef ACCUMULATE
    y[to] = stored(activate(vec4<f32>(y[to]) + v, p.alpha, p.beta));
#else
    y[to] = stored(activate(v, p.alpha, p.beta));
#endif
}

@compute @workgroup_size(TM / 8u * BW * BANDS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let n = group.z / p.tiles;
    let g = group.z % p.tiles;
    let first4 = g * (TM / 4u);
    let ox = group.x * BW;
    let oy = group.y * (BANDS * ROWS);
    let column = local % BW;
    let band = local / BW % BANDS;
    let ty = local / (BW * BANDS);
    let corner = index(p.x, n, 0u, -i32(p.pad_top), -i32(p.pad_left));
    let bottom = p.oh + KH - 2u;
    let right = p.ow + KW - 2u;
    var wi = p.out_blocks + g * p.in_blocks * (KH * KW * TM);
#generate window
}
