// Input transform of Winograd F(4, 3): v = Bt d B of the 6x6 pixels under each 4x4 tile of outputs, for a chunk of tiles
// of one source. Pixels past the last one that any output needs repeat that one: what lies there never matters.
//   x  [N, C, H, W]  blocked
//   v  [36][tile blocks][C of all sources / 4][COLUMNS] of vec4 over channels
// Bindings: 0 params, 1 x (read), 2 v (write).
// Dispatch: (ceil(tiles / 64), C / 4).
// Constants: COLUMNS, tiles of a block.
#import "lib/storage"
#import "lib/tensor"

struct Params {
    x: View,
    grid: vec4<u32>,   // tiles in a row, tiles of an image, last row and last column that a window reads
    pad: vec4<u32>,    // top, left, -, -
    chunk: vec4<u32>,  // first tile, number of tiles, tile blocks, -
    steps: vec4<u32>,  // C/4 of all sources, first channel block of this source, -, -
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Stored>;
@group(0) @binding(2) var<storage, read_write> v: array<vec4<f32>>;

struct Six {
    a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>, e: vec4<f32>, f: vec4<f32>,
}

// Bt of a column.
fn transform(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>, e: vec4<f32>, f: vec4<f32>) -> Six {
    let p0 = e - 4.0 * c;
    let p1 = d - 4.0 * b;
    let q0 = e - c;
    let q1 = 2.0 * (d - b);
    return Six(4.0 * a - 5.0 * c + e, p0 + p1, p0 - p1, q0 + q1, q0 - q1, 4.0 * b - 5.0 * d + f);
}

fn line(row: u32, c0: u32, c1: u32, c2: u32, c3: u32, c4: u32, c5: u32) -> Six {
    return transform(
        vec4<f32>(x[row + c0]), vec4<f32>(x[row + c1]), vec4<f32>(x[row + c2]),
        vec4<f32>(x[row + c3]), vec4<f32>(x[row + c4]), vec4<f32>(x[row + c5]),
    );
}

fn store(at: u32, step: u32, s: Six) {
    v[at] = s.a;
    v[at + 6u * step] = s.b;
    v[at + 12u * step] = s.c;
    v[at + 18u * step] = s.d;
    v[at + 24u * step] = s.e;
    v[at + 30u * step] = s.f;
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
    let corner = index(p.x, n, id.y, -i32(p.pad.x), -i32(p.pad.y));
    let row = p.x.y;
    let c0 = left;
    let c1 = min(left + 1u, p.grid.w);
    let c2 = min(left + 2u, p.grid.w);
    let c3 = min(left + 3u, p.grid.w);
    let c4 = min(left + 4u, p.grid.w);
    let c5 = min(left + 5u, p.grid.w);
    let r0 = line(corner + top * row, c0, c1, c2, c3, c4, c5);
    let r1 = line(corner + min(top + 1u, p.grid.z) * row, c0, c1, c2, c3, c4, c5);
    let r2 = line(corner + min(top + 2u, p.grid.z) * row, c0, c1, c2, c3, c4, c5);
    let r3 = line(corner + min(top + 3u, p.grid.z) * row, c0, c1, c2, c3, c4, c5);
    let r4 = line(corner + min(top + 4u, p.grid.z) * row, c0, c1, c2, c3, c4, c5);
    let r5 = line(corner + min(top + 5u, p.grid.z) * row, c0, c1, c2, c3, c4, c5);
    // xi counts rows first: 6 * row of the transform + column.
    let step = p.chunk.z * p.steps.x * COLUMNS;
    let at = (id.x / COLUMNS * p.steps.x + p.steps.y + id.y) * COLUMNS + id.x % COLUMNS;
    store(at, step, transform(r0.a, r1.a, r2.a, r3.a, r4.a, r5.a));
    store(at + step, step, transform(r0.b, r1.b, r2.b, r3.b, r4.b, r5.b));
    store(at + 2u * step, step, transform(r0.c, r1.c, r2.c, r3.c, r4.c, r5.c));
    store(at + 3u * step, step, transform(r0.d, r1.d, r2.d, r3.d, r4.d, r5.d));
    store(at + 4u * step, step, transform(r0.e, r1.e, r2.e, r3.e, r4.e, r5.e));
    store(at + 5u * step, step, transform(r0.f, r1.f, r2.f, r3.f, r4.f, r5.f));
}
