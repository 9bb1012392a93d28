//! U-Net (Ronneberger, Fischer, Brox 2015, arXiv 1505.04597) with the variants found in public code.

use super::blocks::{ConvStyle, concat, conv, double_conv, mask_rule, probability, resize, up_conv};
use super::configured::{Configured, ModelCase, described};
use super::{Architecture, Built, DefaultLoss, MAX_CHANNELS, SizeRule, check_common, in_range, levels};
use crate::error::{Error, Result};
use crate::graph::{DropoutAt, Graph, ValueId};
use crate::ops::{Conv2d, Crop2d, Function, MaxPool2d, Pad2d, ResizeMode, Unary};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Zero padding of the 3x3 convolutions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Padding {
    /// No padding, as in the paper: 572 -> 388 pixels; skip connections are centre-cropped.
    #[default]
    Valid,
    /// One pixel, which keeps the size; upsampled maps are zero-padded to the size of their skip connection.
    Same,
}

/// How the decoder upsamples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Up {
    /// 2x2 transposed convolution with stride 2, to the width of the level.
    #[default]
    Transpose,
    /// Bilinear by a factor of 2, channels unchanged.
    Bilinear,
    /// Nearest neighbour by a factor of 2, then a 2x2 convolution (padded right and bottom) and ReLU.
    NearestConv,
}

/// Configuration of a U-Net. Input `[N, in_channels, H, W]`, output `logits` `[N, out_channels, H', W']`.
///
/// Parameters: `enc.{i}.conv1|bn1|conv2|bn2` (i = 0 at full resolution), `up.{i}`, `dec.{i}.conv1|..`, `head`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UNet {
    /// Channels of the image.
    pub in_channels: usize,
    /// Classes.
    pub out_channels: usize,
    /// Channels of level 0, doubling per level.
    pub width: usize,
    /// Channels of every level, `depth + 1` entries; overrides `width`.
    pub widths: Option<Vec<usize>>,
    /// Number of poolings.
    pub depth: usize,
    /// Padding of the 3x3 convolutions.
    pub padding: Padding,
    /// How the decoder upsamples.
    pub up: Up,
    /// `align_corners` of bilinear upsampling.
    pub align_corners: bool,
    /// Bilinear only: halves the bottom and decoder widths, as in milesial/Pytorch-UNet.
    pub slim: bool,
    /// Batch normalisation after each 3x3 convolution.
    pub norm: bool,
    /// Bias of the 3x3 convolutions; default: only without batch normalisation.
    pub conv_bias: Option<bool>,
    /// ReLU after the transposed convolution, as in the published Caffe network.
    pub up_relu: bool,
    /// Dropout probability at the two deepest encoder outputs; training only.
    pub dropout: f64,
    /// Concatenate `[skip, up]` rather than `[up, skip]`.
    pub skip_first: bool,
    /// Output channels of the last up-convolution, if they differ from the width of level 0.
    pub last_up_channels: Option<usize>,
}

impl Default for UNet {
    fn default() -> Self {
        Self {
            in_channels: 1,
            out_channels: 2,
            width: 64,
            widths: None,
            depth: 4,
            padding: Padding::Valid,
            up: Up::Transpose,
            align_corners: true,
            slim: false,
            norm: true,
            conv_bias: None,
            up_relu: false,
            dropout: 0.0,
            skip_first: true,
            last_up_channels: None,
        }
    }
}

impl UNet {
    /// Checks every value.
    pub fn checked(self) -> Result<Self> {
        check_common(self.in_channels, self.out_channels, self.depth)?;
        let levels = levels(self.widths.as_deref(), self.width, self.depth)?;
        // Slim decoder levels have half their width, except level 0.
        if self.slim && self.up == Up::Bilinear && levels[1..].contains(&1) {
            return Err(Error::invalid("slim", "halves the widths, which must be at least 2"));
        }
        in_range("last_up_channels", self.last_up_channels.unwrap_or(1), MAX_CHANNELS)?;
        Ok(self)
    }

    /// Upsamples `x` into level `i`; learned upsampling gives `lift` channels.
    fn upsample(&self, g: &mut Graph, i: usize, x: ValueId, lift: usize) -> Result<ValueId> {
        let name = format!("up.{i}");
        match self.up {
            Up::Transpose => {
                let up = up_conv(g, &name, x, lift)?;
                if self.up_relu { relu(g, &name, up) } else { Ok(up) }
            }
            Up::Bilinear => resize(g, &name, x, 2, ResizeMode::Bilinear { align_corners: self.align_corners }),
            Up::NearestConv => {
                let up = resize(g, &format!("{name}.nearest"), x, 2, ResizeMode::Nearest)?;
                let op = Conv2d { padding: [0, 0, 1, 1], ..Conv2d::new(lift, 2, 0).with_bias(true) };
                let up = conv(g, &name, up, op)?;
                relu(g, &name, up)
            }
        }
    }

    /// Crops the skip or pads the upsampled map so that their sizes match.
    fn fit(&self, g: &mut Graph, i: usize, skip: ValueId, up: ValueId) -> Result<(ValueId, ValueId)> {
        let (s, u) = (g.shape(skip), g.shape(up));
        if (s.h, s.w) == (u.h, u.w) {
            return Ok((skip, up));
        }
        match self.padding {
            Padding::Valid => {
                let crop = Crop2d::center(s, u.h, u.w)
                    .ok_or_else(|| Error::op(format!("dec.{i}"), format!("skip {s} is smaller than {u}")))?;
                Ok((g.node(format!("dec.{i}.crop"), crop, &[skip])?, up))
            }
            Padding::Same => {
                let (dy, dx) = (s.h as i64 - u.h as i64, s.w as i64 - u.w as i64);
                let (top, left) = (dy.div_euclid(2), dx.div_euclid(2));
                let pad = Pad2d { left, right: dx - left, top, bottom: dy - top };
                Ok((skip, g.node(format!("dec.{i}.pad"), pad, &[up])?))
            }
        }
    }
}

fn relu(g: &mut Graph, name: &str, x: ValueId) -> Result<ValueId> {
    g.node(format!("{name}.relu"), Unary { kind: Function::Relu }, &[x])
}

impl Configured for UNet {
    const SPELLINGS: &'static [&'static str] = &["unet"];

    fn validated(self) -> Result<Self> {
        self.checked()
    }

    fn small() -> serde_json::Value {
        json!({ "width": 16, "padding": "same" })
    }

    fn cases() -> Vec<ModelCase> {
        vec![
            (json!({"width": 4, "depth": 2}), [2, 1, 60, 44]),
            (
                json!({"width": 4, "depth": 2, "norm": false, "up_relu": true, "skip_first": false, "last_up_channels": 8}),
                [1, 1, 52, 60],
            ),
            (json!({"in_channels": 3, "width": 5, "depth": 3, "padding": "same"}), [1, 3, 32, 24]),
            (json!({"in_channels": 3, "width": 3, "depth": 3, "padding": "same", "conv_bias": true}), [2, 3, 29, 38]),
            (
                json!({"in_channels": 3, "out_channels": 3, "width": 4, "depth": 2, "padding": "same", "up": "bilinear", "slim": true}),
                [1, 3, 29, 38],
            ),
            (
                json!({"width": 4, "depth": 2, "padding": "same", "up": "bilinear", "align_corners": false}),
                [1, 1, 16, 20],
            ),
            (
                json!({"out_channels": 1, "width": 4, "depth": 2, "padding": "same", "up": "nearest_conv", "norm": false}),
                [1, 1, 24, 20],
            ),
            (json!({"widths": [3, 5, 9], "depth": 2}), [1, 1, 44, 44]),
        ]
    }
}

impl Architecture for UNet {
    described!("U-Net");

    fn size_rule(&self) -> SizeRule {
        let step = 1 << self.depth;
        match self.padding {
            Padding::Same => SizeRule { minimum: step, step, margin: 0 },
            // Unpadded: input = 2^d b + 4 (2^d - 1) for bottom size b, output = input - (12 * 2^d - 8).
            Padding::Valid => {
                let lost = 12 * step - 8;
                let base = 4 * (step - 1);
                let minimum = base + (lost + 1 - base).div_ceil(step) * step;
                SizeRule { minimum, step, margin: lost / 2 }
            }
        }
    }

    /// At the end of the contracting path, as in the paper: the outputs of the two deepest levels.
    fn dropouts(&self) -> Vec<DropoutAt> {
        let at = |i: usize| DropoutAt { node: format!("enc.{i}"), input: false, p: self.dropout as f32 };
        (self.depth.saturating_sub(1)..=self.depth).map(at).collect()
    }

    fn default_loss(&self) -> DefaultLoss {
        if self.out_channels == 1 { DefaultLoss::CrossEntropyDice } else { DefaultLoss::WeightedCrossEntropy }
    }

    fn build(&self, g: &mut Graph, x: ValueId) -> Result<Built> {
        let w = levels(self.widths.as_deref(), self.width, self.depth)?;
        let style = ConvStyle {
            padding: usize::from(self.padding == Padding::Same),
            norm: self.norm,
            bias: self.conv_bias.unwrap_or(!self.norm),
        };
        let slim = self.slim && self.up == Up::Bilinear;
        let mut x = x;
        let mut skips = Vec::new();
        for (i, &width) in w.iter().enumerate() {
            if i > 0 {
                x = g.node(format!("enc.{i}.pool"), MaxPool2d::new(2), &[x])?;
            }
            let out = if slim && i == self.depth { width / 2 } else { width };
            x = double_conv(g, &format!("enc.{i}"), x, out, out, style)?;
            skips.push(x);
        }
        for i in (0..self.depth).rev() {
            let lift = self.last_up_channels.filter(|_| i == 0).unwrap_or(w[i]);
            let up = self.upsample(g, i, x, lift)?;
            let (skip, up) = self.fit(g, i, skips[i], up)?;
            let pair = if self.skip_first { [skip, up] } else { [up, skip] };
            let cat = concat(g, &format!("dec.{i}.concat"), &pair)?;
            let (mid, out) = match slim {
                true => (g.shape(cat).c / 2, if i > 0 { w[i] / 2 } else { w[0] }),
                false => (w[i], w[i]),
            };
            x = double_conv(g, &format!("dec.{i}"), cat, mid, out, style)?;
        }
        let logits = conv(g, "head", x, Conv2d::new(self.out_channels, 1, 0).with_bias(true))?;
        let probability = probability(g, "probability", logits)?;
        // Softmax preserves the order of the classes, so the mask needs only the logits.
        let decision = if self.out_channels == 1 { probability } else { logits };
        let outputs = vec![("logits".to_string(), logits)];
        Ok(Built { outputs, logits, probability, decision, rule: mask_rule(self.out_channels) })
    }
}
