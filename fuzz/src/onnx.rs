//! Mutating an ONNX file as what it is: nodes, attributes and tensors rather than bytes.

use libfuzzer_sys::fuzzer_mutate;
use prost::Message;
use unet_wgpu::low_level::model::onnx::proto::{
    AttributeProto, DataType, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto,
};

/// Every operator that something is known of, and two that nothing is.
const OPS: [&str; 104] = [
    "Abs",
    "Add",
    "And",
    "ArgMax",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "CastLike",
    "Ceil",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "ConvTranspose",
    "DepthToSpace",
    "Div",
    "Dropout",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "GreaterOrEqual",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "LayerNormalization",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "MatMul",
    "Max",
    "MaxPool",
    "Mean",
    "Min",
    "Mish",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "PRelu",
    "Pad",
    "Pow",
    "Range",
    "Reciprocal",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Resize",
    "Round",
    "Selu",
    "Shape",
    "Sigmoid",
    "Sign",
    "Size",
    "Slice",
    "Softmax",
    "Softplus",
    "Softsign",
    "SpaceToDepth",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Swish",
    "Tanh",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "Upsample",
    "Where",
    "Einsum",
    "If",
    "Conv",
    "ConvTranspose",
    "Resize",
    "Slice",
    "Reshape",
    "Concat",
    "Gather",
    "MaxPool",
    "Pad",
    "Split",
    "Shape",
    "Transpose",
    "MatMul",
];

const ATTRIBUTES: [&str; 44] = [
    "alpha",
    "beta",
    "gamma",
    "epsilon",
    "axis",
    "axes",
    "perm",
    "pads",
    "strides",
    "kernel_shape",
    "dilations",
    "group",
    "output_padding",
    "output_shape",
    "auto_pad",
    "ceil_mode",
    "count_include_pad",
    "mode",
    "nearest_mode",
    "coordinate_transformation_mode",
    "cubic_coeff_a",
    "exclude_outside",
    "scales",
    "keepdims",
    "noop_with_empty_axes",
    "select_last_index",
    "blocksize",
    "to",
    "value",
    "value_int",
    "value_ints",
    "value_float",
    "starts",
    "ends",
    "split",
    "num_outputs",
    "num_groups",
    "transA",
    "transB",
    "allowzero",
    "start",
    "end",
    "min",
    "max",
];

const TEXTS: [&str; 18] = [
    "SAME_UPPER",
    "SAME_LOWER",
    "VALID",
    "NOTSET",
    "nearest",
    "linear",
    "cubic",
    "half_pixel",
    "align_corners",
    "asymmetric",
    "pytorch_half_pixel",
    "tf_half_pixel_for_nn",
    "reflect",
    "edge",
    "wrap",
    "constant",
    "CRD",
    "floor",
];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 11) as usize % n.max(1)
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    fn int(&mut self) -> i64 {
        const HUGE: [i64; 12] = [
            i64::MIN,
            i64::MAX,
            i64::MIN + 1,
            i64::MAX - 1,
            1 << 62,
            1 << 40,
            1 << 32,
            1 << 31,
            1 << 24,
            65536,
            65535,
            -65536,
        ];
        match self.below(8) {
            0 => HUGE[self.below(HUGE.len())],
            1 => self.next() as i64 >> self.below(63),
            2 => self.below(1000) as i64,
            _ => self.below(12) as i64 - 3,
        }
    }

    fn float(&mut self) -> f32 {
        const ODD: [f32; 10] =
            [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-40, 1e30, f32::MAX, 0.33333334, -1.0];
        match self.below(4) {
            0 => ODD[self.below(ODD.len())],
            1 => f32::from_bits(self.next() as u32),
            _ => self.below(9) as f32 / 2.0,
        }
    }

    fn ints(&mut self) -> Vec<i64> {
        (0..self.below(6)).map(|_| self.int()).collect()
    }
}

/// The file with a few things in it changed, in five of six calls; else its bytes.
pub fn mutate(data: &mut [u8], size: usize, max: usize, seed: u32) -> usize {
    if !seed.is_multiple_of(6)
        && let Ok(mut model) = ModelProto::decode(&data[..size])
    {
        let mut random = Random(u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..1 + random.below(4) {
            change(&mut model, &mut random);
        }
        let new = model.encode_to_vec();
        if new.len() <= max {
            data[..new.len()].copy_from_slice(&new);
            return new.len();
        }
    }
    fuzzer_mutate(data, size, max)
}

fn change(model: &mut ModelProto, r: &mut Random) {
    if r.below(24) == 0
        && let Some(opset) = model.opset_import.first_mut()
    {
        opset.version = r.below(28) as i64;
    }
    let Some(graph) = &mut model.graph else { return };
    let names = names(graph);
    let name = |r: &mut Random| r.one(&names).cloned().unwrap_or_default();
    let count = graph.node.len();
    match r.below(14) {
        0 => {
            let op = (*r.one(&OPS).unwrap_or(&"Relu")).to_string();
            if let Some(node) = graph.node.get_mut(r.below(count)) {
                node.op_type = op;
            }
        }
        // A node between a value and those that read it.
        1..=3 => {
            let new = format!("n{}", r.next() % 1000);
            let from = name(r);
            let mut input = vec![from.clone()];
            (0..r.below(4)).for_each(|_| input.push(name(r)));
            let attribute = (0..r.below(4)).map(|_| attribute(r)).collect();
            let op_type = (*r.one(&OPS).unwrap_or(&"Relu")).to_string();
            let reader = r.below(count);
            if let Some(node) = graph.node.get_mut(reader)
                && let Some(slot) = node.input.first_mut()
            {
                input[0] = std::mem::replace(slot, new.clone());
            } else if let Some(output) = graph.output.first_mut() {
                output.name = new.clone();
            }
            graph.node.push(NodeProto { op_type, input, output: vec![new], attribute, ..Default::default() });
        }
        4 => {
            let (new, extra) = (name(r), r.below(3) == 0);
            if let Some(node) = graph.node.get_mut(r.below(count)) {
                let at = r.below(node.input.len());
                match node.input.get_mut(at) {
                    Some(slot) if !extra => *slot = new,
                    _ => node.input.push(new),
                }
            }
        }
        5 | 6 => {
            let (new, replace) = (attribute(r), r.below(2) == 0);
            if let Some(node) = graph.node.get_mut(r.below(count)) {
                let at = r.below(node.attribute.len());
                match node.attribute.get_mut(at) {
                    Some(old) if replace => *old = AttributeProto { name: old.name.clone(), ..new },
                    _ => node.attribute.push(new),
                }
            }
        }
        7 => {
            if let Some(node) = graph.node.get_mut(r.below(count)) {
                let at = r.below(node.attribute.len());
                if let Some(a) = node.attribute.get_mut(at) {
                    match r.below(4) {
                        0 => a.i = Some(r.int()),
                        1 => a.f = Some(r.float()),
                        2 => drop(a.ints.get_mut(0).map(|v| *v = r.int())),
                        _ => a.ints = r.ints(),
                    }
                }
            }
        }
        8 => {
            let at = r.below(graph.initializer.len());
            if let Some(t) = graph.initializer.get_mut(at) {
                match r.below(4) {
                    0 => t.dims = r.ints(),
                    1 => {
                        let axis = r.below(t.dims.len());
                        t.dims.get_mut(axis).map(|d| *d = r.int()).unwrap_or_default();
                    }
                    2 => t.data_type = r.below(18) as i32,
                    _ => {
                        let at = r.below(t.int64_data.len());
                        t.int64_data.get_mut(at).map(|v| *v = r.int()).unwrap_or_default();
                    }
                }
            }
        }
        9 | 10 => {
            let new = format!("t{}", r.next() % 1000);
            let tensor = if r.below(3) == 0 {
                let values: Vec<f32> = (0..r.below(6)).map(|_| r.float()).collect();
                let dims = vec![values.len() as i64];
                TensorProto { dims, data_type: DataType::Float as i32, float_data: values, ..Default::default() }
            } else {
                let values = r.ints();
                let dims = vec![values.len() as i64];
                TensorProto { dims, data_type: DataType::Int64 as i32, int64_data: values, ..Default::default() }
            };
            graph.initializer.push(TensorProto { name: new.clone(), ..tensor });
            if let Some(node) = graph.node.get_mut(r.below(count)) {
                let at = 1 + r.below(4);
                node.input.resize((at + 1).max(node.input.len()), String::new());
                node.input[at] = new;
            }
        }
        11 => {
            let shape = graph.input.first_mut().and_then(|i| i.r#type.as_mut()?.tensor_type.as_mut()?.shape.as_mut());
            if let Some(shape) = shape {
                let at = r.below(shape.dim.len());
                let value = if r.below(2) == 0 { None } else { Some(DimensionValue::Fixed(r.int())) };
                if let Some(dim) = shape.dim.get_mut(at) {
                    *dim = Dimension { value };
                }
            }
        }
        12 => {
            if count > 1 {
                graph.node.remove(r.below(count));
            }
        }
        _ => {
            let new = name(r);
            if let Some(output) = graph.output.first_mut() {
                output.name = new;
            }
        }
    }
}

fn attribute(r: &mut Random) -> AttributeProto {
    let name = (*r.one(&ATTRIBUTES).unwrap_or(&"axis")).to_string();
    let mut a = AttributeProto { name, ..Default::default() };
    match r.below(6) {
        0 | 1 => a.i = Some(r.int()),
        2 => a.f = Some(r.float()),
        3 => a.s = r.one(&TEXTS).map(|t| t.as_bytes().to_vec()),
        4 => a.floats = (0..r.below(6)).map(|_| r.float()).collect(),
        _ => a.ints = r.ints(),
    }
    a
}

fn names(graph: &GraphProto) -> Vec<String> {
    let nodes = graph.node.iter().flat_map(|n| n.output.iter().cloned());
    let inputs = graph.input.iter().map(|i| i.name.clone());
    nodes.chain(inputs).chain(graph.initializer.iter().map(|t| t.name.clone())).collect()
}
