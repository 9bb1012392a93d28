// Sum of tensors of one shape, two of them per dispatch.
//   a, b, y  [N, C, H, W]  blocked, with BLOCKED; else [len] linear f32
// y = a + b; without TWO, y = a; with ACCUMULATE, the sum starts with y's old value.
// Bindings: 0 params, 1 a (read), 2 b (read) with TWO, Y y (write).
// Dispatch: (ceil(W / COLUMNS), ceil(H / ROWS), N * ceil(C / 4)), COLUMNS x ROWS vec4s of a plane each; linear (row / 64,
// ceil(len / row), 1), row a multiple of 64.
// Constants: Y; optionally TWO, ACCUMULATE, BLOCKED; with it HEIGHT, rows of 16 invocations in a workgroup, COLUMNS, a multiple
// of 16, and ROWS, of HEIGHT.
#import "lib/storage"
#import "lib/tensor"

#ifdef BLOCKED
struct Params {
    x: View,  // of a and b
    y: View,
    w: u32,
    h: u32,
    blocks: u32,  // of channels
}
alias Number = vec4<f32>;
#else
struct Params {
    len: u32,
    row: u32,
}
alias Number = f32;
#endif
@group(0) @binding(0) var<uniform> p: Params;
#ifdef BLOCKED
@group(0) @binding(1) var<storage, read> a: array<Stored>;
#ifdef TWO
@group(0) @binding(2) var<storage, read> b: array<Stored>;
#endif
@group(0) @binding(Y) var<storage, read_write> y: array<Stored>;
#else
@group(0) @binding(1) var<storage, read> a: array<f32>;
#ifdef TWO
@group(0) @binding(2) var<storage, read> b: array<f32>;
#endif
@group(0) @binding(Y) var<storage, read_write> y: array<f32>;
#endif

fn total(source: u32, place: u32) -> Number {
    var sum = Number(a[source]);
#ifdef ACCUMULATE
    sum = Number(y[place]) + sum;
#endif
#ifdef TWO
    sum += Number(b[source]);
#endif
    return sum;
}

#ifdef BLOCKED
@compute @workgroup_size(16, HEIGHT)
fn main(@builtin(local_invocation_id) local: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    let n = group.z / p.blocks;
    let block = group.z % p.blocks;
    let source = plane_start(p.x, n, block);
    let place = plane_start(p.y, n, block);
    let bottom = min(ROWS * (group.y + 1u), p.h);
    let right = min(COLUMNS * (group.x + 1u), p.w);
    // Read once: some drivers would read a uniform for every pixel.
    let source_row = p.x.row;
    let place_row = p.y.row;
    for (var row = ROWS * group.y + local.y; row < bottom; row += HEIGHT) {
        let from_row = source + row * source_row;
        let to_row = place + row * place_row;
        for (var column = COLUMNS * group.x + local.x; column < right; column += 16u) {
            y[to_row + column] = stored(total(from_row + column, to_row + column));
        }
    }
}
#else
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * p.row + id.x;
    if (i < p.len) {
        y[i] = total(i, i);
    }
}
#endif
