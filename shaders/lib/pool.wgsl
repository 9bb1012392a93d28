// Pooling windows.
struct Geometry {
    size: vec2<i32>,      // H, W
    padded: vec2<i32>,    // H, W plus the padding at the end
    kernel: vec2<i32>,    // rows, columns
    stride: vec2<i32>,    // y, x
    dilation: vec2<i32>,  // y, x
    padding: vec2<i32>,   // top, left
}

// The number of elements of window `o` along an axis, as the divisor of a mean; includes padding if `all`.
fn counted(g: Geometry, all: bool, axis: u32, o: u32, taps: i32) -> i32 {
    let first = i32(o) * g.stride[axis] - g.padding[axis];
    let low = select(0, first, all);
    let end = select(g.size[axis], g.padded[axis], all);
    var count = 0;
    for (var k = 0; k < taps; k++) {
        let at = first + k * g.dilation[axis];
        count += select(0, 1, at >= low && at < end);
    }
    return count;
}
