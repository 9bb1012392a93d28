// Views of blocked tensors. A view is vec4<u32>(origin, row, plane, batch), all in vec4s: `origin` is pixel (0, 0) of
// channel block 0 of image 0 inside the binding, the others are the strides of a row, a channel block and an image.
// A halo of one zero pixel lies around every plane, so y = -1 .. H and x = -1 .. W may be read.
alias View = vec4<u32>;

// Start of channel block `block` of image `n`.
fn plane_start(v: View, n: u32, block: u32) -> u32 {
    return v.x + n * v.w + block * v.z;
}

// Offset of a pixel from its plane's start; negative inside the halo, so the sum wraps as two's complement must.
fn pixel_offset(v: View, y: i32, x: i32) -> u32 {
    return u32(y * i32(v.y) + x);
}

fn index(v: View, n: u32, block: u32, y: i32, x: i32) -> u32 {
    return plane_start(v, n, block) + pixel_offset(v, y, x);
}
