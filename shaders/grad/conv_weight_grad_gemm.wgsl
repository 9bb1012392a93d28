// Weight gradient of a convolution as a matrix product over workgroup memory, by parts: rows are channels of g, columns are
// taps of channel blocks of x, and each band of pixels contributes its sum.
//   g        [N, R, OH, OW]  blocked, the gradient of the result (or a transposed convolution's input)
//   x        [N, C, H, W]    blocked, what the convolution read (or the gradient of a transposed convolution's result)
//   partial  [bands][4 ceil(R / 4)][ceil(C / 4)][KH KW] vec4 over channels of x
// Bindings: 0 params, 1 g (read), 2 x (read), 3 partial (write).
// Dispatch: (ceil(R / TM), ceil(columns / X_BLOCKS), bands), columns = ceil(C / 4) KH KW, X_BLOCKS = 1024 / TM; a band is a
// run of pixels of all images in their order.
// Constants: TM rows, 16, 32 or 64; KB pixels in workgroup memory at a time, 4, 8 or 16. 64 invocations with 8 rows x 8
// channels each.
#import "lib/storage"
#import "lib/tensor"
#import "lib/loops"

struct Params {
    g: View,
    x: View,
    size: vec4<u32>,      // OW, OH, ceil(R / 4), columns
    geometry: vec4<u32>,  // pad top, pad left, KW, KH KW
    more: vec4<u32>,      // pixels of a band, pixels of all images, stride, -
    advance: vec4<u32>,   // KB pixels as columns, rows and images: less than OW, less than OH, and the rest
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> g: array<Stored>;
@group(0) @binding(2) var<storage, read> x: array<Stored>;
@group(0) @binding(3) var<storage, read_write> partial: array<vec4<f32>>;

const G_BLOCKS: u32 = TM / 4u;
const X_BLOCKS: u32 = 1024u / TM;
// Invocations side by side in either direction; each has two blocks, this far apart.
const G_SPREAD: u32 = G_BLOCKS / 2u;
const X_SPREAD: u32 = X_BLOCKS / 2u;
// The same for both operands, so that they share addresses: two of them spill on Intel. One more than blocks, so that
// invocations with neighbouring pixels write to different banks.
const PITCH: u32 = max(G_BLOCKS, X_BLOCKS) + 1u;

var<workgroup> g_tile: array<vec4<f32>, KB * PITCH>;
var<workgroup> x_tile: array<vec4<f32>, KB * PITCH>;
// Of each column, from the pixel that the first tap of the first block reads.
var<workgroup> offsets: array<u32, X_BLOCKS>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first_row = group.x * G_BLOCKS;
    let first_column = group.y * X_BLOCKS;
    if (lane < X_BLOCKS) {
        // Columns past the last one repeat it, as rows do; neither are stored.
        let column = min(first_column + lane, p.size.w - 1u);
        let tap = column % p.geometry.w;
        offsets[lane] = column / p.geometry.w * p.x.z + tap / p.geometry.z * p.x.y + tap % p.geometry.z;
    }
    workgroupBarrier();
    let k = lane % KB;
    let slot = lane / KB;
    let gy = lane / X_SPREAD;
    let xx = lane % X_SPREAD;
    let start = group.z * p.more.x;
    let end = min(start + p.more.x, p.more.y);
    let steps = turns((end - start + KB - 1u) / KB, group.x);
    // Not a constant: unrolled whole, the loop over workgroup memory spills on Intel.
    let turned = turns(KB, group.x);
    // The invocation's pixel of g, carried from step to step: a division costs as much as twenty multiply-adds.
    var at = start + k;
    var column = at % p.size.x;
    var row = at / p.size.x % p.size.y;
    var n = at / p.size.x / p.size.y;
#generate weight_product_sums
    for (var step = 0u; step < steps; step++) {
        // Pixels past the band are the first one of all, times zero.
        let inside = at < end;
        let y = select(0u, row, inside);
        let x_at = select(0u, column, inside);
        let image = select(0u, n, inside);
        let gi = index(p.g, image, 0u, i32(y), i32(x_at));
        let top = i32(y * p.more.z) - i32(p.geometry.x);
        let xi = index(p.x, image, 0u, top, i32(x_at * p.more.z) - i32(p.geometry.y));
#generate weight_product_loads
        workgroupBarrier();
#generate weight_product_stores
        workgroupBarrier();
#generate weight_product
        at += KB;
        column += p.advance.x;
        let next_row = column >= p.size.x;
        column -= select(0u, p.size.x, next_row);
        row += p.advance.y + select(0u, 1u, next_row);
        let next_image = row >= p.size.y;
        row -= select(0u, p.size.y, next_image);
        n += p.advance.z + select(0u, 1u, next_image);
    }
    let row0 = first_row + gy;
    let column0 = first_column + xx;
    let base = group.z * 4u * p.size.z * p.size.w + column0;
#generate weight_product_results
}
