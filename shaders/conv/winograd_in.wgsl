// Input transform of Winograd's F(OUT, 3): v = Bt d B of the T x T pixels (T = OUT + 2) under each tile of OUT x OUT
// outputs, for a chunk of tiles of one source. Pixels past the last one that any output needs repeat it; their values
// do not matter.
//   x  [N, C, H, W]  blocked; with UPSAMPLED, d comes from x upsampled by 2 on the fly
//   v  [T * T][tile blocks][C of all sources / 4][COLUMNS] of vec4 over channels
// Bindings: 0 params, 1 x (read), 2 v (write).
// Dispatch: (ceil(PARTS tiles / 64), C / 4).
// Constants: OUT, 2 or 4; COLUMNS, tiles per block; UPSAMPLED to upsample x, then BILINEAR (else nearest) and
// POWER_OF_TWO if both denominators are powers of two; HALVES if two invocations share a tile, each with two of four
// channels: PARTS = 2. The 36 points of four channels exceed the registers of many GPUs.
#import "lib/storage"
#import "lib/tensor"
#import "lib/resize"

struct Params {
    x: View,
    columns: Axis,  // with UPSAMPLED
    rows: Axis,
    column_factor: f32,
    row_factor: f32,
    tiles_x: u32,      // tiles in a row
    image_tiles: u32,  // tiles of an image
    last_row: u32,     // that any window reads
    last_column: u32,
    pad_top: u32,
    pad_left: u32,
    up_h: u32,         // rows of the upsampled map
    up_w: u32,         // columns of it
    first_tile: u32,   // of the chunk
    tiles: u32,        // of the chunk
    tile_blocks: u32,  // of the chunk
    steps: u32,        // C/4 of all sources
    first_block: u32,  // first channel block of this source
    h: u32,
    w: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
#ifdef HALVES
const PARTS: u32 = 2u;
alias Lanes = vec2<f32>;
@group(0) @binding(1) var<storage, read> x: array<vec2<StoredScalar>>;
@group(0) @binding(2) var<storage, read_write> v: array<vec2<StoredScalar>>;

fn keep(value: Lanes) -> vec2<StoredScalar> {
    return stored2(value);
}
#else
const PARTS: u32 = 1u;
alias Lanes = vec4<f32>;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> v: array<Stored>;

fn keep(value: Lanes) -> Stored {
    return stored(value);
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
    let block = id.y;
    let step = p.tile_blocks * p.steps * COLUMNS * PARTS;
    let at = ((i / COLUMNS * p.steps + p.first_block + block) * COLUMNS + i % COLUMNS) * PARTS + part;
#generate winograd_in
}
