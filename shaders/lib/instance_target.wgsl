// The target of a pixel for a network that predicts instances. The importing shader holds C in `p.c`.
//   t  [N, T, H, W]  linear f32: 1 where the pixel is known; foreground; distance; with OFFSETS touching border, offset y,
//                    offset x; with CLASSES class ids 1 .. C - PLANES
// Constants: PLANES, raw planes before those of classes; TARGETS, planes of t; optionally OFFSETS, CLASSES.
struct Truth {
    planes: vec4<f32>,   // of the first four raw planes
    last: f32,           // of the fifth
    weights: vec4<f32>,  // of foreground, distance, touching border and offsets
}

fn truth_of(n: u32, pixel: u32, pixels: u32) -> Truth {
    let at = n * TARGETS * pixels + pixel;
    let known = t[at];
    var v: Truth;
    v.planes = vec4<f32>(t[at + pixels], t[at + 2u * pixels], 0.0, 0.0);
#ifdef OFFSETS
    v.planes.z = t[at + 3u * pixels];
    v.planes.w = t[at + 4u * pixels];
    v.last = t[at + 5u * pixels];
#endif
    v.weights = known * vec4<f32>(1.0, 0.5 + v.planes.x, 1.0 + 3.0 * v.planes.z, v.planes.x);
    return v;
}

#ifdef CLASSES
// The channel of a pixel's class, or C if it has none.
fn class_channel(n: u32, pixel: u32, pixels: u32) -> u32 {
    let id = floor(t[(n * TARGETS + TARGETS - 1u) * pixels + pixel] + 0.5);
    if (id >= 1.0 && id <= f32(p.c - PLANES)) {
        return PLANES - 1u + u32(id);
    }
    return p.c;
}
#endif
