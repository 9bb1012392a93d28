//! Random numbers by counting, as in `shaders/lib/random.wgsl`: a hash of a seed, a salt and an element's number.

/// The finaliser of MurmurHash3: a bijection of 32 bits that spreads them well.
const fn mix(v: u32) -> u32 {
    let mut h = v;
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

/// What all elements of a stream have in common. A seed is four words of 16 bits, as numbers.
pub(super) fn stream_of(seed: &[f32], salt: u32) -> u32 {
    let word = |i: usize| seed[i] as u32 | (seed[i + 1] as u32) << 16;
    mix(mix(word(0) ^ salt).wrapping_add(word(2)))
}

/// The random number of an element.
pub(super) const fn random(stream: u32, element: u32) -> u32 {
    mix(mix(element ^ stream).wrapping_add(stream))
}
