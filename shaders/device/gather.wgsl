// Gathers weights into the order in which a kernel reads them.
//   table  [len]  vec4<u32>: element numbers, from 1 through a and then b; 0 is none
//   a, b   linear f32; b with TWO
//   y      [len]  vec4
// Bindings: 0 params, 1 table (read), 2 a (read), 3 b (read) with TWO, then y (write).
// Dispatch: (row / 64, ceil(len / row), 1), row a multiple of 64; each invocation computes one vec4.
// Constants: optionally TWO.
#import "lib/storage"

struct Params {
    len: u32,
    row: u32,
    first: u32,  // elements of a
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> table: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
#ifdef TWO
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<Stored>;
#else
@group(0) @binding(3) var<storage, read_write> y: array<Stored>;
#endif

fn element(number: u32) -> f32 {
    if (number == 0u) {
        return 0.0;
    }
#ifdef TWO
    if (number > p.first) {
        return b[number - p.first - 1u];
    }
#endif
    return a[number - 1u];
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * p.row + id.x;
    if (i >= p.len) {
        return;
    }
    let source = table[i];
    y[i] = stored(vec4<f32>(element(source.x), element(source.y), element(source.z), element(source.w)));
}
