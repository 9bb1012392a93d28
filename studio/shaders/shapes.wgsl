// Figures of one colour: what is behind an image, its border, lines between its pixels.
//   place.w  index into colours; 0 is checkered with 1, 3 is lines between texels
// Bindings: group 0: 0 style.
// Draw: as common.wgsl.
struct Style {
    screen: Screen,
    colours: array<vec4<f32>, 4>,
}

@group(0) @binding(0) var<uniform> style: Style;

@fragment
fn shapes(in: Corner) -> @location(0) vec4<f32> {
    let kind = u32(in.place.w);
    var colour = style.colours[kind];
    if (kind == 0u) {
        let square = vec2<u32>(in.position.xy / 8.0);
        colour = style.colours[(square.x + square.y) & 1u];
    }
    if (kind == 3u) {
        // The first screen pixels of each image pixel.
        let p = fract((in.position.xy - in.place.xy) * in.place.z);
        if (all(p >= vec2<f32>(in.place.z))) {
            return vec4<f32>(0.0);
        }
    }
    return shown(colour.rgb, colour.a);
}
