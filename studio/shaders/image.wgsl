// A tile of an image: its channels between their limits, added.
//   tile   [channels, rows, columns]  raw samples; of floats, the bits
//   slots  [count]  how each channel is shown: colour; low, 1 / (high - low), gamma
// Bindings: group 0: 0 style; group 1: 0 tile.
// Draw: as common.wgsl.
struct Slot {
    colour: vec4<f32>,
    window: vec4<f32>,
}

struct Style {
    screen: Screen,
    count: u32,
    floats: u32,
    unused: vec2<u32>,
    slots: array<Slot, 16>,
}

@group(0) @binding(0) var<uniform> style: Style;
@group(1) @binding(0) var tile: texture_2d_array<u32>;

// A sample and 1; 0 and 0 if it is not a number.
fn fetch(p: vec2<f32>, channel: u32) -> vec2<f32> {
    let last = vec2<i32>(textureDimensions(tile)) - 1;
    let raw = textureLoad(tile, clamp(vec2<i32>(floor(p)), vec2<i32>(0), last), channel, 0).x;
    if (style.floats == 0u) {
        return vec2<f32>(f32(raw), 1.0);
    }
    if ((raw & 0x7f800000u) == 0x7f800000u) {
        return vec2<f32>(0.0);
    }
    return vec2<f32>(bitcast<f32>(raw), 1.0);
}

@fragment
fn image(in: Corner) -> @location(0) vec4<f32> {
    let scale = in.place.z;
    let p = (in.position.xy - in.place.xy) * scale;
    var rgb = vec3<f32>(0.0);
    for (var c = 0u; c < style.count; c++) {
        var v = fetch(p, c);
        // Between two levels a pixel covers one to four texels.
        if (scale > 1.0001) {
            let d = 0.25 * scale;
            v = fetch(p + vec2<f32>(-d, -d), c) + fetch(p + vec2<f32>(d, -d), c)
                + fetch(p + vec2<f32>(-d, d), c) + fetch(p + vec2<f32>(d, d), c);
        }
        if (v.y > 0.0) {
            let slot = style.slots[c];
            let t = clamp((v.x / v.y - slot.window.x) * slot.window.y, 0.0, 1.0);
            rgb += slot.colour.rgb * select(pow(t, slot.window.z), t, slot.window.z == 1.0);
        }
    }
    return shown(min(rgb, vec3<f32>(1.0)), 1.0);
}
