// Weight gradient of a convolution, second step: adds up the partial sums of all bands in order.
//   partial  [bands][4 ceil(R / 4)][ceil(C / 4)][T] vec4 over channels of x, T taps
//   dw       [R, I, KH, KW]  linear f32; input channels first .. first + C of it
// Bindings: 0 params, 1 partial (read), 2 dw (write).
// Dispatch: (row / 64, ceil(len / row), 1), row a multiple of 64, len = R ceil(C / 4) T; each invocation computes four
// elements.
#import "lib/storage"
#import "lib/loops"

struct Params {
    len: u32,
    row: u32,
    bands: u32,
    stride: u32,  // vec4s per band
    taps: u32,
    blocks: u32,  // ceil(C / 4)
    c: u32,
    inputs: u32,  // I
    first: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> partial: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    let at = id.y * p.row + id.x;
    if (at >= p.len) {
        return;
    }
    var sum = vec4<f32>(0.0);
    let bands = trip_count(p.bands, group.x);
    for (var band = 0u; band < bands; band++) {
        sum += partial[band * p.stride + at];
    }
    let tap = at % p.taps;
    let block = at / p.taps % p.blocks;
    let r = at / (p.taps * p.blocks);
    for (var lane = 0u; lane < 4u; lane++) {
        let c = 4u * block + lane;
        if (c < p.c) {
            dw[(r * p.inputs + p.first + c) * p.taps + tap] = sum[lane];
        }
    }
}
