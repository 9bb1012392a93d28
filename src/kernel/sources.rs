//! The WGSL files, embedded in the binary.

/// A file under `shaders/`.
struct Source {
    /// The folder: the kernel's group of operations, or `lib` for files that kernels import.
    folder: &'static str,
    /// The name, unique among kernels and among library files.
    name: &'static str,
    text: &'static str,
}

macro_rules! shaders {
    ($($folder:literal: [$($name:literal),* $(,)?]),* $(,)?) => {
        const SOURCES: &[Source] = &[$($(Source {
            folder: $folder,
            name: $name,
            text: include_str!(concat!("../../shaders/", $folder, "/", $name, ".wgsl")),
        }),*),*];
    };
}

// In braces, rustfmt leaves one name per line.
shaders! {
    "augment": [
        "intensity",
        "simard_field",
        "warp",
    ],
    "conv": [
        "conv2d_gemm",
        "conv2d_grouped",
        "conv2d_plain",
        "conv2d_subgroup",
        "conv2d_tile",
        "conv2d_window",
        "conv_transpose2d_2x2",
        "conv_transpose2d_grouped",
        "conv_transpose2d_plain",
        "head2d",
        "matmul",
        "tap_sum",
        "tap_sum_group",
        "winograd_gemm",
        "winograd_in",
        "winograd_out",
        "winograd_weights",
    ],
    "device": [
        "gather",
        "halo",
        "peak_copy",
        "peak_fma",
    ],
    "elementwise": [
        "average",
        "binary",
        "fill",
        "gate",
        "scale_by_gate",
        "sum",
        "unary",
    ],
    "frame": [
        "frame_affine",
        "frame_count",
        "frame_in",
        "frame_overlay",
        "frame_plane",
        "frame_select",
        "frame_sum",
        "frame_sum_end",
    ],
    "grad": [
        "activation_grad",
        "batch_norm_grad",
        "batch_norm_grad_statistics",
        "channel_slice",
        "channel_sum",
        "conv_weight_grad",
        "conv_weight_grad_gemm",
        "conv_weight_grad_lanes",
        "conv_weight_grad_plain",
        "conv_weight_grad_sum",
        "flip_weights",
        "global_max_pool_grad",
        "max_pool2d_grad",
        "pool2d_grad",
        "resize_grad",
        "softmax_grad",
        "winograd_grad_gemm",
        "winograd_grad_in",
        "winograd_grad_out",
    ],
    "image": [
        "export_nchw",
        "image_in",
        "import_nchw",
        "mask_out",
    ],
    "lib": [
        "activation",
        "activation_slope",
        "functions",
        "gemm",
        "instance_target",
        "label_scores",
        "lanes",
        "log",
        "loops",
        "moments",
        "pixel_loss",
        "pixels",
        "planes",
        "pool",
        "random",
        "reduce",
        "reduce_sum",
        "reduction",
        "resize",
        "storage",
        "target",
        "tensor",
    ],
    "loss": [
        "loss_cross_entropy",
        "loss_cross_entropy_grad",
        "loss_instances",
        "loss_instances_grad",
        "loss_means",
        "loss_overlap",
        "loss_overlap_grad",
        "loss_pixel",
        "loss_pixel_grad",
        "loss_quotient",
        "loss_ratio",
        "loss_sum",
        "ms_ssim",
        "one_hot",
        "presence",
        "ssim_back_columns",
        "ssim_back_rows",
        "ssim_columns",
        "ssim_pool",
        "ssim_rows",
        "weighted_sum",
    ],
    "norm": [
        "batch_norm_coefficients",
        "norm_bands",
        "norm_groups",
        "norm_statistics",
        "scale_shift",
    ],
    "pool": [
        "avg_pool2d",
        "global_reduce",
        "max_pool2d",
        "pool2d",
    ],
    "reduce": [
        "argmax",
        "reduce_channels",
        "reduce_pixels",
        "softmax",
    ],
    "resize": [
        "resample",
        "resize",
    ],
    "shape": [
        "concat",
        "pad",
        "place",
        "strided",
    ],
    "train": [
        "accumulate",
        "clip_factor",
        "dropout",
        "moving_average",
        "optimiser_step",
        "squared_norm",
    ],
}

/// The folder of files that kernels import.
const LIBRARY: &str = "lib";

fn find(name: &str) -> Option<&'static Source> {
    match name.strip_prefix("lib/") {
        Some(file) => SOURCES.iter().find(|s| s.folder == LIBRARY && s.name == file),
        None => SOURCES.iter().find(|s| s.folder != LIBRARY && s.name == name),
    }
}

/// The text of a kernel's file, or of the library file `lib/NAME`.
pub fn source(name: &str) -> Option<&'static str> {
    find(name).map(|s| s.text)
}

/// The path of that file, for messages.
pub(super) fn path(name: &str) -> String {
    find(name).map_or_else(|| format!("shaders/{name}.wgsl"), |s| format!("shaders/{}/{}.wgsl", s.folder, s.name))
}

/// Names of all kernels, without library files.
pub fn all_shaders() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().filter(|s| s.folder != LIBRARY).map(|s| s.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_names_are_unique() {
        let mut names: Vec<_> = all_shaders().collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }
}
