//! What a model is: the document of `unet inspect --json`, without plans and checks.

use serde_json::{Value, json};
use unet_wgpu::low_level::graph::{Graph, ValueKind, footprint, rewrite};
use unet_wgpu::low_level::kernel::Target;
use unet_wgpu::low_level::model::{dialect, parameter_count, whole_graph};
use unet_wgpu::low_level::plan::Plan;
use unet_wgpu::{Model, Result};

use crate::error::text;

/// Describes a model; sizes and costs are those for `size` (rows, columns), by default the smallest legal one from 256 on.
pub(crate) fn document(model: &Model, size: Option<[usize; 2]>) -> Result<Value> {
    let architecture = &model.architecture;
    let (rule, example) = (architecture.size_rule(), architecture.example());
    let default = rule.minimum + 256usize.saturating_sub(rule.minimum).next_multiple_of(rule.step);
    let known = (!architecture.ruled()).then_some([example.h, example.w]);
    let size = size.or(known).unwrap_or(architecture.fixed_size().map(|n| n.unwrap_or(default)));
    let graph = model.whole_graph(example.n, size[0], size[1])?;
    let target = Target::default();
    let memory = Plan::new(&rewrite::optimise(&graph, &target)?, &target).map(|p| p.memory).ok();
    let field = match architecture.untransposed() {
        Some(network) => receptive_field(&whole_graph(&*network, example.n, size[0], size[1])?),
        None => receptive_field(&graph),
    };
    Ok(json!({
        "model": model.name,
        "arch": architecture.id(),
        "config": architecture.config(),
        "classes": model.classes(),
        "normalisation": model.metadata.normalisation,
        "target": model.metadata.target.map(|t| t.to_string()),
        "instances": model.metadata.instances,
        "scale": model.metadata.scale,
        "in_channels": architecture.in_channels(),
        "input_sizes": { "minimum": rule.minimum, "step": rule.step, "margin": rule.margin },
        "cannot_segment": architecture.unfit(),
        "receptive_field": field,
        "size": size,
        "layers": layers(&graph),
        "parameters": parameter_count(&graph),
        "macs": graph.macs(),
        "memory": memory.map(|m| json!({
            "activations": m.slots, "live": m.live, "weights": m.weights, "ports": m.io, "largest_binding": m.largest_binding,
        })),
        "outputs": graph.outputs().iter().map(|o| &o.0).collect::<Vec<_>>(),
        "unused_keys": model.unused_keys()?,
        "import": model.import().map(import),
    }))
}

/// The receptive field in pixels; `None` where an output pixel depends on the whole image.
fn receptive_field(graph: &Graph) -> Option<Value> {
    // The output that segmentation uses: all heads of a U-Net++, the head at full resolution of a U-Net 3+.
    let named = |name: &str| graph.outputs().iter().find(|o| o.0 == name);
    let first =
        named("foreground").or_else(|| named("accurate_prob")).or_else(|| named("probs.0")).or(graph.outputs().first());
    let f = footprint(graph, graph.inputs().next()?.1, first?.1, 0).ok()?;
    Some(json!({ "pixels": f.receptive_field, "align": f.align, "before": f.before, "after": f.after }))
}

/// The layers in order, without layout imports and exports.
fn layers(graph: &Graph) -> Vec<Value> {
    let nodes = graph.nodes().iter().filter(|n| !n.op.name().ends_with("port_nchw"));
    let layer = nodes.map(|n| {
        let output = graph.shape(n.outputs[0]);
        let inputs = n.inputs.iter().map(|&v| graph.value(v));
        let own = inputs.filter(|v| matches!(v.kind, ValueKind::Parameter(_)) && !v.name.contains("running_"));
        let parameters: usize = own.map(|v| v.desc.shape.len()).sum();
        json!({
            "label": n.label,
            "op": n.op.name(),
            "output": [output.c, output.h, output.w],
            "parameters": parameters,
            "macs": graph.node_macs(n),
        })
    });
    layer.collect()
}

/// How another program's checkpoint was understood.
fn import(report: &dialect::Report) -> Value {
    json!({
        "dialect": report.dialect,
        "assumed": report.assumed(),
        "notes": report.notes.iter().map(text).collect::<Vec<_>>(),
    })
}
