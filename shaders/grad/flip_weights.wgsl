// A convolution's weight, as its input gradient needs it: input and output channels swapped, taps in reverse order.
//   w  [O, I, KH, KW]      linear f32
//   y  [COUNT, O, KH, KW]  linear f32; y[i, o, t] = w[o, first + i, KH KW - 1 - t]
// Bindings: 0 params, 1 w (read), 2 y (write).
// Dispatch: (row / 64, ceil(len / row), 1), row a multiple of 64; each invocation computes one element, with FILTERS one
// filter: len = COUNT O then.
// Constants: optionally FILTERS.
#import "lib/storage"
#import "lib/loops"

struct Params {
    len: u32,
    row: u32,
    outputs: u32,  // O
    inputs: u32,   // I
    taps: u32,
    first: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    let at = id.y * p.row + id.x;
    if (at >= p.len) {
        return;
    }
#ifdef FILTERS
    let taps = trip_count(p.taps, group.x);
    let source = (at % p.outputs * p.inputs + p.first + at / p.outputs + 1u) * taps - 1u;
    for (var t = 0u; t < taps; t++) {
        y[at * taps + t] = w[source - t];
    }
#else
    let t = at % p.taps;
    let o = at / p.taps % p.outputs;
    let i = at / (p.taps * p.outputs);
    y[at] = w[(o * p.inputs + p.first + i) * p.taps + p.taps - 1u - t];
#endif
}
