//! The WGSL files, embedded in the binary.

macro_rules! shaders {
    ($($name:literal),* $(,)?) => {
        const SOURCES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../shaders/", $name, ".wgsl")))),*];
    };
}

shaders![
    "activation",
    "average",
    "avg_pool2d",
    "concat",
    "gate",
    "global_reduce",
    "lib/activation",
    "lib/reduce",
    "lib/tensor",
    "max_pool2d",
    "norm_statistics",
    "pad",
    "resize",
    "scale_by_gate",
    "scale_shift",
    "softmax",
];

/// The text of `shaders/NAME.wgsl`.
pub fn source(name: &str) -> Option<&'static str> {
    SOURCES.iter().find(|s| s.0 == name).map(|s| s.1)
}

/// Names of all kernels (library pieces left out).
pub fn all_shaders() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().map(|s| s.0).filter(|n| !n.starts_with("lib/"))
}
