//! Persistent variables, and weights that are packed from them: kernels read weights in their own order, so each run
//! begins by repacking them.

use super::PlannedVariable;
use crate::error::{Error, Result};
use crate::graph::{Graph, ValueId, ValueKind};
use crate::kernel::{Dispatch, KernelKey, Operand, Target, TensorStorage, may_be_texture, shader_struct};
use crate::ops::{Lowered, PackedWeights, Packing};
use crate::tensor::{Layout, Precision, TensorDesc};

shader_struct! {
    /// Parameters of `gather`.
    struct GatherParams {
        len: u32,
        row: u32,
        /// Elements of the first input.
        first: u32,
    }
}

/// The persistent variables of a graph. Fails if one would be read after its update.
pub(super) fn variables(graph: &Graph) -> Result<Vec<PlannedVariable>> {
    for &(variable, next) in graph.updates() {
        let update = graph.nodes().iter().position(|n| n.outputs.contains(&next));
        let last_read = graph.nodes().iter().rposition(|n| n.inputs.contains(&variable));
        if let Some(reader) = last_read.filter(|&r| update.is_some_and(|u| u < r)) {
            let name = &graph.value(variable).name;
            return Err(Error::op(
                &graph.nodes()[reader].label,
                format!("reads persistent variable `{name}` after its update"),
            ));
        }
        if let Some((name, _)) = graph.outputs().iter().find(|o| o.1 == next) {
            return Err(Error::invalid(
                format!("output `{name}`"),
                "is the new value of a persistent variable; read the variable",
            ));
        }
    }
    for node in graph.nodes() {
        for &(output, input) in node.op.updates() {
            if !graph.updates().contains(&(node.inputs[input], node.outputs[output])) {
                return Err(Error::op(
                    &node.label,
                    format!("input {input} must be a persistent variable that output {output} updates"),
                ));
            }
        }
    }
    let variable = |v: ValueId| match &graph.value(v).kind {
        ValueKind::Variable(dims) => Some(PlannedVariable {
            name: graph.value(v).name.clone(),
            dims: dims.clone(),
            value: v,
            bytes: graph.value(v).desc.bytes(Precision::F32),
        }),
        _ => None,
    };
    Ok(graph.ids().filter_map(variable).collect())
}

/// Whether any weights of a graph change between runs.
pub(super) fn is_training(graph: &Graph) -> bool {
    graph.values().iter().any(|v| matches!(v.kind, ValueKind::Variable(_)))
}

/// Moves the packing of weights that change between runs to the device. For packed weights whose inputs vary, a table
/// gives the source of each element, and a dispatch ahead of the node's own gathers them into scratch memory.
pub(super) fn pack_on_device(
    label: &str,
    mut low: Lowered,
    target: &Target,
    inputs: &[TensorDesc],
    varies: impl Fn(usize) -> bool,
) -> Result<Lowered> {
    let mut before = Vec::new();
    for k in 0..low.weights.len() {
        let PackedWeights { inputs: from, len, precision, packing } = low.weights[k].clone();
        if !from.iter().any(|&i| varies(i)) {
            continue;
        }
        if precision != Precision::F32 || target.options.precision != Precision::F32 {
            return Err(Error::op(label, "weights that change from run to run are f32 only"));
        }
        if from.len() > 2 || from.iter().any(|&i| !varies(i) || inputs[i].layout != Layout::Linear) {
            return Err(Error::op(label, "packs more than two parameters, or both constant and changing ones"));
        }
        let counts: Vec<usize> = from.iter().map(|&i| inputs[i].shape.len()).collect();
        if !packing.is_copy() {
            return Err(Error::op(label, "computes with weights that change from run to run"));
        }
        let operand = Operand::Weights(k);
        let texture = target.options.storage != TensorStorage::Buffers
            && low
                .dispatches
                .iter()
                .all(|d| (0..).zip(&d.bindings).all(|(i, &o)| o != operand || may_be_texture(&d.kernel, i + 1)));
        let scratch = low.scratch.len();
        low.scratch.push(len.div_ceil(4) as u64 * 16);
        for bound in low.dispatches.iter_mut().flat_map(|d| &mut d.bindings).filter(|b| **b == operand) {
            *bound = Operand::ScratchRead(scratch);
        }
        // Weights are read again for every pixel.
        low.reads.push((Operand::ScratchRead(scratch), if texture { 100.0 } else { 0.0 }));
        let vec4s = len.div_ceil(4);
        let row = vec4s.div_ceil(64).clamp(1, target.caps.max_workgroups as usize) * 64;
        let mut bindings = vec![operand];
        bindings.extend(from.iter().map(|&i| Operand::Input(i)));
        bindings.push(Operand::ScratchWrite(scratch));
        let first = inputs[from[0]].shape.len();
        before.push(Dispatch {
            kernel: KernelKey::new("gather").flag("TWO", from.len() == 2),
            params: GatherParams { len: vec4s as u32, row: row as u32, first: first as u32 }.into(),
            bindings,
            workgroups: [row / 64, vec4s.div_ceil(row), 1].map(|g| g as u32),
        });
        let packing = Packing::IndexMap { of: Box::new(packing), inputs: counts };
        low.weights[k] = PackedWeights { inputs: vec![], len: vec4s * 4, precision: Precision::F32, packing };
    }
    before.append(&mut low.dispatches);
    low.dispatches = before;
    Ok(low)
}
