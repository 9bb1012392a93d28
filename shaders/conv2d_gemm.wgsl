// Convolution as an implicit matrix product: rows are output channels, columns are output pixels, K runs over taps and
// input channels. Padding of at most 1 is the tensors' zero halo. Several sources are several dispatches.
//   x  [N, C, H, W]    blocked
//   w  bias [K/4] vec4, then [K/TM][KH][KW][C/4, a multiple of KB][TM] of vec4 over input channels; [K/TM][KH KW CIN / 4][TM] of vec4 over
//      taps and channels with CIN
//   y  [N, K, OH, OW]  blocked
// Bindings: 0 params, 1 x (read), 2 w (read), 3 y (write).
// Dispatch: (ceil(OH OW / COLUMNS), ceil(K / TM), N), COLUMNS = 8 TN; several where the grid is too small for x. With
// ROWS_FIRST y and x change places: the tiles of the same columns run one after the other.
// Constants: KH, KW, ACTIVATION, those of lib/gemm; CIN, the input channels, where there are 1 to 3 and vec4s of K gathered;
// ACCUMULATE, ROWS_FIRST if defined; WHOLE if K is a multiple of TM.
#import "lib/storage"
#import "lib/tensor"
#import "lib/activation"
#import "lib/gemm"

struct Params {
    x: View,
    y: View,
    size: vec4<u32>,      // OW, OH, output blocks, input blocks
    geometry: vec4<u32>,  // pad top, pad left, stride y, stride x
    dilation: vec4<u32>,  // dilation y, dilation x, steps of K in all, first block of columns
    slope: vec4<f32>,     // slope of a leaky ReLU, -, -, -
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> w: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

const TAPS: u32 = KH * KW;

fn column(j: u32) -> u32 {
    // Columns past the last pixel repeat it; they are not stored.
    let pixel = min((p.dilation.w + tile.x) * COLUMNS + j, p.size.x * p.size.y - 1u);
    let top = i32(pixel / p.size.x * p.geometry.z) - i32(p.geometry.x);
    let left = i32(pixel % p.size.x * p.geometry.w) - i32(p.geometry.y);
    return index(p.x, tile.z, 0u, top, left);
}

fn tap_offset(t: u32) -> u32 {
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
    let at = index(p.y, tile.z, 0u, i32(pixel / p.size.x), i32(pixel % p.size.x));
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
#ifdef ROWS_FIRST
    let group = workgroup.yxz;
#else
    let group = workgroup;
#endif
    tile = group;
    let lane = local % SPREAD;
    let ty = local / SPREAD;
    let first4 = group.y * (TM / 4u);
    let end4 = p.size.z;
    let steps = turns(p.size.w);
    let stride = p.x.z;
    var wi = p.size.z + group.y * p.dilation.z * TM;
#generate gemm
#generate gemm_results
}
