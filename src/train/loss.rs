//! Losses by name, as in configuration files and fixtures, built as nodes of the network's graph.

mod terms;

use crate::error::{Error, Result};
use crate::graph::{Graph, ValueId};
use crate::model::{Built, DefaultLoss};
use crate::ops::{LossReduction, MsSsimForm, OneHot, OverlapGroup, WeightedSum};
use crate::weights::InstanceTarget;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

/// A loss with its arguments, and how the heads of a network are combined. In a file
/// `{"name": "unetpp_hybrid", "args": {"smooth": 1.0}, "reduction": "mean", "weights": [1, 1, 1, 2]}`; all but the name
/// may be left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "File", into = "File")]
pub struct LossConfig {
    /// The loss of each head.
    pub loss: Loss,
    /// How the losses of several heads become one.
    pub reduction: HeadReduction,
    /// A weight for each head, in the order of the network's outputs; all 1 without.
    pub weights: Option<Vec<f32>>,
    /// Weight of the classification score's loss, for classification-guided networks.
    pub cgm_weight: f32,
    /// Maps logits to probabilities, if the loss needs them and the network has none.
    pub activation: LossActivation,
}

/// How the losses of several heads become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadReduction {
    /// Their weighted mean.
    #[default]
    Mean,
    /// Their weighted sum (arXiv 1912.05074).
    Sum,
}

/// From logits to probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossActivation {
    /// Per channel.
    #[default]
    Sigmoid,
    /// Over channels.
    Softmax,
}

/// A loss of one head. Names in files are those of the variants in snake case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", content = "args", rename_all = "snake_case")]
pub enum Loss {
    /// Pixel-weighted softmax cross entropy: U-Net.
    #[serde(alias = "weighted_softmax_ce", alias = "ce")]
    WeightedCe(CrossEntropyArgs),
    /// Softmax cross entropy and soft Dice of the softmax.
    CeDice(DiceArgs),
    /// Binary cross entropy of logits; takes pixel weights.
    #[serde(alias = "bce_with_logits")]
    Bce(NoArgs),
    /// Soft Dice of probabilities.
    #[serde(alias = "soft_dice_loss", alias = "dice")]
    SoftDice(DiceArgs),
    /// Binary cross entropy and soft Dice: U-Net++ as implemented by its authors.
    #[serde(alias = "bce_dice")]
    UnetppHybrid(HybridArgs),
    /// The U-Net++ paper's equation, arXiv 1807.10165.
    #[serde(alias = "unetpp_hybrid_dlmia")]
    UnetppDlmia(EpsArgs),
    /// The equation of arXiv 1912.05074.
    #[serde(alias = "unetpp_hybrid_tmi")]
    UnetppTmi(EpsArgs),
    /// Binary focal loss of logits.
    FocalBce(FocalArgs),
    /// Binary focal loss of probabilities.
    FocalFromProbs(FocalProbsArgs),
    /// Focal loss over classes.
    FocalSoftmax(FocalSoftmaxArgs),
    /// `1 - MS-SSIM`.
    #[serde(alias = "ms_ssim_loss")]
    MsSsim(MsSsimArgs),
    /// `1 - IoU`.
    #[serde(alias = "iou_loss")]
    Iou(IouArgs),
    /// Focal loss (or cross entropy), MS-SSIM and IoU: U-Net 3+.
    #[serde(alias = "unet3p_hybrid")]
    Unet3p(Unet3pArgs),
    /// Binary cross entropy of a classification-guided network's score, alone.
    CgmBce(NoArgs),
    /// Foreground, distance, touching border, offsets and classes of instances.
    Instances(InstancesArgs),
}

macro_rules! args {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub struct $name { $($(#[$field_doc])* pub $field: $type),* }

            impl Default for $name {
                fn default() -> Self {
                    Self { $($field: $default),* }
                }
            }
        )*
    };
}

/// Exponents of the five scales: Wang et al., 2003.
const MS_WEIGHTS: [f32; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

args! {
    /// Arguments of a loss without arguments.
    NoArgs {}
    /// Arguments of softmax cross entropy.
    CrossEntropyArgs {
        /// Normalisation of the sum over pixels.
        reduction: LossReduction = LossReduction::Mean,
        /// A label that does not count; labels that are not a class never count.
        ignore_index: Option<u32> = Some(255),
    }
    /// Arguments of soft Dice.
    DiceArgs {
        /// Added to numerator and denominator.
        smooth: f32 = 1e-5,
        /// What each ratio is taken over.
        per: OverlapGroup = OverlapGroup::Sample,
    }
    /// Arguments of the U-Net++ hybrid.
    HybridArgs {
        /// Weight of the cross entropy.
        ce_weight: f32 = 0.5,
        /// Added to Dice's numerator and denominator.
        smooth: f32 = 1.0,
        /// What each ratio is taken over.
        per: OverlapGroup = OverlapGroup::Batch,
    }
    /// Arguments of the U-Net++ papers' equations.
    EpsArgs {
        /// Lower bound of probabilities and denominators.
        eps: f32 = 1e-7,
    }
    /// Arguments of focal loss.
    FocalArgs {
        /// Focusing parameter γ.
        gamma: f32 = 2.0,
        /// Weight of positives, `1 - alpha` of negatives; `null`, or `"none"`, for no weights.
        #[serde(deserialize_with = "alpha")]
        alpha: Option<f32> = Some(0.25),
    }
    /// Arguments of focal loss of probabilities.
    FocalProbsArgs {
        /// Focusing parameter γ.
        gamma: f32 = 2.0,
        /// Weight of positives, `1 - alpha` of negatives; `null`, or `"none"`, for no weights.
        #[serde(deserialize_with = "alpha")]
        alpha: Option<f32> = Some(0.25),
        /// Lower bound of probabilities.
        eps: f32 = 1e-7,
    }
    /// Arguments of focal loss over classes.
    FocalSoftmaxArgs {
        /// Focusing parameter γ.
        gamma: f32 = 2.0,
        /// A label that does not count; labels that are not a class never count.
        ignore_index: Option<u32> = Some(255),
    }
    /// Arguments of MS-SSIM.
    MsSsimArgs {
        /// How scales are combined.
        form: MsSsimForm = MsSsimForm::Wang,
        /// Side of a window, pixels.
        window: usize = 11,
        /// An exponent for each scale, finest first.
        weights: Vec<f32> = MS_WEIGHTS.to_vec(),
    }
    /// Arguments of IoU.
    IouArgs {
        /// Added to numerator and denominator; 0, as in the official code, gives NaN for an empty prediction and mask.
        smooth: f32 = 1e-6,
    }
    /// Arguments of the loss of instances.
    InstancesArgs {
        /// What the network predicts: `multi` or `distance`.
        target: InstanceTarget = InstanceTarget::Multi,
        /// Classes of instances, without the background.
        classes: usize = 1,
    }
    /// Arguments of the U-Net 3+ hybrid.
    Unet3pArgs {
        /// The pixel term.
        pixel: PixelTerm = PixelTerm::Focal,
        /// Focusing parameter γ of the focal term.
        gamma: f32 = 2.0,
        /// Weight of positives in the focal term; `null`, or `"none"`, for no weights.
        #[serde(deserialize_with = "alpha")]
        alpha: Option<f32> = Some(0.25),
        /// How the scales of MS-SSIM are combined.
        form: MsSsimForm = MsSsimForm::Wang,
        /// Side of MS-SSIM's windows, pixels.
        window: usize = 11,
        /// MS-SSIM's exponents, finest scale first.
        weights: Vec<f32> = MS_WEIGHTS.to_vec(),
        /// Added to IoU's numerator and denominator.
        smooth: f32 = 1e-6,
    }
}

/// The pixel term of the U-Net 3+ hybrid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PixelTerm {
    /// Focal loss, as in the paper.
    #[default]
    Focal,
    /// Binary cross entropy, as in the authors' code.
    Bce,
}

/// A number, null or `"none"`: TOML has no null.
fn alpha<'de, D: Deserializer<'de>>(d: D) -> std::result::Result<Option<f32>, D::Error> {
    match Value::deserialize(d)? {
        Value::Null => Ok(None),
        Value::String(s) if s == "none" => Ok(None),
        Value::Number(n) => Ok(n.as_f64().map(|v| v as f32)),
        other => Err(serde::de::Error::custom(format!("alpha is {other}, not a number or \"none\""))),
    }
}

/// The form of a loss in a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    args: Option<Value>,
    #[serde(default)]
    reduction: HeadReduction,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weights: Option<Vec<f32>>,
    #[serde(default = "one")]
    cgm_weight: f32,
    #[serde(default)]
    activation: LossActivation,
}

const fn one() -> f32 {
    1.0
}

impl TryFrom<File> for LossConfig {
    type Error = String;

    fn try_from(file: File) -> std::result::Result<Self, String> {
        let args = file.args.unwrap_or_else(|| json!({}));
        let loss = Loss::deserialize(json!({ "name": file.name, "args": args }));
        let loss = loss.map_err(|e| format!("loss `{}`: {e}", file.name))?;
        let File { reduction, weights, cgm_weight, activation, .. } = file;
        Ok(Self { loss, reduction, weights, cgm_weight, activation })
    }
}

impl From<LossConfig> for File {
    fn from(config: LossConfig) -> Self {
        let mut tagged = serde_json::to_value(&config.loss).unwrap_or_default();
        let LossConfig { reduction, weights, cgm_weight, activation, .. } = config;
        let name = tagged["name"].as_str().unwrap_or_default().to_string();
        Self { name, args: Some(tagged["args"].take()), reduction, weights, cgm_weight, activation }
    }
}

/// The outputs of a network that a loss is computed from.
#[derive(Clone, Debug, Default)]
pub struct Heads {
    /// `[N, K, H, W]` of each head, blocked.
    pub logits: Vec<ValueId>,
    /// Probabilities of the same heads, if the network outputs them (it may gate them); else empty.
    pub probs: Vec<ValueId>,
    /// The two scores of the classification-guided module, probabilities `[N, 2, 1, 1]`, blocked.
    pub scores: Option<ValueId>,
}

impl Heads {
    /// The heads of a network, by the names of its outputs.
    pub fn of(built: &Built) -> Self {
        let all = |what: &str| -> Vec<ValueId> {
            let is = |name: &str| name.strip_prefix(what).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            built.outputs.iter().filter(|o| is(&o.0)).map(|o| o.1).collect()
        };
        Self { logits: all("logits"), probs: all("probs"), scores: all("cls").first().copied() }
    }
}

/// Contents of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// Class indices, NCHW `[N, 1, H, W]`.
    Classes,
    /// A mask per channel, NCHW `[N, K, H, W]`, 0 or 1.
    Masks,
    /// Geometry of instances, NCHW `[N, P, H, W]`: 1 where a pixel is known, the target of each raw plane, and with several
    /// classes the class of the pixel's instance.
    Instances,
}

/// The target of a loss.
#[derive(Clone, Copy, Debug)]
pub struct Targets {
    /// The target.
    pub target: ValueId,
    /// Contents of the target. If the loss needs masks and the target has classes, a channel's mask is its class; for a
    /// single channel, class 1.
    pub kind: TargetKind,
    /// Pixel weights, NCHW `[N, 1, H, W]`.
    pub weight: Option<ValueId>,
}

impl From<DefaultLoss> for LossConfig {
    fn from(default: DefaultLoss) -> Self {
        Self::from(match default {
            DefaultLoss::CrossEntropyDice => Loss::UnetppHybrid(HybridArgs::default()),
            DefaultLoss::SoftmaxCrossEntropyDice => Loss::CeDice(DiceArgs::default()),
            DefaultLoss::WeightedCrossEntropy => Loss::WeightedCe(CrossEntropyArgs::default()),
            DefaultLoss::UNet3Plus => Loss::Unet3p(Unet3pArgs::default()),
        })
    }
}

impl From<Loss> for LossConfig {
    fn from(loss: Loss) -> Self {
        Self {
            loss,
            reduction: HeadReduction::Mean,
            weights: None,
            cgm_weight: 1.0,
            activation: LossActivation::Sigmoid,
        }
    }
}

impl LossConfig {
    /// Whether the loss takes pixel weights.
    pub const fn takes_weights(&self) -> bool {
        matches!(self.loss, Loss::WeightedCe(_) | Loss::Bce(_))
    }

    /// Whether pixels without ground truth are left out; `weighted`: they have weights, which are 0 there.
    pub const fn ignores(&self, weighted: bool) -> bool {
        self.needs_classes() || matches!(self.loss, Loss::Instances(_)) || (weighted && self.takes_weights())
    }

    /// Whether the loss is over exclusive classes: it needs class indices.
    pub const fn needs_classes(&self) -> bool {
        matches!(self.loss, Loss::WeightedCe(_) | Loss::CeDice(_) | Loss::FocalSoftmax(_))
    }

    /// Contents of a batch's target.
    pub const fn target_kind(&self) -> TargetKind {
        match self.loss {
            Loss::Instances(_) => TargetKind::Instances,
            _ => TargetKind::Classes,
        }
    }

    /// Planes of a batch's target.
    pub const fn target_planes(&self) -> usize {
        match &self.loss {
            Loss::Instances(InstancesArgs { target, classes }) => 1 + target.planes() + (*classes > 1) as usize,
            _ => 1,
        }
    }

    /// Adds the loss to a graph and returns its value, NCHW `[1, 1, 1, 1]`. Errors if heads, weights or the target do
    /// not suit the loss.
    pub fn build(&self, graph: &mut Graph, heads: &Heads, targets: &Targets) -> Result<ValueId> {
        let wrong = |reason: String| Error::invalid("loss", reason);
        if targets.weight.is_some() && !self.takes_weights() {
            return Err(wrong(format!("{:?} takes no pixel weights", self.loss)));
        }
        if (targets.kind == TargetKind::Instances) != matches!(self.loss, Loss::Instances(_)) {
            return Err(wrong(format!("{:?} does not suit a target of {:?}", self.loss, targets.kind)));
        }
        let mut terms: Vec<(f64, ValueId)> = Vec::new();
        if !matches!(self.loss, Loss::CgmBce(_)) {
            let count = heads.logits.len().max(heads.probs.len());
            let weights: Vec<f64> = match &self.weights {
                Some(w) => w.iter().map(|&w| f64::from(w)).collect(),
                None => vec![1.0; count],
            };
            let sum: f64 = weights.iter().sum();
            if count == 0 || weights.len() != count || weights.iter().any(|w| !w.is_finite()) || sum <= 0.0 {
                return Err(wrong(format!("{count} heads, weights {weights:?}")));
            }
            let divisor = if self.reduction == HeadReduction::Mean { sum } else { 1.0 };
            let mut builder = terms::Terms::new(graph, self, heads, targets);
            for (head, w) in weights.iter().enumerate() {
                let of_head = builder.head(head)?;
                terms.extend(of_head.into_iter().map(|(factor, term)| (factor * w / divisor, term)));
            }
        }
        match (heads.scores, &self.loss) {
            (Some(_), Loss::CgmBce(_)) => terms.push((1.0, terms::Terms::new(graph, self, heads, targets).score()?)),
            (Some(_), _) if self.cgm_weight != 0.0 => {
                let score = terms::Terms::new(graph, self, heads, targets).score()?;
                terms.push((f64::from(self.cgm_weight), score));
            }
            (None, Loss::CgmBce(_)) => return Err(wrong("the network has no classification score".into())),
            _ => {}
        }
        if let [(1.0, only)] = terms[..] {
            return Ok(only);
        }
        let (weights, values): (Vec<f32>, Vec<ValueId>) = terms.into_iter().map(|(w, v)| (w as f32, v)).unzip();
        graph.node("loss", WeightedSum { weights }, &values)
    }
}

/// One-hot masks of class indices, for `channels` channels.
fn masks(graph: &mut Graph, target: ValueId, channels: usize) -> Result<ValueId> {
    graph.node("loss.masks", OneHot { first: usize::from(channels == 1), channels }, &[target])
}

#[cfg(test)]
mod tests;
