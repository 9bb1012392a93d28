//! U-Net 3+ (Huang et al. 2020, arXiv 2004.08790): full-scale skips, deep supervision, classification-guided module.

use super::blocks::{ConvStyle, UnitNames, concat, conv, conv_norm_relu, double_conv, resize, sigmoid};
use super::configured::{Configured, ModelCase, described};
use super::{Architecture, Built, DefaultLoss, MAX_CHANNELS, SizeRule, check_common, in_range, levels};
use crate::error::{Error, Result};
use crate::graph::{DropoutAt, Graph, ValueId};
use crate::ops::{ArgmaxGate, Conv2d, GlobalMaxPool, MaskRule, MaxPool2d, ResizeMode, ScaleByGate, Softmax};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Where the gate of the classification-guided module (CGM) is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gate {
    /// To the probabilities (paper): a closed gate gives an empty mask.
    #[default]
    Prob,
    /// To the logits, before the activation (official code): a closed gate gives probability 0.5 everywhere.
    Logit,
}

/// Activation from logits to probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadActivation {
    /// Sigmoid per channel (official code).
    #[default]
    Sigmoid,
    /// Softmax over the channels.
    Softmax,
}

/// Configuration of a U-Net 3+. Every decoder level reads all scales, `cat` channels from each.
///
/// Outputs, `[N, out_channels, H, W]` each, index 0 = full resolution: `logits.{d}` before gate and activation,
/// `probs.{d}` after; with CGM also `cls` `[N, 2]` and `gate` `[N]` (as `[N, 2, 1, 1]` and `[N, 1, 1, 1]`).
/// Parameters: `enc.{i}.conv1|bn1|..`, `skip.{d}_{s}.conv|bn`, `fuse.{d}.conv|bn`, `head.{d}`, `cgm`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UNet3Plus {
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
    /// Channels that a decoder level takes from each scale; default: width of level 0.
    pub cat: Option<usize>,
    /// Batch normalisation after each 3x3 convolution.
    pub norm: bool,
    /// Bias of the 3x3 convolutions.
    pub conv_bias: bool,
    /// A head on every level, not only on level 0.
    pub deep_supervision: bool,
    /// The classification-guided module; needs `deep_supervision`.
    pub cgm: bool,
    /// Where its gate is applied.
    pub cgm_gate: Gate,
    /// Its dropout probability; training only.
    pub cgm_dropout: f64,
    /// Activation from logits to probabilities.
    pub activation: HeadActivation,
    /// `align_corners` of bilinear upsampling.
    pub align_corners: bool,
}

impl Default for UNet3Plus {
    fn default() -> Self {
        Self {
            in_channels: 1,
            out_channels: 1,
            width: 64,
            widths: None,
            depth: 4,
            cat: None,
            norm: true,
            conv_bias: true,
            deep_supervision: false,
            cgm: false,
            cgm_gate: Gate::Prob,
            cgm_dropout: 0.5,
            activation: HeadActivation::Sigmoid,
            align_corners: false,
        }
    }
}

/// conv3x3 -> [BN] -> ReLU with parameters `{name}.conv.*` and `{name}.bn.*`.
fn unit(g: &mut Graph, name: &str, x: ValueId, out: usize, style: ConvStyle) -> Result<ValueId> {
    let (conv, norm) = (format!("{name}.conv"), format!("{name}.bn"));
    conv_norm_relu(g, UnitNames { label: name, conv: &conv, norm: &norm }, x, out, style)
}

impl UNet3Plus {
    /// Checks every value.
    pub fn checked(self) -> Result<Self> {
        check_common(self.in_channels, self.out_channels, self.depth)?;
        levels(self.widths.as_deref(), self.width, self.depth)?;
        if self.cgm && !self.deep_supervision {
            return Err(Error::invalid("cgm", "needs deep_supervision"));
        }
        in_range("cat", self.cat.unwrap_or(1), MAX_CHANNELS)?;
        Ok(self)
    }

    /// Source `s` at the scale of decoder level `d`.
    fn source(&self, g: &mut Graph, d: usize, s: usize, enc: &[ValueId], dec: &[Option<ValueId>]) -> Result<ValueId> {
        if s <= d {
            let label = format!("skip.{d}_{s}.pool");
            return if s == d { Ok(enc[s]) } else { g.node(label, MaxPool2d::ceil(1 << (d - s)), &[enc[s]]) };
        }
        let x = dec[s].ok_or_else(|| Error::op(format!("skip.{d}_{s}"), "is built before its source"))?;
        resize(g, &format!("skip.{d}_{s}.up"), x, 1 << (s - d), self.bilinear())
    }

    fn bilinear(&self) -> ResizeMode {
        ResizeMode::Bilinear { align_corners: self.align_corners }
    }

    fn activate(&self, g: &mut Graph, label: &str, z: ValueId) -> Result<ValueId> {
        match self.activation {
            HeadActivation::Sigmoid => sigmoid(g, label, z),
            HeadActivation::Softmax => g.node(label, Softmax, &[z]),
        }
    }
}

impl Configured for UNet3Plus {
    const SPELLINGS: &'static [&'static str] = &["unet3p", "unet3+"];

    fn validated(self) -> Result<Self> {
        self.checked()
    }

    fn for_training(options: &mut Map<String, Value>) {
        if options.get("out_channels").and_then(Value::as_u64).unwrap_or(1) > 1 {
            // The default is a sigmoid per channel, whose classes would not exclude each other.
            options.entry("activation").or_insert("softmax".into());
        }
    }

    fn cases() -> Vec<ModelCase> {
        vec![
            (json!({"in_channels": 3, "width": 3, "depth": 4, "cat": 3}), [1, 3, 48, 32]),
            (
                json!({"out_channels": 3, "width": 4, "depth": 3, "cat": 3, "deep_supervision": true, "activation": "softmax"}),
                [1, 1, 24, 32],
            ),
            (json!({"width": 4, "depth": 3, "deep_supervision": true, "cgm": true}), [3, 1, 32, 24]),
            (
                json!({"width": 4, "depth": 3, "deep_supervision": true, "cgm": true, "cgm_gate": "logit", "norm": false}),
                [2, 1, 32, 24],
            ),
            (json!({"widths": [3, 6, 8], "depth": 2, "align_corners": true, "conv_bias": false}), [1, 1, 16, 12]),
        ]
    }
}

impl Architecture for UNet3Plus {
    described!("U-Net 3+");

    fn classes(&self) -> usize {
        match self.activation {
            HeadActivation::Sigmoid => self.out_channels + 1,
            HeadActivation::Softmax => self.out_channels.max(2),
        }
    }

    fn size_rule(&self) -> SizeRule {
        let step = 1 << self.depth;
        SizeRule { minimum: step, step, margin: 0 }
    }

    /// Before the classification-guided module.
    fn dropouts(&self) -> Vec<DropoutAt> {
        let at = DropoutAt { node: "cgm".into(), input: true, p: self.cgm_dropout as f32 };
        if self.cgm { vec![at] } else { vec![] }
    }

    fn default_loss(&self) -> DefaultLoss {
        if self.out_channels == 1 { DefaultLoss::UNet3Plus } else { DefaultLoss::SoftmaxCrossEntropyDice }
    }

    fn build(&self, g: &mut Graph, x: ValueId) -> Result<Built> {
        let (shape, step) = (g.shape(x), self.size_rule().step);
        if shape.h % step != 0 || shape.w % step != 0 || shape.is_empty() {
            return Err(Error::op("U-Net 3+", format!("input {shape}: rows and columns must be multiples of {step}")));
        }
        let w = levels(self.widths.as_deref(), self.width, self.depth)?;
        let (bottom, cat) = (self.depth, self.cat.unwrap_or(w[0]));
        let style = ConvStyle { padding: 1, norm: self.norm, bias: self.conv_bias };
        let mut enc = Vec::new();
        for (i, &width) in w.iter().enumerate() {
            let source = match i {
                0 => x,
                _ => g.node(format!("enc.{i}.pool"), MaxPool2d::new(2), &[enc[i - 1]])?,
            };
            enc.push(double_conv(g, &format!("enc.{i}"), source, width, width, style)?);
        }
        let mut dec: Vec<Option<ValueId>> = vec![None; bottom + 1];
        dec[bottom] = Some(enc[bottom]);
        for d in (0..bottom).rev() {
            let mut parts = Vec::new();
            for s in 0..=bottom {
                let source = self.source(g, d, s, &enc, &dec)?;
                let n = format!("skip.{d}_{s}");
                parts.push(unit(g, &n, source, cat, style)?);
            }
            let n = format!("fuse.{d}");
            let all = concat(g, &format!("{n}.concat"), &parts)?;
            let fused = cat * (bottom + 1);
            dec[d] = Some(unit(g, &n, all, fused, style)?);
        }
        let mut outputs = Vec::new();
        let gate = match self.cgm {
            false => None,
            true => {
                let scores = conv(g, "cgm", enc[bottom], Conv2d::new(2, 1, 0).with_bias(true))?;
                let scores = g.node("cgm.pool", GlobalMaxPool, &[scores])?;
                // Sigmoids saturate at 1 in f32, so the official code is matched only by comparing them, not the
                // logits.
                let cls = sigmoid(g, "cls", scores)?;
                let gate = g.node("gate", ArgmaxGate, &[cls])?;
                outputs.extend([("cls".to_string(), cls), ("gate".to_string(), gate)]);
                Some(gate)
            }
        };
        let heads = if self.deep_supervision { bottom + 1 } else { 1 };
        let (mut first, mut logits) = (None, None);
        for (d, level) in dec.iter().enumerate().take(heads) {
            let level = level.ok_or_else(|| Error::op(format!("head.{d}"), "has no decoder level"))?;
            let z = conv(g, &format!("head.{d}"), level, Conv2d::new(self.out_channels, 3, 1).with_bias(true))?;
            let z = resize(g, &format!("head.{d}.up"), z, 1 << d, self.bilinear())?;
            let label = format!("probs.{d}");
            let p = match (gate, self.cgm_gate) {
                (None, _) => self.activate(g, &label, z)?,
                (Some(gate), Gate::Prob) => {
                    let p = self.activate(g, &format!("{label}.ungated"), z)?;
                    g.node(label, ScaleByGate, &[p, gate])?
                }
                (Some(gate), Gate::Logit) => {
                    let gated = g.node(format!("{label}.gated"), ScaleByGate, &[z, gate])?;
                    self.activate(g, &label, gated)?
                }
            };
            outputs.push((format!("logits.{d}"), z));
            outputs.push((format!("probs.{d}"), p));
            first.get_or_insert(p);
            logits.get_or_insert(z);
        }
        let no_head = || Error::op("U-Net 3+", "has no head");
        let (probability, logits) = (first.ok_or_else(no_head)?, logits.ok_or_else(no_head)?);
        let rule = match self.activation {
            HeadActivation::Sigmoid => MaskRule::Threshold(0.5),
            HeadActivation::Softmax => MaskRule::Argmax,
        };
        Ok(Built { outputs, logits, probability, decision: probability, rule })
    }
}
