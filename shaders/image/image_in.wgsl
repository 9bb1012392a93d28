// From pixels to network input: normalised tiles of images, mirrored outside the image.
//   x     [N, C, WH, WW]   linear f32: windows of the images, raw values
//   info  [N, 8 + 4 C]     tile row, tile column, window row, window column, image rows, image columns, -, -;
//                          then offset, scale, low, high of each channel
//   y     [N, C, H, W]     blocked; clamp((x - offset) * scale, low, high)
// Bindings: 0 params, 1 x (read), 2 info (read), 3 y (write).
// Dispatch: (ceil(W / COLUMNS), ceil(H / ROWS), N ceil(C / 4)); each workgroup computes COLUMNS x ROWS vec4s of a plane.
// Constants: HEIGHT, rows of 16 invocations in a workgroup; COLUMNS, a multiple of 16; ROWS, of HEIGHT.
#import "lib/storage"
#import "lib/tensor"

struct Params {
    y: View,
    w: u32,
    h: u32,
    window_w: u32,    // WW
    window_h: u32,    // WH
    blocks: u32,      // of channels
    c: u32,
    tile_words: u32,  // words of info per tile
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> info: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

// Mirrors i into 0 .. n - 1 without repeating the edge, from any distance. Most pixels are inside, and integer division is slow.
fn mirror(i: i32, n: i32) -> i32 {
    var at = i;
    while (at < 0 || at >= n) {
        at = select(select(2 * (n - 1) - at, -at, at < 0), 0, n == 1);
    }
    return at;
}

@compute @workgroup_size(16, HEIGHT)
fn main(@builtin(local_invocation_id) local: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    let n = group.z / p.blocks;
    let block = group.z % p.blocks;
    let at = n * p.tile_words;
    let tile = vec2<i32>(vec2<f32>(info[at], info[at + 1u]));
    let window = vec2<i32>(vec2<f32>(info[at + 2u], info[at + 3u]));
    let image = vec2<i32>(vec2<f32>(info[at + 4u], info[at + 5u]));
    let last = vec2<i32>(vec2<u32>(p.window_h, p.window_w)) - 1;
    let bottom = min(ROWS * (group.y + 1u), p.h);
    let right = min(COLUMNS * (group.x + 1u), p.w);
    // A loop over the channels there are, since some drivers execute what a condition skips.
    let lanes = min(p.c - 4u * block, 4u);
    let first = n * p.c + 4u * block;
    let w = p.window_w;
    let channel = p.window_h * w;
    let place = plane_start(p.y, n, block);
    let place_row = p.y.row;
    for (var row = ROWS * group.y + local.y; row < bottom; row += HEIGHT) {
        let wy = clamp(mirror(i32(row) + tile.x, image.x) - window.x, 0, last.x);
        let from_row = first * channel + u32(wy) * w;
        let to_row = place + row * place_row;
        for (var column = COLUMNS * group.x + local.x; column < right; column += 16u) {
            let wx = clamp(mirror(i32(column) + tile.y, image.y) - window.y, 0, last.y);
            var v = vec4<f32>(0.0);
            for (var lane = 0u; lane < lanes; lane++) {
                let raw = x[from_row + lane * channel + u32(wx)];
                let k = at + 8u + 4u * (4u * block + lane);
                v[lane] = min(max((raw - info[k]) * info[k + 1u], info[k + 2u]), info[k + 3u]);
            }
            y[to_row + column] = stored(v);
        }
    }
}
