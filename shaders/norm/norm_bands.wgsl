// Statistics of bands of rows: mean and sum of squared deviations, per channel.
//   x      [N, C, H, W]                     blocked
//   parts  [N][ceil(C / 4)][bands][2] vec4  mean, sum of (x - mean)^2
// Bindings: 0 params, 1 x (read), 2 parts (write).
// Dispatch: (ceil(C / 4), bands, N); each workgroup computes one pair.
#import "lib/storage"
#import "lib/loops"
#import "lib/moments"
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

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = group.y * p.rows;
    let end = trip_count(min(first + p.rows, p.h), group.x);
    let factor = 1.0 / (f32(end - first) * f32(p.w));
    let images = vec2<u32>(group.z, group.z + 1u);
    let m = moments(lane, local.xy, group.x, images, vec2<u32>(first, end), trip_count(p.w, group.x), factor);
    if (lane == 0u) {
        let at = 2u * ((group.z * p.blocks + group.x) * p.bands + group.y);
        parts[at] = m.mean;
        parts[at + 1u] = max(m.squares - m.offset * m.offset / factor, vec4<f32>(0.0));
    }
}
