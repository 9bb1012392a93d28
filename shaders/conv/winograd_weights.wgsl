// Winograd's filter transform on the device, for weights that change from run to run: U = G g Gt of every 3x3 filter.
//   table  [len]          vec4<u32>: per input channel, the index in w of the filter's first tap, plus 1; 0 is none
//   w      [K, C, 3, 3]   linear f32
//   u      [POINTS][len]  vec4; len is [K/TM][C/4][TM]
// Bindings: 0 params, 1 table (read), 2 w (read), 3 u (write).
// Dispatch: (row / 64, ceil(len / row), 1), row a multiple of 64; each invocation transforms four filters.
// Constants: F4 for F(4, 3), else F(2, 3).
#import "lib/storage"

struct Params {
    len: u32,
    row: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> table: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read_write> u: array<Stored>;

fn tap(source: vec4<u32>, t: u32) -> vec4<f32> {
    let at = max(source, vec4<u32>(1u)) + t - 1u;
    return select(vec4<f32>(0.0), vec4<f32>(w[at.x], w[at.y], w[at.z], w[at.w]), source > vec4<u32>(0u));
}

// Products with the inverses: some drivers divide.
const SIXTH: f32 = 1.0 / 6.0;
const TWELFTH: f32 = 1.0 / 12.0;
const TWENTY_FOURTH: f32 = 1.0 / 24.0;

// Stores the transform of a row of three, as points `first` and following.
fn put(i: u32, first: u32, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>) {
    let len = p.len;
#ifdef F4
    let even = (a + c) * SIXTH;
    let large = a * TWENTY_FOURTH + c * SIXTH;
    u[first * len + i] = stored(a * 0.25);
    u[(first + 1u) * len + i] = stored(-(even + b * SIXTH));
    u[(first + 2u) * len + i] = stored(b * SIXTH - even);
    u[(first + 3u) * len + i] = stored(large + b * TWELFTH);
    u[(first + 4u) * len + i] = stored(large - b * TWELFTH);
    u[(first + 5u) * len + i] = stored(c);
#else
    let even = (a + c) * 0.5;
    u[first * len + i] = stored(a);
    u[(first + 1u) * len + i] = stored(even + b * 0.5);
    u[(first + 2u) * len + i] = stored(even - b * 0.5);
    u[(first + 3u) * len + i] = stored(c);
#endif
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.y * p.row + id.x;
    if (i >= p.len) {
        return;
    }
    let source = table[i];
    let a0 = tap(source, 0u);
    let a1 = tap(source, 1u);
    let a2 = tap(source, 2u);
    let b0 = tap(source, 3u);
    let b1 = tap(source, 4u);
    let b2 = tap(source, 5u);
    let c0 = tap(source, 6u);
    let c1 = tap(source, 7u);
    let c2 = tap(source, 8u);
#ifdef F4
    put(i, 0u, a0 * 0.25, a1 * 0.25, a2 * 0.25);
    let e0 = (a0 + c0) * SIXTH;
    let e1 = (a1 + c1) * SIXTH;
    let e2 = (a2 + c2) * SIXTH;
    put(i, 6u, -(e0 + b0 * SIXTH), -(e1 + b1 * SIXTH), -(e2 + b2 * SIXTH));
    put(i, 12u, b0 * SIXTH - e0, b1 * SIXTH - e1, b2 * SIXTH - e2);
    let l0 = a0 * TWENTY_FOURTH + c0 * SIXTH;
    let l1 = a1 * TWENTY_FOURTH + c1 * SIXTH;
    let l2 = a2 * TWENTY_FOURTH + c2 * SIXTH;
    put(i, 18u, l0 + b0 * TWELFTH, l1 + b1 * TWELFTH, l2 + b2 * TWELFTH);
    put(i, 24u, l0 - b0 * TWELFTH, l1 - b1 * TWELFTH, l2 - b2 * TWELFTH);
    put(i, 30u, c0, c1, c2);
#else
    put(i, 0u, a0, a1, a2);
    let e0 = (a0 + c0) * 0.5;
    let e1 = (a1 + c1) * 0.5;
    let e2 = (a2 + c2) * 0.5;
    put(i, 4u, e0 + b0 * 0.5, e1 + b1 * 0.5, e2 + b2 * 0.5);
    put(i, 8u, e0 - b0 * 0.5, e1 - b1 * 0.5, e2 - b2 * 0.5);
    put(i, 12u, c0, c1, c2);
#endif
}
