//! Conversion of graph nodes to ONNX nodes.

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, ValueId};
use crate::kernel::{Onnx, Term};
use crate::onnx::proto::{AttributeProto, AttributeType, DataType, NodeProto, TensorProto};
use crate::ops::{
    ArgmaxGate, Average, BatchNorm2d, Binary, BinaryKind, ChannelSlice, Concat, Conv2d, ConvTranspose2d, Crop2d,
    ExportNchw, Function, GlobalAvgPool, GlobalMaxPool, ImportNchw, MaxPool2d, Pad2d, Resize, ResizeMode, ResizeSize,
    ScaleByGate, Softmax, Unary,
};
use crate::tensor::{HostTensor, Layout};
use std::collections::{HashMap, HashSet};

/// Name prefix of constants that are not parameters.
pub(super) const CONSTANT: &str = "const/";
/// The end of an axis, whatever its length.
const TO_THE_END: i64 = i64::MAX;

/// A parameter as an ONNX tensor.
pub(super) fn tensor(name: &str, t: &HostTensor) -> TensorProto {
    TensorProto {
        dims: t.dims().iter().map(|&d| d as i64).collect(),
        data_type: DataType::Float as i32,
        name: name.into(),
        raw_data: Some(t.data().iter().flat_map(|v| v.to_le_bytes()).collect()),
        ..TensorProto::default()
    }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let r#type = AttributeType::Ints as i32;
    AttributeProto { name: name.into(), ints: values.to_vec(), r#type, ..AttributeProto::default() }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i: Some(value), r#type: AttributeType::Int as i32, ..AttributeProto::default() }
}

fn float(name: &str, value: f32) -> AttributeProto {
    let r#type = AttributeType::Float as i32;
    AttributeProto { name: name.into(), f: Some(value), r#type, ..AttributeProto::default() }
}

fn word(name: &str, value: &str) -> AttributeProto {
    let r#type = AttributeType::String as i32;
    AttributeProto { name: name.into(), s: Some(value.into()), r#type, ..AttributeProto::default() }
}

fn pair(values: [usize; 2]) -> [i64; 2] {
    values.map(|v| v as i64)
}

/// Emits ONNX nodes in the order of the graph.
pub(super) struct Emitter<'a> {
    graph: &'a Graph,
    /// The ONNX name of every value so far.
    names: HashMap<ValueId, String>,
    used_names: HashSet<String>,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl<'a> Emitter<'a> {
    /// Reserves the names of inputs, parameters and outputs.
    pub(super) fn new(graph: &'a Graph) -> Self {
        let sources = graph.ids().filter(|&id| graph.producer(id).is_none());
        let names: HashMap<_, _> = sources.map(|id| (id, graph.value(id).name.clone())).collect();
        let used_names = names.values().cloned().chain(graph.outputs().iter().map(|o| o.0.clone())).collect();
        Self { graph, names, used_names, nodes: vec![], constants: vec![] }
    }

    /// The nodes, and the constants that they read.
    pub(super) fn finish(self) -> (Vec<NodeProto>, Vec<TensorProto>) {
        (self.nodes, self.constants)
    }

    /// Emits all nodes and the outputs.
    pub(super) fn emit(&mut self) -> Result<()> {
        for node in self.graph.nodes() {
            let inputs: Vec<String> = node.inputs.iter().map(|&v| self.name(v)).collect::<Result<_>>()?;
            let output = self.node(node, &inputs)?;
            let Some(&id) = node.outputs.first() else { continue };
            self.names.insert(id, output);
        }
        for (name, id) in self.graph.outputs() {
            let from = self.name(*id)?;
            self.push("Identity", &[&from], name.clone(), vec![]);
        }
        Ok(())
    }

    fn name(&self, id: ValueId) -> Result<String> {
        let missing = || Error::op(self.graph.value(id).name.clone(), "is read before it is computed");
        self.names.get(&id).cloned().ok_or_else(missing)
    }

    /// An unused name: `label`, or `label` with a number.
    fn fresh(&mut self, label: &str) -> String {
        let mut name = label.to_string();
        for i in 2.. {
            if self.used_names.insert(name.clone()) {
                break;
            }
            name = format!("{label}#{i}");
        }
        name
    }

    fn push(&mut self, op: &str, inputs: &[&str], output: String, attribute: Vec<AttributeProto>) -> String {
        let input = inputs.iter().map(|i| i.to_string()).collect();
        let (name, op_type) = (output.clone(), op.to_string());
        self.nodes.push(NodeProto {
            input,
            output: vec![output.clone()],
            name,
            op_type,
            attribute,
            ..NodeProto::default()
        });
        output
    }

    /// Adds a node and returns the name of its result, which is `label` if unused.
    fn add(&mut self, op: &str, inputs: &[&str], label: &str, attributes: Vec<AttributeProto>) -> String {
        let output = self.fresh(label);
        self.push(op, inputs, output, attributes)
    }

    fn constant(&mut self, label: &str, data_type: DataType, length: usize, raw_data: Vec<u8>) -> String {
        let name = self.fresh(&format!("{CONSTANT}{label}"));
        let (data_type, raw_data) = (data_type as i32, Some(raw_data));
        let dims = vec![length as i64];
        self.constants.push(TensorProto { dims, data_type, name: name.clone(), raw_data, ..TensorProto::default() });
        name
    }

    /// Adds a scalar constant.
    fn number(&mut self, label: &str, v: f32) -> String {
        let name = self.constant(label, DataType::Float, 1, v.to_le_bytes().to_vec());
        if let Some(constant) = self.constants.last_mut() {
            constant.dims.clear();
        }
        name
    }

    fn integers(&mut self, label: &str, values: &[i64]) -> String {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(label, DataType::Int64, values.len(), raw)
    }

    /// Emits one node and returns the name of its result.
    fn node(&mut self, node: &Node, inputs: &[String]) -> Result<String> {
        let (label, op) = (node.label.as_str(), &*node.op);
        let all: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let x = all.first().copied().unwrap_or_default();
        if op.as_op::<ImportNchw>().is_some() || op.as_op::<ExportNchw>().is_some() {
            return Ok(x.to_string());
        }
        if let Some(op) = op.as_op::<Conv2d>() {
            return Ok(self.conv(label, op, &all));
        }
        if let Some(op) = op.as_op::<ConvTranspose2d>() {
            let attributes = vec![
                ints("kernel_shape", &pair(op.kernel)),
                ints("strides", &pair(op.stride)),
                ints("pads", &op.padding.map(|p| p as i64)),
                ints("dilations", &pair(op.dilation)),
                int("group", op.groups as i64),
                ints("output_padding", &pair(op.output_padding)),
            ];
            return Ok(self.add("ConvTranspose", &all, label, attributes));
        }
        if let Some(op) = op.as_op::<BatchNorm2d>() {
            return Ok(self.add("BatchNormalization", &all, label, vec![float("epsilon", op.eps)]));
        }
        if let Some(op) = op.as_op::<Unary>() {
            return Ok(self.activate(label, x.to_string(), op.kind));
        }
        if let Some(op) = op.as_op::<Binary>() {
            return self.binary(node, op.kind, &all);
        }
        if let Some(op) = op.as_op::<MaxPool2d>() {
            let (k, s, p) = (op.kernel as i64, op.stride as i64, op.padding as i64);
            let attributes = vec![
                ints("kernel_shape", &[k, k]),
                ints("strides", &[s, s]),
                ints("pads", &[p; 4]),
                int("ceil_mode", i64::from(op.ceil_mode)),
            ];
            return Ok(self.add("MaxPool", &all, label, attributes));
        }
        if let Some(op) = op.as_op::<Resize>() {
            return self.resize(label, op, x);
        }
        if let Some(op) = op.as_op::<Crop2d>() {
            return Ok(self.crop(node, op, x));
        }
        if let Some(&ChannelSlice { first, count }) = op.as_op::<ChannelSlice>() {
            let [start, end] = pair([first, first + count]).map(|n| [n]);
            let starts = self.integers(&format!("{label}.starts"), &start);
            let ends = self.integers(&format!("{label}.ends"), &end);
            let axes = self.integers(&format!("{label}.axes"), &[1]);
            return Ok(self.add("Slice", &[x, &starts, &ends, &axes], label, vec![]));
        }
        if op.as_op::<Pad2d>().is_some() {
            return self.pad(node, x);
        }
        if op.as_op::<ArgmaxGate>().is_some() {
            let class = self.add("ArgMax", &all, &format!("{label}.class"), vec![int("axis", 1), int("keepdims", 1)]);
            return Ok(self.add("Cast", &[&class], label, vec![int("to", DataType::Float as i64)]));
        }
        let (name, attributes) = if op.as_op::<Concat>().is_some() {
            ("Concat", vec![int("axis", 1)])
        } else if op.as_op::<Softmax>().is_some() {
            ("Softmax", vec![int("axis", 1)])
        } else if op.as_op::<Average>().is_some() {
            ("Mean", vec![])
        } else if op.as_op::<GlobalMaxPool>().is_some() {
            ("GlobalMaxPool", vec![])
        } else if op.as_op::<GlobalAvgPool>().is_some() {
            ("GlobalAveragePool", vec![])
        } else if op.as_op::<ScaleByGate>().is_some() {
            ("Mul", vec![])
        } else {
            return Err(Error::op(label, format!("`{}` is not supported in ONNX export", op.name())));
        };
        Ok(self.add(name, &all, label, attributes))
    }

    /// A function of two tensors; a parameter would lose the axes that its stored shape lacks.
    fn binary(&mut self, node: &Node, kind: BinaryKind, inputs: &[&str]) -> Result<String> {
        let (name, is_bool) = match kind {
            BinaryKind::Add => ("Add", false),
            BinaryKind::Sub => ("Sub", false),
            BinaryKind::Mul => ("Mul", false),
            BinaryKind::Div => ("Div", false),
            BinaryKind::Min => ("Min", false),
            BinaryKind::Max => ("Max", false),
            BinaryKind::Pow => ("Pow", false),
            BinaryKind::Prelu => ("PRelu", false),
            BinaryKind::Less => ("Less", true),
            BinaryKind::Greater => ("Greater", true),
            BinaryKind::Equal => ("Equal", true),
        };
        if node.inputs.iter().any(|&i| self.graph.value(i).desc.layout == Layout::Linear) {
            return Err(Error::op(&node.label, format!("`{}` of a parameter has no ONNX export", kind.name())));
        }
        if !is_bool {
            return Ok(self.add(name, inputs, &node.label, vec![]));
        }
        let result = self.add(name, inputs, &format!("{}.bool", node.label), vec![]);
        Ok(self.add("Cast", &[&result], &node.label, vec![int("to", DataType::Float as i64)]))
    }

    fn conv(&mut self, label: &str, op: &Conv2d, inputs: &[&str]) -> String {
        let attributes = vec![
            ints("kernel_shape", &pair(op.kernel)),
            ints("strides", &pair(op.stride)),
            ints("pads", &op.padding.map(|p| p as i64)),
            ints("dilations", &pair(op.dilation)),
            int("group", op.groups as i64),
        ];
        self.add("Conv", inputs, label, attributes)
    }

    /// Adds an elementwise function; the identity adds no node.
    fn activate(&mut self, label: &str, x: String, function: Function) -> String {
        if function == Function::Identity {
            return x;
        }
        let arguments = function.arguments();
        let steps = match function.row().onnx {
            Onnx::Operator(name, attributes) => {
                let attributes = attributes.iter().zip(arguments).map(|(a, v)| float(a, v)).collect();
                return self.add(name, &[&x], label, attributes);
            }
            Onnx::Formula(steps) => steps,
        };
        let mut results: Vec<String> = Vec::new();
        for (i, (name, inputs)) in steps.iter().enumerate() {
            let result = if i + 1 == steps.len() { label.to_string() } else { format!("{label}.{i}") };
            let input = |this: &mut Self, term: &Term| match *term {
                Term::X => x.clone(),
                Term::Step(k) => results.get(k).cloned().unwrap_or_default(),
                Term::Arg(k) => this.number(label, arguments[k]),
                Term::Number(v) => this.number(label, v),
            };
            let inputs: Vec<String> = inputs.iter().map(|term| input(self, term)).collect();
            results.push(self.add(name, &inputs.iter().map(String::as_str).collect::<Vec<_>>(), &result, vec![]));
        }
        results.pop().unwrap_or(x)
    }

    fn resize(&mut self, label: &str, op: &Resize, x: &str) -> Result<String> {
        let ResizeSize::Scale(factor) = op.size else {
            return Err(Error::op(label, "resizes to a fixed number of pixels, which other sizes would not fit"));
        };
        let scales = [1.0, 1.0, factor as f32, factor as f32];
        let raw = scales.iter().flat_map(|v| v.to_le_bytes()).collect();
        let scales = self.constant(&format!("{label}.scales"), DataType::Float, 4, raw);
        let attributes = match op.mode {
            ResizeMode::Nearest => vec![
                word("mode", "nearest"),
                word("coordinate_transformation_mode", "asymmetric"),
                word("nearest_mode", "floor"),
            ],
            ResizeMode::Bilinear { align_corners } => {
                let rule = if align_corners { "align_corners" } else { "half_pixel" };
                vec![word("mode", "linear"), word("coordinate_transformation_mode", rule)]
            }
        };
        Ok(self.add("Resize", &[x, "", &scales], label, attributes))
    }

    /// The crop margins are the same for every input size.
    fn crop(&mut self, node: &Node, op: &Crop2d, x: &str) -> String {
        let from = node.inputs.first().map(|&v| self.graph.shape(v));
        let end = |size: usize, first: usize, len: usize| match size.saturating_sub(first + len) {
            0 => TO_THE_END,
            cut => -(cut as i64),
        };
        let (h, w) = from.map_or((0, 0), |s| (s.h, s.w));
        let ends = [end(h, op.top, op.h), end(w, op.left, op.w)];
        let label = node.label.as_str();
        let starts = self.integers(&format!("{label}.starts"), &pair([op.top, op.left]));
        let ends = self.integers(&format!("{label}.ends"), &ends);
        let axes = self.integers(&format!("{label}.axes"), &[2, 3]);
        self.add("Slice", &[x, &starts, &ends, &axes], label, vec![])
    }

    /// Pads an upsampled map to the size of its skip connection: half of the missing pixels in front, the rest behind.
    fn pad(&mut self, node: &Node, x: &str) -> Result<String> {
        let label = node.label.as_str();
        let padded = node.outputs.first();
        let joined = self
            .graph
            .nodes()
            .iter()
            .find(|n| n.op.as_op::<Concat>().is_some() && padded.is_some_and(|p| n.inputs.contains(p)));
        let skip = joined.and_then(|n| n.inputs.iter().find(|&v| Some(v) != padded).copied());
        let skip = skip.ok_or_else(|| Error::op(label, "pads a map that nothing is concatenated with"))?;
        let skip = self.name(skip)?;
        let part = |p: &str| format!("{label}.{p}");
        let size = || vec![int("start", 2), int("end", 4)];
        let requested = self.add("Shape", &[&skip], &part("target"), size());
        let own = self.add("Shape", &[x], &part("own"), size());
        let missing = self.add("Sub", &[&requested, &own], &part("missing"), vec![]);
        let two = self.integers(&part("two"), &[2]);
        let front = self.add("Div", &[&missing, &two], &part("front"), vec![]);
        let behind = self.add("Sub", &[&missing, &front], &part("behind"), vec![]);
        let none = self.integers(&part("none"), &[0, 0]);
        let pads = self.add("Concat", &[&none, &front, &none, &behind], &part("pads"), vec![int("axis", 0)]);
        Ok(self.add("Pad", &[x, &pads], label, vec![word("mode", "constant")]))
    }
}
