//! The test cases of the convolution: every geometry, and what each kernel family must get right at its edges.

use super::{Conv2d, Source};
use crate::ops::{ActivationKind, InputKind, OpCase, ResizeMode};
use crate::tensor::Shape;

pub(in crate::low_level::ops) fn cases() -> Vec<OpCase> {
    let case = |name: &str, op: Conv2d, data: &[Shape]| {
        let channels: usize = data.iter().map(|d| d.c).sum();
        let dims = [op.out_channels, channels / op.groups, op.kernel[0], op.kernel[1]];
        let (bias, out) = (op.bias, op.out_channels);
        let case = OpCase::new(format!("conv2d/{name}"), op, data).parameter(&dims, InputKind::Parameter);
        if bias { case.parameter(&[out], InputKind::Parameter) } else { case }
    };
    let s = Shape::new;
    let relu = ActivationKind::Relu;
    let half = ResizeMode::Bilinear { align_corners: false };
    let corners = ResizeMode::Bilinear { align_corners: true };
    vec![
        case("3x3 padding 1", Conv2d::new(4, 3, 1).with_bias(true), &[s(2, 3, 9, 11)]),
        case(
            "3x3 padding 1, ReLU, many channels",
            Conv2d::new(37, 3, 1).with_bias(true).with_activation(relu),
            &[s(1, 21, 13, 34)],
        ),
        case("3x3 valid", Conv2d::new(5, 3, 0), &[s(2, 3, 9, 11)]),
        case("3x3 valid, one output pixel", Conv2d::new(5, 3, 0), &[s(1, 3, 3, 3)]),
        case("1x1", Conv2d::new(2, 1, 0).with_bias(true), &[s(2, 9, 5, 70)]),
        case(
            "1x1 sigmoid",
            Conv2d::new(1, 1, 0).with_bias(true).with_activation(ActivationKind::Sigmoid),
            &[s(1, 16, 6, 7)],
        ),
        case("2x2 pad right and bottom", Conv2d { padding: [0, 0, 1, 1], ..Conv2d::new(3, 2, 0) }, &[s(1, 4, 8, 6)]),
        case("7x7 stride 2 padding 3", Conv2d { stride: [2; 2], ..Conv2d::new(4, 7, 3) }, &[s(1, 3, 17, 16)]),
        case("dilation 2", Conv2d { dilation: [2; 2], ..Conv2d::new(4, 3, 2) }, &[s(1, 3, 12, 13)]),
        case("dilation 8", Conv2d { dilation: [8; 2], ..Conv2d::new(3, 3, 8).with_bias(true) }, &[s(1, 3, 18, 19)]),
        case("stride 2", Conv2d { stride: [2; 2], ..Conv2d::new(4, 3, 1).with_bias(true) }, &[s(1, 3, 9, 8)]),
        case("1x1 stride 2", Conv2d { stride: [2; 2], ..Conv2d::new(4, 1, 0) }, &[s(1, 3, 9, 8)]),
        case(
            "1x5, uneven stride, padding and dilation",
            Conv2d { kernel: [1, 5], stride: [2, 1], padding: [0, 3, 1, 2], dilation: [1, 2], ..Conv2d::new(6, 1, 0) },
            &[s(1, 5, 7, 15)],
        ),
        case("leaky ReLU", Conv2d::new(6, 3, 1).with_activation(ActivationKind::LeakyRelu(0.1)), &[s(1, 4, 6, 6)]),
        case(
            "groups 2",
            Conv2d { groups: 2, ..Conv2d::new(6, 3, 1).with_bias(true).with_activation(relu) },
            &[s(2, 10, 7, 9)],
        ),
        case("depthwise, stride 2", Conv2d { groups: 7, stride: [2; 2], ..Conv2d::new(7, 3, 1) }, &[s(1, 7, 9, 12)]),
        case(
            "three sources",
            Conv2d { sources: vec![Source::WHOLE; 3], ..Conv2d::new(8, 3, 1).with_bias(true).with_activation(relu) },
            &[s(2, 5, 6, 9), s(2, 8, 6, 9), s(2, 2, 6, 9)],
        ),
        case(
            "two sources, one cropped",
            Conv2d {
                sources: vec![Source::at(2, 3), Source::WHOLE],
                region: Some([6, 7]),
                ..Conv2d::new(4, 3, 0).with_activation(relu)
            },
            &[s(1, 4, 10, 13), s(1, 5, 6, 7)],
        ),
        case(
            "three strided sources",
            Conv2d { sources: vec![Source::WHOLE; 3], stride: [2; 2], ..Conv2d::new(4, 3, 1).with_bias(true) },
            &[s(1, 3, 9, 7), s(1, 4, 9, 7), s(1, 1, 9, 7)],
        ),
        case("one pixel", Conv2d::new(3, 3, 1), &[s(1, 2, 1, 1)]),
        case(
            "two tiles of every kernel, batch 2",
            Conv2d::new(67, 3, 1).with_bias(true).with_activation(relu),
            &[s(2, 37, 9, 13)],
        ),
        case(
            "3x3 valid, two sources, one cropped, batch 2",
            Conv2d {
                sources: vec![Source::at(1, 2), Source::WHOLE],
                region: Some([11, 19]),
                ..Conv2d::new(36, 3, 0).with_bias(true).with_activation(relu)
            },
            &[s(2, 33, 14, 22), s(2, 30, 11, 19)],
        ),
        case(
            "3x3, three sources of odd channels",
            Conv2d { sources: vec![Source::WHOLE; 3], ..Conv2d::new(10, 3, 1).with_bias(true) },
            &[s(1, 5, 7, 6), s(1, 1, 7, 6), s(1, 9, 7, 6)],
        ),
        case(
            "more columns than any tile",
            Conv2d::new(20, 3, 1).with_bias(true).with_activation(relu),
            &[s(1, 16, 15, 21)],
        ),
        case("more Winograd tiles than a chunk", Conv2d::new(3, 3, 1), &[s(1, 2, 70, 75)]),
        case("3x3, one column", Conv2d::new(5, 3, 1).with_bias(true), &[s(1, 6, 7, 1)]),
        case(
            "1x1, many channels, two sources",
            Conv2d { sources: vec![Source::WHOLE; 2], ..Conv2d::new(70, 1, 0).with_bias(true) },
            &[s(2, 33, 5, 9), s(2, 6, 5, 9)],
        ),
        case(
            "2x2, odd channels",
            Conv2d { padding: [0, 0, 1, 1], ..Conv2d::new(9, 2, 0).with_activation(relu) },
            &[s(1, 7, 9, 17)],
        ),
        case("image to 20 channels", Conv2d::new(20, 3, 1).with_bias(true).with_activation(relu), &[s(2, 1, 11, 18)]),
        case(
            "pooled too",
            Conv2d { pool: true, ..Conv2d::new(9, 3, 1).with_bias(true).with_activation(relu) },
            &[s(2, 6, 12, 20)],
        ),
        case("pooled too, odd size", Conv2d { pool: true, ..Conv2d::new(5, 3, 0) }, &[s(1, 3, 9, 13)]),
        case("1x1, pooled too", Conv2d { pool: true, ..Conv2d::new(5, 1, 0).with_bias(true) }, &[s(1, 3, 7, 6)]),
        case(
            "upsampled, bilinear x2",
            Conv2d { sources: vec![Source::upsampled(half, 2)], ..Conv2d::new(9, 3, 1).with_bias(true) },
            &[s(2, 6, 7, 9)],
        ),
        case(
            "upsampled, corners x2, and a plain source",
            Conv2d {
                sources: vec![Source::WHOLE, Source::upsampled(corners, 2)],
                ..Conv2d::new(37, 3, 1).with_bias(true).with_activation(relu)
            },
            &[s(1, 5, 22, 26), s(1, 33, 11, 13)],
        ),
        case(
            "upsampled, nearest x2, pooled too",
            Conv2d { sources: vec![Source::upsampled(ResizeMode::Nearest, 2)], pool: true, ..Conv2d::new(6, 3, 1) },
            &[s(1, 7, 5, 6)],
        ),
        case(
            "upsampled, corners x2, from two rows",
            Conv2d { sources: vec![Source::upsampled(corners, 2)], ..Conv2d::new(3, 3, 1) },
            &[s(1, 4, 2, 3)],
        ),
        case(
            "upsampled, bilinear x2, from one pixel",
            Conv2d { sources: vec![Source::upsampled(half, 2)], ..Conv2d::new(3, 3, 1) },
            &[s(1, 4, 1, 1)],
        ),
        case(
            "upsampled, bilinear x2, valid",
            Conv2d { sources: vec![Source::upsampled(half, 2)], ..Conv2d::new(4, 3, 0).with_activation(relu) },
            &[s(2, 5, 5, 8)],
        ),
        case(
            "upsampled, bilinear x4",
            Conv2d { sources: vec![Source::upsampled(half, 4)], ..Conv2d::new(4, 3, 1) },
            &[s(1, 5, 3, 4)],
        ),
        case(
            "two channels, stride 2",
            Conv2d { stride: [2; 2], ..Conv2d::new(9, 3, 1).with_bias(true) },
            &[s(1, 2, 11, 18)],
        ),
    ]
}
