//! Parameters of the kernels that need no file of their own. Convolution and transposed convolution share most.

use crate::kernel::{View, shader_struct};

shader_struct! {
    /// Parameters of `conv2d_plain` and `conv_transpose2d_plain`.
    pub(in crate::low_level::ops) struct PlainParams {
        x: View,
        y: View,
        ow: u32,
        oh: u32,
        out_blocks: u32,
        in_blocks: u32,
        h: u32,
        w: u32,
        stride_y: u32,
        stride_x: u32,
        pad_top: u32,
        pad_left: u32,
        dilation_y: u32,
        dilation_x: u32,
        alpha: f32,
        beta: f32,
    }

    /// Parameters of `conv2d_tile`.
    pub(in crate::low_level::ops) struct TileParams {
        x: View,
        y: View,
        ow: u32,
        oh: u32,
        out_blocks: u32,
        in_blocks: u32,
        pad_top: u32,
        pad_left: u32,
        alpha: f32,
        beta: f32,
    }

    /// Parameters of `conv2d_grouped` and `conv_transpose2d_grouped`.
    pub(in crate::low_level::ops) struct GroupedParams {
        x: View,
        y: View,
        ow: u32,
        oh: u32,
        out_blocks: u32,
        out_channels: u32,
        h: u32,
        w: u32,
        stride_y: u32,
        stride_x: u32,
        pad_top: u32,
        pad_left: u32,
        dilation_y: u32,
        dilation_x: u32,
        /// Input channels per group.
        group_in: u32,
        /// Output channels per group.
        group_out: u32,
        alpha: f32,
        beta: f32,
    }

    /// Parameters of `conv2d_gemm`.
    pub(in crate::low_level::ops) struct GemmParams {
        x: View,
        y: View,
        /// Output columns and rows; together the columns of the GEMM.
        ow: u32,
        oh: u32,
        out_blocks: u32,
        in_blocks: u32,
        pad_top: u32,
        pad_left: u32,
        stride_y: u32,
        stride_x: u32,
        dilation_y: u32,
        dilation_x: u32,
        /// Number of K blocks.
        steps: u32,
        /// First block of columns.
        first_block: u32,
        kh: u32,
        kw: u32,
        /// Whether rows come first in the grid.
        rows_first: u32,
        /// 1 for the four GEMMs of a transposed convolution.
        up: u32,
        alpha: f32,
        beta: f32,
    }
}
