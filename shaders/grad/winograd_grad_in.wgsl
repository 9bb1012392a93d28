// Weight gradient in Winograd's domain, the transform of g: u = A g At of each tile of 4 x 4 pixels of g, the transpose of
// the output transform of F(4, 3), for a chunk of tiles. Pixels outside g are zero, and so are the tiles from `tiles` to
// `padded`.
//   g  [N, R, OH, OW]  blocked, the gradient of the convolution's output
//   u  [36][tile blocks][ceil(R / 4)][COLUMNS] of vec4 over channels
// Bindings: 0 params, 1 g (read), 2 u (write).
// Dispatch: (ceil(padded / 64), ceil(R / 4), 1); each invocation transforms a tile of four channels.
// Constants: COLUMNS, tiles per block.
#import "lib/storage"
#import "lib/tensor"

struct Params {
    g: View,
    tiles_x: u32,      // tiles in a row
    image_tiles: u32,  // tiles of an image
    oh: u32,
    ow: u32,
    first_tile: u32,   // of the chunk
    tiles: u32,        // of the chunk
    padded: u32,       // tiles that are written
    tile_blocks: u32,  // of the chunk
    blocks: u32,       // ceil(R / 4)
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> g: array<Stored>;
@group(0) @binding(2) var<storage, read_write> u: array<Stored>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if (i >= p.padded) {
        return;
    }
    let tile = p.first_tile + min(i, p.tiles - 1u);
    let n = tile / p.image_tiles;
    let inside = tile % p.image_tiles;
    let top = inside / p.tiles_x * 4u;
    let left = inside % p.tiles_x * 4u;
    let rows = select(0u, p.oh - top, i < p.tiles);
    let columns = p.ow - left;
    let start = plane_start(p.g, n, id.y);
    let step = p.tile_blocks * p.blocks * COLUMNS;
    let at = (i / COLUMNS * p.blocks + id.y) * COLUMNS + i % COLUMNS;
#generate winograd_grad_in
}
