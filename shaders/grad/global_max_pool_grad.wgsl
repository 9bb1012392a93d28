// Gradient of global max pooling.
//   x   [N, C, H, W]  blocked
//   dy  [N, C, 1, 1]  blocked
//   dx  [N, C, H, W]  blocked; dy at the first maximum of each plane in row-major order, else 0
// Bindings: 0 params, 1 x (read), 2 dy (read), 3 dx (write).
// Dispatch: (ceil(C / 4), N, 1); each workgroup computes one block of planes.
#import "lib/storage"
#import "lib/loops"
#import "lib/tensor"

struct Params {
    x: View,  // and dx's
    dy: View,
    w: u32,
    h: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read> dy: array<Stored>;
@group(0) @binding(3) var<storage, read_write> dx: array<Stored>;

var<workgroup> bests: array<vec4<f32>, 256>;
var<workgroup> firsts: array<vec4<u32>, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let plane = plane_start(p.x, group.y, group.x);
    let pixels = trip_count(p.w * p.h, group.x);
    // The lowest float, as bits: naga writes it as a decimal that browsers reject as too large.
    var best = bitcast<vec4<f32>>(vec4<u32>(0xff7fffffu));
    var first = vec4<u32>(0xffffffffu);
    for (var i = lane; i < pixels; i += 256u) {
        let v = vec4<f32>(x[plane + i / p.w * p.x.row + i % p.w]);
        first = select(first, vec4<u32>(i), v > best);
        best = max(best, v);
    }
    bests[lane] = best;
    firsts[lane] = first;
    workgroupBarrier();
    for (var step = 128u; step > 0u; step >>= 1u) {
        if (lane < step) {
            let other = bests[lane + step];
            let at = firsts[lane + step];
            let better = (other > bests[lane]) | ((other == bests[lane]) & (at < firsts[lane]));
            firsts[lane] = select(firsts[lane], at, better);
            bests[lane] = max(bests[lane], other);
        }
        workgroupBarrier();
    }
    let hit = firsts[0];
    let grad = vec4<f32>(dy[plane_start(p.dy, group.y, group.x)]);
    for (var i = lane; i < pixels; i += 256u) {
        dx[plane + i / p.w * p.x.row + i % p.w] = stored(select(vec4<f32>(0.0), grad, hit == vec4<u32>(i)));
    }
}
