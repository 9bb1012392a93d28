//! `unet inspect`

use super::arch::ArchArgs;
use super::inspect_verify::{self, Verify};
use super::{Common, hints, inspect_image, inspect_import, inspect_package, inspect_plan, output};
use clap::Args;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use unet_wgpu::low_level::graph::{Graph, footprint, rewrite};
use unet_wgpu::low_level::infer::{InstanceOptions, InstanceSettings};
use unet_wgpu::low_level::kernel::Target;
use unet_wgpu::low_level::model::{Architecture, Model, parameter_count, whole_graph};
use unet_wgpu::low_level::plan::{Plan, PlanMemory};
use unet_wgpu::low_level::session::Backend;
use unet_wgpu::low_level::tensor::Precision;
use unet_wgpu::low_level::weights::{InstanceTarget, builtin};
use unet_wgpu::{Error, Result};

/// Show what a model is: architecture, layers, sizes, parameters, cost, memory; or what an image is
#[derive(Args)]
#[command(after_help = "\
Examples:
  unet inspect                                   the built-in models
  unet inspect nuclei-unet3+ --size 512x512
  unet inspect --arch unet --size 572x572        the U-Net of the paper, without weights
  unet inspect nuclei-unet++ --plan              the graph before and after rewriting, and its dispatches
  unet inspect --arch unet++ --set norm=false --set level=2 --set deep_supervision=false
  unet inspect unet_carvana.pth --keys           how another program's checkpoint was understood, name by name
  unet inspect model.pth --verify                the device against the CPU reference, on noise of the smallest size
  unet inspect model.pth --verify --input x.npy --expected y.npy
  unet inspect package.zip --verify              a bioimage.io package with its own test tensors
  unet inspect slide.svs                         an image: pages, levels, channels, pixel size, georeference

Exit code: 1 if --verify finds a difference that is too large.")]
pub(super) struct Inspect {
    /// Built-in model or checkpoint file; or an image file, recognised by its content
    #[arg(group = "network", value_name = "MODEL|IMAGE")]
    model: Option<String>,
    #[command(flatten)]
    arch: ArchArgs,
    /// Input rows and columns at which sizes and costs are reported
    #[arg(long, value_name = "HxW", value_parser = size)]
    size: Option<[usize; 2]>,
    /// Also show the graph before and after rewriting, and its dispatches, with multiply-adds, bytes and memory of each; for
    /// the device of --device, else for WebGPU's default limits
    #[arg(long)]
    plan: bool,
    /// List every name in another program's checkpoint with the parameter that it maps to
    #[arg(long, requires = "model")]
    keys: bool,
    /// Run the model on the device and on the slow CPU reference, and compare: with noise of --size, with --input, or with
    /// the test tensors of a bioimage.io package
    #[arg(long, requires = "model")]
    verify: bool,
    /// With --verify: the input, a .npy of [N, C, H, W] or a .safetensors with a tensor `input`
    #[arg(long, requires = "verify", value_name = "X")]
    input: Option<PathBuf>,
    /// With --verify: the expected output, a .npy of the first output or a .safetensors of outputs by name
    #[arg(long, requires = "input", value_name = "Y")]
    expected: Option<PathBuf>,
    /// With --verify: largest difference allowed, relative to an output's largest value [default: 1e-4, in f16 5e-3]
    #[arg(long, requires = "verify", value_name = "FACTOR")]
    tolerance: Option<f32>,
}

/// `512x384` or `512`.
pub(super) fn size(text: &str) -> std::result::Result<[usize; 2], String> {
    let number = |t: &str| t.trim().parse::<usize>().ok().filter(|&n| n > 0);
    let (h, w) = text.split_once(['x', 'X']).unwrap_or((text, text));
    match (number(h), number(w)) {
        (Some(h), Some(w)) => Ok([h, w]),
        _ => Err("write it as HxW, for example 512x384".into()),
    }
}

impl Inspect {
    pub(super) fn run(&self, common: &Common) -> Result<ExitCode> {
        // With an option that only models have, an image is opened as a model and refused.
        let of_models = self.plan || self.keys || self.verify || self.size.is_some();
        let path = self.model.as_deref().filter(|_| !of_models).map(Path::new);
        if let Some(path) = path.filter(|p| inspect_image::is_image(p)) {
            inspect_image::run(path, common.json)?;
            return Ok(ExitCode::SUCCESS);
        }
        let (model, architecture) = match (&self.model, self.arch.build(self.model.as_deref())?) {
            (Some(name), _) => {
                let model = self.arch.open(name, common)?;
                let architecture = model.architecture.clone();
                (Some(model), architecture)
            }
            (None, Some(architecture)) => (None, architecture),
            (None, None) => return list(common),
        };
        let report = Report::new(model.as_ref(), architecture, self.size, common.precision_of_sizes())?;
        let plan = if self.plan { Some(plan(&report.graph, common)?) } else { None };
        let verified = match &model {
            Some(model) if self.verify && self.input.is_none() && model.package().is_some_and(|p| p.test.is_some()) => {
                let package = model.package();
                package.map(|p| inspect_package::verify(model, p, self.tolerance, common)).transpose()?
            }
            Some(model) if self.verify => {
                let (input, expected) = (self.input.as_deref(), self.expected.as_deref());
                Some(Verify { model, input, expected, size: self.size, tolerance: self.tolerance }.run(common)?)
            }
            _ => None,
        };
        if common.json {
            let mut document = report.document();
            document["import"] = model.as_ref().and_then(Model::import).map_or(Value::Null, inspect_import::document);
            document["package"] =
                model.as_ref().and_then(Model::package).map_or(Value::Null, inspect_package::document);
            document["plan"] = plan.map_or(Value::Null, |p| p.document());
            document["verify"] = verified.as_ref().map_or(Value::Null, inspect_verify::Report::document);
            output::json(&document)?;
        } else {
            let plan = plan.map_or_else(String::new, |p| format!("\n{}", p.text()));
            let import = model.as_ref().and_then(Model::import);
            let import = import.map_or_else(String::new, |r| format!("\n{}", inspect_import::text(r, self.keys)));
            let package = model.as_ref().and_then(Model::package);
            let package = package.map_or_else(String::new, |p| format!("\n{}", inspect_package::text(p)));
            let verify = verified.as_ref().map_or_else(String::new, |v| format!("\n{}", v.text()));
            output::line(&format!("{}{import}{package}{plan}{verify}", report.text()))?;
        }
        if verified.is_some_and(|v| !v.passed()) {
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn plan(graph: &Graph, common: &Common) -> Result<inspect_plan::Report> {
    if common.device.is_some()
        && let Backend::Gpu(gpu) = common.backend()?
    {
        return inspect_plan::Report::new(graph, gpu.target(), gpu.describe());
    }
    inspect_plan::Report::new(graph, &Target::default(), "a device with WebGPU's default limits".into())
}

fn list(common: &Common) -> Result<ExitCode> {
    if common.json {
        let models: Vec<Value> = builtin::BUILTIN
            .iter()
            .map(|b| json!({ "name": b.name, "arch": b.arch, "description": b.description, "default": b.name == builtin::DEFAULT }))
            .collect();
        output::json(&json!({ "builtin": models }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = "Built-in models:\n".to_string();
    for b in builtin::BUILTIN {
        let default = if b.name == builtin::DEFAULT { " (default)" } else { "" };
        let _ = writeln!(text, "  {:<15} {}{default}", b.name, b.description);
    }
    text.push_str("\n`unet inspect NAME` shows one; any checkpoint file can be named instead.");
    output::line(&text)?;
    Ok(ExitCode::SUCCESS)
}

struct Report<'a> {
    model: Option<&'a Model>,
    architecture: Arc<dyn Architecture>,
    graph: Graph,
    size: [usize; 2],
    memory: Result<PlanMemory>,
    field: std::result::Result<String, String>,
    unused: Vec<String>,
}

impl<'a> Report<'a> {
    fn new(
        model: Option<&'a Model>,
        architecture: Arc<dyn Architecture>,
        size: Option<[usize; 2]>,
        precision: Precision,
    ) -> Result<Self> {
        let rule = architecture.size_rule();
        // The smallest legal size from 256 on.
        let default = rule.minimum + 256usize.saturating_sub(rule.minimum).next_multiple_of(rule.step);
        let own = architecture.example();
        let known = (!architecture.ruled()).then_some([own.h, own.w]);
        let size = size.or(known).unwrap_or(architecture.fixed_size().map(|n| n.unwrap_or(default)));
        let n = architecture.example().n;
        let graph = match model {
            Some(model) => model.whole_graph(n, size[0], size[1])?,
            None => whole_graph(&*architecture, n, size[0], size[1])?,
        };
        let target = Target::default().with_precision(precision);
        let memory = Plan::new(&rewrite::optimise(&graph, &target)?, &target).map(|p| p.memory);
        let field = match architecture.untransposed() {
            Some(network) => receptive_field(&whole_graph(&*network, n, size[0], size[1])?),
            None => receptive_field(&graph),
        };
        let unused = model.map(Model::unused_keys).transpose()?.unwrap_or_default();
        Ok(Self { model, architecture, graph, size, memory, field, unused })
    }

    /// The layers in order, without layout imports and exports.
    fn layers(&self) -> Vec<Layer> {
        let g = &self.graph;
        let parameters = |inputs: &[unet_wgpu::low_level::graph::ValueId]| {
            let values = inputs.iter().map(|&v| g.value(v));
            let own = values.filter(|v| matches!(v.kind, unet_wgpu::low_level::graph::ValueKind::Parameter(_)));
            own.filter(|v| !v.name.contains("running_")).map(|v| v.desc.shape.len()).sum()
        };
        let row = |n: &unet_wgpu::low_level::graph::Node| {
            let s = g.shape(n.outputs[0]);
            Layer {
                label: n.label.clone(),
                op: n.op.name(),
                output: [s.c, s.h, s.w],
                parameters: parameters(&n.inputs),
                macs: g.node_macs(n),
            }
        };
        g.nodes().iter().filter(|n| !n.op.name().ends_with("port_nchw")).map(row).collect()
    }

    fn text(&self) -> String {
        let mut t = String::new();
        let a = &self.architecture;
        if let Some(m) = self.model {
            let _ = writeln!(t, "model         {}", m.name);
        }
        let _ = writeln!(t, "architecture  {} (`{}`)", a.name(), a.id());
        let _ = writeln!(t, "config        {}", a.config());
        if let Some(m) = self.model {
            let classes = m.classes();
            let _ = writeln!(t, "classes       {}", classes.join(", "));
            let rule = serde_json::to_string(&m.metadata.normalisation).unwrap_or_default();
            let _ = writeln!(t, "normalisation {rule}");
            if let Some(target) = m.metadata.target {
                let _ = writeln!(t, "target        {target}: {}", predicted(target, classes.len()));
            }
            let own = m.metadata.instances.as_ref();
            let whose = if own.is_some() { "" } else { " (the file says nothing)" };
            let _ = match InstanceOptions::of_model(&InstanceSettings::default(), own, m.metadata.target) {
                Ok(options) => writeln!(t, "instances     {options}{whose}"),
                Err(e) => writeln!(t, "instances     {}", hints::error_text(&e)),
            };
            if let Some(scale) = m.metadata.scale {
                let diameter = scale.diameter.map(|d| format!("instances of {d} pixels (median diameter)"));
                let pixel = scale.pixel_size.map(|p| format!("pixels of {p} um"));
                let stated: Vec<String> = diameter.into_iter().chain(pixel).collect();
                let _ = writeln!(t, "trained on    {}", stated.join(", "));
            }
            if let Some(recipe) = &m.metadata.recipe {
                let of = |key: &str| recipe.get(key).map(Value::to_string).unwrap_or_default();
                let (steps, batch, crop, seed) = (of("steps"), of("batch"), of("crop"), of("seed"));
                let recipe =
                    format!("{steps} steps of {batch} crops of {crop}x{crop}, seed {seed}; --json has all of it");
                let _ = writeln!(t, "recipe        {recipe}");
            }
        }
        let rule = a.size_rule();
        let _ = match a.fixed_size() {
            [Some(h), Some(w)] => write!(t, "input size    {h}x{w} only, as the file says"),
            _ if !a.ruled() => {
                let s = a.example();
                write!(t, "input sizes   {}x{}, for example; no rule was found", s.h, s.w)
            }
            _ => write!(t, "input sizes   {} + k * {}", rule.minimum, rule.step),
        };
        let _ = if rule.margin > 0 { writeln!(t, ", output is {} smaller", 2 * rule.margin) } else { writeln!(t) };
        if let Some(why) = a.unfit() {
            let _ = writeln!(t, "cannot segment  {why}");
        }
        let _ = match &self.field {
            Ok(field) => writeln!(t, "receptive     {field}"),
            Err(why) => writeln!(t, "receptive     the whole image; cannot be tiled exactly: {why}"),
        };
        let _ = writeln!(
            t,
            "\n{:<22} {:<18} {:>20} {:>12} {:>10}",
            "layer", "op", "output (C x H x W)", "parameters", "MMAC"
        );
        for Layer { label, op, output: [c, h, w], parameters, macs } in self.layers() {
            let shape = format!("{c} x {h} x {w}");
            let parameters = if parameters == 0 { String::new() } else { grouped(parameters as u64) };
            let macs = if macs == 0 { String::new() } else { format!("{:.1}", macs as f64 / 1e6) };
            let _ = writeln!(t, "{label:<22} {op:<18} {shape:>20} {parameters:>12} {macs:>10}");
        }
        let _ = writeln!(t, "\nparameters    {}", grouped(parameter_count(&self.graph) as u64));
        let [h, w] = self.size;
        let _ = writeln!(t, "cost          {:.2} GMAC at {h}x{w}", self.graph.macs() as f64 / 1e9);
        let _ = match &self.memory {
            Ok(m) => writeln!(
                t,
                "memory        {} of activations ({} live at once), {} of weights, {} of input and outputs, largest binding {}",
                output::bytes(m.slots),
                output::bytes(m.live),
                output::bytes(m.weights),
                output::bytes(m.io),
                output::bytes(m.largest_binding)
            ),
            Err(e) => writeln!(t, "memory        not within WebGPU's default limits: {}", hints::error_text(e)),
        };
        let outputs: Vec<&str> = self.graph.outputs().iter().map(|o| o.0.as_str()).collect();
        let _ = write!(t, "outputs       {}", outputs.join(", "));
        if !self.unused.is_empty() {
            let _ = write!(t, "\nunused keys   {}", self.unused.join(", "));
        }
        t
    }

    fn document(&self) -> Value {
        let a = &self.architecture;
        let layers: Vec<Value> = self
            .layers()
            .into_iter()
            .map(|l| json!({ "label": l.label, "op": l.op, "output": l.output, "parameters": l.parameters, "macs": l.macs }))
            .collect();
        let rule = a.size_rule();
        json!({
            "model": self.model.map(|m| &m.name),
            "arch": a.id(),
            "config": a.config(),
            "classes": self.model.map(Model::classes),
            "normalisation": self.model.map(|m| json!(m.metadata.normalisation)),
            "target": self.model.and_then(|m| m.metadata.target).map(|t| t.to_string()),
            "instances": self.model.and_then(|m| m.metadata.instances.as_ref()),
            "scale": self.model.and_then(|m| m.metadata.scale),
            "recipe": self.model.and_then(|m| m.metadata.recipe.as_ref()),
            "input_sizes": { "minimum": rule.minimum, "step": rule.step, "margin": rule.margin },
            "cannot_segment": a.unfit(),
            "receptive_field": self.field.as_ref().ok(),
            "not_tileable": self.field.as_ref().err(),
            "size": self.size,
            "layers": layers,
            "parameters": parameter_count(&self.graph),
            "macs": self.graph.macs(),
            "memory": self.memory.as_ref().ok().map(|m| json!({
                "activations": m.slots, "live": m.live, "weights": m.weights, "ports": m.io,
                "largest_binding": m.largest_binding,
            })),
            "outputs": self.graph.outputs().iter().map(|o| &o.0).collect::<Vec<_>>(),
            "unused_keys": self.unused,
        })
    }
}

/// The output channels of a network with this target.
fn predicted(target: InstanceTarget, classes: usize) -> String {
    let channels = match target {
        InstanceTarget::Multi => "foreground logit, distance, touching-border logit, offset y, offset x",
        InstanceTarget::Distance => "foreground logit, distance",
        InstanceTarget::Gap => "logits of background and instance, with gaps between touching ones",
        InstanceTarget::Border => "logits of background, inside and touching border",
        _ => "unknown",
    };
    match target.is_geometry() && classes > 2 {
        true => format!("{channels}, {} class logits", classes - 1),
        false => channels.into(),
    }
}

/// A row of the layer table.
struct Layer {
    label: String,
    op: &'static str,
    /// Channels, rows, columns.
    output: [usize; 3],
    parameters: usize,
    macs: u64,
}

/// Receptive field of the network, in words.
fn receptive_field(graph: &Graph) -> std::result::Result<String, String> {
    // The output that segmentation uses: all heads of a U-Net++, the head at full resolution of a U-Net 3+.
    let named = |name: &str| graph.outputs().iter().find(|o| o.0 == name);
    let first =
        named("foreground").or_else(|| named("accurate_prob")).or_else(|| named("probs.0")).or(graph.outputs().first());
    let (Some((_, output)), Some((_, input))) = (first.cloned(), graph.inputs().next()) else {
        return Err(Error::invalid("graph", "has no input or output").to_string());
    };
    let f = footprint(graph, input, output, 0)?;
    Ok(format!(
        "{} pixels; tiles start at multiples of {} and overlap by {} and {}",
        f.receptive_field, f.align, f.before, f.after
    ))
}

/// `31,036,546`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(d);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_sizes_parse() {
        assert_eq!(
            (grouped(7), grouped(1_000), grouped(31_036_546)),
            ("7".into(), "1,000".into(), "31,036,546".into())
        );
        assert_eq!((size("572"), size("512x384")), (Ok([572, 572]), Ok([512, 384])));
        assert!(size("0x3").is_err() && size("a").is_err());
    }
}
