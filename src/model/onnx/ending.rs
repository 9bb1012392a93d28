//! How an ONNX network's output is converted to probabilities and classes.

use super::range::{Meaning, Reading};
use crate::error::Result;
use crate::graph::{Derived, Formula, Graph, ValueId};
use crate::model::blocks::sigmoid;
use crate::model::dialect::{Origin, Setting};
use crate::ops::{Binary, BinaryKind, Concat, Function, MaskRule, Softmax, Unary};
use crate::tensor::HostTensor;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// How an output is converted to probabilities and classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The network ends in a sigmoid: a class where its channel exceeds 0.5.
    AfterSigmoid,
    /// The network ends in a softmax: the class is the largest channel.
    AfterSoftmax,
    /// The output is logits for a sigmoid.
    Sigmoid,
    /// The output is logits for a softmax.
    Softmax,
    /// The output is a sigmoid times 255.
    #[serde(rename = "after_sigmoid_255")]
    AfterSigmoid255,
    /// The output is a softmax times 255.
    #[serde(rename = "after_softmax_255")]
    AfterSoftmax255,
    /// The output is the logarithm of a sigmoid.
    AfterLogSigmoid,
    /// The output is the logarithm of a softmax.
    AfterLogSoftmax,
    /// The output is the class id.
    #[serde(skip)]
    ClassIds,
}

impl Ending {
    /// Values of the setting `activation`.
    pub const SETTINGS: &'static str = "sigmoid, softmax, after_sigmoid, after_softmax, after_sigmoid_255, \
                                        after_softmax_255, after_log_sigmoid, after_log_softmax";

    /// The name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::AfterSigmoid => "after_sigmoid",
            Self::AfterSoftmax => "after_softmax",
            Self::Sigmoid => "sigmoid",
            Self::Softmax => "softmax",
            Self::AfterSigmoid255 => "after_sigmoid_255",
            Self::AfterSoftmax255 => "after_softmax_255",
            Self::AfterLogSigmoid => "after_log_sigmoid",
            Self::AfterLogSoftmax => "after_log_softmax",
            Self::ClassIds => "class_ids",
        }
    }

    /// Whether the channels are mutually exclusive classes.
    fn competes(self) -> bool {
        matches!(self, Self::AfterSoftmax | Self::Softmax | Self::AfterSoftmax255 | Self::AfterLogSoftmax)
    }
}

/// The interpretation of an output.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decision {
    /// How it is converted to probabilities.
    pub ending: Ending,
    /// Factor by which probabilities are scaled, such as 255.
    scale: f64,
    /// Whether probabilities may slightly exceed 0..1.
    clip: bool,
    /// Number of classes for [`Ending::ClassIds`].
    ids: usize,
    /// The reason; `None` if set by the user.
    reason: Option<String>,
}

/// Maximum number of classes of an output of class ids.
const MAX_IDS: usize = 256;

impl Decision {
    /// As set by the user.
    pub(super) fn set(ending: Ending) -> Self {
        let scale = match ending {
            Ending::AfterSigmoid255 | Ending::AfterSoftmax255 => 255.0,
            _ => 1.0,
        };
        Self { ending, scale, clip: false, ids: 0, reason: None }
    }

    /// As inferred from the file's arithmetic, for an output of `channels` channels.
    pub(super) fn of(reading: &Reading, channels: usize) -> Self {
        let [lo, hi] = reading.bounds;
        let single = channels == 1;
        let compete = reading.compete;
        let channel = match (single, compete) {
            (true, _) => "a class where it is above 0.5",
            (_, true) => "its channels form one softmax, the largest is the class",
            (_, false) => {
                "each channel by itself, since they need not sum to 1: the largest is the class if it is above 0.5, \
                 else the background"
            }
        };
        let pick = |alone: Ending, together: Ending| if compete && !single { together } else { alone };
        let with_reason = |ending: Ending, scale: f64, reason: String| Self {
            clip: reading.overshoots,
            scale,
            reason: Some(reason),
            ..Self::set(ending)
        };
        match reading.meaning {
            Meaning::Classes(n) if n <= MAX_IDS => Self {
                ids: n,
                ..with_reason(Ending::ClassIds, 1.0, format!("its output is a class id, 0 to {}", n - 1))
            },
            Meaning::Probability(1.0) => {
                let cubic = if reading.overshoots { " except for the overshoot of a cubic resize" } else { "" };
                let reason = format!("its output lies in 0..1 for any input{cubic}: {channel}");
                with_reason(pick(Ending::AfterSigmoid, Ending::AfterSoftmax), 1.0, reason)
            }
            Meaning::Probability(scale) => {
                let reason =
                    format!("its output lies in 0..{scale} for any input and is divided by {scale}: {channel}");
                with_reason(pick(Ending::AfterSigmoid255, Ending::AfterSoftmax255), scale, reason)
            }
            Meaning::Log => {
                let reason = format!("its output never exceeds 0, so it is logarithms of probabilities: {channel}");
                with_reason(pick(Ending::AfterLogSigmoid, Ending::AfterLogSoftmax), 1.0, reason)
            }
            Meaning::Logit | Meaning::Classes(_) => {
                let short = |v: f64| if v.is_finite() { format!("{v:.4}") } else { format!("{v}") };
                let range = match (lo.is_finite(), hi.is_finite()) {
                    (false, false) => "is unbounded".to_string(),
                    _ => format!("lies between {} and {}, which is not a range of probabilities", short(lo), short(hi)),
                };
                let ending = if single { Ending::Sigmoid } else { Ending::Softmax };
                let classes = if single { "a class where it is above 0" } else { "the largest channel is the class" };
                with_reason(ending, 1.0, format!("its output {range}: treated as logits, {classes}"))
            }
        }
    }

    /// The setting for a report of assumptions.
    pub(super) fn setting(&self) -> Setting {
        let origin = self.reason.clone().map_or(Origin::Set, Origin::Assumed);
        Setting { key: "activation".into(), value: json!(self.ending.name()), origin }
    }

    /// Whether the output is logits.
    pub(super) fn of_logits(&self) -> bool {
        matches!(self.ending, Ending::Sigmoid | Ending::Softmax)
    }

    /// Classes of the mask for an output of `channels` channels.
    pub(super) fn classes(&self, channels: usize) -> usize {
        match self.ending {
            Ending::ClassIds => self.ids,
            ending if ending.competes() => channels.max(2),
            _ => channels + 1,
        }
    }

    /// Adds the conversion to probabilities. Returns them with the mask rule.
    pub(super) fn probability(&self, graph: &mut Graph, value: ValueId) -> Result<(ValueId, MaskRule)> {
        let label = "probability";
        let channels = graph.shape(value).c;
        let mut p = match self.ending {
            Ending::Sigmoid => sigmoid(graph, label, value)?,
            Ending::Softmax => graph.node(label, Softmax, &[value])?,
            Ending::AfterLogSigmoid | Ending::AfterLogSoftmax => {
                graph.node(label, Unary { kind: Function::Exp }, &[value])?
            }
            Ending::ClassIds => {
                let mut planes = Vec::new();
                for i in 0..self.ids {
                    let id = number(graph, label, i as f32)?;
                    planes.push(graph.node(label, Binary { kind: BinaryKind::Equal }, &[value, id])?);
                }
                return Ok((graph.node(label, Concat, &planes)?, MaskRule::Argmax));
            }
            _ => value,
        };
        if self.scale != 1.0 {
            let factor = number(graph, label, (1.0 / self.scale) as f32)?;
            p = graph.node(label, Binary { kind: BinaryKind::Mul }, &[p, factor])?;
        }
        if self.clip {
            p = graph.node(label, Unary { kind: Function::Clip { min: 0.0, max: 1.0 } }, &[p])?;
        }
        let argmax = self.ending.competes() && channels > 1;
        Ok((p, if argmax { MaskRule::Argmax } else { MaskRule::Threshold(0.5) }))
    }
}

/// A constant number as a parameter.
fn number(graph: &mut Graph, label: &str, v: f32) -> Result<ValueId> {
    let formula = Formula::Numbers(Arc::new(HostTensor::new([1], vec![v])?));
    graph.derived(format!("{label} {v}"), &[1], Derived { from: vec![], formula })
}
