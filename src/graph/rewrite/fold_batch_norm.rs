//! Batch norm after a convolution folds into its weight and bias (in `f64`, rounded once).

use crate::error::{Error, Result};
use crate::graph::{Derived, Formula, Graph, Node, ParamSource, Parameter, Rebuild, ValueId, ValueKind};
use crate::ops::{BatchNorm2d, Conv2d, ConvTranspose2d, Op};
use std::sync::Arc;

/// `BN(conv(x, w) + b) = conv(x, scale w) + (scale b + shift)`, where the convolution feeds nothing else and has no
/// activation of its own.
pub(super) fn rewrite(graph: &Graph) -> Result<Graph> {
    let uses = graph.uses();
    graph.rebuild(|cx, node| {
        let Some(bn) = node.op.as_op::<BatchNorm2d>() else { return Ok(None) };
        let x = node.inputs[0];
        let Some(conv) = cx.old.producer(x).filter(|_| uses[x.index()] == 1) else { return Ok(None) };
        let parameters = [1, 2, 3, 4].map(|i| node.inputs[i]);
        if let Some(op) = conv.op.as_op::<Conv2d>() {
            let folded = Conv2d { bias: true, ..op.clone() };
            return fold(cx, conv, bn.clone(), parameters, 1, op.bias, 0, Arc::new(folded)).map(Some);
        }
        let transposed = conv.op.as_op::<ConvTranspose2d>();
        // With groups, the weight's output channel axis covers a single group only.
        if let Some(op) = transposed.filter(|op| op.groups == 1) {
            let folded = ConvTranspose2d { bias: true, ..op.clone() };
            return fold(cx, conv, bn.clone(), parameters, 1, op.bias, 1, Arc::new(folded)).map(Some);
        }
        Ok(None)
    })
}

/// Emits `conv` with folded parameters; `out_axis` is the weight's axis of output channels.
#[allow(clippy::too_many_arguments, reason = "the parts of one node, named at each of two calls")]
fn fold(
    cx: &mut Rebuild<'_>,
    conv: &Node,
    bn: BatchNorm2d,
    parameters: [ValueId; 4],
    weight_input: usize,
    has_bias: bool,
    out_axis: usize,
    op: Arc<dyn Op>,
) -> Result<Vec<ValueId>> {
    let weight = conv.inputs[weight_input];
    let dims = |v: ValueId| match &cx.old.value(v).kind {
        ValueKind::Parameter(Parameter { dims, source: ParamSource::Stored | ParamSource::Derived(_) }) => {
            Ok(dims.clone())
        }
        _ => Err(Error::op(&conv.label, "its weight is not a parameter")),
    };
    let weight_dims = dims(weight)?;
    let channels = weight_dims[out_axis];
    let mut inputs = cx.map_all(&conv.inputs[..weight_input])?;
    let bn_values = cx.map_all(&parameters)?;
    let new_weight = cx.map(weight)?;
    let bias = if has_bias { Some(cx.map(conv.inputs[weight_input + 1])?) } else { None };

    let mut from = bn_values.clone();
    from.push(new_weight);
    let folded = Derived { from, formula: Formula::FoldBatchNormWeight { eps: bn.eps, axis: out_axis } };
    inputs.push(cx.new.derived(format!("{}.folded_weight", conv.label), &weight_dims, folded)?);

    let mut from = bn_values;
    from.extend(bias);
    let folded = Derived { from, formula: Formula::FoldBatchNormBias { eps: bn.eps } };
    inputs.push(cx.new.derived(format!("{}.folded_bias", conv.label), &[channels], folded)?);
    cx.new.node_shared(conv.label.clone(), op, &inputs)
}
