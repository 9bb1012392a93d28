// Convolution as an implicit matrix product: rows are output channels, columns are output pixels, K runs over taps and
// input channels. Padding of at most 1 is the tensors' zero halo. Several sources are several dispatches. Transposed
// convolution 2x2, stride 2 (UP = 1, else 0): four products of one tap, one for each output of an input pixel's 2x2;
// columns are input pixels, the store scatters.
//   x  [N, C, H, W]    blocked
//   w  bias [K/4] vec4, then [4^UP][K/TM][KH][KW][C/4, a multiple of KB][TM] of vec4 over input channels; [K/TM][KH KW CIN / 4][TM] of
//      vec4 over taps and channels with CIN
//   y  [N, K, OH << UP, OW << UP]  blocked
// Bindings: 0 params, 1 x (read), 2 w (read), 3 y (write).
// Dispatch: (ceil(OH OW / COLUMNS), ceil(K / TM), 4^UP N), COLUMNS = 8 TN; several where the grid is too small for x. With rows
// first (4^UP ceil(K / TM), ceil(OH OW / COLUMNS), N): the tiles of the same columns run one after the other.
// Constants: ACTIVATION, those of lib/gemm; KH, KW where compilers should know them, else they are in the parameters; CIN, the
// input channels, where there are 1 to 3 and vec4s of K gathered; ACCUMULATE if defined; WHOLE if K is a multiple of TM.
#import "lib/storage"
#import "lib/loops"
#import "lib/tensor"
#import "lib/activation"
#import "lib/gemm"

struct Params {
    x: View,
    y: View,
    size: vec4<u32>,      // columns: OW, OH; output blocks, input blocks
    geometry: vec4<u32>,  // pad top, pad left, stride y, stride x
    dilation: vec4<u32>,  // dilation y, dilation x, steps of K in all, first block of columns
    kernel: vec4<u32>,    // KH, KW, whether rows come first in the grid, UP
    slope: vec4<f32>,     // slope of a leaky ReLU, -, -, -
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> w: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

fn column(j: u32) -> u32 {
    // Columns past the last pixel repeat it; they are not stored.
    let pixel = min((p.dilation.w + tile.x) * COLUMNS + j, p.size.x * p.size.y - 1u);
    let top = i32(pixel / p.size.x * p.geometry.z) - i32(p.geometry.x);
    let left = i32(pixel % p.size.x * p.geometry.w) - i32(p.geometry.y);
    return index(p.x, tile.z >> (2u * p.kernel.w), 0u, top, left);
}

fn tap_offset(t: u32) -> u32 {
#ifndef KW
    let KW = p.kernel.y;
#endif
    return t / KW * p.dilation.x * p.x.y + t % KW * p.dilation.y;
}

fn bias(row4: u32) -> vec4<f32> {
#ifdef ACCUMULATE
    return vec4<f32>(0.0);
#else
    return vec4<f32>(w[row4]);
#endif
}

fn place(j: u32) -> u32 {
    let pixel = (p.dilation.w + tile.x) * COLUMNS + j;
    let up = p.kernel.w;
    let row = ((pixel / p.size.x) << up) + ((tile.z >> up) & up);
    let at = index(p.y, tile.z >> (2u * up), 0u, i32(row), i32(((pixel % p.size.x) << up) + (tile.z & up)));
    return select(NOWHERE, at, pixel < p.size.x * p.size.y);
}

fn put(row4: u32, at: u32, v: vec4<f32>) {
    let to = at + row4 * p.y.z;
#ifdef ACCUMULATE
    y[to] = stored(activate(vec4<f32>(y[to]) + v, p.slope.x));
#else
    y[to] = stored(activate(v, p.slope.x));
#endif
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    // The 4^UP products of a transposed convolution: 2 UP bits of the product's number.
    let bits = 2u * p.kernel.w;
    let part = (1u << bits) - 1u;
    let rows_first = vec3<u32>(workgroup.y, workgroup.x >> bits, (workgroup.z << bits) + (workgroup.x & part));
    let group = select(workgroup, rows_first, p.kernel.z != 0u);
    tile = group;
    let lane = local % SPREAD;
    let ty = local / SPREAD;
    let first4 = group.y * (TM / 4u);
    let end4 = p.size.z;
    let steps = turns(p.size.w, workgroup.x);
    let stride = p.x.z;
#ifdef KH
    let taps = KH * KW;
#else
    let taps = turns(p.kernel.x * p.kernel.y, workgroup.x);
#endif
    let tiles = (p.size.z * 4u + TM - 1u) / TM;
    var wi = p.size.z + ((group.z & part) * tiles + group.y) * p.dilation.z * TM;
#generate gemm
#generate gemm_results
}
