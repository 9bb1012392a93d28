// Classes over an image: each region in the colour of its class, with its outline.
//   map    [rows, columns]  a texel per image pixel: its class, 0 for the background
//   table  [classes]  colours, RGBA premultiplied by alpha, 8 bits each
// Bindings: group 0: 0 style, 1 table (read); group 1: 0 map.
// Draw: as common.wgsl.
struct Style {
    screen: Screen,
    colour: vec4<f32>,  // unused
    size: vec2<f32>,    // columns and rows that count
    threshold: f32,     // unused
    opacity: f32,
    point: f32,         // screen pixels
}

@group(0) @binding(0) var<uniform> style: Style;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(1) @binding(0) var map: texture_2d<u32>;

fn class_at(p: vec2<f32>) -> u32 {
    let last = vec2<i32>(style.size) - 1;
    return textureLoad(map, clamp(vec2<i32>(floor(p)), vec2<i32>(0), last), 0).x;
}

@fragment
fn classes(in: Corner) -> @location(0) vec4<f32> {
    let p = (in.position.xy - in.place.xy) * in.place.z;
    let class_of = class_at(p);
    if (class_of == 0u || class_of >= arrayLength(&table)) {
        return vec4<f32>(0.0);
    }
    let c = unpack4x8unorm(table[class_of]);
    let d = 1.5 * style.point * in.place.z;
    let edge = class_at(p + vec2<f32>(d, 0.0)) != class_of || class_at(p - vec2<f32>(d, 0.0)) != class_of
        || class_at(p + vec2<f32>(0.0, d)) != class_of || class_at(p - vec2<f32>(0.0, d)) != class_of;
    return shown(c.rgb / max(c.a, 0.001), select(style.opacity, 1.0, edge) * c.a);
}
