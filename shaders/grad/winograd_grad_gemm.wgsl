// Weight gradient in Winograd's domain, one product per point: m[xi][r][c] = sum over tiles of u[xi][tile][r] v[xi][tile][c].
//   v  [36][tile blocks][C/4][COLUMNS] of vec4 over channels of all sources, by winograd_in
//   u  [36][tile blocks][R/4][COLUMNS] of vec4 over channels of g, by winograd_grad_in
//   m  [36][R][C/4] of vec4; with `add`, the sums of a chunk are added to those before
// Bindings: 0 params, 1 v (read), 2 u (read), 3 m (read and write).
// Dispatch: (ceil(C / (4 WIDTH)), ceil(R / TM), 36), WIDTH = SUBGROUP / SPLIT.
// Constants: COLUMNS, tiles per block; SUBGROUP, the fixed subgroup size; SPLIT, the parts of a subgroup, each with other
// tiles; TM, rows per workgroup. Each lane of a part has four channels of v, and gets those of u from the others.
#import "lib/storage"
#import "lib/loops"

struct Params {
    tiles: u32,        // of the chunk
    tile_blocks: u32,  // of the chunk
    steps: u32,        // C/4
    blocks: u32,       // R/4
    rows: u32,         // R
    trips: u32,        // ceil(tiles / (4 SPLIT)); u is zero from `tiles` to 4 SPLIT trips
    add: u32,          // 1 to add to m
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> v: array<Stored>;
@group(0) @binding(2) var<storage, read> u: array<Stored>;
@group(0) @binding(3) var<storage, read_write> m: array<vec4<f32>>;

const WIDTH: u32 = SUBGROUP / SPLIT;

@compute @workgroup_size(SUBGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let part = lane / WIDTH;
    let own = lane % WIDTH;
    let base = part * WIDTH;
    let column = group.x * WIDTH + own;
    let block = min(column, p.steps - 1u);
    let first_row = group.y * TM;
    let last_block = p.blocks - 1u;
    let vi = group.z * p.tile_blocks * p.steps * COLUMNS + block * COLUMNS;
    let ui = group.z * p.tile_blocks * p.blocks * COLUMNS;
    let last = p.tiles - 1u;
    // Read once: some drivers would read a uniform in every iteration.
    let v_block = p.steps * COLUMNS;
    let u_block = p.blocks * COLUMNS;
    let trips = trip_count(p.trips, group.x);
#generate weight_lanes_tiles
    let rows = p.rows;
    let pitch = p.steps;
    let at = (group.z * rows + first_row) * pitch + block;
    let writes = part == 0u && column < p.steps;
    let adds = trip_count(p.add, group.x);
#generate weight_lanes_results
}
