//! A convolution named on the command line of a benchmark.

use unet_wgpu::low_level::ops::{Conv2d, ConvTranspose2d, Function, InputKind, OpCase, Source};
use unet_wgpu::low_level::tensor::Shape;
use unet_wgpu::{Error, Result};

/// `IC,OC,H,W[,K[,PAD]]`; `IC` may be a sum as in `64+64` for a convolution over several sources, `T` in place of `K` is the
/// transposed convolution 2x2 with stride 2.
pub(crate) fn case(text: &str) -> Result<OpCase> {
    parse(text).ok_or_else(|| Error::invalid(text.to_string(), "wanted IC,OC,H,W[,K[,PAD]]"))
}

fn parse(text: &str) -> Option<OpCase> {
    let fields: Vec<&str> = text.split(',').collect();
    let number = |i: usize| fields.get(i).and_then(|f| f.parse::<usize>().ok());
    let channels: Vec<usize> = fields.first()?.split('+').map(|c| c.parse().ok()).collect::<Option<_>>()?;
    let (total, out, h, w) = (channels.iter().sum::<usize>(), number(1)?, number(2)?, number(3)?);
    let shapes: Vec<Shape> = channels.iter().map(|&c| Shape::new(1, c, h, w)).collect();
    if fields.get(4) == Some(&"T") {
        let case = OpCase::new(text, ConvTranspose2d::up2(out), &shapes);
        return Some(case.parameter(&[total, out, 2, 2], InputKind::Parameter).parameter(&[out], InputKind::Parameter));
    }
    let kernel = number(4).unwrap_or(3);
    let conv = Conv2d::new(out, kernel, number(5).unwrap_or(kernel / 2)).with_bias(true);
    let mut op = conv.with_activation(Function::Relu);
    op.sources = vec![Source::WHOLE; channels.len()];
    let case = OpCase::new(text, op, &shapes).parameter(&[out, total, kernel, kernel], InputKind::Parameter);
    Some(case.parameter(&[out], InputKind::Parameter))
}
