// Gradient of max pooling with windows that do not overlap.
//   x   [N, C, H, W]    blocked
//   dy  [N, C, OH, OW]  blocked
//   dx  [N, C, H, W]    blocked; dy at the first maximum of each window in row-major order, else 0
// Bindings: 0 params, 1 x (read), 2 dy (read), 3 dx (write).
// Dispatch: (ceil(ceil(W / K) / COLUMNS), ceil(ceil(H / K) / ROWS), N * ceil(C / 4)); each workgroup computes COLUMNS x ROWS
// windows of a plane of dx.
// Constants: K, the window's side and stride; HEIGHT, rows of 16 invocations in a workgroup; COLUMNS, a multiple of 16; ROWS,
// of HEIGHT.
#import "lib/storage"
#import "lib/tensor"

struct Params {
    x: View,      // and dx's
    dy: View,
    w: u32,
    h: u32,
    blocks: u32,  // of channels
    ow: u32,
    oh: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> dy: array<Stored>;
@group(0) @binding(3) var<storage, read_write> dx: array<Stored>;

// Stores the gradient of the window in this row and column.
fn window(plane: u32, dy_plane: u32, at: vec2<u32>) {
    let top = at.x * K;
    let left = at.y * K;
    // The lowest float, as bits: naga writes it as a decimal that browsers reject as too large.
    var best = bitcast<vec4<f32>>(vec4<u32>(0xff7fffffu));
    var first = vec4<u32>(0u);
    for (var k = 0u; k < K * K; k++) {
        let y = top + k / K;
        let column = left + k % K;
        if (y < p.h && column < p.w) {
            let v = vec4<f32>(x[plane + pixel_offset(p.x, i32(y), i32(column))]);
            first = select(first, vec4<u32>(k), v > best);
            best = max(best, v);
        }
    }
    // Floor mode leaves pixels that no window covers.
    var grad = vec4<f32>(0.0);
    if (at.y < p.ow && at.x < p.oh) {
        grad = vec4<f32>(dy[dy_plane + pixel_offset(p.dy, i32(at.x), i32(at.y))]);
    }
    for (var k = 0u; k < K * K; k++) {
        let y = top + k / K;
        let column = left + k % K;
        if (y < p.h && column < p.w) {
            let hit = first == vec4<u32>(k);
            dx[plane + pixel_offset(p.x, i32(y), i32(column))] = stored(select(vec4<f32>(0.0), grad, hit));
        }
    }
}

@compute @workgroup_size(16, HEIGHT)
fn main(@builtin(local_invocation_id) local: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    let n = group.z / p.blocks;
    let block = group.z % p.blocks;
    let plane = plane_start(p.x, n, block);
    let dy_plane = plane_start(p.dy, n, block);
    let bottom = min(ROWS * (group.y + 1u), (p.h + K - 1u) / K);
    let right = min(COLUMNS * (group.x + 1u), (p.w + K - 1u) / K);
    for (var row = ROWS * group.y + local.y; row < bottom; row += HEIGHT) {
        for (var column = COLUMNS * group.x + local.x; column < right; column += 16u) {
            window(plane, dy_plane, vec2<u32>(row, column));
        }
    }
}
