// From pixels to network input: normalised tiles of images, mirrored outside the image.
//   x     [N, C, WH, WW]   linear f32: windows of the images, raw values
//   info  [N, 8 + 4 C]     tile row, tile column, window row, window column, image rows, image columns, -, -;
//                          then offset, scale, low, high of each channel
//   y     [N, C, H, W]     blocked; clamp((x - offset) * scale, low, high)
// Bindings: 0 params, 1 x (read), 2 info (read), 3 y (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N ceil(C / 4)).
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

// Mirrors i into 0 .. n - 1 without repeating the edge, from any distance.
fn mirror(i: i32, n: i32) -> i32 {
    if (n == 1) {
        return 0;
    }
    let period = 2 * (n - 1);
    let m = ((i % period) + period) % period;
    return min(m, period - m);
}

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let n = id.z / p.blocks;
    let block = id.z % p.blocks;
    let at = n * p.tile_words;
    let wy = clamp(mirror(i32(id.y) + i32(info[at]), i32(info[at + 4u])) - i32(info[at + 2u]), 0, i32(p.window_h) - 1);
    let wx = clamp(mirror(i32(id.x) + i32(info[at + 1u]), i32(info[at + 5u])) - i32(info[at + 3u]), 0, i32(p.window_w) - 1);
    var v = vec4<f32>(0.0);
    for (var lane = 0u; lane < 4u; lane++) {
        let c = block * 4u + lane;
        if (c < p.c) {
            let raw = x[((n * p.c + c) * p.window_h + u32(wy)) * p.window_w + u32(wx)];
            let k = at + 8u + 4u * c;
            v[lane] = min(max((raw - info[k]) * info[k + 1u], info[k + 2u]), info[k + 3u]);
        }
    }
    y[index(p.y, n, block, i32(id.y), i32(id.x))] = stored(v);
}
