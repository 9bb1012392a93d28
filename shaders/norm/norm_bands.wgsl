// Statistics of bands of rows: mean and sum of squared deviations, per channel.
//   x      [N, C, H, W]                     blocked
//   parts  [N][ceil(C / 4)][bands][2] vec4  mean, sum of (x - mean)^2
// Bindings: 0 params, 1 x (read), 2 parts (write).
// Dispatch: (ceil(C / 4), bands, N); each workgroup computes one pair.
#import "lib/storage"
#import "lib/loops"
#import "lib/reduce"
#import "lib/tensor"

struct Params {
    x: View,
    w: u32,
    h: u32,
    rows: u32,   // per band
    bands: u32,
    blocks: u32,  // of channels
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> parts: array<vec4<f32>>;

fn combine(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return a + b;
}

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = group.y * p.rows;
    let end = trip_count(min(first + p.rows, p.h), group.x);
    let columns = trip_count(p.w, group.x);
    let plane = plane_start(p.x, group.z, group.x);
    let factor = 1.0 / (f32(end - first) * f32(p.w));
    var total = vec4<f32>(0.0);
    for (var iy = first + local.y; iy < end; iy += 16u) {
        var part = vec4<f32>(0.0);
        for (var ix = local.x; ix < columns; ix += 16u) {
            part += vec4<f32>(x[plane + iy * p.x.row + ix]);
        }
        total += part;
    }
    let rough = reduce(lane, total) * factor;
    // Deviations from the rounded mean: their mean corrects it, and the sum of squares too.
    var deviation = vec4<f32>(0.0);
    var square = vec4<f32>(0.0);
    for (var iy = first + local.y; iy < end; iy += 16u) {
        var part = vec4<f32>(0.0);
        var part_square = vec4<f32>(0.0);
        for (var ix = local.x; ix < columns; ix += 16u) {
            let d = vec4<f32>(x[plane + iy * p.x.row + ix]) - rough;
            part += d;
            part_square += d * d;
        }
        deviation += part;
        square += part_square;
    }
    let offset = reduce(lane, deviation) * factor;
    let spread = reduce(lane, square);
    if (lane == 0u) {
        let at = 2u * ((group.z * p.blocks + group.x) * p.bands + group.y);
        parts[at] = rough + offset;
        parts[at + 1u] = max(spread - offset * offset / factor, vec4<f32>(0.0));
    }
}
