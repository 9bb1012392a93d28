//! U-Net++ (Zhou et al. 2018, arXiv 1807.10165; 2019, arXiv 1912.05074): nested dense skips, deep supervision, pruning.

use super::blocks::{ConvStyle, concat, conv, double_conv, mask_rule, probability, resize, up_conv};
use super::configured::{Configured, ModelCase, described};
use super::{Architecture, Built, SizeRule, check_common, levels};
use crate::error::{Error, Result};
use crate::graph::{Graph, ValueId};
use crate::ops::{Average, Conv2d, MaxPool2d, ResizeMode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashMap;

/// How the map from the row below is upsampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NestedUp {
    /// 2x2 transposed convolution with stride 2, to the width of the row.
    #[default]
    Transpose,
    /// Bilinear by a factor of 2, channels unchanged.
    Bilinear,
}

/// Configuration of a U-Net++. Node X(i, j) reads every X(i, k < j) and the upsampled X(i + 1, j - 1).
///
/// Outputs, `[N, out_channels, H, W]` each: `logits.{j}` of every head X(0, j); `accurate_prob` (mean of the heads'
/// probabilities), `accurate_logit` (probability of the mean logits), `fast.{j}` (probability of head j alone).
/// Parameters: `node.x{i}_{j}.conv1|bn1|..`, `up.x{i}_{j}`, `head.{j}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UNetPlusPlus {
    /// Channels of the image.
    pub in_channels: usize,
    /// Classes.
    pub out_channels: usize,
    /// Channels of row 0, doubling per row.
    pub width: usize,
    /// Channels of every row, `depth + 1` entries; overrides `width`.
    pub widths: Option<Vec<usize>>,
    /// Number of poolings of the full network.
    pub depth: usize,
    /// Pruning level, 1 .. depth: only nodes with i + j <= level are built (U-Net++ L1 .. L4).
    pub level: Option<usize>,
    /// A head on every X(0, j), not only on X(0, level).
    pub deep_supervision: bool,
    /// How rows are upsampled.
    pub up: NestedUp,
    /// `align_corners` of bilinear upsampling.
    pub align_corners: bool,
    /// Batch normalisation after each 3x3 convolution.
    pub norm: bool,
    /// Bias of the 3x3 convolutions; default: only without batch normalisation.
    pub conv_bias: Option<bool>,
    /// Concatenate `[X(i, 0), .., up]` rather than `[up, X(i, 0), ..]`.
    pub skip_first: bool,
}

impl Default for UNetPlusPlus {
    fn default() -> Self {
        Self {
            in_channels: 1,
            out_channels: 1,
            width: 32,
            widths: None,
            depth: 4,
            level: None,
            deep_supervision: true,
            up: NestedUp::Transpose,
            align_corners: true,
            norm: true,
            conv_bias: None,
            skip_first: true,
        }
    }
}

impl UNetPlusPlus {
    /// Checks every value.
    pub fn checked(self) -> Result<Self> {
        check_common(self.in_channels, self.out_channels, self.depth)?;
        levels(self.widths.as_deref(), self.width, self.depth)?;
        match self.level {
            Some(l) if !(1..=self.depth).contains(&l) => {
                Err(Error::invalid("level", format!("{l} is not in 1..{} (depth)", self.depth)))
            }
            _ => Ok(self),
        }
    }

    fn level(&self) -> usize {
        self.level.unwrap_or(self.depth)
    }

    /// All nodes with i + j <= level, by (i, j).
    fn nodes(&self, g: &mut Graph, x: ValueId, w: &[usize]) -> Result<HashMap<(usize, usize), ValueId>> {
        let style = ConvStyle { padding: 1, norm: self.norm, bias: self.conv_bias.unwrap_or(!self.norm) };
        let mut grid: HashMap<(usize, usize), ValueId> = HashMap::new();
        for i in 0..=self.level() {
            let source = match i {
                0 => x,
                _ => g.node(format!("node.x{i}_0.pool"), MaxPool2d::new(2), &[grid[&(i - 1, 0)]])?,
            };
            grid.insert((i, 0), double_conv(g, &format!("node.x{i}_0"), source, w[i], w[i], style)?);
            // X(i, 0) makes the anti-diagonal i computable.
            for j in 1..=i {
                let r = i - j;
                let below = grid[&(r + 1, j - 1)];
                let name = format!("up.x{r}_{j}");
                let up = match self.up {
                    NestedUp::Transpose => up_conv(g, &name, below, w[r])?,
                    NestedUp::Bilinear => {
                        resize(g, &name, below, 2, ResizeMode::Bilinear { align_corners: self.align_corners })?
                    }
                };
                let mut parts: Vec<ValueId> = (0..j).map(|k| grid[&(r, k)]).collect();
                parts.insert(if self.skip_first { j } else { 0 }, up);
                let cat = concat(g, &format!("node.x{r}_{j}.concat"), &parts)?;
                grid.insert((r, j), double_conv(g, &format!("node.x{r}_{j}"), cat, w[r], w[r], style)?);
            }
        }
        Ok(grid)
    }
}

impl Configured for UNetPlusPlus {
    const SPELLINGS: &'static [&'static str] = &["unetpp", "unet++"];

    fn validated(self) -> Result<Self> {
        self.checked()
    }

    fn cases() -> Vec<ModelCase> {
        vec![
            (json!({"in_channels": 3, "width": 3, "depth": 4, "up": "bilinear", "conv_bias": true}), [1, 3, 48, 32]),
            (json!({"out_channels": 2, "width": 4, "depth": 3}), [2, 1, 24, 40]),
            (json!({"width": 4, "depth": 3, "norm": false, "skip_first": false}), [1, 1, 32, 32]),
            (json!({"out_channels": 2, "width": 4, "depth": 3, "level": 2, "deep_supervision": false}), [1, 1, 24, 40]),
            (json!({"width": 4, "depth": 3, "up": "bilinear", "align_corners": false}), [1, 1, 24, 40]),
        ]
    }
}

impl Architecture for UNetPlusPlus {
    described!("U-Net++");

    fn size_rule(&self) -> SizeRule {
        let step = 1 << self.level();
        SizeRule { minimum: step, step, margin: 0 }
    }

    /// Pruning, and the paper's modes: "accurate" averages all heads, "fast" uses the last head alone.
    fn choices(&self) -> &'static [&'static str] {
        &["level", "deep_supervision"]
    }

    fn build(&self, g: &mut Graph, x: ValueId) -> Result<Built> {
        let (s, step) = (g.shape(x), self.size_rule().step);
        if s.h % step != 0 || s.w % step != 0 || s.is_empty() {
            return Err(Error::op("U-Net++", format!("input {s}: rows and columns must be multiples of {step}")));
        }
        let w = levels(self.widths.as_deref(), self.width, self.depth)?;
        let grid = self.nodes(g, x, &w)?;
        let first = if self.deep_supervision { 1 } else { self.level() };
        let (mut outputs, mut logits, mut probs) = (Vec::new(), Vec::new(), Vec::new());
        for j in first..=self.level() {
            let op = Conv2d::new(self.out_channels, 1, 0).with_bias(true);
            let z = conv(g, &format!("head.{j}"), grid[&(0, j)], op)?;
            let p = probability(g, &format!("fast.{j}"), z)?;
            outputs.push((format!("logits.{j}"), z));
            logits.push(z);
            probs.push(p);
        }
        let mean = |g: &mut Graph, label: &str, values: &[ValueId]| match values {
            [one] => Ok(*one),
            _ => g.node(label, Average { inputs: values.len() }, values),
        };
        let accurate = mean(g, "accurate_prob", &probs)?;
        let mean_logits = mean(g, "mean_logits", &logits)?;
        let accurate_logit = match logits.len() {
            1 => accurate,
            _ => probability(g, "accurate_logit", mean_logits)?,
        };
        outputs.push(("accurate_prob".into(), accurate));
        outputs.push(("accurate_logit".into(), accurate_logit));
        outputs.extend((first..).zip(&probs).map(|(j, &p)| (format!("fast.{j}"), p)));
        let rule = mask_rule(self.out_channels);
        Ok(Built { outputs, logits: mean_logits, probability: accurate, decision: accurate, rule })
    }
}
