//! An op case with its gradients as a graph, for gradient checks and `unet selftest`.

use crate::error::Result;
use crate::graph::{Graph, ValueId, differentiate_from};
use crate::ops::{ExportNchw, ImportNchw, InputKind, OpCase};
use crate::tensor::{Layout, TensorDesc};

/// A graph of one op and its gradients.
#[derive(Clone, Debug)]
pub struct GradientGraph {
    /// Inputs: `x<i>` of the case (parameters are variables) and `g<i>`, the gradients of its outputs. Outputs: `y<i>`,
    /// and `dx<i>`, the gradients of its inputs.
    pub graph: Graph,
    /// Indices of the inputs that have a gradient.
    pub requested: Vec<usize>,
    /// Indices of the outputs that gradients flow from.
    pub outputs: Vec<usize>,
}

impl GradientGraph {
    /// The graph of a case; `None` if the op has no gradient.
    pub fn new(case: &OpCase) -> Result<Option<Self>> {
        let mut graph = Graph::new();
        let mut args: Vec<ValueId> = Vec::new();
        for (i, (desc, kind)) in case.inputs.iter().enumerate() {
            let name = format!("x{i}");
            let parameter = matches!(kind, InputKind::Parameter | InputKind::Positive);
            args.push(match desc.layout {
                _ if parameter => graph.variable(&name, &desc.shape.dims())?,
                Layout::Blocked => {
                    let x = graph.input(&name, TensorDesc::linear(desc.shape));
                    graph.node(&name, ImportNchw, &[x])?
                }
                Layout::Linear => graph.input(&name, *desc),
            });
        }
        let results = graph.node_shared(&case.name, case.op.clone(), &args)?;
        // Batch statistics have no gradient.
        let count = case.op.differentiable_outputs(results.len());
        let outputs: Vec<usize> = (0..count).collect();
        let mut seeds = Vec::new();
        for &i in &outputs {
            let desc = graph.value(results[i]).desc;
            let name = format!("g{i}");
            let g = graph.input(&name, TensorDesc::linear(desc.shape));
            let g = if desc.layout == Layout::Blocked { graph.node(&name, ImportNchw, &[g])? } else { g };
            seeds.push((results[i], g));
        }
        let fixed = |i: usize| matches!(case.inputs[i].1, InputKind::Fixed(_));
        let differentiable: Vec<usize> = (0..args.len()).filter(|&i| !fixed(i)).collect();
        let values: Vec<ValueId> = differentiable.iter().map(|&i| args[i]).collect();
        let grads = match differentiate_from(&mut graph, &seeds, &values) {
            Ok(grads) => grads,
            Err(e) if e.to_string().contains("has no gradient") => return Ok(None),
            Err(e) => return Err(e),
        };
        let export = |graph: &mut Graph, name: String, v: ValueId| -> Result<()> {
            let v = match graph.value(v).desc.layout {
                Layout::Blocked => graph.node(format!("export {name}"), ExportNchw, &[v])?,
                Layout::Linear => v,
            };
            graph.output(name, v);
            Ok(())
        };
        let mut requested = Vec::new();
        for (&i, grad) in differentiable.iter().zip(grads) {
            // A gradient that equals the incoming one, as for a sum, needs no check.
            if let Some(grad) = grad.filter(|g| graph.producer(*g).is_some()) {
                export(&mut graph, format!("dx{i}"), grad)?;
                requested.push(i);
            }
        }
        for &i in &outputs {
            export(&mut graph, format!("y{i}"), results[i])?;
        }
        Ok(Some(Self { graph, requested, outputs }))
    }
}
