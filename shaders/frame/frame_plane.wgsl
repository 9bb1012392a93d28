// Planes of results as a host's texture or buffer holds them.
//   x  linear f32; value (k, y, x) is number first + k plane + y columns + x
//   y  words: rows of row_words, planes of plane_words; a word holds four u8, two f16 or one f32, the first lowest
// Bindings: 0 params, 1 x (read), 2 y (write).
// Dispatch: (ceil(words of a row / 16), ceil(h / 4), planes).
// Constants: one of IDS (u8 integers), UNORM (u8, 255 for 1), HALF (f16) and WORDS (f32).
struct Params {
    first: u32,
    columns: u32,
    plane: u32,
    w: u32,
    h: u32,
    row_words: u32,
    plane_words: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
#ifdef HALF
    let column = 2u * id.x;
#else
#ifdef WORDS
    let column = id.x;
#else
    let column = 4u * id.x;
#endif
#endif
    if (column >= p.w || id.y >= p.h) {
        return;
    }
    let at = p.first + id.z * p.plane + id.y * p.columns;
    let last = p.w - 1u;
    var v = vec4<f32>(x[at + column], 0.0, 0.0, 0.0);
#ifndef WORDS
    v.y = x[at + min(column + 1u, last)];
#ifndef HALF
    v.z = x[at + min(column + 2u, last)];
    v.w = x[at + min(column + 3u, last)];
#endif
#endif
    var word = bitcast<u32>(v.x);
#ifdef IDS
    let ids = vec4<u32>(v);
    word = ids.x | (ids.y << 8u) | (ids.z << 16u) | (ids.w << 24u);
#endif
#ifdef UNORM
    word = pack4x8unorm(v);
#endif
#ifdef HALF
    word = pack2x16float(v.xy);
#endif
    y[id.z * p.plane_words + id.y * p.row_words + id.x] = word;
}
