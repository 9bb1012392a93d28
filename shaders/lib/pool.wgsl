// Windows of pooling.
struct Geometry {
    size: vec4<i32>,      // H, W, the same with the padding at the end
    window: vec4<i32>,    // kernel rows, columns, stride y, x
    more: vec4<i32>,      // dilation y, x, padding top, left
    counted: vec4<u32>,   // 1 where padding counts, -, -, -
}

// Elements of window `o` along an axis that a mean divides by.
fn counted(g: Geometry, axis: u32, o: u32, taps: i32) -> i32 {
    let first = i32(o) * g.window[2u + axis] - g.more[2u + axis];
    let low = select(0, first, g.counted.x != 0u);
    let end = g.size[select(axis, 2u + axis, g.counted.x != 0u)];
    var count = 0;
    for (var k = 0; k < taps; k++) {
        let at = first + k * g.more[axis];
        count += select(0, 1, at >= low && at < end);
    }
    return count;
}
