//! A network wrapped in its package's order of axes, postprocessing and sizes.

use super::Post;
use super::sizes::Sizes;
use crate::error::{Error, Result};
use crate::graph::{DropoutAt, Graph, ValueId};
use crate::model::blocks::sigmoid;
use crate::model::{self, Architecture, Built, DefaultLoss, SizeRule};
use crate::ops::{Binary, BinaryKind, Concat, Fill, Function, ImportNchw, MaskRule, Rearrange, Softmax, Unary};
use crate::tensor::Shape;
use serde_json::Value;
use std::sync::Arc;

/// A network inside a package. Its outputs are the package's output, under the package's name, and the network's own.
#[derive(Clone, Debug)]
pub struct Packaged {
    /// The network.
    pub network: Arc<dyn Architecture>,
    /// Name of the network's output that the package uses.
    pub output: String,
    /// The package's name for it.
    pub id: String,
    /// Postprocessing of that output.
    pub post: Vec<Post>,
    /// Whether the input, and whether the output, has columns before rows.
    pub transposed: [bool; 2],
    /// Valid input sizes.
    pub sizes: Sizes,
    /// Invalid margin of the output, rows and columns, as the package declares it.
    pub halo: [usize; 2],
    /// Classes, background included.
    pub classes: usize,
}

impl Packaged {
    /// Sets the number of classes that follows from the postprocessing.
    pub fn counted(mut self) -> Result<Self> {
        let (graph, built) = model::built(&self, self.example())?;
        self.classes = match built.rule {
            _ if self.post.is_empty() => self.network.classes(),
            MaskRule::Argmax | MaskRule::Foreground => graph.shape(built.decision).c,
            MaskRule::Threshold(_) => graph.shape(built.decision).c + 1,
        };
        Ok(self)
    }
}

/// Exchanges rows and columns.
fn transposed(g: &mut Graph, label: &str, x: ValueId) -> Result<ValueId> {
    let op = Rearrange::transpose(g.shape(x), [0, 1, 3, 2]);
    g.node(label, op, &[x])
}

/// Adds a constant to the graph: one number per channel, or one for all.
fn constant(g: &mut Graph, label: &str, values: &[f64]) -> Result<ValueId> {
    let mut parts = Vec::new();
    for &v in values {
        let one = g.node(label, Fill { shape: Shape::new(1, 1, 1, 1), value: v as f32 }, &[])?;
        parts.push(g.node(label, ImportNchw, &[one])?);
    }
    match parts[..] {
        [one] => Ok(one),
        _ => g.node(label, Concat, &parts),
    }
}

/// The mask rule after `x * gain + offset`; `None` if the class no longer follows from the result.
fn scaled(rule: Option<MaskRule>, gain: &[f64], offset: &[f64]) -> Option<MaskRule> {
    match (rule?, gain, offset) {
        (MaskRule::Threshold(t), &[g], &[o]) if g > 0.0 => Some(MaskRule::Threshold((f64::from(t) * g + o) as f32)),
        (MaskRule::Argmax, &[g], &[_]) if g > 0.0 => Some(MaskRule::Argmax),
        _ => None,
    }
}

impl Packaged {
    /// Adds the postprocessing. Returns the output, the value that the class follows from, and the mask rule.
    fn processed(&self, g: &mut Graph, raw: ValueId, own: Option<MaskRule>) -> Result<(ValueId, ValueId, MaskRule)> {
        let label = |i: usize, what: &str| format!("{}.{i}.{what}", self.id);
        let (mut value, mut rule) = (raw, own);
        for (i, step) in self.post.iter().enumerate() {
            match step {
                Post::Sigmoid => {
                    value = sigmoid(g, &label(i, "sigmoid"), value)?;
                    rule = Some(MaskRule::Threshold(0.5));
                }
                Post::Softmax => {
                    value = g.node(label(i, "softmax"), Softmax, &[value])?;
                    let one = g.shape(value).c == 1;
                    rule = Some(if one { MaskRule::Threshold(0.5) } else { MaskRule::Argmax });
                }
                Post::Linear(gain, offset) => {
                    let factor = constant(g, &label(i, "gain"), gain)?;
                    value = g.node(label(i, "scaled"), Binary { kind: BinaryKind::Mul }, &[value, factor])?;
                    let summand = constant(g, &label(i, "offset"), offset)?;
                    value = g.node(label(i, "shifted"), Binary { kind: BinaryKind::Add }, &[value, summand])?;
                    rule = scaled(rule, gain, offset);
                }
                Post::Clip(low, high) => {
                    let [min, max] = [*low as f32, *high as f32];
                    value = g.node(label(i, "clip"), Unary { kind: Function::Clip { min, max } }, &[value])?;
                    rule = rule.filter(|r| !matches!(*r, MaskRule::Threshold(t) if t < min || t >= max));
                }
                Post::Binarize(threshold) => {
                    let t = constant(g, &label(i, "threshold"), &[*threshold])?;
                    let last = g.node(label(i, "binarize"), Binary { kind: BinaryKind::Greater }, &[value, t])?;
                    return Ok((last, value, MaskRule::Threshold(*threshold as f32)));
                }
            }
        }
        let reason = "no class follows from the result; a `sigmoid`, `softmax` or `binarize` is needed";
        rule.map(|rule| (value, value, rule)).ok_or_else(|| Error::invalid("postprocessing", reason))
    }
}

impl Architecture for Packaged {
    fn id(&self) -> &'static str {
        self.network.id()
    }

    fn default_loss(&self) -> DefaultLoss {
        self.network.default_loss()
    }

    fn name(&self) -> &'static str {
        self.network.name()
    }

    fn in_channels(&self) -> usize {
        self.network.in_channels()
    }

    fn out_channels(&self) -> usize {
        self.network.out_channels()
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn config(&self) -> Value {
        self.network.config()
    }

    fn size_rule(&self) -> SizeRule {
        self.sizes.rule
    }

    fn fixed_size(&self) -> [Option<usize>; 2] {
        self.sizes.fixed
    }

    fn unfit(&self) -> Option<String> {
        self.network.unfit()
    }

    fn ruled(&self) -> bool {
        // Sizes in the description count as a rule.
        self.network.ruled() || self.sizes.rule != self.network.size_rule() || self.sizes.fixed != [None; 2]
    }

    fn tried_size(&self, image: [usize; 2]) -> Result<[usize; 2]> {
        // A transposed network takes columns before rows.
        let transpose = |[a, b]: [usize; 2]| if self.transposed[0] { [b, a] } else { [a, b] };
        self.network.tried_size(transpose(image)).map(transpose)
    }

    fn invalid_margin(&self) -> [usize; 2] {
        self.halo
    }

    fn inner(&self) -> Option<Arc<dyn Architecture>> {
        Some(self.network.clone())
    }

    fn untransposed(&self) -> Option<Arc<dyn Architecture>> {
        (self.transposed != [false; 2]).then(|| Arc::new(Self { transposed: [false; 2], ..self.clone() }) as _)
    }

    fn example(&self) -> Shape {
        let [h, w] = self.sizes.fixed.map(|n| n.unwrap_or(self.sizes.rule.minimum));
        self.network.example().with_hw(h, w)
    }

    fn dropouts(&self) -> Vec<DropoutAt> {
        self.network.dropouts()
    }

    fn build(&self, graph: &mut Graph, x: ValueId) -> Result<Built> {
        let x = if self.transposed[0] { transposed(graph, "columns first", x)? } else { x };
        let mut built = self.network.build(graph, x)?;
        if self.transposed[1] {
            let mut done: Vec<(ValueId, ValueId)> = Vec::new();
            let mut transpose = |graph: &mut Graph, name: &str, v: ValueId| -> Result<ValueId> {
                if let Some((_, to)) = done.iter().find(|d| d.0 == v) {
                    return Ok(*to);
                }
                let to = transposed(graph, &format!("{name}, rows first"), v)?;
                done.push((v, to));
                Ok(to)
            };
            for (name, v) in &mut built.outputs {
                *v = transpose(graph, name, *v)?;
            }
            built.probability = transpose(graph, "probability", built.probability)?;
            built.decision = transpose(graph, "decision", built.decision)?;
            built.logits = transpose(graph, "logits", built.logits)?;
        }
        let raw = built.outputs.iter().find(|o| o.0 == self.output).map(|o| o.1);
        let raw = raw.ok_or_else(|| Error::invalid(&self.output, "is none of the network's outputs"))?;
        if self.post.is_empty() {
            built.outputs.retain(|o| o.0 != self.output && o.0 != self.id);
            built.outputs.insert(0, (self.id.clone(), raw));
            return Ok(built);
        }
        // For an output that the network itself does not derive classes from, only an argmax is meaningful.
        let several = (graph.shape(raw).c > 1).then_some(MaskRule::Argmax);
        let own = if built.decision == raw { Some(built.rule) } else { several };
        let (last, value, rule) = self.processed(graph, raw, own)?;
        built.outputs.retain(|o| o.0 != self.id);
        built.outputs.insert(0, (self.id.clone(), last));
        Ok(Built { outputs: built.outputs, logits: raw, probability: value, decision: value, rule })
    }
}
