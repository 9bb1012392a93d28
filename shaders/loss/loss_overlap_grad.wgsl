// Gradient of the sums of an overlap: see loss_overlap.
//   t      [N, C, H, W]  linear f32, or with CLASSES [N, 1, H, W] class indices
//   dsums  [groups][3]   linear f32, of the sums of x t, of x and of t; a group has `planes` planes (n, c)
//   dx     [N, C, H, W]  blocked
// Bindings: 0 params, 1 t (read), 2 dsums (read), 3 dx (write).
// Dispatch: (ceil(W / 16), ceil(H / 4), N * ceil(C / 4)); each invocation computes one vec4.
// Constants: optionally CLASSES.
#import "lib/storage"
#import "lib/tensor"
#import "lib/target"

struct Params {
    x: View,
    w: u32,
    h: u32,
    c: u32,
    ignored: f32,
    planes: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> t: array<f32>;
@group(0) @binding(2) var<storage, read> dsums: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<Stored>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let blocks = (p.c + 3u) / 4u;
    let n = id.z / blocks;
    let block = id.z % blocks;
    let pixels = p.w * p.h;
    let pixel = id.y * p.w + id.x;
    var counts = true;
#ifdef CLASSES
    let label = label_of(n, pixel, pixels);
    counts = label < p.c;
    let hot = vec4<u32>(0u, 1u, 2u, 3u) + 4u * block == vec4<u32>(label);
    let real = select(vec4<f32>(0.0), vec4<f32>(1.0), hot);
#else
    let real = target_of(n, block, pixel, pixels);
#endif
    var v = vec4<f32>(0.0);
    for (var lane = 0u; lane < 4u; lane++) {
        let c = 4u * block + lane;
        if (counts && c < p.c) {
            let group = (n * p.c + c) / p.planes;
            v[lane] = dsums[3u * group] * real[lane] + dsums[3u * group + 1u];
        }
    }
    dx[index(p.x, n, block, i32(id.y), i32(id.x))] = stored(v);
}
