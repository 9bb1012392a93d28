// Output transform of Winograd's F(OUT, 3): the OUT x OUT outputs At m A of each tile of a chunk, bias and activation.
//   m  [tile blocks][K/4][T * T][COLUMNS] of vec4 over output channels, T = OUT + 2
//   w  bias [K/4] vec4
//   y  [N, K, OH, OW]                    blocked
//   z  [N, K, floor(OH/2), floor(OW/2)]  blocked; with POOL: the max of each 2x2 outputs
// Bindings: 0 params, 1 m (read), 2 w (read), 3 y (write), [4 z (write)].
// Dispatch: (ceil(PARTS tiles / 64), K / 4).
// Constants: OUT, 2 or 4; COLUMNS, tiles per block; ACTIVATION; WHOLE if OH and OW are multiples of OUT; POOL; HALVES
// if two invocations share a tile, each with two of four channels (see winograd_in.wgsl): PARTS = 2. ROLLED (OUT = 4)
// computes the two pairs of rows in a loop and pools only if `pools` is 1: less to compile.
#import "lib/storage"
#import "lib/loops"
#import "lib/tensor"
#import "lib/activation"

struct Params {
    y: View,
    z: View,
    tiles_x: u32,      // tiles in a row
    image_tiles: u32,  // tiles of an image
    oh: u32,
    ow: u32,
    first_tile: u32,   // of the chunk
    tiles: u32,        // of the chunk
    out_blocks: u32,   // K/4
    pools: u32,        // with ROLLED, 1 if it pools
    alpha: f32,  // arguments of the activation
    beta: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
#ifdef HALVES
const PARTS: u32 = 2u;
alias Lanes = vec2<f32>;
@group(0) @binding(1) var<storage, read> m: array<vec2<StoredScalar>>;
@group(0) @binding(2) var<storage, read> w: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec2<StoredScalar>>;
#ifdef POOL
@group(0) @binding(4) var<storage, read_write> z: array<vec2<StoredScalar>>;
#endif

fn keep(value: Lanes) -> vec2<StoredScalar> {
    return stored2(value);
}

fn activated(value: Lanes) -> Lanes {
    return activate(value.xyxy, p.alpha, p.beta).xy;
}
#else
const PARTS: u32 = 1u;
alias Lanes = vec4<f32>;
@group(0) @binding(1) var<storage, read> m: array<Stored>;
@group(0) @binding(2) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;
#ifdef POOL
@group(0) @binding(4) var<storage, read_write> z: array<Stored>;
#endif

fn keep(value: Lanes) -> Stored {
    return stored(value);
}

fn activated(value: Lanes) -> Lanes {
    return activate(value, p.alpha, p.beta);
}
#endif

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let part = id.x % PARTS;
    let i = id.x / PARTS;
    if (i >= p.tiles) {
        return;
    }
    let tile = p.first_tile + i;
    let n = tile / p.image_tiles;
    let inside = tile % p.image_tiles;
    let top = inside / p.tiles_x * OUT;
    let left = inside % p.tiles_x * OUT;
    let first = (i / COLUMNS * p.out_blocks + id.y) * ((OUT + 2u) * (OUT + 2u) * COLUMNS) + i % COLUMNS;
    let at = first * PARTS + part;
    let bias = w[id.y * PARTS + part];
    let out = index(p.y, n, id.y, i32(top), i32(left));
    let rows = p.oh - top;
    let columns = p.ow - left;
#ifdef POOL
    let pooled = index(p.z, n, id.y, i32(top / 2u), i32(left / 2u));
    let pooled_rows = rows / 2u;
    let pooled_columns = columns / 2u;
#endif
#ifdef ROLLED
    let bands = trip_count(2u, id.y);
    let pools = trip_count(p.pools, id.y);
#endif
#generate winograd_out
}
