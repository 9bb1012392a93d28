// Weight gradient of a convolution as a GEMM over workgroup memory, first step: rows are channels of g, columns are
// taps of channel blocks of x, and each band of pixels has its partial sum.
//   g        [N, R, OH, OW]  blocked, the gradient of the output (or a transposed convolution's input)
//   x        [N, C, H, W]    blocked, the convolution's input (or the gradient of a transposed convolution's output)
//   partial  [bands][4 ceil(R / 4)][ceil(C / 4)][KH KW] vec4 over channels of x
// Bindings: 0 params, 1 g (read), 2 x (read), 3 partial (write).
// Dispatch: (ceil(R / TM), ceil(columns / X_BLOCKS), bands), columns = ceil(C / 4) KH KW, X_BLOCKS = 1024 / TM; a band
// is a run of consecutive pixels through all images.
// Constants: TM rows, 16, 32 or 64; KB pixels in workgroup memory at a time, 4, 8 or 16. A workgroup has 64 invocations
// with 8 rows x 8 channels each.
#import "lib/storage"
#import "lib/tensor"
#import "lib/loops"

struct Params {
    g: View,
    x: View,
    ow: u32,
    oh: u32,
    r_blocks: u32,        // ceil(R / 4)
    columns: u32,
    pad_top: u32,
    pad_left: u32,
    kw: u32,
    taps: u32,            // KH KW
    band: u32,            // pixels per band
    pixels: u32,          // of all images
    stride: u32,
    advance_column: u32,  // KB pixels as columns, less than OW,
    advance_row: u32,     // rows, less than OH,
    advance_image: u32,   // and images
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> g: array<Stored>;
@group(0) @binding(2) var<storage, read> x: array<Stored>;
@group(0) @binding(3) var<storage, read_write> partial: array<vec4<f32>>;

const G_BLOCKS: u32 = TM / 4u;
const X_BLOCKS: u32 = 1024u / TM;
// Invocations along either axis; each holds two blocks, this far apart.
const G_SPREAD: u32 = G_BLOCKS / 2u;
const X_SPREAD: u32 = X_BLOCKS / 2u;
// The same for both operands, so that they share addresses: two address registers spill on Intel. One more than the
// blocks, so that invocations with neighbouring pixels write to different banks.
const PITCH: u32 = max(G_BLOCKS, X_BLOCKS) + 1u;

var<workgroup> g_tile: array<vec4<f32>, KB * PITCH>;
var<workgroup> x_tile: array<vec4<f32>, KB * PITCH>;
// Offset of each column from the pixel that the first tap of the first block reads.
var<workgroup> offsets: array<u32, X_BLOCKS>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_row = group.x * G_BLOCKS;
    let first_column = group.y * X_BLOCKS;
    if (lane < X_BLOCKS) {
        // Columns past the last one repeat it, as rows do; neither is stored.
        let column = min(first_column + lane, p.columns - 1u);
        let tap = column % p.taps;
        offsets[lane] = column / p.taps * p.x.plane + tap / p.kw * p.x.row + tap % p.kw;
    }
    workgroupBarrier();
    let k = lane % KB;
    let slot = lane / KB;
    let gy = lane / X_SPREAD;
    let xx = lane % X_SPREAD;
    let start = group.z * p.band;
    let end = min(start + p.band, p.pixels);
    let steps = trip_count((end - start + KB - 1u) / KB, group.x);
    // Not a constant: fully unrolled, the loop over workgroup memory spills on Intel.
    let trips = trip_count(KB, group.x);
    // The invocation's pixel of g, carried from step to step: a division costs as much as twenty multiply-adds.
    var at = start + k;
    var column = at % p.ow;
    var row = at / p.ow % p.oh;
    var n = at / p.ow / p.oh;
#generate weight_gemm_sums
    for (var step = 0u; step < steps; step++) {
        // Pixels past the band repeat the very first one, times zero.
        let inside = at < end;
        let y = select(0u, row, inside);
        let x_at = select(0u, column, inside);
        let image = select(0u, n, inside);
        let gi = index(p.g, image, 0u, i32(y), i32(x_at));
        let top = i32(y * p.stride) - i32(p.pad_top);
        let xi = index(p.x, image, 0u, top, i32(x_at * p.stride) - i32(p.pad_left));
#generate weight_gemm_loads
        workgroupBarrier();
#generate weight_gemm_stores
        workgroupBarrier();
#generate weight_gemm
        at += KB;
        column += p.advance_column;
        let next_row = column >= p.ow;
        column -= select(0u, p.ow, next_row);
        row += p.advance_row + select(0u, 1u, next_row);
        let next_image = row >= p.oh;
        row -= select(0u, p.oh, next_image);
        n += p.advance_image + select(0u, 1u, next_image);
    }
    let row0 = first_row + gy;
    let column0 = first_column + xx;
    let base = group.z * 4u * p.r_blocks * p.columns + column0;
#generate weight_gemm_results
}
