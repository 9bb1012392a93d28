// Transposed convolution 2x2, stride 2, as four matrix products, one for each output of an input pixel's 2x2: rows are
// output channels, columns are input pixels; the store scatters.
//   x  [N, C, H, W]      blocked
//   w  bias [K/4] vec4, then [2][2][K/TM][C/4, a multiple of KB][TM] of vec4 over input channels
//   y  [N, K, 2 H, 2 W]  blocked
// Bindings: 0 params, 1 x (read), 2 w (read), 3 y (write).
// Dispatch: (ceil(H W / COLUMNS), ceil(K / TM), 4 N), COLUMNS = 8 TN; several where the grid is too small for x.
// With ROWS_FIRST (4 ceil(K / TM), ceil(H W / COLUMNS), N): all that reads the same pixels runs one after the other.
// Constants: ACTIVATION, those of lib/gemm; ROWS_FIRST if defined; WHOLE if K is a multiple of TM.
#import "lib/storage"
#import "lib/tensor"
#import "lib/activation"
#import "lib/gemm"

struct Params {
    x: View,
    y: View,
    size: vec4<u32>,   // W, H, output blocks, input blocks
    slope: f32,        // slope of a leaky ReLU
    first: u32,        // first block of columns
    unused: vec2<u32>,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> w: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

const TAPS: u32 = 1u;

fn column(j: u32) -> u32 {
    // Columns past the last pixel repeat it; they are not stored.
    let pixel = min((p.first + tile.x) * COLUMNS + j, p.size.x * p.size.y - 1u);
    return index(p.x, tile.z / 4u, 0u, i32(pixel / p.size.x), i32(pixel % p.size.x));
}

fn tap_offset(t: u32) -> u32 {
    return 0u;
}

fn bias(row4: u32) -> vec4<f32> {
    return vec4<f32>(w[row4]);
}

fn place(j: u32) -> u32 {
    let pixel = (p.first + tile.x) * COLUMNS + j;
    let row = 2u * (pixel / p.size.x) + tile.z / 2u % 2u;
    let at = index(p.y, tile.z / 4u, 0u, i32(row), i32(2u * (pixel % p.size.x) + tile.z % 2u));
    return select(NOWHERE, at, pixel < p.size.x * p.size.y);
}

fn put(row4: u32, at: u32, v: vec4<f32>) {
    y[at + row4 * p.y.z] = stored(activate(v, p.slope));
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
#ifdef ROWS_FIRST
    let group = vec3<u32>(workgroup.y, workgroup.x / 4u, workgroup.z * 4u + workgroup.x % 4u);
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
    let tiles = (p.size.z * 4u + TM - 1u) / TM;
    var wi = p.size.z + (group.z % 4u * tiles + group.y) * packed_steps(steps) * TM;
#generate gemm
#generate gemm_results
}
