// Probabilities over an image: the region where they reach a threshold, and its outline.
//   map  [rows, columns]  a texel per image pixel
// Bindings: group 0: 0 style; group 1: 0 map.
// Draw: as common.wgsl.
struct Style {
    screen: Screen,
    colour: vec4<f32>,
    size: vec2<f32>,  // columns and rows that count
    threshold: f32,
    opacity: f32,
    point: f32,  // screen pixels
}

@group(0) @binding(0) var<uniform> style: Style;
@group(1) @binding(0) var map: texture_2d<f32>;

fn inside(p: vec2<f32>) -> bool {
    let last = vec2<i32>(style.size) - 1;
    return textureLoad(map, clamp(vec2<i32>(floor(p)), vec2<i32>(0), last), 0).x >= style.threshold;
}

@fragment
fn live(in: Corner) -> @location(0) vec4<f32> {
    let p = (in.position.xy - in.place.xy) * in.place.z;
    if (!inside(p)) {
        return vec4<f32>(0.0);
    }
    let d = 1.5 * style.point * in.place.z;
    let edge = !(inside(p + vec2<f32>(d, 0.0)) && inside(p - vec2<f32>(d, 0.0))
        && inside(p + vec2<f32>(0.0, d)) && inside(p - vec2<f32>(0.0, d)));
    return shown(style.colour.rgb, select(style.opacity, 1.0, edge));
}
