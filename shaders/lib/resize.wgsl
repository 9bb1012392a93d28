// Source coordinates of resizing: max(0, i * step + start) / den along an axis. Integers up to 2^31 - 1, divided with
// remainder, so that no device rounds differently. Optionally POWER_OF_TWO: both denominators are powers of two.
struct Axis {
    step: i32,
    start: i32,
    den: u32,
    shift: u32,  // log2(den) with POWER_OF_TWO
}
struct Source {
    low: u32,     // the lower neighbour
    weight: f32,  // of the upper neighbour
}

// `factor` is 1 / den.
fn source(a: Axis, factor: f32, i: u32) -> Source {
    let at = u32(max(i32(i) * a.step + a.start, 0));
#ifdef POWER_OF_TWO
    let low = at >> a.shift;
#else
    let low = at / a.den;
#endif
    return Source(low, f32(at - low * a.den) * factor);
}
