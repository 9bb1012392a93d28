// Weight gradient of a convolution, first step: the partial sums of each band of rows of each image.
//   g        [N, R, OH, OW]  blocked, the gradient of the output (or a transposed convolution's input)
//   x        [N, C, H, W]    blocked, the convolution's input (or the gradient of a transposed convolution's output)
//   partial  [bands][4 ceil(R / 4)][ceil(C / 4)][KH KW] vec4 over channels of x
// Bindings: 0 params, 1 g (read), 2 x (read), 3 partial (write).
// Dispatch: (ceil(R / 4), ceil(C / 4) KH / TAP_ROWS, bands); each workgroup computes a block of R by one of C.
// Constants: KW, STRIDE; TAP_ROWS, the rows of taps per workgroup: KH or 1; ROWS, rows of g per step; optionally
// SUBGROUP: a workgroup is one subgroup of that many lanes, else 8 x 8 invocations.
#import "lib/storage"
#import "lib/tensor"
#import "lib/loops"

struct Params {
    g: View,
    x: View,
    ow: u32,
    oh: u32,
    r_blocks: u32,         // ceil(R / 4)
    c_blocks: u32,         // ceil(C / 4)
    pad_top: u32,
    pad_left: u32,
    kh: u32,
    bands: u32,            // per image
    band_rows: u32,        // rows per band
    invocation_rows: u32,  // rows per invocation
    columns: u32,          // ceil(C / 4) KH KW
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> g: array<Stored>;
@group(0) @binding(2) var<storage, read> x: array<Stored>;
@group(0) @binding(3) var<storage, read_write> partial: array<vec4<f32>>;

#ifdef SUBGROUP
const WIDTH: u32 = SUBGROUP;
const HEIGHT: u32 = 1u;
#else
const WIDTH: u32 = 8u;
const HEIGHT: u32 = 8u;
var<workgroup> sums: array<vec4<f32>, 256>;

// The last step of a sum over 64 lanes.
fn store(lane: u32, at: u32) {
    var total = vec4<f32>(0.0);
    for (var i = 0u; i < 16u; i++) {
        total += sums[16u * lane + i];
    }
    partial[at] = total;
}
#endif

@compute @workgroup_size(WIDTH, HEIGHT)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let parts = p.kh / TAP_ROWS;
    let g_block = group.x;
    let block = group.y / parts;
    let tap_row = group.y % parts * TAP_ROWS;
    let n = group.z / p.bands;
    let end = min((group.z % p.bands + 1u) * p.band_rows, p.oh);
    let start = group.z % p.bands * p.band_rows + local.y * p.invocation_rows;
    let to = min(start + p.invocation_rows, end);
#generate weight_grad_sums
    if (start < to) {
        let last = to - start - 1u;
        let bottom = last * STRIDE + TAP_ROWS - 1u;
#ifdef SUBGROUP
        let count = trip_count(to - start, group.x);
#else
        let count = to - start;
#endif
        let columns = trip_count(p.ow, group.x);
        for (var column0 = 0u; column0 < columns; column0 += WIDTH) {
            let inside = column0 + local.x < p.ow;
            let column = min(column0 + local.x, p.ow - 1u);
            let gi = index(p.g, n, g_block, i32(start), i32(column));
            let top = i32(start * STRIDE + tap_row) - i32(p.pad_top);
            let xi = index(p.x, n, block, top, i32(column * STRIDE) - i32(p.pad_left));
#generate weight_grad
        }
    }
    let base = (group.z * 4u * p.r_blocks + 4u * g_block) * p.columns + (block * p.kh + tap_row) * KW;
#ifndef SUBGROUP
    var part = vec4<f32>(0.0);
#endif
#generate weight_grad_results
}
