//! Test cases of the convolution: every geometry, and the edge cases of each kernel family.

use super::{Conv2d, FusedConv2d, JoinedConv2d, Source};
use crate::ops::{Corner, Function, InputKind, OpCase, ResizeMode};
use crate::tensor::Shape;

pub(in crate::low_level::ops) fn cases() -> Vec<OpCase> {
    let mut all = Vec::new();
    for (name, op, data) in fused() {
        // Fused convolutions have no gradient, so the convolution without its activation is a case too.
        let alone = FusedConv2d { activation: Function::Identity, ..op.clone() };
        if op.activation != Function::Identity && !op.pool && op.sources.iter().all(|s| s.upsample.is_none()) {
            all.push(case(&format!("{name}, no activation"), &alone, &data));
        }
        all.push(case(name, &op, &data));
    }
    all
}

/// A case for the simplest op that computes it.
fn case(name: &str, op: &FusedConv2d, data: &[Shape]) -> OpCase {
    let conv = &op.conv;
    let channels: usize = data.iter().map(|d| d.c).sum();
    let dims = [conv.out_channels, channels / conv.groups, conv.kernel[0], conv.kernel[1]];
    let name = format!("conv2d/{name}");
    let corners = op.sources.iter().map(|s| Corner { top: s.top, left: s.left }).collect();
    let joined = JoinedConv2d { conv: conv.clone(), sources: corners, region: op.region };
    let case = if FusedConv2d::from(conv.clone()) == *op {
        OpCase::new(name, conv.clone(), data)
    } else if FusedConv2d::from(joined.clone()) == *op {
        OpCase::new(name, joined, data)
    } else {
        OpCase::new(name, op.clone(), data)
    };
    let case = case.parameter(&dims, InputKind::Parameter);
    if conv.bias { case.parameter(&[conv.out_channels], InputKind::Parameter) } else { case }
}

/// Name, convolution and inputs of a case.
fn entry(name: &'static str, op: impl Into<FusedConv2d>, data: &[Shape]) -> (&'static str, FusedConv2d, Vec<Shape>) {
    (name, op.into(), data.to_vec())
}

fn fused() -> Vec<(&'static str, FusedConv2d, Vec<Shape>)> {
    let s = Shape::new;
    let relu = Function::Relu;
    let half = ResizeMode::Bilinear { align_corners: false };
    let corners = ResizeMode::Bilinear { align_corners: true };
    vec![
        entry("3x3 padding 1", Conv2d::new(4, 3, 1).with_bias(true), &[s(2, 3, 9, 11)]),
        entry(
            "3x3 padding 1, ReLU, many channels",
            Conv2d::new(37, 3, 1).with_bias(true).with_activation(relu),
            &[s(1, 21, 13, 34)],
        ),
        entry("3x3 valid", Conv2d::new(5, 3, 0), &[s(2, 3, 9, 11)]),
        entry("3x3 valid, one output pixel", Conv2d::new(5, 3, 0), &[s(1, 3, 3, 3)]),
        entry("1x1", Conv2d::new(2, 1, 0).with_bias(true), &[s(2, 9, 5, 70)]),
        entry(
            "1x1 sigmoid",
            Conv2d::new(1, 1, 0).with_bias(true).with_activation(Function::Sigmoid),
            &[s(1, 16, 6, 7)],
        ),
        entry("2x2 pad right and bottom", Conv2d { padding: [0, 0, 1, 1], ..Conv2d::new(3, 2, 0) }, &[s(1, 4, 8, 6)]),
        entry("7x7 stride 2 padding 3", Conv2d { stride: [2; 2], ..Conv2d::new(4, 7, 3) }, &[s(1, 3, 17, 16)]),
        entry("dilation 2", Conv2d { dilation: [2; 2], ..Conv2d::new(4, 3, 2) }, &[s(1, 3, 12, 13)]),
        entry("dilation 8", Conv2d { dilation: [8; 2], ..Conv2d::new(3, 3, 8).with_bias(true) }, &[s(1, 3, 18, 19)]),
        entry("stride 2", Conv2d { stride: [2; 2], ..Conv2d::new(4, 3, 1).with_bias(true) }, &[s(1, 3, 9, 8)]),
        entry("1x1 stride 2", Conv2d { stride: [2; 2], ..Conv2d::new(4, 1, 0) }, &[s(1, 3, 9, 8)]),
        entry(
            "1x5, uneven stride, padding and dilation",
            Conv2d { kernel: [1, 5], stride: [2, 1], padding: [0, 3, 1, 2], dilation: [1, 2], ..Conv2d::new(6, 1, 0) },
            &[s(1, 5, 7, 15)],
        ),
        entry("leaky ReLU", Conv2d::new(6, 3, 1).with_activation(Function::LeakyRelu { slope: 0.1 }), &[s(1, 4, 6, 6)]),
        entry(
            "groups 2",
            Conv2d { groups: 2, ..Conv2d::new(6, 3, 1).with_bias(true) }.with_activation(relu),
            &[s(2, 10, 7, 9)],
        ),
        entry("depthwise, stride 2", Conv2d { groups: 7, stride: [2; 2], ..Conv2d::new(7, 3, 1) }, &[s(1, 7, 9, 12)]),
        entry(
            "three sources",
            FusedConv2d {
                sources: vec![Source::WHOLE; 3],
                ..Conv2d::new(8, 3, 1).with_bias(true).with_activation(relu)
            },
            &[s(2, 5, 6, 9), s(2, 8, 6, 9), s(2, 2, 6, 9)],
        ),
        entry(
            "two sources, one cropped",
            FusedConv2d {
                sources: vec![Source::at(2, 3), Source::WHOLE],
                region: Some([6, 7]),
                ..Conv2d::new(4, 3, 0).with_activation(relu)
            },
            &[s(1, 4, 10, 13), s(1, 5, 6, 7)],
        ),
        entry(
            "three strided sources",
            FusedConv2d {
                sources: vec![Source::WHOLE; 3],
                ..Conv2d { stride: [2; 2], ..Conv2d::new(4, 3, 1).with_bias(true) }.into()
            },
            &[s(1, 3, 9, 7), s(1, 4, 9, 7), s(1, 1, 9, 7)],
        ),
        entry("one pixel", Conv2d::new(3, 3, 1), &[s(1, 2, 1, 1)]),
        entry(
            "two tiles of every kernel, batch 2",
            Conv2d::new(67, 3, 1).with_bias(true).with_activation(relu),
            &[s(2, 37, 9, 13)],
        ),
        entry(
            "3x3 valid, two sources, one cropped, batch 2",
            FusedConv2d {
                sources: vec![Source::at(1, 2), Source::WHOLE],
                region: Some([11, 19]),
                ..Conv2d::new(36, 3, 0).with_bias(true).with_activation(relu)
            },
            &[s(2, 33, 14, 22), s(2, 30, 11, 19)],
        ),
        entry(
            "3x3, three sources of odd channels",
            FusedConv2d { sources: vec![Source::WHOLE; 3], ..Conv2d::new(10, 3, 1).with_bias(true).into() },
            &[s(1, 5, 7, 6), s(1, 1, 7, 6), s(1, 9, 7, 6)],
        ),
        entry(
            "more columns than any tile",
            Conv2d::new(20, 3, 1).with_bias(true).with_activation(relu),
            &[s(1, 16, 15, 21)],
        ),
        entry("more Winograd tiles than a chunk", Conv2d::new(3, 3, 1), &[s(1, 2, 70, 75)]),
        entry("3x3, one column", Conv2d::new(5, 3, 1).with_bias(true), &[s(1, 6, 7, 1)]),
        entry(
            "1x1, many channels, two sources",
            FusedConv2d { sources: vec![Source::WHOLE; 2], ..Conv2d::new(70, 1, 0).with_bias(true).into() },
            &[s(2, 33, 5, 9), s(2, 6, 5, 9)],
        ),
        entry(
            "2x2, odd channels",
            Conv2d { padding: [0, 0, 1, 1], ..Conv2d::new(9, 2, 0) }.with_activation(relu),
            &[s(1, 7, 9, 17)],
        ),
        entry("image to 20 channels", Conv2d::new(20, 3, 1).with_bias(true).with_activation(relu), &[s(2, 1, 11, 18)]),
        entry(
            "pooled too",
            FusedConv2d { pool: true, ..Conv2d::new(9, 3, 1).with_bias(true).with_activation(relu) },
            &[s(2, 6, 12, 20)],
        ),
        entry("pooled too, odd size", FusedConv2d { pool: true, ..Conv2d::new(5, 3, 0).into() }, &[s(1, 3, 9, 13)]),
        entry(
            "1x1, pooled too",
            FusedConv2d { pool: true, ..Conv2d::new(5, 1, 0).with_bias(true).into() },
            &[s(1, 3, 7, 6)],
        ),
        entry(
            "upsampled, bilinear x2",
            FusedConv2d { sources: vec![Source::upsampled(half, 2)], ..Conv2d::new(9, 3, 1).with_bias(true).into() },
            &[s(2, 6, 7, 9)],
        ),
        entry(
            "upsampled, corners x2, and a plain source",
            FusedConv2d {
                sources: vec![Source::WHOLE, Source::upsampled(corners, 2)],
                ..Conv2d::new(37, 3, 1).with_bias(true).with_activation(relu)
            },
            &[s(1, 5, 22, 26), s(1, 33, 11, 13)],
        ),
        entry(
            "upsampled, nearest x2, pooled too",
            FusedConv2d {
                sources: vec![Source::upsampled(ResizeMode::Nearest, 2)],
                pool: true,
                ..Conv2d::new(6, 3, 1).into()
            },
            &[s(1, 7, 5, 6)],
        ),
        entry(
            "upsampled, corners x2, from two rows",
            FusedConv2d { sources: vec![Source::upsampled(corners, 2)], ..Conv2d::new(3, 3, 1).into() },
            &[s(1, 4, 2, 3)],
        ),
        entry(
            "upsampled, bilinear x2, from one pixel",
            FusedConv2d { sources: vec![Source::upsampled(half, 2)], ..Conv2d::new(3, 3, 1).into() },
            &[s(1, 4, 1, 1)],
        ),
        entry(
            "upsampled, bilinear x2, valid",
            FusedConv2d { sources: vec![Source::upsampled(half, 2)], ..Conv2d::new(4, 3, 0).with_activation(relu) },
            &[s(2, 5, 5, 8)],
        ),
        entry(
            "upsampled, bilinear x4",
            FusedConv2d { sources: vec![Source::upsampled(half, 4)], ..Conv2d::new(4, 3, 1).into() },
            &[s(1, 5, 3, 4)],
        ),
        entry(
            "two channels, stride 2",
            Conv2d { stride: [2; 2], ..Conv2d::new(9, 3, 1).with_bias(true) },
            &[s(1, 2, 11, 18)],
        ),
    ]
}
