//! The WGSL files, embedded in the binary.

macro_rules! shaders {
    ($($name:literal),* $(,)?) => {
        const SOURCES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../shaders/", $name, ".wgsl")))),*];
    };
}

// Braces: rustfmt leaves one name a line.
shaders! {
    "activation",
    "average",
    "avg_pool2d",
    "concat",
    "conv2d_gemm",
    "conv2d_grouped",
    "conv2d_plain",
    "conv2d_subgroup",
    "conv2d_tile",
    "conv2d_window",
    "conv_transpose2d_2x2",
    "conv_transpose2d_plain",
    "export_nchw",
    "gate",
    "global_reduce",
    "halo",
    "head2d",
    "image_in",
    "import_nchw",
    "lib/activation",
    "lib/gemm",
    "lib/loops",
    "lib/reduce",
    "lib/resize",
    "lib/storage",
    "lib/tensor",
    "mask_out",
    "max_pool2d",
    "norm_statistics",
    "pad",
    "peak_copy",
    "peak_fma",
    "resize",
    "scale_by_gate",
    "scale_shift",
    "softmax",
    "tap_sum",
    "tap_sum_group",
    "winograd_gemm",
    "winograd_in",
    "winograd_out",
}

/// The text of `shaders/NAME.wgsl`.
pub fn source(name: &str) -> Option<&'static str> {
    SOURCES.iter().find(|s| s.0 == name).map(|s| s.1)
}

/// Names of all kernels (library pieces left out).
pub fn all_shaders() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().map(|s| s.0).filter(|n| !n.starts_with("lib/"))
}
