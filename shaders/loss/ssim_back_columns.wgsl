// Gradient of SSIM, third step: from windows to the rows they cover.
//   maps     [3][count][H2][W2]  linear f32: see ssim_columns
//   taps     [window]            f32
//   columns  [3][count][H][W2]   linear f32; columns[y] = sum over k of taps[k] maps[y - k]
// Bindings: 0 params, 1 maps (read), 2 taps (read), 3 columns (write).
// Dispatch: (ceil(W2 / 16), ceil(H / 4), 3 * count).
#import "lib/storage"
#import "lib/loops"

struct Params {
    w2: u32,
    h: u32,
    h2: u32,
    window: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> maps: array<f32>;
@group(0) @binding(2) var<storage, read> taps: array<f32>;
@group(0) @binding(3) var<storage, read_write> columns: array<f32>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.w2 || id.y >= p.h) {
        return;
    }
    var sum = 0.0;
    let window = trip_count(p.window, group.x);
    for (var k = 0u; k < window; k++) {
        // A negative difference wraps and fails the test.
        let y = id.y - k;
        if (y < p.h2) {
            sum += taps[k] * maps[(id.z * p.h2 + y) * p.w2 + id.x];
        }
    }
    columns[(id.z * p.h + id.y) * p.w2 + id.x] = sum;
}
