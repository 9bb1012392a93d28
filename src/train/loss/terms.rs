//! The terms of a loss: operations on one head.

use super::{
    Heads, InstancesArgs, Loss, LossActivation, LossConfig, MsSsimArgs, PixelTerm, TargetKind, Targets, masks,
};
use crate::error::{Error, Result};
use crate::graph::{Graph, ValueId};
use crate::ops::{
    ExportNchw, Function, InstanceMean, InstanceSums, LossMean, LossReduction, MsSsim, Overlap, OverlapGroup,
    OverlapRatio, PixelLoss, PixelLossKind, Presence, Softmax, SoftmaxCrossEntropy, SsimMeans, TargetEncoding, Unary,
};
use crate::weights::InstanceTarget;

/// Standard deviation of MS-SSIM's windows, pixels.
const SIGMA: f32 = 1.5;

/// Builder of terms.
pub(super) struct Terms<'a> {
    graph: &'a mut Graph,
    config: &'a LossConfig,
    heads: &'a Heads,
    targets: &'a Targets,
    /// Masks of the target with their number of channels, once computed.
    masks: Option<(ValueId, usize)>,
    head: usize,
}

impl<'a> Terms<'a> {
    pub(super) fn new(graph: &'a mut Graph, config: &'a LossConfig, heads: &'a Heads, targets: &'a Targets) -> Self {
        Self { graph, config, heads, targets, masks: None, head: 0 }
    }

    /// The terms of a head with their factors.
    pub(super) fn head(&mut self, head: usize) -> Result<Vec<(f64, ValueId)>> {
        self.head = head;
        Ok(match &self.config.loss {
            Loss::WeightedCe(a) => vec![(1.0, self.cross_entropy(a.reduction, 0.0, a.ignore_index)?)],
            Loss::FocalSoftmax(a) => vec![(1.0, self.cross_entropy(LossReduction::Mean, a.gamma, a.ignore_index)?)],
            Loss::CeDice(a) => {
                let ce = self.cross_entropy(LossReduction::Mean, 0.0, Some(255))?;
                let z = self.logits()?;
                let p = self.graph.node(self.label("softmax"), Softmax, &[z])?;
                let encoding = TargetEncoding::Classes { ignore_index: Some(255) };
                let dice = self.overlap(p, self.targets.target, encoding, a.per, OverlapRatio::dice(a.smooth))?;
                vec![(1.0, ce), (1.0, dice)]
            }
            Loss::Bce(_) => vec![(1.0, self.pixel_of_logits(PixelLossKind::BceWithLogits)?)],
            Loss::FocalBce(a) => {
                let kind = PixelLossKind::FocalWithLogits { gamma: a.gamma, alpha: a.alpha };
                vec![(1.0, self.pixel_of_logits(kind)?)]
            }
            Loss::FocalFromProbs(a) => {
                let kind = PixelLossKind::Focal { gamma: a.gamma, alpha: a.alpha, eps: a.eps };
                vec![(1.0, self.pixel_of_probs(kind)?)]
            }
            Loss::SoftDice(a) => vec![(1.0, self.overlap_of_probs(a.per, OverlapRatio::dice(a.smooth))?)],
            Loss::UnetppHybrid(a) => vec![
                (f64::from(a.ce_weight), self.pixel_of_logits(PixelLossKind::BceWithLogits)?),
                (1.0, self.overlap_of_probs(a.per, OverlapRatio::dice(a.smooth))?),
            ],
            Loss::UnetppDlmia(a) => vec![
                (0.5, self.pixel_of_probs(PixelLossKind::PositiveLog { eps: a.eps })?),
                (1.0, self.overlap_of_probs(OverlapGroup::Sample, OverlapRatio::dlmia(a.eps))?),
            ],
            Loss::UnetppTmi(a) => {
                let term = self.pixel_of_probs(PixelLossKind::TmiHybrid { eps: a.eps })?;
                // A mean over pixels and a sum over channels.
                vec![(self.channels()? as f64, term)]
            }
            Loss::MsSsim(a) => vec![(1.0, self.ms_ssim(a)?)],
            Loss::Iou(a) => vec![(1.0, self.overlap_of_probs(OverlapGroup::Sample, OverlapRatio::iou(a.smooth))?)],
            Loss::Unet3p(a) => {
                let pixel = match a.pixel {
                    PixelTerm::Focal => PixelLossKind::Focal { gamma: a.gamma, alpha: a.alpha, eps: 1e-7 },
                    PixelTerm::Bce => PixelLossKind::Bce,
                };
                let ssim = MsSsimArgs { form: a.form, window: a.window, weights: a.weights.clone() };
                vec![
                    (1.0, self.pixel_of_probs(pixel)?),
                    (1.0, self.ms_ssim(&ssim)?),
                    (1.0, self.overlap_of_probs(OverlapGroup::Sample, OverlapRatio::iou(a.smooth))?),
                ]
            }
            Loss::CgmBce(_) => vec![],
            Loss::Instances(a) => vec![(1.0, self.instances(a)?)],
        })
    }

    /// Binary cross entropy of the classification-guided module's score.
    pub(super) fn score(&mut self) -> Result<ValueId> {
        let scores = self.heads.scores.ok_or_else(|| missing("classification score"))?;
        let present = self.graph.node("loss.presence", Presence, &[self.targets.target])?;
        let op = PixelLoss { kind: PixelLossKind::Bce, weighted: false };
        self.graph.node("loss.cgm", op, &[scores, present])
    }

    fn label(&self, what: &str) -> String {
        format!("loss.{}.{what}", self.head)
    }

    fn logits(&self) -> Result<ValueId> {
        self.heads.logits.get(self.head).copied().ok_or_else(|| missing("logits"))
    }

    fn probs(&mut self) -> Result<ValueId> {
        if let Some(&p) = self.heads.probs.get(self.head) {
            return Ok(p);
        }
        let (z, label) = (self.logits()?, self.label("probs"));
        match self.config.activation {
            LossActivation::Sigmoid => self.graph.node(label, Unary { kind: Function::Sigmoid }, &[z]),
            LossActivation::Softmax => self.graph.node(label, Softmax, &[z]),
        }
    }

    fn channels(&self) -> Result<usize> {
        let x = self.heads.logits.get(self.head).or_else(|| self.heads.probs.get(self.head));
        x.map(|&x| self.graph.shape(x).c).ok_or_else(|| missing("logits"))
    }

    /// The target as a mask per channel.
    fn masks(&mut self) -> Result<ValueId> {
        if self.targets.kind == TargetKind::Masks {
            return Ok(self.targets.target);
        }
        let channels = self.channels()?;
        if let Some((known, _)) = self.masks.filter(|m| m.1 == channels) {
            return Ok(known);
        }
        let made = masks(self.graph, self.targets.target, channels)?;
        self.masks = Some((made, channels));
        Ok(made)
    }

    fn cross_entropy(&mut self, reduction: LossReduction, gamma: f32, ignore_index: Option<u32>) -> Result<ValueId> {
        if self.targets.kind != TargetKind::Classes {
            return Err(Error::invalid("loss", "cross entropy over classes needs class indices, not masks"));
        }
        let mut inputs = vec![self.logits()?, self.targets.target];
        inputs.extend(self.targets.weight);
        let op = SoftmaxCrossEntropy { weighted: self.targets.weight.is_some(), gamma, ignore_index };
        let sums = self.graph.node(self.label("cross_entropy"), op, &inputs)?;
        self.graph.node(self.label("cross_entropy.mean"), LossMean { reduction }, &[sums])
    }

    fn instances(&mut self, a: &InstancesArgs) -> Result<ValueId> {
        let wrong = |reason: String| Err(Error::invalid("loss", reason));
        if !a.target.is_geometry() || a.classes == 0 {
            return wrong(format!(
                "instances of {} classes by target `{}`: not `multi` or `distance`",
                a.classes, a.target
            ));
        }
        if self.heads.scores.is_some() {
            return wrong("a network with a classification-guided module (`cgm`) cannot predict instances".into());
        }
        let op = InstanceSums {
            offsets: a.target == InstanceTarget::Multi,
            classes: if a.classes > 1 { a.classes } else { 0 },
        };
        let inputs = [self.logits()?, self.targets.target];
        let sums = self.graph.node(self.label("instances"), op, &inputs)?;
        self.graph.node(self.label("instances.mean"), InstanceMean, &[sums])
    }

    fn pixel(&mut self, kind: PixelLossKind, x: ValueId) -> Result<ValueId> {
        let mut inputs = vec![x, self.masks()?];
        inputs.extend(self.targets.weight);
        let op = PixelLoss { kind, weighted: self.targets.weight.is_some() };
        self.graph.node(self.label("pixel"), op, &inputs)
    }

    fn pixel_of_logits(&mut self, kind: PixelLossKind) -> Result<ValueId> {
        let z = self.logits()?;
        self.pixel(kind, z)
    }

    fn pixel_of_probs(&mut self, kind: PixelLossKind) -> Result<ValueId> {
        let p = self.probs()?;
        self.pixel(kind, p)
    }

    fn overlap(
        &mut self,
        p: ValueId,
        target: ValueId,
        encoding: TargetEncoding,
        per: OverlapGroup,
        ratio: OverlapRatio,
    ) -> Result<ValueId> {
        let sums = self.graph.node(self.label("overlap"), Overlap { per, encoding }, &[p, target])?;
        self.graph.node(self.label("ratio"), ratio, &[sums])
    }

    fn overlap_of_probs(&mut self, per: OverlapGroup, ratio: OverlapRatio) -> Result<ValueId> {
        let (p, target) = (self.probs()?, self.masks()?);
        self.overlap(p, target, TargetEncoding::Masks, per, ratio)
    }

    fn ms_ssim(&mut self, a: &MsSsimArgs) -> Result<ValueId> {
        let (p, target) = (self.probs()?, self.masks()?);
        let p = self.graph.node(self.label("ssim.nchw"), ExportNchw, &[p])?;
        let means = SsimMeans { scales: a.weights.len(), window: a.window, sigma: SIGMA };
        let means = self.graph.node(self.label("ssim"), means, &[p, target])?;
        self.graph.node(self.label("ms_ssim"), MsSsim { form: a.form, weights: a.weights.clone() }, &[means])
    }
}

fn missing(what: &str) -> Error {
    Error::invalid("loss", format!("the network gives no {what}"))
}
