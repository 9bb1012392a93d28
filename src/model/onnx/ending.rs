//! How an ONNX network's output becomes probabilities, and these a class.

use super::range::{Meaning, Reading};
use crate::error::Result;
use crate::graph::{Derived, Formula, Graph, ValueId};
use crate::model::blocks::sigmoid;
use crate::model::dialect::{Origin, Setting};
use crate::ops::{Binary, BinaryKind, Concat, Function, MaskRule, Softmax, Unary};
use crate::tensor::HostTensor;
use serde::Deserialize;
use serde_json::json;

/// How an output becomes probabilities, and these a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The network ends in a sigmoid: a class where its channel is above one half.
    AfterSigmoid,
    /// The network ends in a softmax: the largest channel.
    AfterSoftmax,
    /// A sigmoid is to be applied.
    Sigmoid,
    /// A softmax is to be applied.
    Softmax,
    /// The network gives what a sigmoid gives times 255.
    #[serde(rename = "after_sigmoid_255")]
    AfterSigmoid255,
    /// The network gives what a softmax gives times 255.
    #[serde(rename = "after_softmax_255")]
    AfterSoftmax255,
    /// The network gives the logarithm of a sigmoid.
    AfterLogSigmoid,
    /// The network gives the logarithm of a softmax.
    AfterLogSoftmax,
    /// The network gives the number of the class.
    #[serde(skip)]
    ClassIds,
}

impl Ending {
    /// What the setting `activation` takes.
    pub const SETTINGS: &'static str = "sigmoid, softmax, after_sigmoid, after_softmax, after_sigmoid_255, \
                                        after_softmax_255, after_log_sigmoid, after_log_softmax";

    /// As settings spell it.
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

    /// Whether the channels are of one question.
    fn competes(self) -> bool {
        matches!(self, Self::AfterSoftmax | Self::Softmax | Self::AfterSoftmax255 | Self::AfterLogSoftmax)
    }
}

/// What was decided of an output.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// How it becomes probabilities.
    pub ending: Ending,
    /// What probabilities were multiplied with.
    scale: f64,
    /// Whether probabilities may lie a little outside of 0..1.
    clip: bool,
    /// Of [`Ending::ClassIds`].
    ids: usize,
    /// Why; nothing if it was set.
    why: Option<String>,
}

/// Most classes whose numbers are told apart.
const MAX_IDS: usize = 256;

impl Decision {
    /// As the user says.
    pub fn set(ending: Ending) -> Self {
        let scale = match ending {
            Ending::AfterSigmoid255 | Ending::AfterSoftmax255 => 255.0,
            _ => 1.0,
        };
        Self { ending, scale, clip: false, ids: 0, why: None }
    }

    /// As the file's arithmetic shows, for an output of so many channels.
    pub fn of(reading: &Reading, channels: usize) -> Self {
        let [lo, hi] = reading.bounds;
        let single = channels == 1;
        let compete = reading.compete;
        let channel = match (single, compete) {
            (true, _) => "a class where it is above one half",
            (_, true) => "its channels are of one softmax, the largest is the class",
            (_, false) => {
                "each channel by itself, since nothing makes them sum to 1: the largest is the class if it is above one half, \
                 else the background"
            }
        };
        let pick = |alone: Ending, together: Ending| if compete && !single { together } else { alone };
        let made = |ending: Ending, scale: f64, why: String| Self {
            clip: reading.overshoots,
            scale,
            why: Some(why),
            ..Self::set(ending)
        };
        match reading.meaning {
            Meaning::Classes(n) if n <= MAX_IDS => Self {
                ids: n,
                ..made(Ending::ClassIds, 1.0, format!("its output is the number of a class, 0 to {}", n - 1))
            },
            Meaning::Probability(1.0) => {
                let cubic = if reading.overshoots { " but for what a cubic resize overshoots" } else { "" };
                let why = format!("its output lies in 0..1 whatever goes in{cubic}: {channel}");
                made(pick(Ending::AfterSigmoid, Ending::AfterSoftmax), 1.0, why)
            }
            Meaning::Probability(scale) => {
                let why =
                    format!("its output lies in 0..{scale} whatever goes in and is divided by {scale}: {channel}");
                made(pick(Ending::AfterSigmoid255, Ending::AfterSoftmax255), scale, why)
            }
            Meaning::Log => {
                let why = format!("its output is never above 0, so logarithms of probabilities: {channel}");
                made(pick(Ending::AfterLogSigmoid, Ending::AfterLogSoftmax), 1.0, why)
            }
            Meaning::Logit | Meaning::Classes(_) => {
                let short = |v: f64| if v.is_finite() { format!("{v:.4}") } else { format!("{v}") };
                let range = match (lo.is_finite(), hi.is_finite()) {
                    (false, false) => "can be any number".to_string(),
                    _ => format!("lies between {} and {}, which is no scale of probabilities", short(lo), short(hi)),
                };
                let ending = if single { Ending::Sigmoid } else { Ending::Softmax };
                let classes = if single { "a class where it is above 0" } else { "the largest channel is the class" };
                made(ending, 1.0, format!("its output {range}: taken for logits, {classes}"))
            }
        }
    }

    /// For a report of what was assumed.
    pub fn setting(&self) -> Setting {
        let origin = self.why.clone().map_or(Origin::Set, Origin::Assumed);
        Setting { key: "activation".into(), value: json!(self.ending.name()), origin }
    }

    /// Whether a plain sigmoid or softmax follows the output.
    pub fn of_logits(&self) -> bool {
        matches!(self.ending, Ending::Sigmoid | Ending::Softmax)
    }

    /// Classes of the mask for an output of so many channels.
    pub fn classes(&self, channels: usize) -> usize {
        match self.ending {
            Ending::ClassIds => self.ids,
            ending if ending.competes() => channels.max(2),
            _ => channels + 1,
        }
    }

    /// The probabilities of an output, and how they make a class.
    pub fn probability(&self, graph: &mut Graph, value: ValueId) -> Result<(ValueId, MaskRule)> {
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

/// A number as a parameter.
fn number(graph: &mut Graph, label: &str, v: f32) -> Result<ValueId> {
    let formula = Formula::Numbers(HostTensor::new([1], vec![v])?);
    graph.derived(format!("{label} {v}"), &[1], Derived { from: vec![], formula })
}
