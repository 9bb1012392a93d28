// Statistics of groups of channels from those of bands, as the scale and shift of a normalisation.
//   parts         [N][ceil(C / 4)][bands][2] vec4  mean, sum of squared deviations: see norm_bands
//   affine        [ceil(C / 4)][2] vec4            gamma, beta
//   coefficients  [N][ceil(C / 4)][2] vec4         scale = gamma / sqrt(var + eps), shift = beta - mean * scale
// Bindings: 0 params, 1 parts (read), 2 affine (read), 3 coefficients (write).
// Dispatch: (ceil(C / 4), N, 1); each workgroup computes one block of coefficients, each lane from its own group.
#import "lib/storage"
#import "lib/loops"
#import "lib/reduce_sum"
#import "lib/lanes"

struct Params {
    w: u32,
    h: u32,
    rows: u32,      // per band
    bands: u32,
    c: u32,
    blocks: u32,    // of channels
    channels: u32,  // per group
    factor: f32,    // 1 / elements per group
    eps: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> parts: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> affine: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> coefficients: array<vec4<f32>>;

// Pixels of a band.
fn pixels(band: u32) -> f32 {
    return f32(min(p.rows, p.h - band * p.rows)) * f32(p.w);
}

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let block = group.x;
    let items = trip_count(p.channels * p.bands, group.x);
    // The first channel of each lane's group; lanes past the last channel repeat the last one.
    let own = min(vec4<u32>(0u, 1u, 2u, 3u) + 4u * block, vec4<u32>(p.c - 1u));
    let first = own / p.channels * p.channels;
    var total = vec4<f32>(0.0);
    for (var item = lane; item < items; item += 256u) {
        let band = item % p.bands;
        for (var i = 0u; i < 4u; i++) {
            let c = first[i] + item / p.bands;
            let at = 2u * ((group.y * p.blocks + c / 4u) * p.bands + band);
            total[i] += parts[at][c % 4u] * pixels(band);
        }
    }
    let mean = reduce(lane, total) * p.factor;
    var square = vec4<f32>(0.0);
    for (var item = lane; item < items; item += 256u) {
        let band = item % p.bands;
        for (var i = 0u; i < 4u; i++) {
            let c = first[i] + item / p.bands;
            let at = 2u * ((group.y * p.blocks + c / 4u) * p.bands + band);
            let d = parts[at][c % 4u] - mean[i];
            square[i] += parts[at + 1u][c % 4u] + d * d * pixels(band);
        }
    }
    let variance = reduce(lane, square) * p.factor;
    if (lane == 0u) {
        let scale = affine[2u * block] / sqrt(variance + p.eps);
        let shift = affine[2u * block + 1u] - mean * scale;
        let inside = inside_lanes(block, p.c);
        let at = 2u * (group.y * p.blocks + block);
        coefficients[at] = select(vec4<f32>(0.0), scale, inside);
        coefficients[at + 1u] = select(vec4<f32>(0.0), shift, inside);
    }
}
