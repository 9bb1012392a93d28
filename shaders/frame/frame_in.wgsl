// A host's pixels as planes of raw values; integers stay integers.
//   pixels  words of packed samples; sample c of pixel (y, x) is number first + y row + x pixel + c channel
//   y       [1, C, H, W]  linear f32; rows below h and columns below w are written
// Bindings: 0 params, 1 pixels (read), 2 y (write).
// Dispatch: (ceil(w / 16), ceil(h / 4), C).
// Constants: U8, U16, HALF or FLOAT; optionally GREY: luminance of the first three picked channels, with INTEGERS rounded.
#import "lib/pixels"

struct Params {
    pick: vec4<u32>,  // channels of the host that become the first four of the network; later ones are not reordered
    first: u32,
    row: u32,
    pixel: u32,
    channel: u32,
    w: u32,
    h: u32,
    columns: u32,     // W
    plane: u32,       // H W
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> pixels: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let at = p.first + id.y * p.row + id.x * p.pixel;
#ifdef GREY
    let r = sample_at(at + p.pick.x * p.channel);
    let g = sample_at(at + p.pick.y * p.channel);
    let b = sample_at(at + p.pick.z * p.channel);
#ifdef INTEGERS
    var v = f32((u32(r) * 2125u + u32(g) * 7154u + u32(b) * 721u + 5000u) / 10000u);
#else
    var v = r * 0.2125 + g * 0.7154 + b * 0.0721;
    if (r == g && g == b) {
        v = r;
    }
#endif
#else
    var c = id.z;
    if (c < 4u) {
        c = p.pick[c];
    }
    let v = sample_at(at + c * p.channel);
#endif
    y[id.z * p.plane + id.y * p.columns + id.x] = v;
}
