//! Reads an ONNX file, with limits on its contents. External data is read only from the file's own folder.

use super::super::{built, registry};
use super::external::ExternalData;
use super::network::OnnxNetwork;
use super::options::OnnxOptions;
use super::parts::Parts;
use super::proto::ModelProto;
use super::quantised::{NOTE, to_floats};
use super::tensor::{Tensor, read};
use super::{HEAD, Reason};
use crate::error::{Error, Result};
use crate::io::Input;
use crate::weights::{self, METADATA_KEY, ModelMetadata, Normalisation, Weights};
use prost::Message;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

/// Maximum file size in bytes: protobuf's own limit.
const MAX_BYTES: u64 = 2 << 30;
/// Maximum number of messages and strings; real networks have about ten thousand. Each needs more memory than its two
/// bytes.
const MAX_ENTRIES: usize = 1 << 20;
/// Maximum nesting depth of messages.
const MAX_DEPTH: usize = 64;

/// Whether a file is an ONNX file by its first bytes or, if they are inconclusive, by its name. The message begins with
/// `ir_version`, a small number, followed by another of the model's first fields.
pub fn is_onnx(head: &[u8], path: &Path) -> bool {
    let named = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx"));
    match head {
        [0x08, version, field, ..] => {
            (1..=32).contains(version) && matches!(field, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42 | 0x72)
        }
        _ => named,
    }
}

/// Reads a network. Its weights have the names in the file.
pub fn open(input: impl Into<Input>, options: &OnnxOptions) -> Result<(OnnxNetwork, ModelMetadata, Weights)> {
    let input = input.into();
    let bytes = input.read_all(MAX_BYTES)?;
    #[cfg(feature = "std-fs")]
    if let Some(path) = input.path() {
        return parse(&bytes, path, options);
    }
    parse_with(&bytes, input.name(), &BTreeMap::new(), options)
}

/// [`open`] for the bytes of the file `path`; external data is read from its folder.
#[cfg(feature = "std-fs")]
pub fn parse(bytes: &[u8], path: &Path, options: &OnnxOptions) -> Result<(OnnxNetwork, ModelMetadata, Weights)> {
    read_model(bytes, path, ExternalData::in_folder(path), options)
}

/// [`open`] for bytes in memory, which errors call `name`; `files` is the external data by its names in the model.
pub fn parse_with(
    bytes: &[u8],
    name: &Path,
    files: &BTreeMap<String, Arc<[u8]>>,
    options: &OnnxOptions,
) -> Result<(OnnxNetwork, ModelMetadata, Weights)> {
    read_model(bytes, name, ExternalData::in_memory(files), options)
}

fn read_model(
    bytes: &[u8],
    path: &Path,
    mut outside: ExternalData,
    options: &OnnxOptions,
) -> Result<(OnnxNetwork, ModelMetadata, Weights)> {
    let wrong = |reason: String| Error::file(path, reason);
    let foreign = |reason: String| match weights::looks_like(bytes.get(..HEAD).unwrap_or(bytes)) {
        Some(what) => wrong(format!("is {what}")),
        None => wrong(format!("not an ONNX file, or a damaged one: {reason}")),
    };
    let mut left = MAX_ENTRIES;
    walk(bytes, Kind::Model, 0, &mut left).map_err(|e| foreign(e.0))?;
    let mut model = ModelProto::decode(bytes).map_err(|e| foreign(e.to_string()))?;
    let mut graph = model.graph.take().ok_or_else(|| wrong("holds no network".into()))?;
    if let Some(sparse) = graph.sparse_initializer.first() {
        let name = sparse.values.as_ref().map_or("", |v| &v.name);
        return Err(wrong(format!("tensor `{name}` is sparse, which is not supported")));
    }
    // Constant nodes are weights too.
    let mut tensors = std::mem::take(&mut graph.initializer);
    let (constants, nodes) = std::mem::take(&mut graph.node).into_iter().partition(|n| {
        let own = n.domain.is_empty() || n.domain == "ai.onnx";
        own && n.op_type == "Constant" && n.output.len() == 1 && n.attribute.iter().any(|a| a.t.is_some())
    });
    graph.node = nodes;
    let constants: Vec<super::proto::NodeProto> = constants;
    for mut node in constants {
        let t = node.attribute.iter_mut().find_map(|a| if a.name == "value" { a.t.take() } else { None });
        let (Some(mut t), Some(name)) = (t, node.output.pop()) else {
            return Err(wrong(format!("constant `{}` has no value", node.name)));
        };
        t.name = name;
        tensors.push(*t);
    }
    let mut all: HashMap<String, Tensor> = HashMap::with_capacity(tensors.len());
    let mut kinds = HashMap::new();
    for proto in tensors {
        let name = proto.name.clone();
        kinds.insert(name.clone(), proto.data_type);
        let external = outside.read(&proto).map_err(|e| wrong(format!("tensor `{name}`: {e}")))?;
        let tensor = read(&proto, external).map_err(|e| wrong(format!("tensor `{name}`: {e}")))?;
        if all.insert(name.clone(), tensor).is_some() {
            return Err(wrong(format!("two tensors are called `{name}`")));
        }
    }
    let nodes = std::mem::take(&mut graph.node);
    let (nodes, quantised) = to_floats(nodes, &mut all, &kinds).map_err(|e| wrong(e.0))?;
    graph.node = nodes;
    let mut metadata = metadata(&model, options).map_err(|e| wrong(e.to_string()))?;
    let own = metadata.arch != "onnx";
    let (mut parts, mut weights) = Parts::new(model, graph, all, options).map_err(|e| wrong(e.0))?;
    if quantised {
        parts.notes.push(NOTE.into());
    }
    if !own && options.normalisation.is_none() {
        metadata.normalisation = parts.normalisation();
    }
    let mut options = options.clone();
    // Another program may have removed outputs since.
    options.output = options.output.or_else(|| own_output(&metadata).filter(|name| parts.outputs.contains(name)));
    let network = OnnxNetwork::new(parts, &weights, &options).and_then(|n| n.without_arithmetic(&mut weights));
    let network = network.map_err(|e| wrong(e.0))?;
    Ok((network, metadata, weights))
}

/// The metadata of a file that this program wrote, under [`METADATA_KEY`]. Otherwise the defaults: integers are divided
/// by the maximum of their type, and classes have no names.
fn metadata(model: &ModelProto, options: &OnnxOptions) -> Result<ModelMetadata> {
    let own = model.metadata_props.iter().find(|e| e.key == METADATA_KEY);
    let mut metadata = match own {
        Some(entry) => ModelMetadata::parse(&entry.value)?,
        None => ModelMetadata {
            format: 1,
            arch: "onnx".into(),
            config: serde_json::json!({}),
            normalisation: Normalisation::Unit,
            classes: Vec::new(),
            target: None,
            instances: None,
            scale: None,
            recipe: None,
        },
    };
    if let Some(normalisation) = &options.normalisation {
        metadata.normalisation = normalisation.clone();
    }
    metadata.validate()?;
    Ok(metadata)
}

/// The output that segmentation uses in the network that the file was written from, if this program wrote it: heads
/// come before their mean, so the first output is another.
fn own_output(metadata: &ModelMetadata) -> Option<String> {
    let network = registry::parse(&metadata.arch, &metadata.config).ok()?;
    let (_, built) = built(&*network, network.example()).ok()?;
    built.segmentation_output().map(String::from)
}

/// Messages that [`walk`] descends into.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Function,
    Other,
}

impl Kind {
    /// The kind of message in a field.
    fn field(self, number: u64) -> Self {
        match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6) => Self::Graph,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Node, 5) => Self::Attribute,
            _ => Self::Other,
        }
    }
}

/// Counts the entries of a message before memory is allocated for it. `left` is the remaining number allowed.
fn walk(mut bytes: &[u8], kind: Kind, depth: usize, left: &mut usize) -> Result<(), Reason> {
    if depth > MAX_DEPTH {
        return Err("subgraphs are nested too deeply".into());
    }
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let skip = match tag & 7 {
            0 => {
                varint(&mut bytes)?;
                0
            }
            1 => 8,
            5 => 4,
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).unwrap_or(usize::MAX);
                *left = left.checked_sub(1).ok_or("more entries than any network has")?;
                let inner = bytes.get(..length).ok_or("it ends too early")?;
                let inside = kind.field(tag >> 3);
                if !matches!(inside, Kind::Other) {
                    walk(inner, inside, depth + 1, left)?;
                }
                length
            }
            _ => return Err("it is not in protobuf's format".into()),
        };
        bytes = bytes.get(skip..).ok_or("it ends too early")?;
    }
    Ok(())
}

/// Reads a varint from the front.
fn varint(bytes: &mut &[u8]) -> Result<u64, Reason> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or("it ends too early")?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("it is not in protobuf's format".into())
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
