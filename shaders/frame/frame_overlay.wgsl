// The mask drawn over a host's pixels, as 8-bit RGBA or BGRA.
//   pixels   words of packed samples; sample c of pixel (y, x) is number first + y row + x pixel + c channel
//   mask     [H, W]  linear f32: class ids
//   palette  a word per class: red, green, blue from the lowest byte
//   y        words: rows of row_words pixels; opaque. Regions of a class are tinted, and outlined one pixel wide.
// Bindings: 0 params, 1 pixels (read), 2 mask (read), 3 palette (read), 4 y (write).
// Dispatch: (ceil(w / 16), ceil(h / 4), 1).
// Constants: U8, U16, HALF or FLOAT; optionally BGRA.
#import "lib/loops"
#import "lib/pixels"

struct Params {
    pick: vec4<u32>,  // channels of the host that are shown as red, green and blue
    first: u32,
    row: u32,
    pixel: u32,
    channel: u32,
    w: u32,
    h: u32,
    columns: u32,     // W
    row_words: u32,
    unit: f32,        // value that is shown as white
    tint: u32,        // opacity of a class, percent
    shown: u32,       // channels that are shown; the others are black
    classes: u32,     // words of the palette
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> pixels: array<u32>;
@group(0) @binding(2) var<storage, read> mask: array<f32>;
@group(0) @binding(3) var<storage, read> palette: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>) {
    if (id.x >= p.w || id.y >= p.h) {
        return;
    }
    let here = id.y * p.columns + id.x;
    let class_id = mask[here];
    let at = p.first + id.y * p.row + id.x * p.pixel;
    var colour = vec3<u32>(0u);
    for (var c = 0u; c < trip_count(p.shown, group.x); c++) {
        colour[c] = u32(round(clamp(sample_at(at + p.pick[c] * p.channel) / p.unit, 0.0, 1.0) * 255.0));
    }
    if (class_id > 0.0) {
        let word = palette[min(u32(class_id), p.classes - 1u)];
        let own = vec3<u32>(word & 0xffu, (word >> 8u) & 0xffu, (word >> 16u) & 0xffu);
        let edge = (id.x > 0u && mask[here - select(0u, 1u, id.x > 0u)] != class_id)
            || (id.x + 1u < p.w && mask[here + select(0u, 1u, id.x + 1u < p.w)] != class_id)
            || (id.y > 0u && mask[here - select(0u, p.columns, id.y > 0u)] != class_id)
            || (id.y + 1u < p.h && mask[here + select(0u, p.columns, id.y + 1u < p.h)] != class_id);
        colour = select((colour * (100u - p.tint) + own * p.tint + 50u) / 100u, own, edge);
    }
#ifdef BGRA
    colour = colour.zyx;
#endif
    y[id.y * p.row_words + id.x] = colour.x | (colour.y << 8u) | (colour.z << 16u) | 0xff000000u;
}
