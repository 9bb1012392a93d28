//! The WGSL files, embedded in the binary.

macro_rules! shaders {
    ($($name:literal),* $(,)?) => {
        const SOURCES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../shaders/", $name, ".wgsl")))),*];
    };
}

// Braces: rustfmt leaves one name a line.
shaders! {
    "accumulate",
    "activation",
    "activation_grad",
    "average",
    "avg_pool2d",
    "batch_norm_grad",
    "batch_norm_grad_statistics",
    "channel_slice",
    "channel_sum",
    "clip_factor",
    "concat",
    "conv2d_gemm",
    "conv2d_grouped",
    "conv2d_plain",
    "conv2d_subgroup",
    "conv2d_tile",
    "conv2d_window",
    "conv_transpose2d_2x2",
    "conv_transpose2d_gemm",
    "conv_transpose2d_plain",
    "conv_weight_grad",
    "conv_weight_grad_sum",
    "dropout",
    "export_nchw",
    "fill",
    "flip_weights",
    "gate",
    "gather",
    "global_max_pool_grad",
    "global_reduce",
    "halo",
    "head2d",
    "image_in",
    "import_nchw",
    "lib/activation",
    "lib/gemm",
    "lib/label_scores",
    "lib/log",
    "lib/pixel_loss",
    "lib/planes",
    "lib/reduce",
    "lib/resize",
    "lib/storage",
    "lib/tensor",
    "lib/truth",
    "lib/turns",
    "loss_cross_entropy",
    "loss_cross_entropy_grad",
    "loss_overlap",
    "loss_overlap_grad",
    "loss_pixel",
    "loss_pixel_grad",
    "loss_quotient",
    "loss_ratio",
    "loss_sum",
    "mask_out",
    "max_pool2d",
    "max_pool2d_grad",
    "moving_average",
    "ms_ssim",
    "norm_statistics",
    "one_hot",
    "optimiser_step",
    "pad",
    "peak_copy",
    "peak_fma",
    "presence",
    "resize",
    "resize_grad",
    "scale_by_gate",
    "scale_shift",
    "softmax",
    "softmax_grad",
    "squared_norm",
    "ssim_back_columns",
    "ssim_back_rows",
    "ssim_columns",
    "ssim_pool",
    "ssim_rows",
    "sum",
    "tap_sum",
    "tap_sum_group",
    "weighted_sum",
    "winograd_gemm",
    "winograd_in",
    "winograd_out",
    "winograd_weights",
}

/// The text of `shaders/NAME.wgsl`.
pub fn source(name: &str) -> Option<&'static str> {
    SOURCES.iter().find(|s| s.0 == name).map(|s| s.1)
}

/// Names of all kernels (library pieces left out).
pub fn all_shaders() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().map(|s| s.0).filter(|n| !n.starts_with("lib/"))
}
