//! Export of a network of the family to ONNX (opset 17). The graph is written before any rewriting, with free batch
//! size and, if the network allows it, free image size. The file's properties hold the metadata of a native checkpoint,
//! so that reading it back gives the same model.

mod nodes;

use super::{INPUT, Model};
use crate::error::{Error, Result};
use crate::graph::{Graph, ValueKind};
use crate::io::Input;
use crate::onnx::proto::{
    DataType, Dimension, DimensionValue, GraphProto, ModelProto, OperatorSetId, StringEntry, TensorProto, TensorShape,
    TensorType, TypeProto, ValueInfo,
};
use crate::tensor::{HostTensor, Shape};
use crate::weights::{Checkpoint, MAX_BYTES, METADATA_KEY, ModelMetadata, Weights};
use nodes::{Emitter, tensor};
use prost::Message;
use std::path::Path;

/// Opset version that is written.
pub const OPSET: i64 = 17;
/// Matching version of the file format.
const IR_VERSION: i64 = 8;
/// Producer name in the file.
const PRODUCER: &str = "unet-wgpu";
/// Protobuf's limit on the size of a message, in bytes.
const MAX_MESSAGE: usize = i32::MAX as usize;

/// The bytes of the ONNX file. Fails for an operation without a counterpart; the error names it.
pub fn export(model: &Model) -> Result<Vec<u8>> {
    let bad = |e: Error| Error::file(&model.name, format!("as ONNX: {e}"));
    let graph = sample(model).map_err(bad)?;
    let mut emitter = Emitter::new(&graph);
    emitter.emit().map_err(bad)?;
    let (node, mut initializer) = emitter.finish();
    for (key, dims) in graph.parameters() {
        initializer.push(tensor(key, model.weights().require(key, dims)?));
    }
    let input = vec![value(INPUT, graph_input(&graph)?, false)];
    let output = graph.outputs().iter().map(|(name, id)| value(name, graph.shape(*id), true)).collect();
    let name = model.architecture.id().to_string();
    let metadata = ModelMetadata { config: model.architecture.config(), arch: name.clone(), ..model.metadata.clone() };
    let file = ModelProto {
        ir_version: IR_VERSION,
        producer_name: PRODUCER.into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: model.architecture.name().into(),
        graph: Some(GraphProto { node, name, initializer, input, output, ..GraphProto::default() }),
        opset_import: vec![OperatorSetId { domain: String::new(), version: OPSET }],
        metadata_props: vec![StringEntry { key: METADATA_KEY.into(), value: metadata.to_json()? }],
        ..ModelProto::default()
    };
    let bytes = file.encode_to_vec();
    if bytes.len() > MAX_MESSAGE {
        let (needed, limit) = (format!("{} bytes", bytes.len()), format!("{MAX_MESSAGE} bytes"));
        return Err(Error::Limit { what: format!("{} as ONNX", model.name), needed, limit });
    }
    Ok(bytes)
}

/// Reads back a file that [`export`] wrote. Fails for any other ONNX file, since a graph has no names for its layers.
pub fn read_back(input: impl Into<Input>) -> Result<Checkpoint> {
    let input = input.into();
    parse_back(&input.read_all(MAX_BYTES)?, input.name())
}

/// [`read_back`] of the bytes of the file `path`.
pub fn parse_back(bytes: &[u8], path: &Path) -> Result<Checkpoint> {
    let bad = |reason: String| Error::file(path, reason);
    let file = ModelProto::decode(bytes).map_err(|e| bad(format!("not an ONNX file, or damaged: {e}")))?;
    let property = file.metadata_props.iter().find(|p| p.key == METADATA_KEY);
    let (Some(property), Some(graph)) = (property, file.graph) else {
        let reason = "an ONNX file that `unet convert` did not write; only its own files become checkpoints again, since a \
                      graph does not say which network it belongs to. It can be opened directly";
        return Err(bad(reason.into()));
    };
    let metadata = ModelMetadata::parse(&property.value).map_err(|e| bad(e.to_string()))?;
    let mut weights = Weights::new();
    for t in graph.initializer.iter().filter(|t| t.data_type == DataType::Float as i32) {
        let data = floats(t).ok_or_else(|| bad(format!("parameter `{}` is not stored as 32-bit floats", t.name)))?;
        let dims: Option<Vec<usize>> = t.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
        let dims = dims.ok_or_else(|| bad(format!("parameter `{}`: dimensions {:?}", t.name, t.dims)))?;
        let data = HostTensor::new(dims, data).map_err(|e| bad(format!("parameter `{}`: {e}", t.name)))?;
        if weights.insert(t.name.clone(), data).is_some() {
            return Err(bad(format!("two parameters have the name `{}`", t.name)));
        }
    }
    // Constants of the graph are not parameters.
    let constants: Vec<String> = weights.keys().filter(|k| k.starts_with(nodes::CONSTANT)).map(Into::into).collect();
    for key in constants {
        weights.remove(&key);
    }
    Ok(Checkpoint { metadata: Some(metadata), weights, ..Checkpoint::default() })
}

fn floats(t: &TensorProto) -> Option<Vec<f32>> {
    let raw = t.raw_data.as_ref().filter(|_| t.data_location == 0)?;
    let (chunks, rest) = raw.as_chunks::<4>();
    rest.is_empty().then(|| chunks.iter().map(|&b| f32::from_le_bytes(b)).collect())
}

/// The network's graph at a size that needs all nodes that any size needs.
fn sample(model: &Model) -> Result<Graph> {
    let rule = model.architecture.size_rule();
    // If odd sizes are padded, the largest one below twice the minimum is padded on every level.
    let odd = rule.minimum + rule.step - 1;
    if rule.margin == 0
        && let Ok(graph) = model.whole_graph(1, odd, odd)
    {
        return Ok(graph);
    }
    model.whole_graph(1, rule.minimum, rule.minimum)
}

fn graph_input(graph: &Graph) -> Result<Shape> {
    let input = graph.values().iter().find(|v| matches!(v.kind, ValueKind::Input));
    input.map(|v| v.desc.shape).ok_or_else(|| Error::invalid("graph", "has no input"))
}

/// An input or output with free batch size and, unless it is 1x1, free image size.
fn value(name: &str, shape: Shape, output: bool) -> ValueInfo {
    let named = |n: &str| Dimension { value: Some(DimensionValue::Named(n.into())) };
    let fixed = |n: usize| Dimension { value: Some(DimensionValue::Fixed(n as i64)) };
    let side = |n: usize, axis: &str| match (output, n) {
        (true, 1) => fixed(1),
        (true, _) => named(&format!("{axis}_out")),
        (false, _) => named(axis),
    };
    let dim = vec![named("n"), fixed(shape.c), side(shape.h, "h"), side(shape.w, "w")];
    let shape = Some(TensorShape { dim });
    let tensor_type = Some(TensorType { elem_type: DataType::Float as i32, shape });
    ValueInfo { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ValueId;
    use crate::model::onnx::{self, OnnxOptions};
    use crate::model::{Architecture, ArchitectureId, Padding, UNet, UNet3Plus, Up, built, registry, whole_graph};
    use crate::ops::{Binary, BinaryKind, ExportNchw, Function, ImportNchw, MaskRule, Unary};
    use crate::tensor::TensorDesc;
    use crate::testing::{random_input, random_parameter};
    use serde_json::json;
    use std::collections::BTreeMap;

    fn model(network: impl Architecture + 'static) -> Model {
        boxed(Box::new(network))
    }

    fn boxed(network: Box<dyn Architecture>) -> Model {
        let size = network.size_rule().minimum;
        let graph = whole_graph(&*network, 1, size, size).unwrap();
        let tensor = |(at, (name, dims)): (usize, (&str, &[usize]))| {
            let n: usize = dims.iter().product();
            (name.to_string(), HostTensor::new(dims, (0..n).map(|i| (at * 1000 + i) as f32).collect()).unwrap())
        };
        let weights = graph.parameters().enumerate().map(tensor).collect();
        let json = format!(r#"{{"arch": "{}", "config": {{}}, "normalisation": {{"kind": "z_score"}}}}"#, network.id());
        let metadata = ModelMetadata::parse(&json).unwrap();
        Model::with_architecture("m", network.into(), metadata, weights).unwrap()
    }

    fn ops(bytes: &[u8]) -> Vec<String> {
        ModelProto::decode(bytes).unwrap().graph.unwrap().node.iter().map(|n| n.op_type.clone()).collect()
    }

    #[test]
    fn export_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.onnx");
        let small = |up| UNet { width: 2, depth: 2, up, padding: Padding::Same, ..UNet::default() };
        let every = ArchitectureId::all().map(|id| id.build(&serde_json::json!({ "width": 2, "depth": 2 })).unwrap());
        let more = [
            model(small(Up::Transpose)),
            model(small(Up::Bilinear)),
            model(small(Up::NearestConv)),
            model(UNet3Plus { width: 2, depth: 2, deep_supervision: true, cgm: true, ..UNet3Plus::default() }),
        ];
        for m in every.map(boxed).chain(more) {
            std::fs::write(&path, export(&m).unwrap()).unwrap();
            let back = Model::new("back", read_back(&path).unwrap()).unwrap();
            assert_eq!((back.architecture.config(), back.weights()), (m.architecture.config(), m.weights()));
            assert_eq!(back.metadata.normalisation, m.metadata.normalisation);
        }
    }

    #[test]
    fn opened_as_onnx_segments_with_the_same_output() {
        let plus_plus = |heads: usize, classes: usize| json!({ "width": 2, "depth": heads, "out_channels": classes, "deep_supervision": true });
        let three_plus =
            |gate: &str| json!({ "width": 2, "depth": 2, "deep_supervision": true, "cgm": true, "cgm_gate": gate });
        let cases = [
            ("unetpp", plus_plus(3, 1)),
            ("unetpp", plus_plus(4, 3)),
            ("unet3p", three_plus("prob")),
            ("unet3p", three_plus("logit")),
        ];
        for (arch, config) in cases {
            let mut m = boxed(registry::parse(arch, &config).unwrap());
            let graph = whole_graph(&*m.architecture, 1, 32, 32).unwrap();
            let random = |(name, dims): (&str, &[usize])| (name.to_string(), random_parameter(name, dims).unwrap());
            let weights = graph.parameters().map(random).collect();
            m = Model::with_architecture("m", m.architecture.clone(), m.metadata.clone(), weights).unwrap();
            let bytes = export(&m).unwrap();
            let (read, _, weights) = onnx::parse(&bytes, Path::new("f.onnx"), &OnnxOptions::default()).unwrap();
            let (found, rule) = probability(&read, &weights);
            let (expected, expected_rule) = probability(&*m.architecture, m.weights());
            assert!(found.compare(&expected).unwrap().within(1e-6), "{config}");
            assert_eq!(rule, expected_rule, "{config}");
            // Of a file that another program has cut down, what is left.
            let mut cut = ModelProto::decode(&bytes[..]).unwrap();
            cut.graph.as_mut().unwrap().output.retain(|o| o.name == "logits.1");
            let (cut, ..) = onnx::parse(&cut.encode_to_vec(), Path::new("f.onnx"), &OnnxOptions::default()).unwrap();
            assert_eq!(cut.config()["output"], "logits.1", "{config}");
        }
    }

    /// Class probabilities of a network for a random image, and its mask rule.
    fn probability(network: &dyn Architecture, weights: &Weights) -> (HostTensor, MaskRule) {
        let shape = Shape::new(1, 1, 32, 32);
        let (mut graph, built) = built(network, shape).unwrap();
        let y = graph.node("export", ExportNchw, &[built.probability]).unwrap();
        graph.output("y", y);
        let stored = |name: &str, dims: &[usize]| weights.require(name, dims).cloned();
        let inputs = BTreeMap::from([(INPUT.to_string(), random_input(INPUT, shape).unwrap())]);
        (graph.run_reference(&inputs, stored, |_, _| Ok(())).unwrap().remove("y").unwrap(), built.rule)
    }

    /// ONNX file and graph of the nodes that `build` adds to an input.
    fn of_nodes(shape: Shape, build: impl Fn(&mut Graph, ValueId) -> ValueId) -> (Vec<u8>, Graph) {
        let mut graph = Graph::new();
        let x = graph.input(INPUT, TensorDesc::linear(shape));
        let x = graph.node("import", ImportNchw, &[x]).unwrap();
        let y = build(&mut graph, x);
        let y = graph.node("export", ExportNchw, &[y]).unwrap();
        graph.output("y", y);
        let mut emitter = Emitter::new(&graph);
        emitter.emit().unwrap();
        let (node, initializer) = emitter.finish();
        let (input, output) = (vec![value(INPUT, shape, false)], vec![value("y", shape, true)]);
        let file = ModelProto {
            ir_version: IR_VERSION,
            graph: Some(GraphProto { node, initializer, input, output, ..GraphProto::default() }),
            opset_import: vec![OperatorSetId { domain: String::new(), version: OPSET }],
            ..ModelProto::default()
        };
        (file.encode_to_vec(), graph)
    }

    /// Whether the nodes compute the same after they are written and read.
    fn assert_written(what: &str, shape: Shape, low: f32, build: impl Fn(&mut Graph, ValueId) -> ValueId) {
        let (bytes, graph) = of_nodes(shape, build);
        let (network, _, weights) = onnx::parse(&bytes, Path::new("f.onnx"), &OnnxOptions::default()).unwrap();
        let back = whole_graph(&network, 1, shape.h, shape.w).unwrap();
        let x = (0..shape.len()).map(|i| low + 0.031 * i as f32).collect();
        let inputs = BTreeMap::from([(INPUT.to_string(), HostTensor::new(shape.dims(), x).unwrap())]);
        let run = |graph: &Graph| {
            let stored = |name: &str, dims: &[usize]| weights.require(name, dims).cloned();
            let outputs = graph.run_reference(&inputs, stored, |_, _| Ok(())).unwrap();
            outputs.into_values().next().unwrap()
        };
        assert!(run(&back).compare(&run(&graph)).unwrap().within(1e-6), "{what}");
    }

    #[test]
    fn every_function_is_written_as_what_it_is() {
        for &kind in Function::ALL {
            let low = if kind.apply(-1.0).is_finite() && kind.apply(0.0).is_finite() { -3.0 } else { 0.05 };
            let build = |g: &mut Graph, x| g.node("f", Unary { kind }, &[x]).unwrap();
            assert_written(kind.name(), Shape::new(1, 3, 8, 8), low, build);
        }
    }

    #[test]
    fn functions_of_two_tensors_are_written_as_what_they_are() {
        use BinaryKind as K;
        for kind in [K::Add, K::Sub, K::Mul, K::Div, K::Min, K::Max, K::Pow, K::Less, K::Greater, K::Equal] {
            let build = |g: &mut Graph, x| {
                let clipped = g.node("clip", Unary { kind: Function::Clip { min: 0.5, max: 2.0 } }, &[x]).unwrap();
                g.node("f", Binary { kind }, &[x, clipped]).unwrap()
            };
            assert_written(kind.name(), Shape::new(1, 3, 8, 8), 0.05, build);
        }
    }

    #[test]
    fn sizes_are_free() {
        let same = model(UNet { width: 2, depth: 2, padding: Padding::Same, ..UNet::default() });
        let bytes = export(&same).unwrap();
        assert_eq!(ops(&bytes).iter().filter(|o| *o == "Pad").count(), 2, "one on every level");
        let valid = export(&model(UNet { width: 2, depth: 2, ..UNet::default() })).unwrap();
        assert!(ops(&valid).iter().any(|o| o == "Slice") && !ops(&valid).iter().any(|o| o == "Pad"));
        let names: Vec<String> =
            ModelProto::decode(&bytes[..]).unwrap().graph.unwrap().node.iter().flat_map(|n| n.output.clone()).collect();
        let different: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "every value has one producer");
    }

    #[test]
    fn other_onnx_files_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.onnx");
        let error = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read_back(&path).unwrap_err().to_string()
        };
        assert!(error(&ModelProto::default().encode_to_vec()).contains("`unet convert` did not write"));
        assert!(error(b"\xff\xff\xff").contains("not an ONNX file"));
        let bytes = export(&model(UNet { width: 2, depth: 1, ..UNet::default() })).unwrap();
        for cut in (0..bytes.len()).step_by(23) {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert!(read_back(&path).and_then(|c| Model::new("m", c)).is_err(), "{cut}");
        }
    }
}
