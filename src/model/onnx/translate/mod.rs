//! Translates the nodes of a file to nodes of this engine, for a given input shape.
//!
//! To add an operator, write a function in the file of its group and add a line to [`translator`].

mod border;
mod conv;
mod failure;
mod norm;
mod pointwise;
mod reduce;
mod shape;
mod spatial;
mod view;

pub(super) use failure::{Failure, describe};

use self::failure::UNKNOWN;
use super::Reason;
use super::attributes::Attributes;
use super::fold;
use super::parts::Parts;
use super::proto::NodeProto;
use super::tensor::{Tensor, count};
use super::value::label;
pub(super) use super::value::{Data, Value};
use crate::graph::{Derived, Formula, Graph, ValueId};
use crate::onnx::{Expression, Input};
use crate::ops::{Function, Op, Rearrange, Unary};
use crate::tensor::Shape;
use std::collections::HashMap;
use std::sync::Arc;

/// A node with its inputs.
pub(super) struct Call<'a> {
    /// The node.
    pub node: &'a NodeProto,
    /// Label of the nodes it is translated to.
    pub label: &'a str,
    /// Its attributes.
    pub attributes: Attributes<'a>,
    /// Opset version.
    pub opset: i64,
    /// Inputs; optional ones may be absent.
    pub inputs: Vec<Option<Value>>,
}

impl Call<'_> {
    /// Operator.
    pub(super) fn op(&self) -> &str {
        &self.node.op_type
    }

    /// Input `i`, if present.
    pub(super) fn maybe(&self, i: usize) -> Option<&Value> {
        self.inputs.get(i).and_then(Option::as_ref)
    }

    /// Input `i`.
    pub(super) fn value(&self, i: usize) -> Result<&Value, Reason> {
        self.maybe(i).ok_or_else(|| format!("input {i} is missing").into())
    }

    /// Input `i`, which must be computed by the network.
    pub(super) fn data(&self, i: usize) -> Result<&Data, Reason> {
        match self.value(i)? {
            Value::Data(d) => Ok(d),
            _ => Err(format!("input {i} is a constant, which is supported only where all inputs are").into()),
        }
    }

    /// Input `i`, if present, which must be a known constant.
    pub(super) fn known(&self, i: usize) -> Result<Option<&Tensor>, Reason> {
        match self.maybe(i) {
            None => Ok(None),
            Some(Value::Known(t, _)) => Ok(Some(t)),
            Some(_) => Err(format!("input {i} is computed by the network, or large; it must be a constant").into()),
        }
    }

    /// The integers of input `i`, or of the attribute that older opsets have instead.
    pub(super) fn list(&self, name: &str, i: usize) -> Result<Option<Vec<i64>>, Reason> {
        match self.known(i)? {
            Some(t) => Ok(Some(t.as_ints()?.to_vec())),
            None => Ok(self.attributes.ints(name).map(<[i64]>::to_vec)),
        }
    }

    /// Number of named outputs.
    pub(super) fn outputs(&self) -> usize {
        self.node.output.iter().filter(|o| !o.is_empty()).count()
    }
}

type Outputs = Result<Vec<Value>, Reason>;
type Translate = fn(&mut Translator<'_>, &Call<'_>) -> Outputs;

/// The function that translates an operator of ONNX's domain.
fn translator(op: &str) -> Option<Translate> {
    Some(match op {
        "Conv" => conv::conv,
        "ConvTranspose" => conv::conv_transpose,
        "Gemm" => conv::gemm,
        "MatMul" => conv::matmul,
        "BatchNormalization" => norm::batch,
        "InstanceNormalization" => norm::instance,
        "GroupNormalization" => norm::group,
        "LayerNormalization" => norm::layer,
        "Softmax" | "LogSoftmax" => norm::softmax,
        "MaxPool" | "AveragePool" => spatial::pool,
        "GlobalAveragePool" | "GlobalMaxPool" => spatial::global_pool,
        "Resize" | "Upsample" => spatial::resize,
        "Pad" => spatial::pad,
        "DepthToSpace" | "SpaceToDepth" => spatial::depth,
        "Clip" | "Mish" | "Gelu" | "Swish" => pointwise::unary,
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "PRelu" | "Less" | "Greater" | "Equal" => pointwise::binary,
        "Min" | "Max" | "Sum" | "Mean" => pointwise::several,
        "Celu" => pointwise::celu,
        "ThresholdedRelu" => pointwise::thresholded,
        "Not" | "And" | "Or" | "LessOrEqual" | "GreaterOrEqual" => pointwise::logic,
        "Where" => pointwise::choose,
        "Identity" | "Dropout" => shape::same,
        "Cast" | "CastLike" => shape::cast,
        "Shape" | "Size" => shape::shape,
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => shape::reshape,
        "Transpose" => shape::transpose,
        "Concat" => shape::concat,
        "Slice" => shape::slice,
        "Split" => shape::split,
        "Gather" => shape::gather,
        "Expand" | "Tile" => shape::expand,
        "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceSum" | "ReduceLogSumExp" | "ReduceL1" | "ReduceL2"
        | "ReduceSumSquare" | "ReduceProd" => reduce::reduce,
        "ArgMax" | "ArgMin" => reduce::argmax,
        name if pointwise::is_function(name) => pointwise::unary,
        _ => return None,
    })
}

/// Operators that are supported by [`fold::apply`] only.
const FOLDED_ONLY: [&str; 7] = ["Constant", "ConstantOfShape", "Range", "Mod", "Pow", "Size", "Shape"];

/// Limit of elements read and written by constant folding, for any file.
const FREE_ELEMENTS: u64 = 1 << 24;
/// Additional limit per element in the file.
const PER_ELEMENT: u64 = 16;
/// Cost of a node, in elements.
pub(super) const NODE_COST: u64 = 256;

/// State of a translation.
pub(super) struct Translator<'a> {
    parts: &'a Parts,
    /// Shape of the network's input.
    input: Shape,
    /// Elements read and written by constant folding so far, and their limit.
    spent: u64,
    max: u64,
    /// The graph under construction.
    pub graph: &'a mut Graph,
    values: HashMap<&'a str, Value>,
}

/// Result of a translation: NCHW tensors, whatever the axis order in the file.
#[derive(Clone, Debug)]
pub(super) struct Translated {
    /// The file's outputs in order, without constant ones.
    pub outputs: Vec<(String, ValueId)>,
    /// Their dimensions in the file.
    pub dims: Vec<(String, Vec<usize>)>,
    /// The requested value.
    pub decision: ValueId,
    /// Cost: elements of constants, and [`NODE_COST`] per node.
    pub cost: u64,
}

/// Adds a file's network to a graph. `x` is NCHW in blocked layout. `decision` is the name of a value to return besides
/// the outputs; the first output if empty.
pub(super) fn translate(
    parts: &Parts,
    graph: &mut Graph,
    x: ValueId,
    decision: &str,
) -> Result<Translated, Vec<Failure>> {
    let fail = |node: &str, op: &str, reason: String| vec![Failure { node: node.into(), op: op.into(), reason }];
    let shape = graph.shape(x);
    let input = Data { integral: parts.integer_pixels(), ..parts.layout.view(x, shape) };
    let max = FREE_ELEMENTS.saturating_add(parts.elements().saturating_mul(PER_ELEMENT));
    let mut t = Translator { parts, input: shape, graph, values: HashMap::new(), spent: 0, max };
    t.values.insert(&parts.input, Value::Data(input));
    let mut failures = Vec::new();
    for node in &parts.nodes {
        let label = label(node);
        let op =
            if node.domain.is_empty() { node.op_type.clone() } else { format!("{}:{}", node.domain, node.op_type) };
        match t.node(node, label) {
            Ok(Some(outputs)) => {
                for (name, value) in node.output.iter().zip(outputs).filter(|o| !o.0.is_empty()) {
                    t.values.insert(name, value);
                }
            }
            // One of its inputs has failed.
            Ok(None) => {}
            Err(Reason(reason)) => failures.push(Failure { node: label.into(), op, reason }),
        }
    }
    if !failures.is_empty() {
        return Err(failures);
    }
    let (mut outputs, mut dims) = (Vec::new(), Vec::new());
    for name in &parts.outputs {
        match t.values.get(&name[..]).cloned().or_else(|| parts.value(name)) {
            Some(Value::Data(d)) => {
                let (id, in_order) = border::exported(&mut t, name, &d).map_err(|e| fail(name, "output", e.0))?;
                outputs.push((name.clone(), id));
                // In another order, the file's dimensions would not match the elements.
                if in_order {
                    dims.push((name.clone(), d.dims()));
                }
            }
            Some(_) => log::debug!("output `{name}` is a constant and left out"),
            None => return Err(fail(name, "output", "no node produces it".into())),
        }
    }
    let Some(first) = outputs.first() else { return Err(fail(&parts.outputs[0], "output", "is a constant".into())) };
    let decision = match (outputs.iter().find(|o| o.0 == decision), t.values.get(decision).cloned()) {
        (Some(output), _) => output.1,
        (None, Some(Value::Data(d))) => {
            border::exported(&mut t, decision, &d).map_err(|e| fail(decision, "output", e.0))?.0
        }
        (None, _) => first.1,
    };
    let cost = t.spent + parts.nodes.len() as u64 * NODE_COST;
    Ok(Translated { outputs, dims, decision, cost })
}

impl<'a> Translator<'a> {
    /// The outputs of a node; `None` if an input has none because its own node failed.
    fn node(&mut self, node: &'a NodeProto, label: &'a str) -> Result<Option<Vec<Value>>, Reason> {
        let own = node.domain.is_empty() || node.domain == "ai.onnx";
        let known = own && (translator(&node.op_type).is_some() || FOLDED_ONLY.contains(&&node.op_type[..]));
        // Reported even if inputs have failed too, so that the message is complete.
        if !known {
            return Err(UNKNOWN.into());
        }
        let mut inputs = Vec::with_capacity(node.input.len());
        for name in &node.input {
            if name.is_empty() {
                inputs.push(None);
                continue;
            }
            match self.values.get(&name[..]).cloned().or_else(|| self.parts.value(name)) {
                Some(value) => inputs.push(Some(self.declared(value)?)),
                None if self.parts.is_made(name) => return Ok(None),
                None => return Err(format!("its input `{name}` is not in the file").into()),
            }
        }
        let attributes = Attributes::of(node);
        let call = Call { node, label, attributes, opset: self.parts.opset, inputs };
        let fold = fold::Call { op: &node.op_type, attributes, opset: call.opset, outputs: call.outputs() };
        if call.inputs.iter().flatten().all(|v| matches!(v, Value::Known(..))) {
            let known: Vec<Option<&Tensor>> = call.inputs.iter().map(|v| v.as_ref().and_then(Value::tensor)).collect();
            if let Some(outputs) = self.folded(&fold, &known)? {
                return Ok(Some(outputs.into_iter().map(Value::known).collect()));
            }
        }
        if !call.inputs.iter().flatten().any(|v| matches!(v, Value::Data(_)))
            && let Some(outputs) = self.derive(&call, &fold)?
        {
            return Ok(Some(outputs));
        }
        match translator(&node.op_type) {
            Some(f) => f(self, &call).map(Some),
            None => Err("is supported for constants only".into()),
        }
    }

    /// [`fold::apply`] with limits: a few nodes can double a constant many times.
    fn folded(&mut self, call: &fold::Call<'_>, inputs: &[Option<&Tensor>]) -> Result<Option<Vec<Tensor>>, Reason> {
        self.charge(inputs.iter().flatten().map(|t| t.len() as u64).sum())?;
        let outputs = fold::apply(call, inputs)?;
        self.charge(outputs.iter().flatten().map(|t| t.len() as u64).sum())?;
        Ok(outputs)
    }

    fn charge(&mut self, elements: u64) -> Result<(), Reason> {
        self.spent = self.spent.saturating_add(elements);
        if self.spent > self.max {
            return Err(format!("arithmetic on constants uses more than {} elements", self.max).into());
        }
        Ok(())
    }

    /// Declares a stored parameter at its first use.
    fn declared(&mut self, value: Value) -> Result<Value, Reason> {
        match value {
            Value::Stored(name, dims) => {
                let id = self.graph.parameter(&name[..], &dims)?;
                Ok(Value::Param(id, dims))
            }
            value => Ok(value),
        }
    }

    /// The outputs of a node on parameters, which may be large: computed when weights are loaded.
    fn derive(&mut self, call: &Call<'_>, fold: &fold::Call<'_>) -> Result<Option<Vec<Value>>, Reason> {
        // Dimensions are inferred with zeros in place of the parameters.
        let mut shapes = Vec::with_capacity(call.inputs.len());
        for v in &call.inputs {
            shapes.push(match v {
                None => None,
                Some(Value::Known(t, _)) => Some((**t).clone()),
                Some(v) => {
                    let dims = v.dims();
                    self.charge(count(&dims)? as u64)?;
                    Some(Tensor::zeros_like(&dims)?)
                }
            });
        }
        let borrowed: Vec<Option<&Tensor>> = shapes.iter().map(Option::as_ref).collect();
        let Some(results) = self.folded(fold, &borrowed)? else { return Ok(None) };
        let (mut from, mut inputs) = (Vec::new(), Vec::new());
        for v in &call.inputs {
            inputs.push(match v {
                None => Input::Absent,
                Some(Value::Known(t, _)) => Input::Constant((**t).clone()),
                Some(v) => {
                    from.push(self.parameter(v, &v.dims())?);
                    Input::Parameter
                }
            });
        }
        let expressions = Expression::all(call.label, fold, results.len(), inputs);
        let mut values = Vec::new();
        for (i, (result, expression)) in results.iter().zip(expressions).enumerate() {
            let derived = Derived { from: from.clone(), formula: Formula::Onnx(expression) };
            let name = call.node.output.get(i).filter(|n| !n.is_empty()).map_or(call.label, |n| n);
            let id = self.graph.derived(name, &result.dims, derived)?;
            values.push(Value::Param(id, result.dims.clone()));
        }
        Ok(Some(values))
    }

    /// A constant as a parameter of dimensions `dims`, with the same number of elements.
    pub(super) fn parameter(&mut self, value: &Value, dims: &[usize]) -> Result<ValueId, Reason> {
        let id = match value {
            Value::Data(_) => return Err("a constant is needed, the network computes it".into()),
            Value::Param(id, _) => *id,
            Value::Stored(name, stored) => self.graph.parameter(&name[..], stored)?,
            Value::Known(t, Some(name)) if self.parts.is_stored(name) => self.graph.parameter(&name[..], &t.dims)?,
            Value::Known(t, name) => {
                let name = name.as_deref().unwrap_or("constant").to_string();
                self.charge(t.len() as u64)?;
                let (t, own) = (t.reshaped(dims.to_vec())?, dims.to_vec());
                let host = Arc::new(t.host()?);
                let numbers = Derived { from: vec![], formula: Formula::Numbers(host) };
                return Ok(self.graph.derived(name, &own, numbers)?);
            }
        };
        if count(&value.dims())? != count(dims)? {
            return Err(format!("a constant of dimensions {:?} where {dims:?} are needed", value.dims()).into());
        }
        // Ops use the shape only: `[C]` is `[1, C, 1, 1]`.
        if self.graph.shape(id) == Shape::from_dims(dims)? {
            return Ok(id);
        }
        self.derived(id, dims, Formula::Reshaped(dims.to_vec()))
    }

    /// A constant of up to four dimensions, padded to four axes and permuted by `perm` to the dimensions `dims`.
    pub(super) fn permuted(&mut self, value: &Value, dims: &[usize], perm: &[usize]) -> Result<ValueId, Reason> {
        // With at most one axis longer than 1, no element moves.
        if dims.iter().filter(|&&n| n != 1).count() <= 1 {
            return self.parameter(value, dims);
        }
        let own = [vec![1; 4usize.saturating_sub(value.dims().len())], value.dims()].concat();
        let stored = self.parameter(value, &own)?;
        self.derived(stored, dims, Formula::Permuted { from: own, to: dims.to_vec(), order: perm.to_vec() })
    }

    /// A parameter computed from another one.
    pub(super) fn derived(&mut self, from: ValueId, dims: &[usize], formula: Formula) -> Result<ValueId, Reason> {
        let name = self.graph.value(from).name.clone();
        Ok(self.graph.derived(name, dims, Derived { from: vec![from], formula })?)
    }

    /// Adds a node and returns its first output.
    pub(super) fn add(&mut self, call: &Call<'_>, op: impl Op, inputs: &[ValueId]) -> Result<ValueId, Reason> {
        Ok(self.graph.node(call.label, op, inputs)?)
    }

    /// Adds a node whose result has the axis order of its NCHW shape.
    pub(super) fn emit(&mut self, call: &Call<'_>, op: impl Op, inputs: &[ValueId]) -> Outputs {
        let id = self.add(call, op, inputs)?;
        Ok(vec![Value::Data(Data::plain(id, self.graph.shape(id).dims().to_vec()))])
    }

    /// A value as a tensor of `shape`, permuted if needed.
    pub(super) fn shaped(&mut self, call: &Call<'_>, d: &Data, shape: Shape) -> Result<ValueId, Reason> {
        self.arranged(call.label, d, shape)
    }

    fn arranged(&mut self, label: &str, d: &Data, shape: Shape) -> Result<ValueId, Reason> {
        let from = self.graph.shape(d.id);
        if count(&d.base)? != shape.len() {
            return Err(format!("{:?} are not {shape}", d.dims()).into());
        }
        if d.in_order() && from == shape {
            return Ok(d.id);
        }
        let op = Rearrange { dims: d.base.clone(), order: d.order.clone(), shape };
        Ok(self.graph.node(format!("{label} (layout)"), op, &[d.id])?)
    }

    /// Input `i`, which must have four dimensions, as an NCHW tensor.
    pub(super) fn nchw(&mut self, call: &Call<'_>, i: usize) -> Result<ValueId, Reason> {
        let d = call.data(i)?.clone();
        match d.dims()[..] {
            [n, c, h, w] => self.shaped(call, &d, Shape::new(n, c, h, w)),
            ref dims => Err(format!("its input has dimensions {dims:?}: only [N, C, H, W] is supported").into()),
        }
    }

    /// Any value as a tensor of `shape`; a constant becomes a tensor of the graph.
    pub(super) fn tensor(&mut self, call: &Call<'_>, value: &Value, shape: Shape) -> Result<ValueId, Reason> {
        match value {
            Value::Data(d) => self.shaped(call, d, shape),
            constant => {
                let p = self.parameter(constant, &shape.dims())?;
                Ok(self.graph.node(format!("{} (constant)", call.label), Unary { kind: Function::Identity }, &[p])?)
            }
        }
    }
}
