// Gaussian blur along one axis, times a factor. Two dispatches make the displacement field of Simard's elastic
// deformation.
//   x, y  [planes, H, W]  linear f32
//   g     [2 RADIUS + 1]  linear f32, the window
// Pixels outside are mirrored, with the edge repeated (half-sample reflection).
// Bindings: 0 params, 1 x (read), 2 g (read), 3 y (write).
// Dispatch: (row / 64, ceil(len / row), 1), row a multiple of 64; each invocation computes one element.
// Constants: optionally ROWS, to blur across rows (vertically) instead of along them.
#import "lib/loops"
#import "lib/storage"

struct Params {
    len: u32,
    row: u32,
    w: u32,
    h: u32,
    radius: i32,
    factor: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> g: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn inside(i: i32, n: i32) -> u32 {
    let m = ((i % (2 * n)) + 2 * n) % (2 * n);
    return u32(select(m, 2 * n - 1 - m, m >= n));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    let i = id.y * p.row + id.x;
    if (i >= p.len) {
        return;
    }
    let column = i % p.w;
    let line = i / p.w % p.h;
    let plane = i - line * p.w - column;
    let radius = i32(trip_count(u32(p.radius), group.x));
    var sum = 0.0;
    for (var k = -radius; k <= radius; k++) {
        let weight = g[u32(k + radius) / 4u][u32(k + radius) % 4u];
#ifdef ROWS
        sum += weight * x[plane + inside(i32(line) + k, i32(p.h)) * p.w + column];
#else
        sum += weight * x[plane + line * p.w + inside(i32(column) + k, i32(p.w))];
#endif
    }
    y[i] = sum * p.factor;
}
