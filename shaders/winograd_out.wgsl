// Output transform of Winograd F(4, 3): the 4x4 outputs At m A of each tile of a chunk, bias and activation.
//   m  [tile blocks][K/4][36][COLUMNS] of vec4 over output channels
//   w  bias [K/4] vec4
//   y  [N, K, OH, OW]  blocked
// Bindings: 0 params, 1 m (read), 2 w (read), 3 y (write).
// Dispatch: (ceil(tiles / 64), K / 4).
// Constants: COLUMNS, tiles of a block; ACTIVATION; WHOLE if OH and OW are multiples of 4.
#import "lib/storage"
#import "lib/tensor"
#import "lib/activation"

struct Params {
    y: View,
    grid: vec4<u32>,   // tiles in a row, tiles of an image, OH, OW
    chunk: vec4<u32>,  // first tile, number of tiles, K/4, -
    slope: vec4<f32>,  // slope of a leaky ReLU, -, -, -
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> m: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;

struct Four {
    a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>,
}

// At of a column.
fn transform(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>, e: vec4<f32>, f: vec4<f32>) -> Four {
    let s1 = b + c;
    let d1 = b - c;
    let s2 = d + e;
    let d2 = d - e;
    return Four(a + s1 + s2, d1 + 2.0 * d2, s1 + 4.0 * s2, d1 + 8.0 * d2 + f);
}

fn line(at: u32) -> Four {
    return transform(
        m[at], m[at + COLUMNS], m[at + 2u * COLUMNS],
        m[at + 3u * COLUMNS], m[at + 4u * COLUMNS], m[at + 5u * COLUMNS],
    );
}

// One row of four outputs, cut at the right edge.
fn store(at: u32, columns: u32, s: Four, bias: vec4<f32>) {
    y[at] = stored(activate(s.a + bias, p.slope.x));
    if (columns > 1u) {
        y[at + 1u] = stored(activate(s.b + bias, p.slope.x));
    }
    if (columns > 2u) {
        y[at + 2u] = stored(activate(s.c + bias, p.slope.x));
    }
    if (columns > 3u) {
        y[at + 3u] = stored(activate(s.d + bias, p.slope.x));
    }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= p.chunk.y) {
        return;
    }
    let tile = p.chunk.x + id.x;
    let n = tile / p.grid.y;
    let inside = tile % p.grid.y;
    let top = inside / p.grid.x * 4u;
    let left = inside % p.grid.x * 4u;
    let at = (id.x / COLUMNS * p.chunk.z + id.y) * (36u * COLUMNS) + id.x % COLUMNS;
    let r0 = line(at);
    let r1 = line(at + 6u * COLUMNS);
    let r2 = line(at + 12u * COLUMNS);
    let r3 = line(at + 18u * COLUMNS);
    let r4 = line(at + 24u * COLUMNS);
    let r5 = line(at + 30u * COLUMNS);
    let a = transform(r0.a, r1.a, r2.a, r3.a, r4.a, r5.a);
    let b = transform(r0.b, r1.b, r2.b, r3.b, r4.b, r5.b);
    let c = transform(r0.c, r1.c, r2.c, r3.c, r4.c, r5.c);
    let d = transform(r0.d, r1.d, r2.d, r3.d, r4.d, r5.d);
    let bias = w[id.y];
    let out = index(p.y, n, id.y, i32(top), i32(left));
    let rows = p.grid.z - top;
    let columns = p.grid.w - left;
#ifdef WHOLE
    store(out, 4u, Four(a.a, b.a, c.a, d.a), bias);
    store(out + p.y.y, 4u, Four(a.b, b.b, c.b, d.b), bias);
    store(out + 2u * p.y.y, 4u, Four(a.c, b.c, c.c, d.c), bias);
    store(out + 3u * p.y.y, 4u, Four(a.d, b.d, c.d, d.d), bias);
#else
    store(out, columns, Four(a.a, b.a, c.a, d.a), bias);
    if (rows > 1u) {
        store(out + p.y.y, columns, Four(a.b, b.b, c.b, d.b), bias);
    }
    if (rows > 2u) {
        store(out + 2u * p.y.y, columns, Four(a.c, b.c, c.c, d.c), bias);
    }
    if (rows > 3u) {
        store(out + 3u * p.y.y, columns, Four(a.d, b.d, c.d, d.d), bias);
    }
#endif
}
