//! The contents of a file's network: live nodes in execution order, tensors, input and outputs.

use super::Reason;
use super::axes::Layout;
use super::options::OnnxOptions;
use super::proto::{AttributeProto, DataType, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, ValueInfo};
use super::quantised::real_form;
use super::tensor::{Elements, MAX_DIM, Tensor};
use super::value::{Value, label};
use crate::weights::{Normalisation, Weights};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Supported opset versions.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=26;
/// Maximum number of nodes; the largest exported networks have about ten thousand.
const MAX_NODES: usize = 1 << 16;
/// Float tensors of up to this many elements are available during translation; larger ones only when weights are
/// loaded.
const SMALL: usize = 4096;

/// The contents of a file's network.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    /// Nodes that the outputs depend on.
    pub nodes: Vec<NodeProto>,
    /// Opset version.
    pub opset: i64,
    /// Name of the input.
    pub input: String,
    /// Dimensions of the input in the file's order, as far as specified.
    pub file_dims: Vec<Option<usize>>,
    /// Axis order of the input.
    pub layout: Layout,
    /// Axis order of the outputs, if the user sets it.
    pub output_layout: Option<Layout>,
    /// Dimensions of the input as N, C, H, W, as far as known.
    pub dims: [Option<usize>; 4],
    /// Input channels: as requested, and as the first convolution takes them.
    channels: [Option<usize>; 2],
    /// Names of the outputs.
    pub outputs: Vec<String>,
    /// Program that wrote the file.
    pub producer: String,
    /// Notes on the file for its report.
    pub notes: Vec<String>,
    /// Element type of an integer input.
    integer_type: Option<String>,
    /// Integer tensors and small float tensors.
    known: HashMap<String, (Arc<Tensor>, Arc<str>)>,
    /// Float tensors, which the weights hold under these names, with their dimensions.
    stored: HashMap<String, (Arc<str>, Vec<usize>)>,
    /// Index of the node that produces a value.
    producers: HashMap<String, usize>,
    /// Number of elements of all tensors.
    elements: u64,
}

impl Parts {
    /// Extracts the network of a file; `tensors` are its initialisers and constants. Also returns the weights.
    pub(super) fn new(
        model: ModelProto,
        graph: GraphProto,
        tensors: HashMap<String, Tensor>,
        options: &OnnxOptions,
    ) -> Result<(Self, Weights), Reason> {
        let own = |domain: &str| domain.is_empty() || domain == "ai.onnx";
        let opset = model.opset_import.iter().filter(|o| own(&o.domain)).map(|o| o.version).max();
        let opset = opset.ok_or("does not say which version of ONNX's operators it uses")?;
        if !OPSETS.contains(&opset) {
            let (first, last) = (OPSETS.start(), OPSETS.end());
            return Err(format!("uses version {opset} of ONNX's operators; {first} to {last} are supported").into());
        }
        let inputs: Vec<&ValueInfo> = graph.input.iter().filter(|i| !tensors.contains_key(&i.name)).collect();
        let [input] = inputs[..] else {
            let names: Vec<&str> = inputs.iter().map(|i| i.name.as_str()).collect();
            return Err(format!("takes {} inputs ({}); one image is supported", names.len(), names.join(", ")).into());
        };
        let outputs: Vec<String> = graph.output.iter().map(|o| o.name.clone()).collect();
        if outputs.is_empty() {
            return Err("has no output".into());
        }
        let input = input.clone();
        if graph.node.len() > MAX_NODES {
            return Err(format!("has {} nodes, more than the {MAX_NODES} that are read", graph.node.len()).into());
        }
        // The real form of a quantised output determines its meaning.
        let roots = [outputs.clone(), outputs.iter().map(|o| real_form(o)).collect()].concat();
        let nodes = order(graph.node, &input.name, &tensors, &roots)?;
        let elements = tensors.values().map(|t| t.len() as u64).sum();
        let file_dims = input_dims(&input)?;
        let channels = [options.in_channels, first_channels(&input.name, &nodes, &tensors)];
        let (mut known, mut stored, mut weights) = (HashMap::new(), HashMap::new(), Weights::new());
        for (name, tensor) in tensors {
            let shared: Arc<str> = name.as_str().into();
            let float = matches!(tensor.elements, Elements::Float(_));
            if float && tensor.dims.len() <= 4 {
                weights.insert(name.clone(), tensor.host()?);
                stored.insert(name.clone(), (shared.clone(), tensor.dims.clone()));
            }
            if !float || tensor.len() <= SMALL || tensor.dims.len() > 4 {
                known.insert(name, (Arc::new(tensor), shared));
            }
        }
        let producers =
            nodes.iter().enumerate().flat_map(|(i, n)| n.output.iter().map(move |o| (o.clone(), i))).collect();
        let producer = format!("{} {}", model.producer_name, model.producer_version).trim().to_string();
        let (integer_type, notes) = (integer_type_of(&input), Vec::new());
        let input = input.name;
        let parts = Self {
            nodes,
            opset,
            input,
            file_dims,
            layout: Layout::Nchw,
            output_layout: options.output_layout,
            dims: [None; 4],
            channels,
            outputs,
            producer,
            notes,
            integer_type,
            known,
            stored,
            producers,
            elements,
        };
        Ok((parts, weights))
    }

    /// Sets the axis order of the input. Fails if the number of channels is then unknown, or not as requested.
    pub(super) fn arrange(&mut self, layout: Layout) -> Result<(), Reason> {
        let mut dims = layout.dims(&self.file_dims);
        let [requested, first] = self.channels;
        if let (Some(requested), Some(has)) = (requested, dims[1])
            && requested != has
        {
            return Err(format!("in_channels is {requested}, the file's input has {has}").into());
        }
        dims[1] = dims[1].or(requested).or(first);
        if dims[1].is_none() {
            let name = &self.input;
            return Err(format!(
                "does not say how many channels its input `{name}` has; set it, for example in_channels=3"
            )
            .into());
        }
        (self.dims, self.layout) = (dims, layout);
        Ok(())
    }

    /// The initialiser named `name`.
    pub(super) fn value(&self, name: &str) -> Option<Value> {
        if let Some((tensor, name)) = self.known.get(name) {
            return Some(Value::Known(tensor.clone(), Some(name.clone())));
        }
        self.stored.get(name).map(|(name, dims)| Value::Stored(name.clone(), dims.clone()))
    }

    /// Whether the input has an integer type.
    pub(super) fn integer_pixels(&self) -> bool {
        self.integer_type.is_some()
    }

    /// Default normalisation: none for an integer input, else [`Normalisation::Unit`].
    pub(super) fn normalisation(&self) -> Normalisation {
        if self.integer_type.is_some() { Normalisation::None } else { Normalisation::Unit }
    }

    /// The reason for [`Self::normalisation`].
    pub(super) fn pixels(&self) -> String {
        match &self.integer_type {
            None => "the file does not say what it was trained with; integers are divided by the maximum of their type"
                .into(),
            Some(kind) => format!("its input is of {kind}, so it takes pixels as they are"),
        }
    }

    /// Whether the weights hold a tensor named `name`.
    pub(super) fn is_stored(&self, name: &str) -> bool {
        self.stored.contains_key(name)
    }

    /// If a tensor is small, removes it from the stored ones and returns true.
    pub(super) fn forget(&mut self, name: &str) -> bool {
        let small = self.known.contains_key(name);
        if small {
            self.stored.remove(name);
        }
        small
    }

    /// Whether a node produces the value `name`.
    pub(super) fn is_made(&self, name: &str) -> bool {
        self.producers.contains_key(name)
    }

    /// The node that produces a value.
    pub(super) fn producer_of(&self, name: &str) -> Option<&NodeProto> {
        self.producers.get(name).and_then(|&i| self.nodes.get(i))
    }

    /// Number of elements of all tensors of the file.
    pub(super) fn elements(&self) -> u64 {
        self.elements
    }
}

/// The nodes that the outputs depend on, in topological order.
fn order(
    nodes: Vec<NodeProto>,
    input: &str,
    tensors: &HashMap<String, Tensor>,
    outputs: &[String],
) -> Result<Vec<NodeProto>, Reason> {
    let mut producer: HashMap<&str, usize> = HashMap::new();
    for (i, node) in nodes.iter().enumerate() {
        for name in node.output.iter().filter(|o| !o.is_empty()) {
            if producer.insert(name, i).is_some() || tensors.contains_key(name) || name == input {
                return Err(format!("`{name}` is produced twice").into());
            }
        }
    }
    // The inputs of a node, including those of subgraphs in its attributes.
    fn reads<'a>(node: &'a NodeProto, found: &mut Vec<&'a str>) {
        found.extend(node.input.iter().map(String::as_str));
        fn inside<'a>(attribute: &'a AttributeProto, found: &mut Vec<&'a str>) {
            attribute.g.iter().flat_map(|g| &g.node).for_each(|n| reads(n, found));
        }
        node.attribute.iter().for_each(|a| inside(a, found));
    }
    let before: Vec<Vec<usize>> = nodes
        .iter()
        .map(|node| {
            let mut names = Vec::new();
            reads(node, &mut names);
            names.iter().filter_map(|n| producer.get(n).copied()).collect()
        })
        .collect();
    let mut live = vec![false; nodes.len()];
    let mut stack: Vec<usize> = outputs.iter().filter_map(|o| producer.get(&o[..]).copied()).collect();
    while let Some(i) = stack.pop() {
        if !std::mem::replace(&mut live[i], true) {
            stack.extend(&before[i]);
        }
    }
    // Kahn's algorithm; nodes that are ready keep the file's order.
    let mut waiting: Vec<usize> = before.iter().map(Vec::len).collect();
    let mut after = vec![Vec::new(); nodes.len()];
    for (i, list) in before.iter().enumerate().filter(|b| live[b.0]) {
        list.iter().for_each(|&b| after[b].push(i));
    }
    let mut ready: BTreeSet<usize> = (0..nodes.len()).filter(|&i| live[i] && waiting[i] == 0).collect();
    let mut sorted = Vec::new();
    while let Some(i) = ready.pop_first() {
        sorted.push(i);
        for &next in &after[i] {
            waiting[next] -= 1;
            if waiting[next] == 0 {
                ready.insert(next);
            }
        }
    }
    if let Some(i) = (0..nodes.len()).find(|&i| live[i] && waiting[i] > 0) {
        return Err(format!("node `{}` ({}) needs its own result", label(&nodes[i]), nodes[i].op_type).into());
    }
    let mut nodes: Vec<Option<NodeProto>> = nodes.into_iter().map(Some).collect();
    Ok(sorted.into_iter().filter_map(|i| nodes[i].take()).collect())
}

/// The type of an input, if it is an integer type that pixels can have.
fn integer_type_of(input: &ValueInfo) -> Option<String> {
    let kind = input.r#type.as_ref()?.tensor_type.as_ref()?.elem_type;
    let integer_type = [DataType::Uint8, DataType::Uint16, DataType::Int32, DataType::Int64].map(|k| k as i32);
    integer_type.contains(&kind).then(|| super::tensor::type_name(kind))
}

/// The input's dimensions in the file's order.
fn input_dims(input: &ValueInfo) -> Result<Vec<Option<usize>>, Reason> {
    let name = &input.name;
    let kind = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let kind = kind.ok_or_else(|| Reason::from(format!("input `{name}` is not a tensor")))?;
    let floats = [DataType::Float, DataType::Float16, DataType::Double, DataType::Bfloat16, DataType::Undefined];
    if !floats.iter().any(|&f| f as i32 == kind.elem_type) && integer_type_of(input).is_none() {
        let is = super::tensor::type_name(kind.elem_type);
        return Err(format!("input `{name}` is of {is}; floats and unsigned integers are supported").into());
    }
    let Some(shape) = &kind.shape else { return Ok(vec![None; 4]) };
    if !(2..=4).contains(&shape.dim.len()) {
        return Err(format!("input `{name}` has {} dimensions; images have 2 to 4", shape.dim.len()).into());
    }
    let dim = |found: &Dimension| match found.value {
        Some(DimensionValue::Fixed(v)) if (1..=MAX_DIM).contains(&v) => Ok(Some(v as usize)),
        // Some exporters write 0 or -1 for "any".
        None | Some(DimensionValue::Named(_) | DimensionValue::Fixed(0 | -1)) => Ok(None),
        Some(DimensionValue::Fixed(v)) => Err(format!("input `{name}` has a dimension of {v}").into()),
    };
    shape.dim.iter().map(dim).collect()
}

/// Operators that keep the number of channels.
const CHANNEL_PRESERVING: [&str; 24] = [
    "Identity",
    "Cast",
    "CastLike",
    "Dropout",
    "Transpose",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Neg",
    "Clip",
    "Relu",
    "BatchNormalization",
    "InstanceNormalization",
    "Pad",
    "Resize",
    "Upsample",
    "MaxPool",
    "AveragePool",
    "QuantizeLinear",
    "DequantizeLinear",
];

/// Input channels of the first convolution after the input.
fn first_channels(input: &str, nodes: &[NodeProto], tensors: &HashMap<String, Tensor>) -> Option<usize> {
    let mut same: HashSet<&str> = HashSet::from([input]);
    for node in nodes {
        let Some(first) = node.input.first() else { continue };
        if node.op_type == "Conv" && same.contains(&first[..]) {
            let groups = node.attribute.iter().find(|a| a.name == "group").and_then(|a| a.i).unwrap_or(1);
            let weight = tensors.get(node.input.get(1)?)?;
            return weight.dims.get(1)?.checked_mul(usize::try_from(groups).ok()?);
        }
        if CHANNEL_PRESERVING.contains(&&node.op_type[..]) && node.input.iter().any(|i| same.contains(&i[..])) {
            same.extend(node.output.iter().map(String::as_str));
        }
    }
    None
}
