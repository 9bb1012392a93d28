// What the window shows: a camera's picture on the left, the network's overlay on the right.

struct Place {
    turn: vec2<f32>,   // cosine and sine
    centre: vec2<f32>, // of the view in the picture, 0 to 1
}
@group(0) @binding(0) var<uniform> place: Place;
@group(0) @binding(1) var picture: texture_2d<f32>;
@group(0) @binding(2) var linear: sampler;
@group(0) @binding(3) var camera: texture_2d<f32>;
@group(0) @binding(4) var overlay: texture_2d<f32>;

// A triangle that covers everything.
@vertex
fn everywhere(@builtin(vertex_index) i: u32) -> @builtin(position) vec4<f32> {
    return vec4(f32(i & 1u) * 4.0 - 1.0, f32(i >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment
fn camera_image(@builtin(position) pixel: vec4<f32>) -> @location(0) vec4<f32> {
    let size = vec2<f32>(textureDimensions(picture));
    let from_centre = pixel.xy / size - 0.5;
    let turned = vec2(dot(from_centre, place.turn), dot(from_centre, vec2(-place.turn.y, place.turn.x)));
    return textureSample(picture, linear, place.centre + turned);
}

// Both textures pixel by pixel.
@fragment
fn window(@builtin(position) pixel: vec4<f32>) -> @location(0) vec4<f32> {
    let at = vec2<u32>(pixel.xy);
    let size = textureDimensions(camera);
    if (at.x < size.x) {
        return vec4(textureLoad(camera, at, 0).rrr, 1.0);
    }
    return textureLoad(overlay, at - vec2(size.x, 0u), 0);
}
