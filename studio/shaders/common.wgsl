// What all drawing shaders share; it is put in front of each. Lengths are in pixels of the target.
//   style.screen  size of the target; linear: 1 if the target encodes sRGB itself
//   rect          left, top, right, bottom of a quad
//   place         where texel (0, 0) has its corner: x, y; texels per pixel; which figure
// Draw: 4 vertices, a strip, per quad.
struct Screen {
    size: vec2<f32>,
    linear: u32,
    unused: u32,
}

struct Quad {
    @location(0) rect: vec4<f32>,
    @location(1) place: vec4<f32>,
}

struct Corner {
    @builtin(position) position: vec4<f32>,
    @location(0) @interpolate(flat) place: vec4<f32>,
}

@vertex
fn corner(@builtin(vertex_index) i: u32, quad: Quad) -> Corner {
    let at = select(quad.rect.xy, quad.rect.zw, vec2<bool>((i & 1u) == 1u, i > 1u));
    let clip = at / style.screen.size * vec2<f32>(2.0, -2.0) + vec2<f32>(-1.0, 1.0);
    return Corner(vec4<f32>(clip, 0.0, 1.0), quad.place);
}

// A colour as egui's targets want it: encoded as sRGB or linear, premultiplied.
fn shown(rgb: vec3<f32>, alpha: f32) -> vec4<f32> {
    let linear = select(pow((rgb + 0.055) / 1.055, vec3<f32>(2.4)), rgb / 12.92, rgb <= vec3<f32>(0.04045));
    return vec4<f32>(select(rgb, linear, style.screen.linear == 1u) * alpha, alpha);
}
