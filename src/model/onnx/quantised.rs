//! Rewrites quantised networks to float networks: QDQ, QOperator and dynamic quantisation.
//!
//! Every quantised value gets two forms: `name#real`, its dequantised value, which rewritten operators read, and the
//! integers under its own name for everything else. Forms that nothing reads are dropped as dead nodes. Values are
//! clamped to the range of the integers, since exporters rely on that for ReLU.

mod weights;

use super::Reason;
use super::attributes::Attributes;
use super::proto::{AttributeProto, DataType, NodeProto};
use super::tensor::{Elements, Tensor};
use std::collections::HashMap;

/// Note in the report of a quantised file.
pub(super) const NOTE: &str = "quantised: its weights are read as floats, and values between layers are not rounded to integers; \
                        results differ from an integer runtime's by that rounding";

/// The name of the dequantised form of a value.
pub(super) fn real_form(name: &str) -> String {
    format!("{name}#real")
}

/// The dequantised form of a value.
#[derive(Clone, Debug)]
struct Real {
    name: String,
    /// Names of its scale and its zero point.
    steps: [String; 2],
}

/// State of the rewrite.
pub(super) struct Quantised<'a> {
    tensors: &'a mut HashMap<String, Tensor>,
    /// Types of tensors.
    kinds: &'a HashMap<String, i32>,
    real: HashMap<String, Real>,
    nodes: Vec<NodeProto>,
    /// Number of generated names.
    name_count: usize,
    /// Remaining number of constant elements that may be dequantised.
    left: usize,
}

/// Limit of dequantised elements: per element of the file, plus a constant.
const PER_ELEMENT: usize = 4;
const FREE_ELEMENTS: usize = 1 << 20;

/// Operators that move or select elements, which commute with dequantisation.
const MOVING: [&str; 13] = [
    "Identity",
    "Reshape",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "MaxPool",
    "Slice",
    "Gather",
    "Split",
    "DepthToSpace",
    "SpaceToDepth",
    "Resize",
];

/// Rewrites the nodes of a file; returns whether any were quantised.
pub(super) fn to_floats(
    nodes: Vec<NodeProto>,
    tensors: &mut HashMap<String, Tensor>,
    kinds: &HashMap<String, i32>,
) -> Result<(Vec<NodeProto>, bool), Reason> {
    if !nodes.iter().any(|n| is_quantised(&n.op_type)) {
        return Ok((nodes, false));
    }
    let stored: usize = tensors.values().map(Tensor::len).sum();
    let left = FREE_ELEMENTS.saturating_add(stored.saturating_mul(PER_ELEMENT));
    let mut q =
        Quantised { tensors, kinds, real: HashMap::new(), nodes: Vec::with_capacity(nodes.len()), name_count: 0, left };
    for node in nodes {
        let label = super::value::label(&node).to_string();
        let op = node.op_type.clone();
        q.node(node).map_err(|Reason(reason)| Reason(format!("node `{label}` ({op}): {reason}")))?;
    }
    Ok((q.nodes, true))
}

fn is_quantised(op: &str) -> bool {
    op.starts_with("QLinear")
        || matches!(
            op,
            "QuantizeLinear"
                | "DequantizeLinear"
                | "DynamicQuantizeLinear"
                | "ConvInteger"
                | "MatMulInteger"
                | "QGemm"
                | "DynamicQuantizeMatMul"
                | "MatMulIntegerToFloat"
        )
}

fn input(node: &NodeProto, i: usize) -> Option<&str> {
    node.input.get(i).map(String::as_str).filter(|n| !n.is_empty())
}

fn needed(node: &NodeProto, i: usize) -> Result<&str, Reason> {
    input(node, i).ok_or_else(|| format!("input {i} is missing").into())
}

/// Scale and zero point of a value, at inputs `i` and `i + 1`.
fn steps(node: &NodeProto, i: usize) -> Result<[String; 2], Reason> {
    Ok([needed(node, i)?.into(), input(node, i + 1).unwrap_or_default().into()])
}

impl Quantised<'_> {
    fn node(&mut self, node: NodeProto) -> Result<(), Reason> {
        let own = node.domain.is_empty() || node.domain == "ai.onnx" || node.domain == "com.microsoft";
        let Some(y) = node.output.first().cloned().filter(|_| own) else {
            self.nodes.push(node);
            return Ok(());
        };
        match &node.op_type[..] {
            "QuantizeLinear" => self.quantise(&node, &y),
            "DequantizeLinear" => self.dequantise(&node, &y),
            "DynamicQuantizeLinear" => {
                // Without rounding, any scale and zero point will do: 1 and 0.
                let x = needed(&node, 0)?.to_string();
                self.push("Identity", &[&x], &y, &[]);
                for (name, elements) in
                    node.output.iter().skip(1).zip([Elements::Float(vec![1.0]), Elements::Int(vec![0])])
                {
                    self.tensors.insert(name.clone(), Tensor { dims: vec![], elements });
                }
                Ok(())
            }
            "ConvInteger" | "MatMulInteger" => self.integer_product(&node, &y),
            "QLinearConv" => {
                let x = self.value(&node, 0)?;
                let w = self.weight(needed(&node, 3)?, &steps(&node, 4)?, 0)?;
                let mut inputs = vec![x, w];
                if let Some(b) = input(&node, 8) {
                    inputs.push(self.bias(b, needed(&node, 1)?, needed(&node, 4)?, 1.0)?);
                }
                self.replaced(&node, "Conv", &inputs, &y, 6)
            }
            "QLinearMatMul" => {
                let inputs = [self.value(&node, 0)?, self.matrix(&node, 3)?];
                self.replaced(&node, "MatMul", &inputs, &y, 6)
            }
            "QLinearAdd" | "QLinearMul" => {
                let inputs = [self.value(&node, 0)?, self.value(&node, 3)?];
                let op = node.op_type.trim_start_matches("QLinear").to_string();
                self.replaced(&node, &op, &inputs, &y, 6)
            }
            "QLinearSigmoid"
            | "QLinearLeakyRelu"
            | "QLinearSoftmax"
            | "QLinearAveragePool"
            | "QLinearGlobalAveragePool" => {
                if Attributes::of(&node).flag("channels_last", false) {
                    return Err("with the channels last is not supported".into());
                }
                let inputs = [self.value(&node, 0)?];
                let op = node.op_type.trim_start_matches("QLinear").to_string();
                self.replaced(&node, &op, &inputs, &y, 3)
            }
            "QLinearConcat" => {
                let parts = (2..node.input.len()).step_by(3).map(|i| self.value(&node, i));
                let inputs = parts.collect::<Result<Vec<_>, _>>()?;
                self.replaced(&node, "Concat", &inputs, &y, 0)
            }
            "QGemm" => {
                let a = Attributes::of(&node);
                let axis = i64::from(!a.flag("transB", false));
                let alpha = f64::from(a.float("alpha", 1.0));
                let mut inputs = vec![self.value(&node, 0)?, self.weight(needed(&node, 3)?, &steps(&node, 4)?, axis)?];
                if let Some(c) = input(&node, 6) {
                    inputs.push(self.bias(c, needed(&node, 1)?, needed(&node, 4)?, alpha)?);
                }
                if input(&node, 7).is_some() {
                    return self.replaced(&node, "Gemm", &inputs, &y, 7);
                }
                self.like(&node, "Gemm", &inputs, &y);
                Ok(())
            }
            "DynamicQuantizeMatMul" => {
                let w = self.weight(needed(&node, 1)?, &steps(&node, 2)?, 1)?;
                let x = needed(&node, 0)?.to_string();
                self.with_bias([x, w], input(&node, 4), &y);
                Ok(())
            }
            "MatMulIntegerToFloat" => {
                let zero = |i: usize| input(&node, i).unwrap_or_default().to_string();
                let x = self.value_of(needed(&node, 0)?, &[needed(&node, 2)?.into(), zero(4)])?;
                let w = self.weight(needed(&node, 1)?, &[needed(&node, 3)?.into(), zero(5)], 1)?;
                self.with_bias([x, w], input(&node, 6), &y);
                Ok(())
            }
            op if op.starts_with("QLinear") => Err("the operator is not supported".into()),
            _ => {
                self.follow(&node)?;
                self.nodes.push(node);
                Ok(())
            }
        }
    }

    /// An unused name.
    fn name(&mut self, what: &str) -> String {
        self.name_count += 1;
        format!("{what}#{}", self.name_count)
    }

    /// Adds a scalar constant.
    fn number(&mut self, v: f64) -> String {
        let name = self.name("quantised");
        self.tensors.insert(name.clone(), Tensor { dims: vec![], elements: Elements::Float(vec![v as f32]) });
        name
    }

    fn push(&mut self, op: &str, inputs: &[&str], output: &str, attributes: &[AttributeProto]) {
        let named = |n: &&str| (*n).to_string();
        self.nodes.push(NodeProto {
            input: inputs.iter().map(named).collect(),
            output: vec![output.into()],
            name: output.into(),
            op_type: op.into(),
            attribute: attributes.to_vec(),
            ..NodeProto::default()
        });
    }

    /// Adds a float operator with the attributes of `node`.
    fn like(&mut self, node: &NodeProto, op: &str, inputs: &[String], output: &str) {
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.push(op, &inputs, output, &node.attribute);
    }

    /// [`Self::like`], with the result quantised by the scale and zero point at inputs `at` and `at + 1`.
    fn replaced(&mut self, node: &NodeProto, op: &str, inputs: &[String], y: &str, at: usize) -> Result<(), Reason> {
        let result = self.name(y);
        self.like(node, op, inputs, &result);
        self.quantised(&result, y, steps(node, at)?, None)
    }

    fn with_bias(&mut self, inputs: [String; 2], bias: Option<&str>, y: &str) {
        let Some(bias) = bias else { return self.push("MatMul", &[&inputs[0], &inputs[1]], y, &[]) };
        let result = self.name(y);
        self.push("MatMul", &[&inputs[0], &inputs[1]], &result, &[]);
        self.push("Add", &[&result, bias], y, &[]);
    }

    /// Minimum and maximum integer of a quantised value, from the type of its zero point.
    fn limits(&self, zero: &str, kind: Option<i64>) -> Result<[f64; 2], Reason> {
        let kind = self.kinds.get(zero).copied().or(kind.and_then(|k| i32::try_from(k).ok()).filter(|&k| k != 0));
        Ok(match kind.map(DataType::try_from) {
            None | Some(Ok(DataType::Uint8)) => [0.0, 255.0],
            Some(Ok(DataType::Int8)) => [-128.0, 127.0],
            Some(Ok(DataType::Uint16)) => [0.0, 65535.0],
            Some(Ok(DataType::Int16)) => [-32768.0, 32767.0],
            Some(_) => {
                return Err(format!("to {} is not supported", super::tensor::type_name(kind.unwrap_or(0))).into());
            }
        })
    }

    /// The number in a scalar constant; 0 for an omitted zero point.
    fn one(&self, name: &str) -> Result<f64, Reason> {
        if name.is_empty() {
            return Ok(0.0);
        }
        let t = self.tensors.get(name).ok_or_else(|| Reason::from(format!("`{name}` is not a constant")))?;
        t.scalar().map_err(|_| "values with a scale per channel are not supported".into())
    }

    fn quantise(&mut self, node: &NodeProto, y: &str) -> Result<(), Reason> {
        let x = needed(node, 0)?.to_string();
        let steps = steps(node, 1)?;
        // Weights of quantisation-aware training are floats already.
        if self.tensors.get(&x).is_some_and(|t| matches!(t.elements, Elements::Float(_))) {
            self.real.insert(y.into(), Real { name: x, steps });
            return Ok(());
        }
        self.quantised(&x, y, steps, Attributes::of(node).int("output_dtype"))
    }

    /// Adds both forms of `x`, quantised as `y`.
    fn quantised(&mut self, x: &str, y: &str, steps: [String; 2], kind: Option<i64>) -> Result<(), Reason> {
        let (scale, zero) = (self.one(&steps[0])?, self.one(&steps[1])?);
        if !(scale > 0.0 && scale.is_finite()) {
            return Err(format!("its scale is {scale}").into());
        }
        let limits = self.limits(&steps[1], kind)?;
        let real = real_form(y);
        let [lo, hi] = limits.map(|v| (v - zero) * scale);
        let (lo, hi) = (self.number(lo), self.number(hi));
        self.push("Clip", &[x, &lo, &hi], &real, &[]);
        let (inverse, offset) = (self.number(1.0 / scale), self.number(zero));
        let (scaled, rounded) = (self.name(y), self.name(y));
        self.push("Mul", &[&real, &inverse], &scaled, &[]);
        self.push("Round", &[&scaled], &rounded, &[]);
        self.push("Add", &[&rounded, &offset], y, &[]);
        self.real.insert(y.into(), Real { name: real, steps });
        Ok(())
    }

    fn dequantise(&mut self, node: &NodeProto, y: &str) -> Result<(), Reason> {
        let (x, steps) = (needed(node, 0)?.to_string(), steps(node, 1)?);
        if let Some(t) = self.tensors.get(&x) {
            let a = Attributes::of(node);
            let block = a.int("block_size").and_then(|b| usize::try_from(b).ok()).filter(|&b| b > 0);
            let floats = self.floats(&t.clone(), &steps, a.int("axis").unwrap_or(1), block)?;
            self.tensors.insert(y.into(), floats);
            return Ok(());
        }
        let value = self.value_of(&x, &steps)?;
        self.push("Identity", &[&value], y, &[]);
        Ok(())
    }

    /// The dequantised form of input `i`, whose scale and zero point are the next two inputs.
    fn value(&mut self, node: &NodeProto, i: usize) -> Result<String, Reason> {
        self.value_of(needed(node, i)?, &steps(node, i + 1)?)
    }

    fn value_of(&mut self, x: &str, steps: &[String; 2]) -> Result<String, Reason> {
        if let Some(real) = self.real.get(x).filter(|r| self.same(&r.steps, steps)) {
            return Ok(real.name.clone());
        }
        if let Some(t) = self.tensors.get(x).cloned() {
            let floats = self.floats(&t, steps, 1, None)?;
            let name = self.name(x);
            self.tensors.insert(name.clone(), floats);
            return Ok(name);
        }
        let (scale, zero) = (self.one(&steps[0])?, self.one(&steps[1])?);
        let mut x = x.to_string();
        for (op, v, neutral) in [("Sub", zero, 0.0), ("Mul", scale, 1.0)] {
            if v != neutral {
                let (next, number) = (self.name(&x), self.number(v));
                self.push(op, &[&x, &number], &next, &[]);
                x = next;
            }
        }
        Ok(x)
    }

    /// Whether scales and zero points are equal.
    fn same(&self, a: &[String; 2], b: &[String; 2]) -> bool {
        let number = |name: &str| self.one(name).ok();
        (0..2).all(|i| a[i] == b[i] || (number(&a[i]).is_some() && number(&a[i]) == number(&b[i])))
    }

    /// `ConvInteger` and `MatMulInteger`: products of integers minus their zero points.
    fn integer_product(&mut self, node: &NodeProto, y: &str) -> Result<(), Reason> {
        let conv = node.op_type == "ConvInteger";
        let x = needed(node, 0)?.to_string();
        let zero = input(node, 2).unwrap_or_default().to_string();
        let one = self.number(1.0);
        let x = match self.real.get(&x).cloned() {
            Some(real) if self.same(&[real.steps[0].clone(), zero.clone()], &real.steps) => {
                let (next, inverse) = (self.name(&x), self.one(&real.steps[0])?);
                let inverse = self.number(1.0 / inverse);
                self.push("Mul", &[&real.name, &inverse], &next, &[]);
                next
            }
            _ => self.value_of(&x, &[one.clone(), zero])?,
        };
        let weight = [one, input(node, 3).unwrap_or_default().to_string()];
        let w = self.weight(needed(node, 1)?, &weight, if conv { 0 } else { 1 })?;
        self.like(node, if conv { "Conv" } else { "MatMul" }, &[x, w], y);
        Ok(())
    }

    /// Applies an operator that moves elements to the dequantised form too.
    fn follow(&mut self, node: &NodeProto) -> Result<(), Reason> {
        let mut copy = node.clone();
        let reals = |names: &[String]| names.iter().map(|n| self.real.get(n).cloned()).collect::<Vec<_>>();
        let steps = match (&node.op_type[..], reals(&node.input).first().cloned().flatten()) {
            (op, Some(first)) if MOVING.contains(&op) => {
                copy.input[0] = first.name;
                first.steps
            }
            ("Concat", Some(first)) => {
                let all: Option<Vec<Real>> = reals(&node.input).into_iter().collect();
                let Some(all) = all.filter(|all| all.iter().all(|r| self.same(&r.steps, &first.steps))) else {
                    return Ok(());
                };
                copy.input = all.into_iter().map(|r| r.name).collect();
                first.steps
            }
            ("Pad", Some(first)) => {
                copy.input[0] = first.name.clone();
                if let Some(value) = input(node, 2) {
                    let one: [f64; 3] = [self.one(value)?, self.one(&first.steps[1])?, self.one(&first.steps[0])?];
                    copy.input[2] = self.number((one[0] - one[1]) * one[2]);
                }
                first.steps
            }
            _ => return Ok(()),
        };
        for name in copy.output.iter_mut().filter(|o| !o.is_empty()) {
            let own = name.clone();
            *name = real_form(name);
            self.real.insert(own, Real { name: name.clone(), steps: steps.clone() });
        }
        copy.name.push_str("#real");
        self.nodes.push(copy);
        Ok(())
    }
}
