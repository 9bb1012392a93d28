// Convolution as an implicit GEMM: rows are output channels, columns are output pixels, K runs over taps and input
// channels. Padding of at most 1 is the tensors' zero halo. Several sources take several dispatches. A transposed
// convolution 2x2 with stride 2 (UP = 1, else 0) is four GEMMs of one tap, one for each of the 2x2 outputs of an input
// pixel; columns are input pixels, and the store scatters.
//   x  [N, C, H, W]    blocked
//   w  bias [K/4] vec4, then [4^UP][K/TM][KH][KW][C/4, a multiple of KB][TM] of vec4 over input channels; with CIN
//      [K/TM][KH KW CIN / 4][TM] of vec4 over taps and channels
//   y  [N, K, OH << UP, OW << UP]  blocked
// Bindings: 0 params, 1 x (read), 2 w (read), 3 y (write).
// Dispatch: (ceil(OH OW / COLUMNS), ceil(K / TM), 4^UP N), COLUMNS = 8 TN; several if x exceeds the grid's limit. With
// rows first (4^UP ceil(K / TM), ceil(OH OW / COLUMNS), N): the tiles of the same columns run one after the other.
// Constants: ACTIVATION, those of lib/gemm; KH, KW if compilers should know them, else they are parameters; CIN, the
// number of input channels, if it is 1 to 3 and vec4s of K are gathered; optionally ACCUMULATE; WHOLE if K is a
// multiple of TM.
#import "lib/storage"
#import "lib/loops"
#import "lib/tensor"
#import "lib/activation"
#import "lib/gemm"

struct Params {
    x: View,
    y: View,
    ow: u32,          // of the columns
    oh: u32,
    out_blocks: u32,
    in_blocks: u32,
    pad_top: u32,
    pad_left: u32,
    stride_y: u32,
    stride_x: u32,
    dilation_y: u32,
    dilation_x: u32,
    steps: u32,       // of K, in total
    first_block: u32, // of columns
    kh: u32,
    kw: u32,
    rows_first: u32,  // 1 if rows come first in the grid
    up: u32,          // UP
    alpha: f32,  // arguments of the activation
    beta: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> w: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

fn column(j: u32) -> u32 {
    // Columns past the last pixel repeat it; they are not stored.
    let pixel = min((p.first_block + tile.x) * COLUMNS + j, p.ow * p.oh - 1u);
    let top = i32(pixel / p.ow * p.stride_y) - i32(p.pad_top);
    let left = i32(pixel % p.ow * p.stride_x) - i32(p.pad_left);
    return index(p.x, tile.z >> (2u * p.up), 0u, top, left);
}

fn tap_offset(t: u32) -> u32 {
#ifndef KW
    let KW = p.kw;
#endif
    return t / KW * p.dilation_y * p.x.row + t % KW * p.dilation_x;
}

fn bias(row4: u32) -> vec4<f32> {
#ifdef ACCUMULATE
    return vec4<f32>(0.0);
#else
    return vec4<f32>(w[row4]);
#endif
}

fn place(j: u32) -> u32 {
    let pixel = (p.first_block + tile.x) * COLUMNS + j;
    let up = p.up;
    let row = ((pixel / p.ow) << up) + ((tile.z >> up) & up);
    let at = index(p.y, tile.z >> (2u * up), 0u, i32(row), i32(((pixel % p.ow) << up) + (tile.z & up)));
    return select(NOWHERE, at, pixel < p.ow * p.oh);
}

fn put(row4: u32, at: u32, v: vec4<f32>) {
    let to = at + row4 * p.y.plane;
#ifdef ACCUMULATE
    y[to] = stored(activate(vec4<f32>(y[to]) + v, p.alpha, p.beta));
#else
    y[to] = stored(activate(v, p.alpha, p.beta));
#endif
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    // The number of one of the 4^UP GEMMs of a transposed convolution takes 2 UP bits.
    let bits = 2u * p.up;
    let part = (1u << bits) - 1u;
    let rows_first = vec3<u32>(workgroup.y, workgroup.x >> bits, (workgroup.z << bits) + (workgroup.x & part));
    let group = select(workgroup, rows_first, p.rows_first != 0u);
    tile = group;
    let lane = local % SPREAD;
    let ty = local / SPREAD;
    let first4 = group.y * (TM / 4u);
    let end4 = p.out_blocks;
    let steps = trip_count(p.in_blocks, workgroup.x);
    let stride = p.x.plane;
#ifdef KH
    let taps = KH * KW;
#else
    let taps = trip_count(p.kh * p.kw, workgroup.x);
#endif
    let tiles = (p.out_blocks * 4u + TM - 1u) / TM;
    var wi = p.out_blocks + ((group.z & part) * tiles + group.y) * p.steps * TM;
#generate gemm
#generate gemm_results
}
