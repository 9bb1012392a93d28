// The batched GEMM of Winograd's convolution, one product per point: M[xi] = W[xi] V[xi], for a chunk of tiles.
//   v  [xi][tile blocks][C/4][COLUMNS] of vec4 over input channels, COLUMNS = 8 TN tiles per block
//   w  [xi of the range][K/TM][C/4, a multiple of KB][TM] of vec4 over input channels
//   m  [tile blocks][K/4][POINTS][COLUMNS] of vec4 over output channels
// Bindings: 0 params, 1 v (read), 2 w (read), 3 m (write).
// Dispatch: (tile blocks, K/TM, xi of the range).
// Constants: POINTS, 36 or 16; those of lib/gemm; WHOLE if K is a multiple of TM.
#import "lib/storage"
#import "lib/loops"
#import "lib/gemm"

struct Params {
    blocks: u32,  // tile blocks of the chunk
    steps: u32,   // C/4
    end4: u32,    // K/4
    xi: u32,      // first xi of the range
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> w: array<Stored>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

fn column(j: u32) -> u32 {
    return ((p.xi + tile.z) * p.blocks + tile.x) * p.steps * COLUMNS + j;
}

fn tap_offset(t: u32) -> u32 {
    return 0u;
}

fn bias(row4: u32) -> vec4<f32> {
    return vec4<f32>(0.0);
}

fn place(j: u32) -> u32 {
    return (tile.x * p.end4 * POINTS + p.xi + tile.z) * COLUMNS + j;
}

fn put(row4: u32, at: u32, v: vec4<f32>) {
    y[at + row4 * (POINTS * COLUMNS)] = stored(v);
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    tile = group;
    let lane = local % SPREAD;
    let ty = local / SPREAD;
    let first4 = group.y * (TM / 4u);
    let end4 = p.end4;
    let steps = trip_count(p.steps, group.x);
    let stride = COLUMNS;
    let taps = 1u;
    let tiles = (p.end4 * 4u + TM - 1u) / TM;
    var wi = (group.z * tiles + group.y) * packed_steps(steps) * TM;
#generate gemm
#generate gemm_results
}
