// Views of blocked tensors, all in vec4s. A halo of one zero pixel surrounds every plane, so that y = -1 .. H and
// x = -1 .. W may be read.
struct View {
    origin: u32,  // pixel (0, 0) of channel block 0 of image 0 in the binding
    row: u32,     // row stride
    plane: u32,   // channel block stride
    batch: u32,   // image stride
}

// A tensor's dimensions without the batch.
struct Size {
    w: u32,
    h: u32,
    blocks: u32,  // of channels
    c: u32,
}

// Start of channel block `block` of image `n`.
fn plane_start(v: View, n: u32, block: u32) -> u32 {
    return v.origin + n * v.batch + block * v.plane;
}

// Offset of a pixel from its plane's start. It is negative inside the halo; adding it then wraps (two's complement).
fn pixel_offset(v: View, y: i32, x: i32) -> u32 {
    return u32(y * i32(v.row) + x);
}

fn index(v: View, n: u32, block: u32, y: i32, x: i32) -> u32 {
    return plane_start(v, n, block) + pixel_offset(v, y, x);
}
