//! Counter-based random numbers, as in `shaders/lib/random.wgsl`: a hash of a seed, a salt and an element's index.

/// The finaliser of MurmurHash3: a bijection on 32 bits with good mixing.
const fn mix(v: u32) -> u32 {
    let mut h = v;
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// The key shared by all elements of a stream. A seed is four 16-bit words stored as floats.
pub(super) fn stream_of(seed: &[f32], salt: u32) -> u32 {
    let word = |i: usize| seed[i] as u32 | (seed[i + 1] as u32) << 16;
    mix(mix(word(0) ^ salt).wrapping_add(word(2)))
}

/// The random number for an element.
pub(super) const fn random(stream: u32, element: u32) -> u32 {
    mix(mix(element ^ stream).wrapping_add(stream))
}
