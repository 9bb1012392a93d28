// Weight gradient of a convolution, first step, with channels on lanes: the partial sums of each band of rows of each image.
//   g        [N, R, OH, OW]  blocked, the gradient of the output (or a transposed convolution's input)
//   x        [N, C, H, W]    blocked, the convolution's input (or the gradient of a transposed convolution's output)
//   partial  [bands][4 ceil(R / 4)][ceil(C / 4)][T] vec4 over channels of x, T taps
// Bindings: 0 params, 1 g (read), 2 x (read), 3 partial (write).
// Dispatch: (ceil(C / (4 WIDTH)), ceil(R / TM) T, bands), WIDTH = SUBGROUP / SPLIT; each workgroup computes one tap. With TAPS
// it computes SPLIT of them: ceil(T / SPLIT) in place of T.
// Constants: SUBGROUP, the fixed subgroup size; SPLIT, the parts of a subgroup, each with other pixels, or with TAPS each
// with another tap; TM, rows per workgroup. Each lane of a part has four channels of x, and gets those of g from the others.
#import "lib/storage"
#import "lib/tensor"
#import "lib/loops"

struct Params {
    g: View,
    x: View,
    ow: u32,
    oh: u32,
    r_blocks: u32,   // ceil(R / 4)
    c_blocks: u32,   // ceil(C / 4)
    pad_top: u32,
    pad_left: u32,
    kw: u32,
    taps: u32,
    stride: u32,
    bands: u32,      // per image
    band_rows: u32,  // rows per band
    trips: u32,      // ceil(OW / (4 SPLIT)), with TAPS ceil(OW / 4)
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> g: array<Stored>;
@group(0) @binding(2) var<storage, read> x: array<Stored>;
@group(0) @binding(3) var<storage, read_write> m: array<vec4<f32>>;

const WIDTH: u32 = SUBGROUP / SPLIT;

@compute @workgroup_size(SUBGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let part = lane / WIDTH;
    let own = lane % WIDTH;
    let base = part * WIDTH;
    let column = group.x * WIDTH + own;
    let block = min(column, p.c_blocks - 1u);
#ifdef TAPS
    let tap_groups = (p.taps + SPLIT - 1u) / SPLIT;
    let own_tap = group.y % tap_groups * SPLIT + part;
    let tap = min(own_tap, p.taps - 1u);
    let first_row = group.y / tap_groups * TM;
#else
    let tap = group.y % p.taps;
    let first_row = group.y / p.taps * TM;
#endif
    let last_block = p.r_blocks - 1u;
    let n = group.z / p.bands;
    let start = group.z % p.bands * p.band_rows;
    let end = min(start + p.band_rows, p.oh);
    let top = i32(tap / p.kw) - i32(p.pad_top);
    let xi = index(p.x, n, block, top, i32(tap % p.kw) - i32(p.pad_left));
    let gi = plane_start(p.g, n, 0u);
    let last = p.ow - 1u;
    // Read once: some drivers would read a uniform in every iteration.
    let stride = p.stride;
    let x_row = p.x.row * stride;
    let g_row = p.g.row;
    let trips = trip_count(p.trips, group.x);
#generate weight_lanes_pixels
    let rows = 4u * p.r_blocks;
    let pitch = p.c_blocks * p.taps;
    let at = (group.z * rows + first_row) * pitch + block * p.taps + tap;
#ifdef TAPS
    let writes = own_tap < p.taps && column < p.c_blocks;
#else
    let writes = part == 0u && column < p.c_blocks;
#endif
    let adds = trip_count(0u, group.x);
#generate weight_lanes_results
}
