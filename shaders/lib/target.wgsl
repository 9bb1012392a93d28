// The target for a block of four channels of x [N, C, H, W]; C is `p.c`.
//   t  [N, C, H, W]  linear f32, or with CLASSES [N, 1, H, W] class indices
// Constants: optionally CLASSES.

// Whether each lane holds a channel.
fn inside(block: u32) -> vec4<bool> {
    return vec4<u32>(0u, 1u, 2u, 3u) + 4u * block < vec4<u32>(p.c);
}

#ifdef CLASSES
// The class of a pixel, or C if it has none: its label is not a class, or is the ignored one.
fn label_of(n: u32, pixel: u32, pixels: u32) -> u32 {
    let v = floor(t[n * pixels + pixel] + 0.5);
    if (v >= 0.0 && v < f32(p.c) && v != p.ignored) {
        return u32(v);
    }
    return p.c;
}
#else
// Zero past the last channel.
fn target_of(n: u32, block: u32, pixel: u32, pixels: u32) -> vec4<f32> {
    var v = vec4<f32>(0.0);
    for (var lane = 0u; lane < 4u; lane++) {
        let c = 4u * block + lane;
        if (c < p.c) {
            v[lane] = t[(n * p.c + c) * pixels + pixel];
        }
    }
    return v;
}
#endif
