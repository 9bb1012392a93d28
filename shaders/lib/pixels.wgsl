// Samples of a host's pixels, packed into words as its texture or buffer has them. The importing shader declares `pixels`.
// Exactly one of U8, U16, HALF and FLOAT is defined. NaN and infinities are read as 0.
fn sample_at(i: u32) -> f32 {
#ifdef U8
    return f32((pixels[i >> 2u] >> ((i & 3u) * 8u)) & 0xffu);
#endif
#ifdef U16
    return f32((pixels[i >> 1u] >> ((i & 1u) * 16u)) & 0xffffu);
#endif
#ifdef HALF
    let bits = (pixels[i >> 1u] >> ((i & 1u) * 16u)) & 0xffffu;
    return unpack2x16float(select(bits, 0u, (bits & 0x7c00u) == 0x7c00u)).x;
#endif
#ifdef FLOAT
    let bits = pixels[i];
    return bitcast<f32>(select(bits, 0u, (bits & 0x7f800000u) == 0x7f800000u));
#endif
}
